"""The profile of an Evolution API server of 2.3.x, and what only the whole plan for it shows. PURE.

Before it `diff` made the plan; after it `gate` and `order`. That server deletes the bots that use what is deleted, in
any instance, so nothing goes that somebody still uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from reconciler.errors import Refusal
from reconciler.model import Change, Desired, FieldChange, Live, LiveObject, Plan, unmanaged
from reconciler.plan.evolution.accounts import accounts
from reconciler.plan.evolution.fit import fit, keep_whole
from reconciler.plan.evolution.lower import UNITS, lower
from reconciler.plan.evolution.raising import raised
from reconciler.plan.profile import Profile


def settle(plan: Plan, desired: Desired, live: Live) -> Plan:
    """The plan with what must stay held, what the server would refuse said, and moved accounts told from drift."""
    changes = tuple(_moved(_with_units(change)) for change in plan.changes)
    changes = tuple(_kept(change, changes, live) for change in changes)
    plan = msgspec.structs.replace(plan, changes=changes)
    notes = tuple(_notes(plan, desired, live))
    faults = (*plan.faults, *_with_others(plan, live))
    return msgspec.structs.replace(plan, notes=(*plan.notes, *notes), faults=faults)


EVOLUTION: Final = Profile(
    type="evolution", lower=lower, fit=fit, settle=settle, whole=keep_whole, raised=raised, units=UNITS
)


def _with_units(change: Change) -> Change:
    if change.ref.kind not in ("Bot", "Settings"):
        return change
    fields = tuple(msgspec.structs.replace(one, unit=UNITS.get(one.field, "")) for one in change.fields)
    return msgspec.structs.replace(change, fields=fields, units=UNITS)


def _moved(change: Change) -> Change:
    """A change of credentials that leaves a replaced row is no drift, and one cause for all who leave it.

    Such a row, or one of another instance, is chosen by plans alone: a dashboard offers neither.
    """

    def leaves(field: FieldChange) -> bool:
        before = str(field.before)
        if field.field != "credentials" or before.endswith(unmanaged("")):
            return False
        return "~" in before or " of " in before

    if change.action == "delete" and "~" in change.ref.name:
        return msgspec.structs.replace(change, protected=False)  # another row takes its place
    if not any(map(leaves, change.fields)):
        return change
    fields = tuple(
        msgspec.structs.replace(field, origin="pending") if leaves(field) else field for field in change.fields
    )
    inherited = dict.fromkeys((*change.inherited, "credentials"))
    return msgspec.structs.replace(change, fields=fields, inherited=tuple(inherited))


def _kept(change: Change, changes: tuple[Change, ...], live: Live) -> Change:
    """A row of credentials stays while somebody uses it whom this plan does not move."""
    if change.action != "delete" or change.ref.kind != "Credentials" or change.held or change.live is None:
        return change
    staying = [one for one in _users(live, change.live.id) if not _leaves(one, changes)]
    if not staying:
        return change
    shown = ", ".join(f"{one.kind} {one.label!r} of {one.instance}" for one in staying[:5])
    return msgspec.structs.replace(change, held=f"still used by {shown}")


def _users(live: Live, id: str) -> list[LiveObject]:
    return [one for one in live.objects if one.spec.get("credentialsId") == id]


def _leaves(one: LiveObject, changes: tuple[Change, ...]) -> bool:
    return any(
        not change.held
        and change.live is not None
        and change.live.id == one.id
        and (change.action == "delete" or any(field.field == "credentials" for field in change.fields))
        for change in changes
        if change.ref.kind == one.kind
    ) or any(
        change.action == "delete"
        and change.ref.kind == "Instance"
        and not change.held
        and change.instance_name == one.instance
        for change in changes
    )


def _with_others(plan: Plan, live: Live) -> Iterator[Refusal]:
    """An instance takes its credentials with it, and with them the bots of others that use them."""
    for change in plan.changes:
        if change.action != "delete" or change.ref.kind != "Instance" or change.held:
            continue
        rows = {one.id for one in live.objects if one.kind == "Credentials" and one.instance == change.instance_name}
        using = [
            one
            for one in live.objects
            if one.spec.get("credentialsId") in rows
            and one.instance != change.instance_name
            and not _leaves(one, plan.changes)
        ]
        if using:
            shown = ", ".join(f"{one.kind} {one.label!r} of {one.instance}" for one in using[:5])
            yield Refusal(
                reason=f"{change.ref} has the credentials that {shown} use; the server would delete these with it",
                remedy="give those instances credentials with another key first",
            )


def _notes(plan: Plan, desired: Desired, live: Live) -> Iterator[str]:
    others = [
        f"{ref.instance}/{ref.name} ({row.label})"
        for ref, row in sorted(accounts(desired, live).rows.items())
        if row.mark is None or row.mark.source != plan.source
    ]
    if others:
        yield f"credentials that others made there have this key; they are used as they are: {', '.join(others[:5])}"
    if replaced := [change for change in plan.changes if "~" in change.ref.name and change.action == "delete"]:
        names = ", ".join(sorted({f"{c.ref.instance}/{c.ref.name.partition('~')[0]}" for c in replaced}))
        yield f"a key cannot be changed there: a new row is made, all is moved to it, the old one deleted ({names})"
    for name, why in sorted(plan.unproven.items()):
        yield f"{name or 'what is not listed'} is left alone in this pass, its listing is not whole: {why}"
    settings = {one.ref.instance: one.spec for one in desired.objects if one.ref.kind == "Settings"}
    alone = [
        f"{one.ref.instance}/{one.ref.name}"
        for one in desired.objects
        if one.ref.kind == "Bot"
        and set(one.spec["ignoreJids"] or ()) - set(settings.get(one.ref.instance, {}).get("ignoreJids") or ())
    ]
    if alone:
        yield f"ignoreJids of a bot are not looked at there, only those of the Settings: {', '.join(alone[:5])}"
