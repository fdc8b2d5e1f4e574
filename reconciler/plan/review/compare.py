"""The plan between two desired states: what a target that is as `base` says would become with `head`.

Before it both commits are read; after it `risks`, `cost` and the renderings, and `gate`, which judges it like any plan.
It is `diff` with the base in the place of what is live, so a review and a plan cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from reconciler.model import Change, Desired, FieldChange, Live, LiveObject, Mark, Object, Plan, Ref
from reconciler.plan.diff import Before, diff
from reconciler.plan.own import MARKED, instance_names


def compare(base: Desired, head: Desired, target: str, *, prune: bool = True) -> Plan:
    """The plan from one desired state to another. Pure; what stays the same is left out.

    Without `prune` the target deletes nothing: deletes are shown but held.
    """
    names, now = instance_names(base), instance_names(head)
    touched = _touched(base, head)
    old, new = _only(base, touched), _only(head, touched)
    commit = (base.commit or "0" * 40)[:8]
    live = Live(objects=tuple(_live(one, names[one.ref.instance], commit, base.source) for one in old), version="")
    nothing = all(one.ref.kind == "Conversation" for one in head.objects)
    plan = diff(
        Desired(commit=head.commit, source=head.source, objects=new),
        live,
        Before(
            instances={name: own for own, name in names.items() if own in touched and name not in now.values()},
            objects=_applied(old, new),
        ),
        target=target,
        prune=prune,
        allow=() if nothing else ("empty",),  # the instances that change may all go while others stay
    )
    return msgspec.structs.replace(plan, changes=tuple(_keys_shown(plan.changes, old, new)), empty=nothing)


def staying(base: Desired, head: Desired, plan: Plan) -> Desired:
    """The head with what it no longer declares but the plan leaves there: it goes on answering."""
    held = {change.ref for change in plan.changes if change.action == "delete" and change.held}
    if not held:
        return head
    left = (one for one in base.objects if one.ref in held)
    return msgspec.structs.replace(head, objects=(*head.objects, *left))


def _touched(base: Desired, head: Desired) -> set[str]:
    """The instances in which anything differs."""
    names, now = instance_names(base), instance_names(head)
    if base.source != head.source:
        return {*names, *now}
    old, new = {one.ref: one for one in base.objects}, {one.ref: one for one in head.objects}
    differ = {ref.instance for ref, one in old.items() if ref not in new or not _same(one, new[ref])}
    return differ | {ref.instance for ref in new if ref not in old}


def _same(one: Object, other: Object) -> bool:
    return one is other or (one.spec == other.spec and one.formerly == other.formerly)


def _only(desired: Desired, instances: set[str]) -> tuple[Object, ...]:
    """The objects of some instances; where a key is missing is the environment's matter, so `whenMissing` stays out."""
    return tuple(
        msgspec.structs.replace(one, spec={k: v for k, v in one.spec.items() if k != "whenMissing"})
        if one.ref.kind == "Credentials"
        else one
        for one in desired.objects
        if one.ref.instance in instances and one.ref.kind != "Conversation"
    )


def _live(one: Object, instance: str, commit: str, source: str) -> LiveObject:
    """A declared object as a target would list it once it is applied."""
    kind, name = one.ref.kind, one.ref.name
    mark = Mark(source, name, commit) if kind in MARKED else None
    return LiveObject(kind=kind, instance=instance, id=str(one.ref), spec=one.spec, mark=mark, label=name)


def _keys_shown(changes: Iterable[Change], old: Iterable[Object], new: Iterable[Object]) -> Iterator[Change]:
    """The changes, and with them where a key is now taken from: what `diff` cannot know of keys that it never sees."""
    was = {one.ref: one.spec["apiKey"] for one in old if one.ref.kind == "Credentials"}
    moved = {one.ref: one for one in new if one.ref in was and one.spec["apiKey"] != was[one.ref]}
    for change in changes:
        one = moved.pop(change.ref, None)
        yield change if one is None else msgspec.structs.replace(change, fields=(*change.fields, _key(one, was)))
    for ref, one in moved.items():
        yield Change(action="update", ref=ref, instance_name=ref.instance, fields=(_key(one, was),), spec=one.spec)


def _key(one: Object, was: Mapping[Ref, object]) -> FieldChange:
    return FieldChange(field="apiKey", before=was[one.ref], after=one.spec["apiKey"], origin="pending")


def _applied(old: tuple[Object, ...], new: tuple[Object, ...]) -> dict[Ref, Object]:
    """What was last applied, by the name an object has now."""
    was = {one.ref: one for one in old}
    renamed = {
        one.ref: was[former]
        for one in new
        if one.formerly and (former := Ref(one.ref.kind, one.ref.instance, one.formerly)) in was
    }
    settings = {one.ref.instance: one for one in old if one.ref.kind == "Settings"}
    taken = {
        one.ref: settings[one.ref.instance]
        for one in new
        if one.ref.kind == "Settings" and one.ref.instance in settings
    }
    return {**was, **renamed, **taken}
