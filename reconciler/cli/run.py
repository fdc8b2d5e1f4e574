"""`run`: the reconcile loop alone, for targets elsewhere; `up` starts it as its child."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from reconciler.cli.announcing import announcing
from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.cli.site import Repo, connect, stop_on_signals
from reconciler.errors import Misuse

if TYPE_CHECKING:
    from reconciler.desired.remote import Clone
    from reconciler.model import Account, Config, Target
    from reconciler.reconcile.course import Closing
    from reconciler.reconcile.loop import Chosen
    from reconciler.reconcile.once import Ended, Wanted
    from reconciler.settings import DataFolder

_SHOWN: Final = 20  # changes of a pass; `show` has them all
_SIGNS: Final = {"create": "+", "update": "~", "delete": "-"}


def run(
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="A target of reconciler.yaml; may be given again.  [default: all]", metavar="NAME"
        ),
    ] = None,
    repo: Repo = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", help="Serve /reconciler/*, /metrics and health there.", metavar="HOST:PORT", show_default=False
        ),
    ] = None,
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
    beside: Annotated[str | None, typer.Option("--beside", hidden=True)] = None,
    parallelism: Annotated[int, typer.Option(help="Calls to a target at a time.", min=1, max=100)] = 10,
) -> None:
    """The reconcile loop alone: what is committed is what runs on the targets, until it is told to stop.

    A pass is made at the start, when a commit comes, when `reconciler sync` asks, and when the interval ends. On
    Ctrl-C or SIGTERM running steps end first, for ten seconds at most; a second one ends it at once. With `--repo` the
    commits are those of a remote repository.

    Examples:

        reconciler run
        reconciler run --target production
        reconciler run --repo https://github.com/acme/bots.git --listen 127.0.0.1:8090
    """
    context.repo = repo
    folder = context.data.make()
    door = _door(listen, folder) if listen is not None else None
    chosen = None if target else _beside(folder, beside) if beside is not None else _declared
    asyncio.run(_run(folder, tuple(target or ()), chosen, until_stdin_closes, parallelism, door))


def _declared(config: Config) -> tuple[str, ...]:
    return tuple(one.name for one in config.targets)


def _beside(folder: DataFolder, name: str) -> Chosen:
    """What the loop of `up` follows: the target that is its own runtime, by that name (`-`: the first of that type),
    which it writes down for the other commands, and Evolution API servers."""

    told: tuple[str, ...] | None = None

    def chosen(config: Config) -> tuple[str, ...]:
        nonlocal told
        served = served_by_up(config, None if name == "-" else name)
        if served is not None and folder.served_target() != served.name:
            folder.served.write_text(f"{served.name}\n")
        context.served = served.name if served is not None else None
        found = tuple(one.name for one in config.targets if one.type == "evolution" or one == served)
        if told != (told := found):
            say(f"target   {' and '.join(found) or 'none: reconciler.yaml has none of type runtime'}")
        return found

    return chosen


def served_by_up(config: Config, name: str | None) -> Target | None:
    """The target that `up` is itself: the first runtime of reconciler.yaml, or the one of that name."""
    return next((one for one in config.targets if one.type == "runtime" and name in (None, one.name)), None)


async def _run(
    folder: DataFolder,
    names: tuple[str, ...],
    chosen: Chosen | None,
    until_stdin_closes: bool,
    parallel: int,
    door: Door | None,
) -> None:
    from reconciler.reconcile.loop import run_loop
    from reconciler.reconcile.once import Site, commit_of

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    stop_on_signals(stop)
    if until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()

    def connected(wanted: Wanted) -> Closing:
        return connect(wanted.target, wanted.desired.source, parallel)

    opened = asyncio.create_task(door(stop)) if door is not None else None
    try:
        if (clone := context.clone) is not None:
            await _first_fetch(clone, folder, stop)
        if stop.is_set():
            return
        here = Site(context.source, context.environment.variables, folder.documents)
        followed = names if chosen is None else chosen(commit_of(here.repository, None)[1])
        async with announcing(here.repository, folder, _Teller()) as told:
            await run_loop(
                here,
                folder.path,
                followed,
                connected,
                stop=stop,
                chosen=chosen,
                parallel=parallel,
                told=told,
                clone=clone,
                ask_models=_models,
            )
    finally:
        stop.set()
        if opened is not None:
            await opened


async def _models(account: Account) -> Mapping[str, str | None]:
    from reconciler.llm.lists import listed

    return await listed(account, context.environment.openai_base_url)


Door = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def _door(listen: str, folder: DataFolder) -> Door:
    """What serves the loop's own endpoints. Raises Misuse for an address that is none, or one that wants a key."""
    from reconciler.cli.loops import beside, hook_secret, standings
    from reconciler.cli.serve import global_keys, own_key_for
    from reconciler.runtime.server import bind, serve_loop, url_of

    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise Misuse(f"--listen {listen}: write HOST:PORT, such as 127.0.0.1:8090")
    host = host.strip("[]")
    secret = hook_secret()
    own_key_for(host)
    listening = bind(host, int(port))
    keys, began = global_keys(folder), time.time()

    def ready() -> bool:
        from reconciler.reconcile.history import History

        if not folder.loop_database.exists():
            return False
        with History(folder.loop_database) as history:
            return any(row.checked >= began for row in history.targets.all())

    async def serve(stop: asyncio.Event) -> None:
        say(f"loop     {url_of(listening)}/reconciler/status")
        await serve_loop(
            listening,
            stop,
            beside(folder),
            api_key=keys,
            hook_secret=secret,
            ready=ready,
            standings=standings(folder),
        )

    return serve


async def _first_fetch(clone: Clone, folder: DataFolder, stop: asyncio.Event) -> None:
    """Fetches until there is a commit to begin with; what goes wrong is said once for each reason."""
    from reconciler.errors import ReconcilerError
    from reconciler.reconcile.follow import fetch_once
    from reconciler.reconcile.history import History

    wait, said = 5.0, ""
    stopping = asyncio.create_task(stop.wait())
    with History(folder.loop_database) as history:
        while clone.commit is None and not stop.is_set():
            fetching = asyncio.create_task(fetch_once(clone, folder.path, history))
            await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not fetching.done():
                fetching.cancel()
            try:
                await fetching
            except asyncio.CancelledError:
                break
            except ReconcilerError as error:
                if said != (said := str(error)):
                    say(f"note     {error}; it is tried again")
                await asyncio.wait({stopping}, timeout=wait)
                wait = min(wait * 2, 180)
    stopping.cancel()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Ends the loop when whoever started it is gone. `os.read`, since a buffered read would hold a lock at exit."""
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


class _Teller:
    """Says each pass that is in the history in a line, its changes below it, and notes when they change; of the others
    what went wrong, when that is another than before."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[str, ...]] = {}
        self._wrong: dict[str, str] = {}

    def __call__(self, target: str, ended: Ended) -> None:
        from reconciler.plan.keys import notes

        if ended.number is not None:
            self._tell(target, ended)
        elif ended.error is not None and self._wrong.get(target) != ended.message:
            say(f"note     {target}: {ended.message}")
        self._wrong[target] = ended.message
        if ended.plan is not None and (found := notes(ended.plan)) != self._notes.get(target, ()):
            self._notes[target] = found
            for note in found:
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
