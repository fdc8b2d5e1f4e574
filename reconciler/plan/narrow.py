"""A part of a plan: `--instance`, `--select`. Before it `diff`; after it `gate` and `order`, as for a whole plan."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.model import Change, Plan, Ref


def narrow(plan: Plan, instance: str | None = None, labels: Mapping[str, str] | None = None) -> Plan:
    """The plan with only the changes of an instance (YAML name or the target's), or of objects with these labels.

    What a kept change refers to and the plan creates (instance, credentials) is kept with it. Faults stay: they are
    the target's, whatever part is applied.
    """
    if instance is None and not labels:
        return plan
    wanted = [
        change
        for change in plan.changes
        if instance in (None, change.ref.instance, change.instance_name) and _labelled(change, labels or {})
    ]
    kept = {change.ref for change in wanted}
    needed = {ref for change in wanted for ref in _refers(change)}
    return msgspec.structs.replace(
        plan,
        changes=tuple(c for c in plan.changes if c.ref in kept or (c.action == "create" and c.ref in needed)),
        foreign=tuple(one for one in plan.foreign if instance is None or one.instance in _names(plan, instance)),
    )


def _labelled(change: Change, labels: Mapping[str, str]) -> bool:
    return all(change.labels.get(name) == value for name, value in labels.items())


def _refers(change: Change) -> tuple[Ref, ...]:
    here = change.ref.instance
    account = (change.spec or {}).get("credentials")
    made = (Ref("Instance", here, here),)
    return (*made, Ref("Credentials", here, account)) if account else made


def _names(plan: Plan, instance: str) -> set[str]:
    return {instance, *(c.instance_name for c in plan.changes if c.ref.instance == instance)}
