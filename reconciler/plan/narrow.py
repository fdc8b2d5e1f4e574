"""A part of a plan: `--instance`, `--select`. Before it `diff`; after it `gate` and `order`, as for a whole plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from reconciler.errors import Refusal
from reconciler.model import Change, Plan, Ref
from reconciler.plan.staying import ELSEWHERE, blocked, waiting


def narrow(plan: Plan, instance: str | None = None, labels: Mapping[str, str] | None = None) -> Plan:
    """The plan with only the changes of an instance (YAML name or the target's), or of objects with these labels.

    What a kept change refers to and the plan creates (instance, credentials, …) is kept with it. What is left out stays
    as it is: what it holds cannot be taken, what it uses is not deleted. Faults stay: they are the target's, whatever
    part is applied.
    """
    if instance is None and not labels:
        return plan
    kept = {
        change.ref
        for change in plan.changes
        if instance in (None, change.ref.instance, change.instance_name) and _labelled(change, labels or {})
    }
    needed, made = kept, _Made(plan)
    while needed:
        of = [change for change in plan.changes if change.ref in needed and not change.held]
        needed = {ref for change in of for ref in made.needs(change)} - kept
        kept |= needed
    changes = tuple(change for change in plan.changes if change.ref in kept)
    left = [change for change in plan.changes if change.ref not in kept and not change.held]
    found = tuple(waiting(changes, [change.live for change in left if change.live is not None]))
    applied = [change for change in found if not change.held]
    return msgspec.structs.replace(
        plan,
        changes=found,
        absent=tuple(one for one in plan.absent if instance is None or one.ref.instance in _declared(plan, instance)),
        foreign=tuple(one for one in plan.foreign if instance is None or one.instance in _names(plan, instance)),
        faults=(*plan.faults, *blocked(plan.type, applied, left), *_going(applied, left)),
    )


def _labelled(change: Change, labels: Mapping[str, str]) -> bool:
    return all(change.labels.get(name) == value for name, value in labels.items())


class _Made:
    """What a plan creates, for what refers to it."""

    def __init__(self, plan: Plan) -> None:
        creates = [change for change in plan.changes if change.action == "create"]
        self._refs = {change.ref for change in creates}
        self._assistants = {
            (one.ref.instance, one.spec["assistantId"]): one.ref
            for one in creates
            if one.ref.kind == "Assistant" and one.spec is not None
        }
        # An Evolution API server would make some of its own for the first bot.
        self._settings = {
            one.ref.instance: one.ref for one in creates if one.ref.kind == "Settings" and plan.type == "evolution"
        }

    def needs(self, change: Change) -> Iterator[Ref]:
        """What is created that a change needs."""
        here, spec = change.ref.instance, change.spec or {}
        found = [
            Ref("Instance", here, here),
            Ref("Credentials", here, spec.get("credentials") or ""),
            Ref("Bot", here, spec.get("fallbackBot") or ""),
        ]
        if change.ref.kind == "Bot" and change.action == "create" and here in self._settings:
            found.append(self._settings[here])
        if spec.get("botType") == "assistant" and (assistant := self._assistants.get((here, spec["assistantId"]))):
            found.append(assistant)
        return (ref for ref in found if ref in self._refs)


def _going(applied: Iterable[Change], left: Iterable[Change]) -> Iterator[Refusal]:
    """Instances that would take credentials with them which something left out uses: the server would delete it too."""
    for change in applied:
        if change.action != "delete" or change.ref.kind != "Instance":
            continue
        using = [
            one.ref
            for one in left
            if one.live is not None
            and one.live.spec.get("credentialsIn") == change.instance_name
            and one.instance_name != change.instance_name
        ]
        if using:
            yield Refusal(
                reason=f"{change.ref} has the credentials that {', '.join(map(str, using[:5]))} still use: {ELSEWHERE}",
                remedy="apply the whole plan, or that of those instances first",
            )


def _names(plan: Plan, instance: str) -> set[str]:
    return {instance, *(c.instance_name for c in plan.changes if c.ref.instance == instance)}


def _declared(plan: Plan, instance: str) -> set[str]:
    return {instance, *(c.ref.instance for c in plan.changes if c.instance_name == instance)}
