"""`up`: the runtime and the reconcile loop, on the repository one stands in.

The runtime is this process; the loop is a child that reaches it through its HTTP API like anybody else, so that
reading ten thousand files never delays a chat. The child ends when its standard input closes, also when this process
is killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.cli.serve import AccessLog, Burst, Data, Host, Port, Private, Rate, only_one, prepare
from reconciler.cli.site import Repo
from reconciler.errors import Misuse
from reconciler.settings import DataFolder

if TYPE_CHECKING:
    from reconciler.model import Target

_RESTART_MAX = 30.0  # seconds between two starts of a loop that keeps ending


def up(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    data: Data = None,
    target: Annotated[
        str | None, typer.Option(help="The target to serve.  [default: the first of reconciler.yaml]")
    ] = None,
    repo: Repo = None,
    allow_private_url: Private = None,
    rate_limit: Rate = 50,
    rate_burst: Burst = 200,
    access_log: AccessLog = False,
) -> None:
    """The runtime and the reconcile loop, on the repository one stands in: what is committed is what runs.

    Changes of bots, targets and the loop's own settings need no restart. Ctrl-C and SIGTERM end it in order; what was
    not finished goes on at the next start.

    Examples:

        reconciler up
        reconciler up --port 9000
        reconciler up --repo https://github.com/acme/bots.git
    """
    from reconciler.cli.loops import beside, hook_secret, standings

    context.repo, secret = repo, hook_secret()
    if data:
        context.data = DataFolder(data)
    folder = context.data.make()
    context.refresh()
    served = _target(target)
    with only_one(folder):
        limits = {"rate": rate_limit, "burst": rate_burst}
        serving, listening = prepare(folder, host, port, tuple(allow_private_url or ()), access_log, limits)
        import uvloop

        from reconciler.runtime.server import serve as run_server

        loop = _Loop(folder, served, target)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            running = run_server(
                serving,
                listening,
                ready=loop.ready,
                beside=loop.run,
                standings=standings(folder),
                loop=beside(folder),
                hook_secret=secret,
            )
            runner.run(running)


def _target(name: str | None) -> Target:
    """The runtime target that this process is. Raises Misuse where there is none of that name."""
    from reconciler.cli.run import served_by_up
    from reconciler.desired.config import read_config

    repository = context.source
    config = read_config(repository, repository.resolve("HEAD"))
    if (found := served_by_up(config, name)) is not None:
        return found
    known = ", ".join(target.name for target in config.targets)
    raise Misuse(f"reconciler.yaml has no target {name or 'of type runtime'}; it has: {known}")


class _Loop:
    """The child process that runs the loop; started anew, with back-off, should it end."""

    def __init__(self, folder: DataFolder, target: Target, named: str | None) -> None:
        self._folder = folder
        self._target = target  # at the start; a commit may name another
        self._named = named
        self._started = time.time()
        self._passed = False

    def ready(self) -> bool:
        """Whether a pass of this run has ended, however it ended."""
        from reconciler.reconcile.history import History

        if not self._passed and self._folder.loop_database.exists():
            with History(self._folder.loop_database) as history:
                checked = history.targets.checked(self._folder.served_target() or self._target.name)
            self._passed = checked is not None and checked >= self._started
        return self._passed

    async def run(self, url: str) -> None:
        root = context.home
        key_file = self._folder.path / "api-key"
        shown = key_file.relative_to(root) if key_file.is_relative_to(root) else key_file
        key = "RECONCILER_API_KEY" if context.environment.api_key else str(shown)
        say(f"chat     {url}/ in a browser (its API key: {key}), or: reconciler chat INSTANCE")
        source = context.clone.remote.shown if context.clone is not None else root
        say(f"source   commits of {source}; Ctrl-C stops")
        variables = dict(context.environment.variables)
        variables |= {"RECONCILER_URL": url, "RECONCILER_DATA": str(self._folder.path.absolute())}
        if context.repo:
            variables["RECONCILER_REPO"] = context.repo
        self._folder.served.write_text(self._target.name + "\n")
        if not context.environment.api_key:  # the one in the data folder, read anew at each pass: it may be replaced
            variables.pop("RECONCILER_API_KEY", None)
        # -P: the loop stands in the repository, of whose files no module is to be run.
        command = [sys.executable, "-P", "-m", "reconciler", "run", "--until-stdin-closes"]
        command += ["--beside", self._named or "-"]
        wait = 0.5
        while True:
            began = time.monotonic()
            child = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, env=variables, cwd=root, start_new_session=True
            )
            try:
                status = await child.wait()
            except asyncio.CancelledError:
                await _end(child)
                raise
            wait = 0.5 if time.monotonic() - began > _RESTART_MAX else min(wait * 2, _RESTART_MAX)
            say(f"the reconcile loop ended with exit code {status}; it starts again in {wait:.0f} s")
            await asyncio.sleep(wait)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Closes the child's standard input, which lets it finish its step; kills it after 15 s."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), 15)
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
