"""The order of applying: a plan's changes become steps, each with the steps it needs.

Before it `gate` let the plan pass; after it `reconcile/apply.py` walks the steps, independent ones side by side. A
step needs another only where the target would refuse or mistake it otherwise, so that a step that fails holds up its
dependents and nothing else.

- What a change refers to is made before it: instance, credentials, assistant; what refers to something deleted
  changes first.
- A trigger (or assistantId, or what else a target lets one object hold) that one object gives up is free before
  another takes it. Bots that trade triggers in a circle go through a trigger nobody writes: one of them is parked on it
  first.
- An instance that is deleted takes all it holds with it, in one call.
- Settings whose fallback bot this plan creates name it in a second step, after that bot.
- On an Evolution API server bots come after the Settings that they would else make themselves, and a row of credentials
  goes after whatever leaves it in any instance, for the server deletes the bots that still use it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler.model import LIVE_KINDS, Action, Change, Mark, Plan, Ref, TargetType
from reconciler.plan.circle import circle
from reconciler.plan.own import MARKED
from reconciler.plan.slots import Slot, parked, slots_of

_RANK: Final = {kind: rank for rank, kind in enumerate(LIVE_KINDS)}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call to the target.

    `index` counts from 0 in the order of applying and `needs` names earlier steps. `values` are the fields to send,
    named as in `Object.spec`; `mark` is None where the object's mark must stay as it is. `id` is the target's, None
    for creates. `note` says what a step does beyond its change.
    """

    index: int
    action: Action
    ref: Ref
    instance_name: str
    change: Change
    values: Mapping[str, Any]
    mark: Mark | None = None
    id: str | None = None
    needs: tuple[int, ...] = ()
    note: str = ""


class _Draft:
    """A step before it has its place."""

    __slots__ = ("change", "key", "mark", "needs", "note", "values")

    def __init__(self, change: Change, key: tuple[int, str], values: Mapping[str, Any], mark: Mark | None, note: str):
        self.change, self.key, self.values, self.mark, self.note = change, key, values, mark, note
        self.needs: set[_Draft] = set()


def order(plan: Plan) -> tuple[Step, ...]:
    """The steps of a plan, dependencies first; the same for any order of its changes. Held changes make none."""
    changes = [change for change in plan.changes if not change.held]
    whole = {c.instance_name for c in changes if c.action == "delete" and c.ref.kind == "Instance"}
    changes = [c for c in changes if c.ref.kind == "Instance" or c.instance_name not in whole]
    drafts = {change.ref: _main(plan, change) for change in changes if change.action != "delete"}
    deletes = {change.ref: _main(plan, change) for change in changes if change.action == "delete"}
    extra = [later for draft in drafts.values() if (later := _fallback_later(draft, drafts, deletes)) is not None]
    everything = {**deletes, **drafts}
    for draft in everything.values():
        draft.needs |= {other for ref in _refers(draft.change) if (other := drafts.get(ref)) and _creates(other)}
    neighbours: dict[str, list[_Draft]] = {}
    for draft in (*everything.values(), *extra):
        neighbours.setdefault(draft.change.ref.instance, []).append(draft)
    for draft in deletes.values():
        draft.needs |= set(_still_using(draft.change, neighbours[draft.change.ref.instance]))
    if plan.type == "evolution":
        _settings_first(drafts)
        _off_shared_rows((*everything.values(), *extra))
    extra += _slots(plan.type, drafts, deletes)
    kept = [draft for draft in (*everything.values(), *extra) if draft.values or draft.mark or _is_delete(draft)]
    return tuple(_place(kept, across=plan.type == "evolution"))


def _main(plan: Plan, change: Change) -> _Draft:
    rank = _RANK[change.ref.kind]
    if change.action == "delete":
        return _Draft(change, (2 * len(_RANK) - rank, ""), {}, None, "")
    assert change.spec is not None
    mark = None
    if change.ref.kind in MARKED:
        mark = Mark(plan.source, change.ref.name, (plan.commit or "0" * 40)[:8])
    if change.action == "create":
        values = dict(change.spec)
    else:
        values = {field.field: change.spec.get(field.field, field.after) for field in change.fields}
    return _Draft(change, (rank, ""), values, mark, "")


def _is_delete(draft: _Draft) -> bool:
    return draft.change.action == "delete"


def _creates(draft: _Draft) -> bool:
    return draft.change.action == "create" and draft.key[1] == ""


# --- what refers to what -------------------------------------------------------------------------------------


def _refers(change: Change) -> Iterator[Ref]:
    """What must be there before a change is applied."""
    ref, spec = change.ref, change.spec
    if ref.kind == "Instance" or spec is None:
        return
    yield Ref("Instance", ref.instance, ref.instance)
    if spec.get("credentials"):
        yield Ref("Credentials", ref.instance, spec["credentials"])


def _fallback_later(draft: _Draft, drafts: Mapping[Ref, _Draft], deletes: Mapping[Ref, _Draft]) -> _Draft | None:
    """The second step of Settings whose fallback bot is created in this plan; takes the field out of the first."""
    change, bot = draft.change, draft.values.get("fallbackBot")
    if change.ref.kind != "Settings" or not bot:
        return None
    made = drafts.get(Ref("Bot", change.ref.instance, bot))
    if made is None or not _creates(made):
        return None
    values = {field: value for field, value in draft.values.items() if field != "fallbackBot"}
    fallback_now = change.live.spec.get("fallbackBot") if change.live else None
    if fallback_now and Ref("Bot", change.ref.instance, fallback_now) in deletes:
        values["fallbackBot"] = None  # the bot it names goes before the new one is there
    draft.values = values
    later = _Draft(change, (len(_RANK), "fallback"), {"fallbackBot": bot}, None, f"fallback bot {bot}")
    later.needs = {made} | ({draft} if values else set())
    return later


def _still_using(change: Change, neighbours: Iterable[_Draft]) -> Iterator[_Draft]:
    """The steps that take the last uses away from what a change deletes."""
    ref = change.ref
    assert change.live is not None
    for draft in neighbours:
        other = draft.change
        if other.ref == ref or other.live is None:
            continue
        match ref.kind:
            case "Credentials":
                uses = other.live.spec.get("credentials") == ref.name and (
                    _is_delete(draft) or "credentials" in draft.values
                )
            case "Assistant":
                uses = (
                    other.ref.kind == "Bot"
                    and other.live.spec.get("assistantId") == change.live.spec.get("assistantId")
                    and (_is_delete(draft) or "assistantId" in draft.values)
                )
            case _:
                uses = other.live.spec.get("fallbackBot") == ref.name and draft.values.get("fallbackBot", ref) is None
        if uses:
            yield draft


def _settings_first(drafts: Mapping[Ref, _Draft]) -> None:
    """Bots that are created come after the Settings that are."""
    settings = {draft.change.ref.instance: draft for ref, draft in drafts.items() if ref.kind == "Settings"}
    for ref, draft in drafts.items():
        if ref.kind == "Bot" and _creates(draft) and (other := settings.get(ref.instance)) and _creates(other):
            draft.needs.add(other)


def _off_shared_rows(drafts: Iterable[_Draft]) -> None:
    """What deletes a row of credentials, or the instance that has it, comes after what leaves it elsewhere."""
    users: dict[str, list[_Draft]] = {}
    for draft in drafts:
        live = draft.change.live
        if live is not None and live.spec.get("credentialsId") and (_is_delete(draft) or "credentials" in draft.values):
            users.setdefault(f"row {live.spec['credentialsId']}", []).append(draft)
            users.setdefault(f"in {live.spec.get('credentialsIn')}", []).append(draft)
    for draft in drafts:
        change = draft.change
        if not _is_delete(draft) or change.live is None:
            continue
        if change.ref.kind == "Credentials":
            draft.needs.update(users.get(f"row {change.live.id}", ()))
        elif change.ref.kind == "Instance":
            there = users.get(f"in {change.instance_name}", ())
            draft.needs.update(other for other in there if other.change.instance_name != change.instance_name)


# --- triggers and assistantIds -------------------------------------------------------------------------------


def _slots(type: TargetType, drafts: Mapping[Ref, _Draft], deletes: Mapping[Ref, _Draft]) -> list[_Draft]:
    """Makes each step need those that free what it takes; gives the parking steps that circles need."""
    frees: dict[Slot, _Draft] = {}
    takes: dict[_Draft, list[Slot]] = {}
    for draft in sorted((*drafts.values(), *deletes.values()), key=lambda one: one.change.ref):
        change = draft.change
        before = _held(type, change, change.live.spec if change.live else None)
        after = _held(type, change, change.spec)
        for slot in before:
            if slot not in after:
                frees.setdefault(slot, draft)
        takes[draft] = [slot for slot in after if slot not in before]
    waits = {draft: [frees[slot] for slot in slots if slot in frees] for draft, slots in takes.items()}
    parks: dict[_Draft, _Draft] = {}
    while around := circle(waits):
        first = min(around, key=lambda one: one.change.ref)
        parks[first] = park = _park(type, first)
        waits = {draft: [park if other is first else other for other in others] for draft, others in waits.items()}
        first.needs.add(park)
    for draft, others in waits.items():
        draft.needs.update(others)
    _assistants_first(drafts)
    return list(parks.values())


def _assistants_first(drafts: Mapping[Ref, _Draft]) -> None:
    """A bot that runs an assistant made or changed in this plan comes after it."""
    made = {
        (draft.change.ref.instance, draft.values["assistantId"]): draft
        for draft in drafts.values()
        if draft.change.ref.kind == "Assistant" and "assistantId" in draft.values
    }
    for draft in drafts.values():
        if draft.change.ref.kind == "Bot" and draft.change.spec and draft.change.spec.get("botType") == "assistant":
            other = made.get((draft.change.ref.instance, draft.change.spec.get("assistantId")))
            draft.needs |= {other} if other else set()


def _held(type: TargetType, change: Change, spec: Mapping[str, Any] | None) -> tuple[Slot, ...]:
    if spec is None or change.ref.kind not in ("Bot", "Assistant"):
        return ()
    return slots_of(type, change.ref.kind, change.instance_name, spec, "")


def _park(type: TargetType, draft: _Draft) -> _Draft:
    """A step that puts an object where it is in nobody's way; its mark and its text stay."""
    change = draft.change
    values = parked(type, change.ref.kind, change.ref.name, change.live.id if change.live else "")
    return _Draft(change, (_RANK[change.ref.kind], " park"), values, None, "parked for a swap")


# --- places --------------------------------------------------------------------------------------------------


def _place(drafts: list[_Draft], *, across: bool) -> Iterator[Step]:
    """Kahn's algorithm with a heap: dependencies first, else by kind, instance and name.

    `across`: by kind, name and instance, for a target that takes the writes of one instance one after another, so that
    what goes side by side is of many.
    """

    def key(draft: _Draft) -> tuple[int, str, str, str]:
        ref = draft.change.ref
        where = (ref.name, ref.instance) if across else (ref.instance, ref.name)
        return draft.key[0], *where, draft.key[1]

    numbered = sorted(drafts, key=key)
    number = {draft: place for place, draft in enumerate(numbered)}
    dependents: dict[_Draft, list[_Draft]] = {draft: [] for draft in numbered}
    waiting = {}
    for draft in numbered:
        draft.needs = {need for need in draft.needs if need in number}
        waiting[draft] = len(draft.needs)
        for need in draft.needs:
            dependents[need].append(draft)
    ready = [number[draft] for draft in numbered if not waiting[draft]]
    heapq.heapify(ready)
    places: dict[_Draft, int] = {}
    while ready:
        draft = numbered[heapq.heappop(ready)]
        places[draft] = len(places)
        change = draft.change
        whole = draft.note == ""
        yield Step(
            index=places[draft],
            action=change.action if whole else "update",
            ref=change.ref,
            instance_name=change.instance_name,
            change=change,
            values=draft.values,
            mark=draft.mark,
            id=change.live.id if change.live else None,
            needs=tuple(sorted(places[need] for need in draft.needs)),
            note=draft.note,
        )
        for other in dependents[draft]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, number[other])
    assert len(places) == len(numbered), "steps that need one another in a circle"
