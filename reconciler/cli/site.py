"""What the reconciling commands share: their options, the repository as a site, the target's connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.errors import InvalidBots, Misuse, Unavailable

if TYPE_CHECKING:
    import asyncio

    from reconciler.model import Plan, Target
    from reconciler.plan.render import Tone
    from reconciler.reconcile.course import Closing
    from reconciler.reconcile.history import History
    from reconciler.reconcile.once import Site

TargetName = Annotated[
    str | None, typer.Option("--target", help="The target of reconciler.yaml.  [default: the first]", metavar="NAME")
]
Repo = Annotated[
    str | None,
    typer.Option(
        "--repo",
        help="The remote repository to follow.  [default: RECONCILER_REPO, source.url of reconciler.yaml, else the one "
        "here]",
        metavar="URL",
    ),
]
Ref = Annotated[
    str | None,
    typer.Option("--ref", help="The commit, branch or tag to take.  [default: source.ref of reconciler.yaml]"),
]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", help="Only objects with this label; may be given again.", metavar="LABEL=VALUE"),
]
InstanceName = Annotated[str | None, typer.Option("--instance", help="Only this instance.", metavar="NAME")]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        help="Permit what would be refused: `delete:N`, `update:N` (at most so many), `delete-instance:NAME`, `empty` "
        "(nothing declared deletes everything), `adopt:ID` (what lost its mark gets it back); may be given again.",
        metavar="WHAT",
    ),
]


def site(*, worktree: bool = False) -> Site:
    """The repository that is desired, newly fetched where it is a remote's, with the cache of parsed documents where
    there is a data folder; `worktree`: the one at hand."""
    from reconciler.reconcile.once import Site

    if not worktree:
        context.refresh()
    cache = context.data.documents if context.data.path.is_dir() else None
    return Site(context.repository if worktree else context.source, context.environment.variables, cache)


def connect(target: Target, source: str, parallel: int = 10) -> Closing:
    """The connection to a target, by its type. Raises what `context.api_key` raises."""
    named = target.api_key.get("env") or f"the file {target.api_key.get('file')}"
    url, key = context.url(target), context.api_key(target)
    if target.type == "evolution":
        from reconciler.live.evolution import Evolution

        return Evolution(url, key, source=source, key_source=named, parallel=parallel)
    from reconciler.live.runtime import Runtime

    return Runtime(url, key, source=source, key_source=named, parallel=parallel)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Sets `stop` on the first SIGINT or SIGTERM, which lets what is under way end; the second ends the process at
    once, as a kill would: the next pass goes on from there."""
    import asyncio
    import signal

    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

    def told() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, told)


def labels(select: Sequence[str] | None) -> dict[str, str]:
    """`--select` as labels. Raises Misuse for what is not LABEL=VALUE."""
    found = {}
    for one in select or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise Misuse(f"--select {one}: write LABEL=VALUE, such as team=hospitality")
        found[name] = value
    return found


def allowed(allow: Sequence[str] | None) -> frozenset[str]:
    """`--allow` as a set. Raises Misuse for what nothing asks for."""
    from reconciler.plan.gate import ALLOWANCES, allowance

    for one in allow or ():
        if not allowance(one):
            raise Misuse(f"--allow {one}: there are {ALLOWANCES}")
    return frozenset(allow or ())


def target_name(given: str | None) -> str:
    """A target's name: the one given, if there is such a one, or the first.

    Where reconciler.yaml cannot be read, the names are those of earlier passes. Raises Misuse for unknown names.
    """
    from reconciler.desired.config import target_of
    from reconciler.reconcile.once import commit_of

    try:
        return target_of(commit_of(context.source, None)[1], given).name
    except (InvalidBots, Unavailable):
        with history() as records:
            known = [row.target for row in records.targets.all()]
        return given or next(iter(known), "local")


def history() -> History:
    """The history of this repository's passes. Raises Unavailable where there is none yet."""
    from reconciler.reconcile.history import History

    path = context.data.loop_database
    if not path.exists():
        raise Unavailable(
            f"there is no history in {context.data.path}: start `reconciler up` or `reconciler run` here, "
            "or set RECONCILER_DATA to the folder of the one that runs"
        )
    return History(path)


_STYLES: dict[Tone, str] = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "drift": "magenta",
    "dim": "dim",
    "bold": "bold",
    "plain": "",
}


def print_plan(plan: Plan, *, defaults: bool = False) -> None:
    """The plan on standard output, in colour on a terminal; with `defaults` all fields of what is created."""
    import sys

    from reconciler.plan.render import lines, text

    if not sys.stdout.isatty():
        print(text(plan, defaults=defaults), flush=True)
        return
    from rich.text import Text

    from reconciler.cli.output import console

    out = console()
    for tone, line in lines(plan, defaults=defaults):
        out.print(Text(line, style=_STYLES[tone]))


def when(seconds: float) -> str:
    """A moment as people of this machine's time zone read it."""
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
