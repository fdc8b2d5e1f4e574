"""One runtime process: the store, the turn engine and the HTTP API on one socket, until it is told to stop.

Before it comes the command line (`serve`, `up`), after it `runtime/app.py` and `runtime/turns.py`. Stopping is
graceful: no new requests, then running turns finish, then the store closes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import uvicorn

from reconciler.egress import Gate
from reconciler.errors import Misuse
from reconciler.llm.models import Models
from reconciler.runtime.app import build_app, build_loop_app
from reconciler.runtime.beside import Loop
from reconciler.runtime.console.page import chat_page
from reconciler.runtime.keys import GlobalKeys
from reconciler.runtime.limits import Limits
from reconciler.runtime.metrics import Metrics, Standing
from reconciler.runtime.notices import Notices
from reconciler.runtime.turns import Engine
from reconciler.runtime.wire import Wire
from reconciler.store.sqlite import open_store

_WIRE: Final[dict[str, Any]] = {
    "http": Wire,
    "ws": "none",
    "log_config": None,
    "log_level": "error",  # what strangers send that is no request is no line of the log
    "access_log": False,
    "server_header": False,
}
_GRACE: Final = 30.0  # seconds that running turns have to finish once the process is told to stop


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime process is started with; `address` is the file that names its URL while it runs, `rate` and
    `burst` how many requests each token may make a second, and at once."""

    database: Path
    address: Path
    api_key: str | GlobalKeys
    secret_key: str
    previous_secret_keys: tuple[str, ...] = ()
    openai_base_url: str | None
    allow_private_urls: tuple[str, ...] = ()
    rate: float = 50
    burst: float = 200
    access_log: bool = True


class Server(uvicorn.Server):
    """uvicorn's server, which raises the signal that ended it anew: here a signal is an ordinary end.

    `told` is called when it is told to stop, so that event streams end before it waits for them.
    """

    def __init__(self, config: uvicorn.Config, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = told

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._told()
        self._captured_signals.clear()


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. Raises Misuse where the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends at once (TCP_NODELAY) only where it is.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise Misuse(f"port {port} of {host} is taken by another program: choose one with --port") from error
        raise Misuse(f"cannot listen on {host} port {port}: {error.strerror}") from error
    listening.setblocking(False)
    return listening


def url_of(listening: socket.socket) -> str:
    """The address of a listening socket as a client on this machine writes it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"


async def serve(
    serving: Serving,
    listening: socket.socket,
    *,
    ready: Callable[[], bool] = lambda: True,
    beside: Callable[[str], Coroutine[Any, Any, None]] | None = None,
    standings: Callable[[], Sequence[Standing]] | None = None,
    loop: Loop | None = None,
    hook_secret: str | None = None,
) -> None:
    """Runs the runtime until SIGINT or SIGTERM. `beside` is started with the URL once it listens, and cancelled
    before it stops; `standings` tells how the targets of that loop stand, `loop` is what the API says and asks of it,
    and `hook_secret` what forges sign their push webhooks by."""
    store = open_store(serving.database, serving.secret_key, serving.previous_secret_keys)
    gate = Gate(serving.allow_private_urls)
    models = Models(serving.openai_base_url, gate=gate, memo=store.chats)
    notices, metrics = Notices(), Metrics(standings)
    engine = Engine(store.fleet, store.chats, models, notices, gate=gate, counts=metrics)
    app = build_app(
        store,
        api_key=serving.api_key,
        notices=notices,
        wake=engine.wake,
        list_models=models.list_models,
        ready=ready,
        page=chat_page,
        allow_private_urls=serving.allow_private_urls,
        limits=Limits(serving.rate, serving.burst),
        metrics=metrics,
        loop=loop,
        hook_secret=hook_secret,
        access_log=serving.access_log,
    )
    config = uvicorn.Config(app, timeout_graceful_shutdown=10, timeout_keep_alive=75, **_WIRE)
    server = Server(config, app.state.stop)
    url = _announce(serving, listening)
    try:
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(engine.run())
            helping = tasks.create_task(beside(url)) if beside else None
            await server.serve(sockets=[listening])
            if helping is not None:
                helping.cancel()
                await asyncio.wait([helping])
            await engine.stop(_GRACE)
            turning.cancel()
    finally:
        with suppress(FileNotFoundError):
            serving.address.unlink()
        await models.close()
        store.close()


class _Quiet(uvicorn.Server):
    """uvicorn's server in a process that looks after signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_loop(
    listening: socket.socket,
    stop: asyncio.Event,
    loop: Loop,
    *,
    api_key: GlobalKeys,
    hook_secret: str | None,
    ready: Callable[[], bool],
    standings: Callable[[], Sequence[Standing]],
) -> None:
    """Serves a loop's own endpoints until `stop` is set, in the process that runs it."""
    app = build_loop_app(api_key, loop, ready=ready, metrics=Metrics(standings), hook_secret=hook_secret)
    config = uvicorn.Config(app, timeout_graceful_shutdown=5, **_WIRE)
    server = _Quiet(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets=[listening])
    finally:
        ending.cancel()


def _announce(serving: Serving, listening: socket.socket) -> str:
    """Writes the URL where other commands find it. The socket listens already: whoever is early waits in its queue."""
    url = url_of(listening)
    serving.address.write_text(url + "\n")
    return url
