"""`sync`: one pass now, by the loop that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.output import Format, put, put_json, say
from reconciler.cli.site import TargetName
from reconciler.errors import EXIT_CODES, InvalidBots, PlanRefused, Unavailable

EXITS = {
    "applied": 0,
    "unchanged": 0,
    "invalid": EXIT_CODES[InvalidBots],
    "refused": EXIT_CODES[PlanRefused],
    "unavailable": EXIT_CODES[Unavailable],
}


def sync(
    target: TargetName = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the pass.", min=0.1)] = 60,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """Ask the running loop for a pass now, and wait for how it ends. Exit codes as of `apply`.

    A remote repository is fetched first. Neither a suspension nor a closed window keeps this pass from applying. The
    loop is that of this data folder, else the one behind RECONCILER_URL.

    Examples:

        reconciler sync
        reconciler sync --target production --timeout 300
    """
    from reconciler.cli.loops import chosen, loop, wait

    asked = loop()
    request = wait(asked, asked.ask(chosen(asked, target)), timeout)
    ended = request.pass_
    assert ended is not None
    if format_ is Format.json:
        put_json(request)
    else:
        put(f"pass {ended.id}: {ended.outcome} ({(ended.commit or 'unknown')[:8]} on {ended.target})")
        for line in ended.message.splitlines():
            say(line)
        source = next((one.source for one in asked.status(ended.target)), None)
        if source is not None and source.message:
            say(f"note: {source.message}")
    if code := EXITS.get(ended.outcome, 1):
        raise typer.Exit(code)
