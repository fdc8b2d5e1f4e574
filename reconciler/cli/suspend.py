"""`suspend` and `resume`: the loop of a target stops applying, for a reason, and goes on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.output import Format, put, put_json
from reconciler.cli.site import TargetName
from reconciler.errors import Misuse

Shape = Annotated[Format, typer.Option("--format", help="How to print it.")]


def suspend(
    reason: Annotated[str, typer.Argument(help="Why: `status` shows it to whoever wonders.")],
    target: TargetName = None,
    format_: Shape = Format.text,
) -> None:
    """Stop the loop from applying to a target, with a reason. It goes on looking, and notes drift.

    Waits for a running pass to end. `reconciler sync` makes one pass all the same; `reconciler resume` ends it. The
    loop is that of this data folder, else the one behind RECONCILER_URL.

    Examples:

        reconciler suspend "the provider moves our line tonight"
        reconciler suspend "incident 12" --target production
    """
    from reconciler.cli.loops import chosen, loop

    if not reason.strip():
        raise Misuse("say why: the reason is what others see in `reconciler status`")
    asked = loop()
    name = chosen(asked, target)
    held = asyncio.run(asked.suspend(name, reason.strip()))
    if format_ is Format.json:
        put_json({"target": name, "suspended": held})
    else:
        put(f"{name} is suspended: {held.reason}")


def resume(target: TargetName = None, format_: Shape = Format.text) -> None:
    """End a suspension: the loop applies again, beginning with a pass now.

    The loop is that of this data folder, else the one behind RECONCILER_URL.

    Examples:

        reconciler resume
        reconciler resume --target production
    """
    from reconciler.cli.loops import chosen, loop

    asked = loop()
    name = chosen(asked, target)
    if not asked.resume(name):
        raise Misuse(f"{name} is not suspended")
    if format_ is Format.json:
        put_json({"target": name, "suspended": None})
    else:
        put(f"{name} is applied to again")
