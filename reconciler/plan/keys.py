"""Keys that are missing where a plan is made, and what becomes of their Credentials. PURE.

A source that is missing never overwrites what is live: not with the demo model, not with anything.

| the target has | `whenMissing` | then |
|---|---|---|
| an account | | it is kept as it is: nothing of the Credentials is written |
| the demo model | `builtin:demo` | so it stays |
| nothing | `builtin:demo` | the demo model is set |
| nothing | | nothing of the instance is applied; the others go on |

An Evolution API server has no demo model, so `whenMissing` says nothing there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler.model import DEMO, Absent, Change, Desired, Live, Missing, Object, Plan, Ref, Secret, TargetType
from reconciler.plan.own import Pair

_REMEDY: Final = "set it and start again, or name a key file, which is read at each pass"
_NAMED: Final = 4  # credentials that a note names


def absent(pairs: Iterable[Pair], type: TargetType) -> tuple[Absent, ...]:
    """The Credentials whose key is missing, in the order in which they are declared."""
    pairs = tuple(pairs)
    if not (found := [pair for pair in pairs if _missing(pair.object) is not None]):
        return ()
    users: dict[tuple[str, str], list[str]] = {}
    for pair in pairs:
        if pair.object.ref.kind == "Bot" and (name := pair.object.spec.get("credentials")):
            users.setdefault((pair.object.ref.instance, name), []).append(pair.object.ref.name)
    return tuple(_absent(pair, users, type) for pair in found)


def _absent(pair: Pair, users: Mapping[tuple[str, str], list[str]], type: TargetType) -> Absent:
    one, missing = pair.object, _missing(pair.object)
    assert missing is not None
    demo = _may_be_demo(pair, type)
    return Absent(
        ref=one.ref,
        effect="demo" if demo else "held" if pair.live is None else "kept",
        said=missing.said,
        at=one.at,
        bots=tuple(users.get((one.ref.instance, one.ref.name), ())) if demo else (),
    )


def _may_be_demo(pair: Pair, type: TargetType) -> bool:
    """Whether the demo model may answer: it is allowed, and no account of anybody is overwritten by it."""
    allowed = pair.object.spec.get("whenMissing") == DEMO and type == "runtime"
    return allowed and (pair.live is None or pair.live.spec.get("baseUrl") == DEMO)


def _missing(one: Object) -> Missing | None:
    key = one.spec.get("apiKey") if one.ref.kind == "Credentials" else None
    return key if isinstance(key, Missing) else None


def with_demo(pair: Pair, type: TargetType) -> Pair:
    """The pair with the demo model as what is wanted, where there was never an account and it may stand in."""
    one = pair.object
    if _missing(one) is None or pair.live is not None or not _may_be_demo(pair, type):
        return pair
    spec = {**one.spec, "apiKey": Secret(DEMO), "baseUrl": DEMO, "organization": None, "project": None}
    wanted = msgspec.structs.replace(one, spec={**spec, "whenMissing": None})
    return msgspec.structs.replace(pair, object=wanted)


def absent_here(keyed: Desired, live: Live, plan: Plan) -> tuple[Absent, ...]:
    """What an apply from here would find missing, for a plan that was made without keys; of the runtime."""
    by_id = {one.id: one for one in live.objects if one.kind == "Credentials"}
    wanted = (one for one in keyed.objects if one.ref.kind in ("Credentials", "Bot"))
    return absent((Pair(one, by_id.get(plan.ids.get(one.ref, "")), one.ref.name) for one in wanted), plan.type)


def notes_here(found: Iterable[Absent]) -> tuple[str, ...]:
    """What `absent_here` comes to; the plan itself may be applied elsewhere, where nothing is missing."""
    return tuple(f"{said}; in an apply from here {what}" for said, _, what in _grouped(found))


def held(changes: Iterable[Change], found: Iterable[Absent]) -> Iterator[Change]:
    """The changes, those held that a missing key keeps from being made.

    Where an account is kept, no other Credentials of its instance are deleted: on a server that tells accounts by their
    keys it is not certain which is which.
    """
    instances = {one.ref.instance: one.said for one in found if one.effect == "held"}
    kept = {one.ref: one.said for one in found if one.effect == "kept"}
    beside = {ref.instance: said for ref, said in kept.items()}
    for change in changes:
        ref = change.ref
        said = instances.get(ref.instance) or kept.get(ref)
        if said is None and ref.kind == "Credentials" and change.action == "delete":
            said = beside.get(ref.instance)
        yield msgspec.structs.replace(change, held=said) if said and not change.held else change


def notes(plan: Plan) -> tuple[str, ...]:
    """What is said of a plan: of keys that are missing first, a line for each and each effect."""
    said = (f"{why}{', so' if effect == 'demo' else ':'} {what}" for why, effect, what in _grouped(plan.absent))
    return (*said, *plan.notes)


def _grouped(found: Iterable[Absent]) -> Iterator[tuple[str, str, str]]:
    """(what is missing, the effect, the effect on all that it has in a sentence)"""
    groups: dict[tuple[str, str], list[Ref]] = {}
    for one in found:
        groups.setdefault((one.said, one.effect), []).append(one.ref)
    for (said, effect), refs in sorted(groups.items()):
        named = _listed([f"{ref.instance}/{ref.name}" for ref in refs], "credentials")
        if effect == "demo":
            yield said, effect, f"the built-in demo model answers for {named}"
        elif effect == "kept":
            many = len(refs) > 1
            yield said, effect, f"{named} {'keep the accounts that are' if many else 'keeps the account that is'} live"
        else:
            of = _listed(sorted({ref.instance for ref in refs}), "instances")
            yield said, effect, f"nothing of {of} is applied"


def documents(plan: Plan) -> list[dict[str, Any]]:
    """The Credentials whose key is missing, for programs."""
    return [
        {
            "instance": one.ref.instance,
            "name": one.ref.name,
            "effect": one.effect,
            "reason": one.said,
            "file": one.at.path,
            "line": one.at.line,
            "bots": list(one.bots),
        }
        for one in plan.absent
    ]


def reasons(plan: Plan) -> tuple[str, ...]:
    """Why a pass is not whole, each with its place and what to do."""
    effects = {"kept": "{ref} keeps the account that is live", "held": "nothing of {ref.instance} is applied"}
    return tuple(
        f"{one.at.path}:{one.at.line}: {one.said}: {effects[one.effect].format(ref=one.ref)} ({_REMEDY})"
        for one in plan.absent
        if one.effect != "demo"
    )


def _listed(names: list[str], noun: str) -> str:
    """`bistro/main and clinica/main`; of many the first few and how many there are."""
    if len(names) > _NAMED:
        return f"{len(names)} {noun}: {', '.join(names[:_NAMED])}, …"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
