"""`drift`: what somebody moved on a target, and since when; changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.context import context
from reconciler.cli.output import Format, put, put_json
from reconciler.cli.plan import fresh_plan
from reconciler.cli.site import InstanceName, Ref, TargetName, when

if TYPE_CHECKING:
    from reconciler.model import Change, FieldChange, Plan

DRIFT = 2  # exit code
Moved = tuple["Change", "FieldChange", float | None]


def drift(
    target: TargetName = None,
    ref: Ref = None,
    instance: InstanceName = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """Only what moved on the live side: each field with its live and its declared value, and when it was first seen.

    Reads only: what is found here is neither put back nor written down. Times are those of the loop's own passes.
    Exit code 2: there is drift.

    Examples:

        reconciler drift
        reconciler drift --instance bistro --format json
    """
    from reconciler.plan.narrow import narrow

    whole, _, _ = asyncio.run(fresh_plan(target, ref, False, frozenset()))
    found = _moved(narrow(whole, instance))
    if format_ is Format.json:
        put_json([_row(one) for one in found])
    else:
        _show(found, whole.target)
    if found:
        raise typer.Exit(DRIFT)


def _moved(plan: Plan) -> list[Moved]:
    seen = _first_seen(plan.target)
    return [
        (change, field, seen.get((change.ref.kind, change.ref.instance, change.ref.name, field.field)))
        for change in plan.changes
        for field in change.fields
        if field.origin in ("drift", "conflict")
    ]


def _first_seen(target: str) -> dict[tuple[str, str, str, str], float]:
    """When passes first saw each field moved; empty where no pass was made from here."""
    from reconciler.reconcile.history import History

    path = context.data.loop_database
    if not path.exists():
        return {}
    with History(path) as records:
        return {(one.kind, one.instance, one.name, one.field): one.first_seen for one in records.targets.drift(target)}


def _show(found: list[Moved], target: str) -> None:
    from reconciler.plan.render import field_lines

    for change, field, seen in found:
        since = f"first seen {when(seen)}" if seen else "not seen by a pass yet"
        put(f"{change.ref}: {since}")
        for _, line in field_lines(field):
            put(line)
    if not found:
        put(f"no drift on {target}")


def _row(one: Moved) -> dict[str, Any]:
    change, field, seen = one
    return {
        "kind": change.ref.kind,
        "instance": change.ref.instance,
        "name": change.ref.name,
        "field": field.field,
        "live": field.before,
        "declared": field.after,
        "origin": field.origin,
        "firstSeen": seen,
    }
