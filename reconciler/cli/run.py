"""`run`: the reconcile loop alone, for targets elsewhere; `up` starts it as its child."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.cli.site import connect, site

if TYPE_CHECKING:
    from reconciler.reconcile.course import Closing
    from reconciler.model import Account, Target
    from reconciler.reconcile.once import Ended

_SHOWN: Final = 20  # changes of a pass; `show` has them all
_SIGNS: Final = {"create": "+", "update": "~", "delete": "-"}


def run(
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="A target of reconciler.yaml; may be given again.  [default: all]", metavar="NAME"
        ),
    ] = None,
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
    parallelism: Annotated[int, typer.Option(help="Calls to a target at a time.", min=1, max=100)] = 10,
) -> None:
    """The reconcile loop alone: what is committed is what runs on the targets, until it is told to stop.

    A pass is made at the start, when a commit comes, when `reconciler sync` asks, and when the interval ends. On
    Ctrl-C or SIGTERM the running step ends first.

    Examples:

        reconciler run
        reconciler run --target production
    """
    from reconciler.reconcile.once import commit_of

    folder = context.data.make()
    here = site()
    names = tuple(target) if target else tuple(one.name for one in commit_of(here.repository, None)[1].targets)
    asyncio.run(_run(folder.path, names, until_stdin_closes, parallelism))


async def _run(data: os.PathLike[str], names: tuple[str, ...], until_stdin_closes: bool, parallel: int) -> None:
    from pathlib import Path

    from reconciler.reconcile.loop import run_loop

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()

    def connected(target: Target) -> Closing:
        from reconciler.desired.config import read_config

        repository = context.repository
        return connect(target, read_config(repository, repository.resolve("HEAD")).name, parallel)

    await run_loop(
        site(), Path(data), names, connected, stop=stop, parallel=parallel, told=_Teller(), ask_models=_models
    )


async def _models(account: Account) -> Mapping[str, str | None]:
    from reconciler.llm.lists import listed

    return await listed(account, context.environment.openai_base_url)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Ends the loop when whoever started it is gone. `os.read`, since a buffered read would hold a lock at exit."""
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


class _Teller:
    """Says each pass that is in the history in a line, its changes below it, and notes when they change."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[str, ...]] = {}

    def __call__(self, target: str, ended: Ended) -> None:
        if ended.number is not None:
            self._tell(target, ended)
        if ended.plan is not None and ended.plan.notes != self._notes.get(target, ()):
            self._notes[target] = ended.plan.notes
            for note in ended.plan.notes:
                say(f"note     {note}")

    @staticmethod
    def _tell(target: str, ended: Ended) -> None:
        first, _, more = ended.message.partition("\n")
        counts = ""
        if ended.walked is not None:
            counts = ": " + ", ".join(f"{count} {ending}" for ending, count in ended.walked.counts.items())
        say(f"pass {ended.number:<3} {target} {ended.outcome}{counts}{f'  {first}' if first else ''}")
        for line in more.splitlines():
            say(f"         {line}")
        changes = ended.plan.changes if ended.plan is not None else ()
        for change in changes[:_SHOWN]:
            drift = "  (drift)" if change.origin == "drift" else ""
            say(f"         {_SIGNS[change.action]} {change.ref}{drift}")
        if len(changes) > _SHOWN:
            say(f"         … and {len(changes) - _SHOWN} more: reconciler show {ended.number}")
