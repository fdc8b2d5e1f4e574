"""`serve`: the runtime alone. What `up` shares with it: the checks and the parts of a runtime process."""

from __future__ import annotations

import fcntl
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.errors import Misuse
from reconciler.kept import Watched
from reconciler.settings import DataFolder

if TYPE_CHECKING:
    import socket

    from reconciler.runtime.server import Serving

Host = Annotated[str, typer.Option(help="The address to listen on; anything but loopback needs RECONCILER_API_KEY.")]
Port = Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)]
Data = Annotated[
    Path | None, typer.Option(help="The data folder.  [default: RECONCILER_DATA, else .reconciler/ in the repository]")
]
Private = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-private-url",
        help="A private or loopback host that functionUrl, webhook and baseUrl may name; may be given again.",
    ),
]
Rate = Annotated[
    int,
    typer.Option(
        "--rate-limit", help="Requests a second for each token, 0 for no limit; the global key has none.", min=0
    ),
]
Burst = Annotated[int, typer.Option("--rate-burst", help="Requests at once for each token.", min=1)]
AccessLog = Annotated[bool, typer.Option(help="Log each request as a line of JSON on standard error.")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    data: Data = None,
    allow_private_url: Private = None,
    rate_limit: Rate = 50,
    rate_burst: Burst = 200,
    access_log: AccessLog = True,
) -> None:
    """The runtime alone: the HTTP API and the chats, without a reconcile loop.

    `reconciler run` or `apply` brings bots to it from wherever the repository is. Ctrl-C and SIGTERM end it in order.

    Examples:

        reconciler serve
        reconciler serve --port 9000 --data /var/lib/reconciler
    """
    folder = (DataFolder(data) if data else context.data).make()
    with only_one(folder):
        limits = {"rate": rate_limit, "burst": rate_burst}
        serving, listening = prepare(folder, host, port, tuple(allow_private_url or ()), access_log, limits)
        import asyncio

        import uvloop

        from reconciler.runtime.server import serve as run_server

        async def tell(url: str) -> None:
            say(f"runtime  {url}/")

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_server(serving, listening, beside=tell))


@contextmanager
def only_one(folder: DataFolder) -> Iterator[None]:
    """Holds the data folder for this process. Raises Misuse where another process holds it."""
    with folder.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Misuse(
                f"a runtime (process {holder}) already runs on {folder.path}: stop it, or choose another --data"
            ) from error
        if folder.restoring.exists():
            raise Misuse(f"a restore into {folder.path} did not end: repeat it, `reconciler restore FILE --force`")
        import os

        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def prepare(
    folder: DataFolder,
    host: str,
    port: int,
    allow_private_urls: tuple[str, ...],
    access_log: bool,
    limits: Mapping[str, float],
) -> tuple[Serving, socket.socket]:
    """The keys and the socket. Raises Misuse where the port is taken or an open address has no key of its own."""
    environment = context.environment
    own_key_for(host)
    from reconciler.runtime.server import Serving, bind

    listening = bind(host, port)
    keys = global_keys(folder)
    secret_key, *previous = secret_keys(folder)
    serving = Serving(
        database=folder.runtime_database,
        address=folder.address,
        api_key=keys,
        secret_key=secret_key,
        previous_secret_keys=tuple(previous),
        openai_base_url=environment.openai_base_url,
        allow_private_urls=allow_private_urls,
        access_log=access_log,
        **limits,
    )
    return serving, listening


def own_key_for(host: str) -> None:
    """Raises Misuse where an open address has no key of its own."""
    own, _ = context.environment.api_key, context.environment.previous_api_key  # raises before anything is made
    if not own and not _loopback(host):
        raise Misuse(f"listening on {host} needs a key of your own: set RECONCILER_API_KEY to a long random text")


def global_keys(folder: DataFolder) -> Callable[[], tuple[str, ...]]:
    """Says which global keys are valid: the environment's, else the one kept in the data folder, made if there is none;
    and beside it the one that it replaces."""
    environment = context.environment
    others = tuple(key for key in (environment.previous_api_key,) if key)
    if key := environment.api_key:
        keys = (key, *others)
        return lambda: keys
    _, made = folder.make_key()
    if made:
        say(f"API key  made and kept in {folder.path / 'api-key'} (RECONCILER_API_KEY is not set)")
    return Watched(folder.api_key, others)


def secret_keys(folder: DataFolder) -> tuple[str, ...]:
    """The secret key: the environment's, else the one kept in the data folder, made if there is none; and after it what
    it was before."""
    environment = context.environment
    now = environment.secret_key or folder.make_secret_key()
    before = (environment.previous_secret_key, None if environment.secret_key else folder.secret_key.previous())
    return (now, *(key for key in before if key))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
