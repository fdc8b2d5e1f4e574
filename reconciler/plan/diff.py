"""What differs, and who moved it: desired, live and last applied become a plan.

Before it `own` pairs declared with live objects; after it `gate` judges the plan and `order` makes steps of it. What
was last applied is the YAML at the commit that a live mark names. Only git knows it, so it comes as data: `questions`
says which objects differ and which commits their marks name, the shell looks there and hands the answers to `diff`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler.errors import Refusal
from reconciler.model import (
    Change,
    Desired,
    FieldChange,
    Live,
    LiveObject,
    Object,
    Origin,
    Plan,
    Ref,
    Secret,
    TargetType,
    same_secret,
)
from reconciler.plan.keys import absent, held, with_demo
from reconciler.plan.lost import adopting, marks_lost
from reconciler.plan.own import MARKED, Owned, Pair, own
from reconciler.plan.renames import likely_renames
from reconciler.plan.same import Around, around, compared, current
from reconciler.plan.staying import blocked, waiting

SENSITIVE: Final = "(sensitive)"
SECRET_FIELDS: Final = frozenset({"apiKey"})

# Fields that are the demo model's where a key is missing and `whenMissing` allows it.
_REPLACED: Final = frozenset({"baseUrl", "organization", "project"})

_NO_HEALING: Final = "self-healing is off"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of git: how `ref` was declared, as `was`, at the newest of `commits` (eight digits each)."""

    ref: Ref
    was: str
    instance_name: str
    commits: tuple[str, ...]


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What git says of earlier commits.

    `instances`: YAML names of live instances that are no longer declared but were, by the target's name of them.
    `objects`: how an object was last applied; absent where its commit is not to be had. `never`: what the commit in its
    mark, which is to be had, did not declare.
    """

    instances: Mapping[str, str] = {}
    objects: Mapping[Ref, Object] = {}
    never: frozenset[Ref] = frozenset()


def questions(
    desired: Desired, live: Live, former: Mapping[str, str], type: TargetType = "runtime"
) -> tuple[Question, ...]:
    """What `diff` needs to know of earlier commits: one question for each object that differs or is to be deleted."""
    owned = own(desired, live, former)
    seen = around(owned, type)
    marks: dict[str, set[str]] = {}
    for one in live.objects:
        if one.mark is not None and one.mark.source == desired.source:
            marks.setdefault(one.instance, set()).add(one.mark.commit)
    asked = []
    for pair in owned.pairs:
        if pair.live is None or not any(_differences(pair, seen)):
            continue
        mark = pair.live.mark
        commits = (mark.commit,) if mark else tuple(sorted(marks.get(pair.live.instance, ())))
        if commits:
            ref = pair.object.ref
            asked.append(Question(ref=ref, was=pair.was, instance_name=pair.live.instance, commits=commits))
    for ref, one in owned.orphans:
        assert one.mark is not None
        asked.append(Question(ref=ref, was=ref.name, instance_name=one.instance, commits=(one.mark.commit,)))
    return tuple(asked)


def diff(
    desired: Desired,
    live: Live,
    before: Before | None = None,
    *,
    target: str,
    type: TargetType = "runtime",
    prune: bool = True,
    self_heal: bool = True,
    allow: Collection[str] = (),
) -> Plan:
    """The plan that makes `live` what `desired` says; pure, and in a stable order.

    Without `prune` deletes, without `self_heal` changes that are all drift are shown but held. `allow` holds what a
    person permitted, such as `delete-instance:bistro`, or `adopt:` and the id of what lost its mark.
    """
    before = before or Before()
    owned = own(desired, live, before.instances)
    if found := adopting(owned, allow, type):
        owned = own(desired, live, before.instances, found)
    missing = absent(owned.pairs, type)
    if missing:
        owned = msgspec.structs.replace(owned, pairs=tuple(with_demo(pair, type) for pair in owned.pairs))
    seen = around(owned, type)
    changes: list[Change] = []
    for pair in owned.pairs:
        name = owned.names[pair.object.ref.instance]
        if pair.live is None:
            changes.append(_create(pair.object, name))
        elif (change := _update(pair, name, before, seen)) is not None:
            if not self_heal and change.fields and all(field.origin == "drift" for field in change.fields):
                change = msgspec.structs.replace(change, held=_NO_HEALING)
            changes.append(change)
    unpruned = "" if prune else "pruning is off"
    gone = {one.instance for name, one in owned.left.items() if allowed_instance(name, one.instance, allow)}
    users = _users(owned, live, gone)
    deletes = [
        _delete(ref, one, before, unpruned or users.get((ref.kind, one.instance, ref.name), ""))
        for ref, one in owned.orphans
    ]
    for name, one in owned.left.items():
        if allowed_instance(name, one.instance, allow):
            deletes.append(_delete(Ref("Instance", name, name), one, before, unpruned))
    if missing:
        changes, deletes = list(held(changes, missing)), list(held(deletes, missing))
    staying = [one for one in (*changes, *deletes) if one.held]
    deletes = list(waiting(deletes, [one.live for one in staying if one.live is not None]))
    return Plan(
        target=target,
        commit=desired.commit,
        source=desired.source,
        version=live.version,
        changes=(*changes, *deletes),
        foreign=owned.foreign,
        notes=(*desired.notes, *_notes(owned, changes, deletes, before, allow)),
        ids={pair.object.ref: pair.live.id for pair in owned.pairs if pair.live is not None},
        faults=(
            *owned.faults,
            *marks_lost(owned, type),
            *blocked(type, changes, staying),
            *_empty(desired, deletes, allow),
        ),
        strangers=owned.strangers,
        owned=_counted(owned),
        empty=_declares_nothing(desired),
        type=type,
        unproven=live.unproven,
        absent=missing,
    )


def allowed_instance(name: str, instance_name: str, allow: Collection[str]) -> bool:
    """Whether a person permitted to delete this instance, by its YAML name or the target's."""
    return f"delete-instance:{name}" in allow or f"delete-instance:{instance_name}" in allow


# --- one object ----------------------------------------------------------------------------------------------


def _create(one: Object, name: str) -> Change:
    return Change(
        action="create",
        ref=one.ref,
        instance_name=name,
        spec=one.spec,
        inherited=one.inherited,
        implied=one.implied,
        labels=one.labels,
    )


def _update(pair: Pair, name: str, before: Before, seen: Around) -> Change | None:
    one, last = pair.object, before.objects.get(pair.object.ref)
    fields = tuple(
        FieldChange(field=field, before=live, after=wanted, origin=_origin(pair, field, live, wanted, last, seen))
        for field, live, wanted in _differences(pair, seen)
    )
    if not fields and not pair.adopted:
        return None
    return Change(
        action="update",
        ref=one.ref,
        instance_name=name,
        fields=fields,
        spec=one.spec,
        live=pair.live,
        inherited=tuple(field.field for field in fields if field.field in one.inherited),
        renamed_from=pair.was if pair.was != one.ref.name else None,
        labels=one.labels,
        adopted=pair.adopted,
    )


def _delete(ref: Ref, one: LiveObject, before: Before, held: str) -> Change:
    last = before.objects.get(ref)
    return Change(
        action="delete",
        ref=ref,
        instance_name=one.instance,
        live=one,
        labels=last.labels if last else {},
        protected=last.protect if last else False,
        unfounded=ref in before.never,
        held=held,
    )


def _differences(pair: Pair, seen: Around) -> Iterator[tuple[str, Any, Any]]:
    """Each field that differs: its name, the live and the wanted value; secrets never appear."""
    one, live = pair.object, pair.live
    assert live is not None
    if one.spec == live.spec and pair.was == one.ref.name:
        return  # nearly every object of nearly every pass
    if pair.was != one.ref.name:
        yield "name", pair.was, one.ref.name
    unresolved = one.ref.kind == "Credentials" and not isinstance(one.spec.get("apiKey"), Secret)
    for field, value in one.spec.items():
        if field == "whenMissing" or (field in _REPLACED and unresolved and one.spec.get("whenMissing")):
            continue
        found = live.spec.get(field)
        if field in SECRET_FIELDS:
            if isinstance(value, Secret) and not (isinstance(found, str) and same_secret(found, value.value)):
                yield field, SENSITIVE, SENSITIVE
            continue
        is_now, wanted = compared(one.ref, field, found, value, seen)
        if wanted != is_now:
            yield field, is_now, wanted


def _origin(pair: Pair, field: str, live: Any, wanted: Any, last: Object | None, seen: Around) -> Origin:
    if field == "name" or field in SECRET_FIELDS:
        return "pending"
    if pair.adopted and pair.live is not None and pair.object.adopts == pair.live.id:
        return "pending"  # git never said anything of it before
    if last is None:
        return "unknown"
    if field in _REPLACED and (last.spec.get("whenMissing") or pair.object.spec.get("whenMissing")):
        return "pending"  # which of the two is meant depends on the environment, not on git
    applied = current(pair.object.ref, field, last.spec.get(field), seen)
    if applied == live:
        return "pending"
    return "drift" if applied == wanted else "conflict"


def _users(owned: Owned, live: Live, gone: Collection[str]) -> dict[tuple[str, str, str], str]:
    """Credentials that something left alone still uses, so that the target would refuse to delete them."""
    left = [one for one in live.objects if one.kind == "Settings" and one.instance in owned.settings_left]
    return {
        ("Credentials", one.instance, one.spec["credentials"]): (
            f"the Settings of {one.instance}, which are not declared, still use it"
            if one.kind == "Settings"
            else f"{one.kind} {one.label!r}, which is foreign, still uses it"
        )
        for one in (*owned.foreign, *left)
        if one.spec.get("credentials") and one.instance not in gone
    }


# --- the whole -----------------------------------------------------------------------------------------------


def _empty(desired: Desired, deletes: list[Change], allow: Collection[str]) -> Iterator[Refusal]:
    if deletes and "empty" not in allow and _declares_nothing(desired):
        yield Refusal(
            reason=f"nothing is declared, while {_count(len(deletes), 'object')} of this repository are live",
            remedy="check source.path in reconciler.yaml and the commit; --allow empty deletes them all",
        )


def _declares_nothing(desired: Desired) -> bool:
    return all(one.ref.kind == "Conversation" for one in desired.objects)


def _counted(owned: Owned) -> dict[tuple[str, str], int]:
    """How many live objects this repository has, by instance and kind."""
    live = [pair.object.ref for pair in owned.pairs if pair.live is not None] + [ref for ref, _ in owned.orphans]
    return dict(Counter((ref.instance, ref.kind) for ref in live))


def _notes(
    owned: Owned, changes: list[Change], deletes: list[Change], before: Before, allow: Collection[str]
) -> Iterator[str]:
    left = {one.instance for one in owned.left.values()}
    for name in owned.settings_left:
        if name not in left:
            yield f"Settings of {name} are not declared: they are left as they are"
    for name, one in owned.left.items():
        if not allowed_instance(name, one.instance, allow):
            yield (
                f"Instance {name} ({one.instance}) is no longer declared: it is left as it is; "
                f"--allow delete-instance:{name} deletes it"
            )
    yield from _renamed_twice(owned, deletes)
    yield from likely_renames(owned.pairs, owned.orphans, deletes)
    unknown = [change for change in changes if change.origin == "unknown"]
    if commits := sorted({c.live.mark.commit for c in unknown if c.live is not None and c.live.mark is not None}):
        yield (
            f"the origin of {_count(len(unknown), 'change')} is unknown: this clone cannot read how "
            f"{'they were' if len(unknown) > 1 else 'it was'} declared at {', '.join(commits)} "
            "(a shallow clone: git fetch --unshallow)"
        )
    unread = [
        one
        for one in deletes
        if one.ref.kind in MARKED and one.ref not in before.objects and one.ref not in before.never
    ]
    if unread:
        yield (
            f"whether {_count(len(unread), 'object')} to be deleted {'was' if len(unread) == 1 else 'were'} "
            "protected is unknown: the commits in their marks cannot be read here"
        )
    for why in sorted({change.held for change in (*changes, *deletes)} - {""}):
        count = sum(change.held == why for change in (*changes, *deletes))
        by_hand = "; `reconciler apply` puts them back" if why == _NO_HEALING else ""
        yield f"{_count(count, 'change')} shown but not applied: {why}{by_hand}"


def _renamed_twice(owned: Owned, deletes: list[Change]) -> Iterator[str]:
    """A target that a commit between two renames never reached has the object under a name that nothing says."""
    for pair in owned.pairs:
        ref, former = pair.object.ref, pair.object.formerly
        if not former or pair.live is not None:
            continue
        if gone := [one.ref.name for one in deletes if (one.ref.kind, one.ref.instance) == (ref.kind, ref.instance)]:
            yield (
                f"{ref} was {former}, which is not there, so it is made anew; if it is what would be deleted "
                f"({', '.join(gone[:5])}), name that in its `formerly`"
            )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
