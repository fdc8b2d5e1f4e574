"""The order of applying: a plan's changes become steps, each with the steps it needs.

Before it `gate` let the plan pass; after it `reconcile/apply.py` walks the steps, independent ones side by side. A
step needs another only where the target would refuse or mistake it otherwise, so that a step that fails holds up its
dependents and nothing else.

- What a change refers to is made before it: instance, credentials, assistant; what refers to something deleted
  changes first.
- A trigger (or assistantId) that one object gives up is free before another takes it. Bots that trade triggers in a
  circle go through a trigger nobody writes: one of them is parked on it first.
- An instance that is deleted takes all it holds with it, in one call.
- Settings whose fallback bot this plan creates name it in a second step, after that bot.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler.model import LIVE_KINDS, Action, Change, Mark, Plan, Ref
from reconciler.plan.diff import slot_of
from reconciler.plan.own import MARKED

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
    extra += _slots(drafts, deletes)
    kept = [draft for draft in (*everything.values(), *extra) if draft.values or draft.mark or _is_delete(draft)]
    return tuple(_place(kept))


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


# --- triggers and assistantIds -------------------------------------------------------------------------------


def _slots(drafts: Mapping[Ref, _Draft], deletes: Mapping[Ref, _Draft]) -> list[_Draft]:
    """Makes each step need the one that frees what it takes; gives the parking steps that circles need."""
    frees: dict[tuple[str, str, str], _Draft] = {}
    takes: dict[_Draft, tuple[str, str, str]] = {}
    for draft in sorted((*drafts.values(), *deletes.values()), key=lambda one: one.change.ref):
        change = draft.change
        before = _slot(change, change.live.spec if change.live else None)
        after = _slot(change, change.spec)
        if before != after:
            if before is not None:
                frees.setdefault(before, draft)
            if after is not None:
                takes[draft] = after
    waits = {draft: frees[slot] for draft, slot in takes.items() if slot in frees}
    parked = {}
    for circle in _circles(waits):
        first = circle[0]
        parked[first] = _park(first)
    for draft, other in waits.items():
        draft.needs.add(parked.get(other, other))
    for draft, park in parked.items():
        draft.needs.add(park)
    _assistants_first(drafts)
    return list(parked.values())


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


def _slot(change: Change, spec: Mapping[str, Any] | None) -> tuple[str, str, str] | None:
    if spec is None or change.ref.kind not in ("Bot", "Assistant"):
        return None
    return slot_of(change.ref.kind, change.instance_name, spec, "")


def _circles(waits: Mapping[_Draft, _Draft]) -> list[list[_Draft]]:
    """The circles of a graph in which each waits for one at most, each beginning with its first by name."""
    circles, seen = [], set()
    for start in waits:
        path: list[_Draft] = []
        one: _Draft | None = start
        while one is not None and one not in seen:
            seen.add(one)
            path.append(one)
            one = waits.get(one)
        if one in path:
            circle = path[path.index(one) :]
            first = min(range(len(circle)), key=lambda place: circle[place].change.ref)
            circles.append(circle[first:] + circle[:first])
    return circles


def _park(draft: _Draft) -> _Draft:
    """A step that puts an object where it is in nobody's way; its mark and its text stay."""
    change = draft.change
    name = f"gitops-swap-{change.ref.name}-{(change.live.id if change.live else '')[-8:]}"
    if change.ref.kind == "Assistant":
        values: dict[str, Any] = {"assistantId": name}
    else:
        values = {"triggerType": "keyword", "triggerOperator": "equals", "triggerValue": name}
    park = _Draft(change, (_RANK[change.ref.kind], " park"), values, None, "parked for a swap")
    park.needs = set()
    return park


# --- places --------------------------------------------------------------------------------------------------


def _place(drafts: list[_Draft]) -> Iterator[Step]:
    """Kahn's algorithm with a heap: dependencies first, else by kind, instance and name."""

    def key(draft: _Draft) -> tuple[int, str, str, str]:
        ref = draft.change.ref
        return draft.key[0], ref.instance, ref.name, draft.key[1]

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
