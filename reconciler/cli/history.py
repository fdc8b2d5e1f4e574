"""`history` and `show`: past passes, what each did and how each step ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.output import Format, put, put_json
from reconciler.cli.site import when
from reconciler.errors import Misuse

if TYPE_CHECKING:
    from reconciler.reconcile.history import PassRow, StepRow

_SIGNS = {"create": "+", "update": "~", "delete": "-"}


def history(
    limit: Annotated[int, typer.Option("--limit", help="How many, newest first.", min=1, max=1000)] = 20,
    target: Annotated[str | None, typer.Option("--target", help="Only this target.", metavar="NAME")] = None,
    before: Annotated[
        int | None, typer.Option("--before", help="Only passes with smaller numbers.", min=1, metavar="PASS")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """Past passes, newest first: commit, what started each, changes, outcome, duration.

    A pass of the loop that found nothing to do is not kept.

    Examples:

        reconciler history
        reconciler history --limit 5 --format json
    """
    from reconciler.cli.loops import loop

    found = loop().passes(limit, target, before)
    if format_ is Format.json:
        put_json(found)
        return
    for one in found:
        put(_line(one))
        if one.message:
            put(f"       {one.message.partition(chr(10))[0]}")


def show(
    number: Annotated[int, typer.Argument(metavar="PASS", help="The pass's number, as `history` prints it.")],
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """One pass: each step, the fields it changed and who had moved them, and how it ended.

    Texts are shown as the lines that changed; secrets never.

    Examples:

        reconciler show 12
        reconciler show 12 --format json
    """
    from reconciler.cli.loops import loop

    shown = loop().one(number)
    if shown is None:
        raise Misuse(f"there is no pass {number}: see `reconciler history`")
    if format_ is Format.json:
        put_json(shown)
        return
    one, steps = shown.pass_, shown.steps
    put(_line(one))
    for line in one.message.splitlines():
        put(f"       {line}")
    for step in steps:
        for line in step_lines(step):
            put(f"  {line}")


def _line(one: PassRow) -> str:
    took = f"{one.ended - one.started:.2f} s" if one.ended is not None else "running"
    counts = one.counts
    did = " ".join(f"{sign}{counts.get(action, 0)}" for action, sign in _SIGNS.items())
    drift = f"  {counts['drift']} drifted" if counts.get("drift") else ""
    bad = "".join(f"  {counts[how]} {how}" for how in ("failed", "skipped", "unknown") if counts.get(how))
    commit = (one.commit or "unknown")[:8]
    about = f"{one.id:>5}  {when(one.started)}  {one.target}  {commit}  {one.trigger:8}  {one.outcome:11}"
    return f"{about}  {did}  {took}{drift}{bad}"


def step_lines(step: StepRow) -> Iterator[str]:
    """How a step ended, and what it changed."""
    from reconciler.model import FieldChange
    from reconciler.plan.render import field_lines

    name = step.instance if step.kind == "Instance" else f"{step.instance}/{step.name}"
    note = f" ({step.note})" if step.note else ""
    origin = f" ({step.origin})" if step.origin != "pending" else ""
    message = f": {step.message}" if step.message else ""
    yield f"{step.outcome:8}{_SIGNS[step.action]} {step.kind} {name}{note}{origin}{message}"
    if step.action == "update":
        for field in step.fields:
            for _, line in field_lines(FieldChange(**field)):
                yield f"    {line}"
