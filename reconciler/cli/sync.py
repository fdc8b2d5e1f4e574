"""`sync`: one pass now, by the loop that runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, say
from reconciler.cli.site import TargetName, history, target_name
from reconciler.errors import EXIT_CODES, InvalidBots, PlanRefused, Unavailable

if TYPE_CHECKING:
    from reconciler.reconcile.history import History, PassRow

_POLL = 0.02  # seconds between two looks for the answer
_EXITS = {
    "applied": 0,
    "unchanged": 0,
    "invalid": EXIT_CODES[InvalidBots],
    "refused": EXIT_CODES[PlanRefused],
    "unavailable": EXIT_CODES[Unavailable],
}


def sync(
    target: TargetName = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the pass.", min=0.1)] = 60,
) -> None:
    """Ask the running loop for a pass now, and wait for how it ends. Exit codes as of `apply`.

    Examples:

        reconciler sync
        reconciler sync --target production --timeout 300
    """
    from reconciler.reconcile.locks import loop_runs
    from reconciler.reconcile.wake import touch

    folder = context.data.path
    if not loop_runs(folder):
        raise Unavailable(
            f"no loop runs on {folder}: start `reconciler up` or `reconciler run`, "
            "or make one pass with `reconciler apply`"
        )
    with history() as records:
        name = target_name(target)
        request = records.ask(name)
        touch(folder)
        ended = _wait(records, request, name, timeout)
    put(f"pass {ended.id}: {ended.outcome} ({(ended.commit or 'unknown')[:8]} on {ended.target})")
    for line in ended.message.splitlines():
        say(line)
    if code := _EXITS.get(ended.outcome, 1):
        raise typer.Exit(code)


def _wait(records: History, request: int, target: str, timeout: float) -> PassRow:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        number = records.answered(request, target)
        if number is not None and (found := records.one(number)) is not None:
            return found
        time.sleep(_POLL)
    raise Unavailable(f"the loop did not end a pass of {target} within {timeout:g} s: see `reconciler status`")
