"""`drift`: what somebody moved on a target, and since when; changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.context import context
from reconciler.cli.loops import at_hand, chosen, loop
from reconciler.cli.output import Format, put, put_json, say
from reconciler.cli.plan import fresh_plan
from reconciler.cli.progress import Progress
from reconciler.cli.site import InstanceName, Ref, TargetName, when
from reconciler.errors import Misuse, ReconcilerError, Unavailable

if TYPE_CHECKING:
    from reconciler.cli.loops import There
    from reconciler.model import Change, FieldChange, Plan
    from reconciler.reconcile.control import Control

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
    Where there is no repository, or a loop alone at RECONCILER_URL, it is what that loop saw last, without values.
    Exit code 2: there is drift.

    Examples:

        reconciler drift
        reconciler drift --instance bistro --format json
    """
    from reconciler.plan.narrow import narrow

    if ref is None and not _here():
        _seen_by(loop(), target, instance, format_)
        return
    try:
        with Progress("reading git and the target"):
            whole, _, _ = asyncio.run(fresh_plan(target, ref, False, frozenset()))
    except Unavailable:
        if ref is not None or at_hand() or context.environment.url is None:
            raise
        _seen_by(loop(), target, instance, format_)
        return
    found = _moved(narrow(whole, instance))
    if format_ is Format.json:
        put_json([_row(one) for one in found])
    else:
        _show(found, whole.target)
    if found:
        raise typer.Exit(DRIFT)


def _here() -> bool:
    """Whether there is a repository to compare with."""
    try:
        return bool(context.source)
    except Misuse:
        return False


def _seen_by(asked: Control | There, target: str | None, instance: str | None, format_: Format) -> None:
    """What the last pass of a loop saw, which is all that its records hold."""
    import msgspec

    name = chosen(asked, target)
    (state,) = asked.status(name) or (None,)
    if state is None or state.checked is None:
        raise Unavailable(f"no pass of {name} has ended yet: see `reconciler status`")
    found = [one for one in state.drift if instance in (None, one.instance)]
    if format_ is Format.json:
        put_json([msgspec.to_builtins(one) for one in found])
    else:
        for one in found:
            put(f"{one.kind} {one.instance}/{one.name}: {one.field}, first seen {when(one.first_seen)}")
        if not found:
            put(f"no drift on {name}")
        say(f"note: as the loop saw it at {when(state.checked)}; a plan in a checkout shows the values")
        if state.outcome == "unavailable":
            say(f"note: {name} does not answer: {state.message.partition(chr(10))[0]}")
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
    """When passes first saw each field moved; empty where no loop's records are to be had."""
    try:
        states = loop().status(target)
    except ReconcilerError:
        return {}
    return {(one.kind, one.instance, one.name, one.field): one.first_seen for state in states for one in state.drift}


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
