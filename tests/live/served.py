"""Targets to reach in tests: the real runtime over loopback, a server with scripted answers, a model in memory."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from reconciler.model import Live, Ref
from reconciler.plan.order import Step
from tests.listening import listen
from tests.plan.target import Model

KEY = "a-global-key-of-tests"


@contextmanager
def runtime(
    folder: Path, listening: socket.socket | None = None, wrap: Callable[[Any], Any] = lambda app: app
) -> Iterator[str]:
    """The bundled runtime's HTTP API on a free port, behind what `wrap` makes of it; gives its URL."""
    from cryptography.fernet import Fernet

    from reconciler.runtime.app import build_app
    from reconciler.runtime.notices import Notices
    from reconciler.store.sqlite import open_store

    async def no_models(account: object) -> list[dict[str, object]]:
        return []

    secret = folder / "secret"
    if not secret.exists():
        secret.write_bytes(Fernet.generate_key())
    store = open_store(folder / "runtime.db", secret.read_text())
    log = io.StringIO()  # not the captured standard error, which pytest closes under it
    app = build_app(store, api_key=KEY, notices=Notices(), wake=lambda: None, list_models=no_models, log_to=log)
    listening = listening or listen()
    server = uvicorn.Server(uvicorn.Config(wrap(app), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        store.close()


class Script:
    """What a scripted server answers, call by call, and what it was sent; the last answer is repeated.

    An answer is (status, headers, body); None closes the connection without one.
    """

    def __init__(self, *answers: tuple[int, dict[str, str], bytes] | None) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                self.heard.append(text)
                length = next((int(x[15:]) for x in text.lower().split("\r\n") if x.startswith("content-length:")), 0)
                await reader.readexactly(length)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    break
                status, headers, body = answer
                lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers.items())]
                if status != 304:
                    lines.append(f"content-length: {len(body)}")
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if status == 304 else body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*answers: tuple[int, dict[str, str], bytes] | None) -> AsyncIterator[Script]:
    """A server with scripted answers on a free port."""
    script = Script(*answers)
    server = await asyncio.start_server(script._serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()


class InMemory:
    """The model of a target at the port that passes use."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.reads = 0

    async def read(self, known_version: str | None = None) -> Live | None:
        self.reads += 1
        live = self.model.live()
        return None if live.version == known_version else live

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None:
        await asyncio.sleep(0)
        return self.model.perform(step, ids)

    async def close(self) -> None:
        pass


class InBatches(InMemory):
    """The same, where it takes many steps of an instance at once."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.batches: list[int] = []

    async def together(self, steps: Sequence[Step], ids: Mapping[Ref, str]) -> Mapping[int, str]:
        await asyncio.sleep(0)
        self.batches.append(len(steps))
        return self.model.together(steps, ids)
