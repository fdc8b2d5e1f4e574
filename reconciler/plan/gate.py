"""What must not happen by itself: passes a plan or refuses it, with every reason at once.

Before it `diff` makes the plan; after it `order` makes steps of it. The brakes are those of octoDNS
(github.com/octodns/octodns, `provider/plan.py`), for each instance, and one more for instances too small for them:
never all of two or more bots. What puts back what the marked commit said trips no brake.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from reconciler.errors import PlanRefused, Refusal
from reconciler.model import Change, Gates, Plan
from reconciler.plan.diff import allowed_instance

TRAILER: Final = "Reconciler-Allow"  # of a commit message: what `--allow` is to a command
BRAKED: Final = ("update", "delete")
COUNT: Final = re.compile(r"[0-9]{1,9}")
ALLOWANCES: Final = "delete:N, update:N, delete-instance:NAME, adopt:ID and empty"
_FEW: Final = 2  # bots from which all of them are not deleted by themselves


def allowance(word: str) -> bool:
    """Whether a word permits something, in `--allow` or in a commit's trailer."""
    what, _, value = word.partition(":")
    named = what in ("delete-instance", "adopt") and bool(value)
    return word == "empty" or named or (what in BRAKED and COUNT.fullmatch(value) is not None)


def gate(plan: Plan, allow: Collection[str], gates: Gates) -> None:
    """Raises PlanRefused with everything that a person must put right or confirm first.

    `allow` holds what a person confirmed: `delete-instance:NAME`, `empty`, `delete:N`, `update:N` (and
    what `diff` looked at already: `adopt:ID`).
    """
    if found := (*plan.faults, *refusals(plan, allow, gates)):
        raise PlanRefused(found)


def refusals(plan: Plan, allow: Collection[str], gates: Gates) -> Iterator[Refusal]:
    """The refusals that come from the changes themselves."""
    for change in plan.changes:
        if change.action == "delete" and not change.held:
            yield from _delete(plan, change, allow)
    yield from _unfounded(plan, allow)
    yield from _brakes(plan, "update", _updates(plan), gates.updates, gates.above, allow)
    if not plan.empty:  # which is refused, or allowed, as a whole
        yield from _brakes(plan, "delete", _deletes(plan), gates.deletes, gates.above, allow)


def _delete(plan: Plan, change: Change, allow: Collection[str]) -> Iterator[Refusal]:
    if change.protected:
        yield Refusal(
            reason=f"{change.ref} is protected and would be deleted",
            remedy="bring it back, commit it with `protect: false`, then remove it",
        )
    if change.ref.kind != "Instance":
        return
    if not allowed_instance(change.ref.name, change.instance_name, allow):
        yield Refusal(
            reason=f"{change.ref} would be deleted with its chats",
            remedy=f"--allow delete-instance:{change.ref.name} permits it",
        )
    others = [one for one in plan.foreign if one.instance == change.instance_name]
    if others:
        shown = ", ".join(f"{one.kind} {one.label!r}" for one in others[:5])
        yield Refusal(
            reason=f"{change.ref} would be deleted with {len(others)} that others made: {shown}",
            remedy="delete those first, on the target",
        )


def _unfounded(plan: Plan, allow: Collection[str]) -> Iterator[Refusal]:
    """Deletes for a mark that this repository never made: somebody edited it, and the object is most likely another."""
    found = [change for change in plan.changes if change.unfounded and not change.held]
    if len(found) <= max((_number(one, "delete") for one in allow), default=0):
        return
    for change in found:
        mark = change.live.mark if change.live else None
        yield Refusal(
            reason=f"{change.ref} would be deleted, but the commit in its mark {mark} never declared it: "
            "was the mark edited?",
            remedy="put the right name into its mark on the target, or take the mark out; "
            f"{_permits('delete', len(found))}",
        )


def _permits(action: str, number: int) -> str:
    return (
        f"--allow {action}:{number} permits it; for the loop: a commit with the trailer `{TRAILER}: {action}:{number}`"
    )


# --- brakes --------------------------------------------------------------------------------------------------


def _updates(plan: Plan) -> dict[str, int]:
    """Updates by instance. What only puts back is none; what bots inherit from the Settings is one with them."""
    causes = {
        (change.ref.instance, "Settings" if _inherits(change) else change.ref)
        for change in plan.changes
        if change.action == "update" and not change.held and any(field.origin != "drift" for field in change.fields)
    }
    return _by_instance([instance for instance, _ in causes])


def _inherits(change: Change) -> bool:
    return change.ref.kind == "Settings" or all(field.field in change.inherited for field in change.fields)


def _deletes(plan: Plan) -> dict[str, int]:
    """Deletes by instance; an instance that goes as a whole is asked for by its name."""
    deletes = [change for change in plan.changes if change.action == "delete" and not change.held]
    whole = {change.ref.instance for change in deletes if change.ref.kind == "Instance"}
    return _by_instance([change.ref.instance for change in deletes if change.ref.instance not in whole])


def _by_instance(names: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _brakes(
    plan: Plan, action: str, counts: dict[str, int], limit: float, above: int, allow: Collection[str]
) -> Iterator[Refusal]:
    """A refusal for each instance of which too much would change, unless so many are allowed."""
    reasons = {}
    for instance, count in counts.items():
        existing = sum(number for (name, kind), number in plan.owned.items() if name == instance and kind != "Instance")
        if existing > above and 100 * count / existing > limit:
            percent = f"{100 * count / existing:.2f}% is over {limit:.2f}% ({count}/{existing})"
            reasons[instance] = f"Too many {action}s in {instance}, {percent}"
        elif action == "delete" and limit < 100 and (bots := _all_bots(plan, instance)):
            reasons[instance] = f"All {bots} bots of {instance} would be deleted"
    total = sum(counts[instance] for instance in reasons)
    if total <= max((_number(one, action) for one in allow), default=0):
        return
    for reason in reasons.values():
        yield Refusal(reason=reason, remedy=_permits(action, total))


def _all_bots(plan: Plan, instance: str) -> int:
    """How many bots an instance has, if it is to have none of them and no other: 0 otherwise, or where it is one."""
    bots = [c for c in plan.changes if c.ref.kind == "Bot" and c.ref.instance == instance and c.action != "update"]
    existing = plan.owned.get((instance, "Bot"), 0)
    gone = sum(not change.held for change in bots if change.action == "delete")
    return existing if existing >= _FEW and gone == existing and gone == len(bots) else 0


def _number(allowance: str, action: str) -> int:
    what, _, value = allowance.partition(":")
    return int(value) if what == action and COUNT.fullmatch(value) else 0
