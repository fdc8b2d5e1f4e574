"""What must not happen by itself: passes a plan or refuses it, with every reason at once.

Before it `diff` makes the plan; after it `order` makes steps of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from reconciler.errors import PlanRefused, Refusal
from reconciler.model import Plan
from reconciler.plan.diff import allowed_instance


def gate(plan: Plan, allow: Collection[str] = ()) -> None:
    """Raises PlanRefused with everything that a person must put right or confirm first.

    `allow` holds what a person confirmed: `delete-instance:NAME`, `empty`.
    """
    if found := (*plan.faults, *refusals(plan, allow)):
        raise PlanRefused(found)


def refusals(plan: Plan, allow: Collection[str] = ()) -> Iterator[Refusal]:
    """The refusals that come from the changes themselves."""
    for change in plan.changes:
        if change.action != "delete" or change.held:
            continue
        if change.protected:
            yield Refusal(
                reason=f"{change.ref} is protected and would be deleted",
                remedy="bring it back, commit it with `protect: false`, then remove it",
            )
        if change.ref.kind == "Instance":
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
