"""A running Evolution-like server on loopback: in a thread for tests, or in the foreground for `python -m`.

with serving() as server:
    server.fault("reset-after", path="POST /openai/create")
    ... server.url, server.key, server.store.bots, server.seen
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from tests.evolution.app import Calls
from tests.evolution.faults import Fault, Faults, Kind, Seen
from tests.evolution.rules import Row, Store
from tests.listening import listen

KEY = "a-global-key-of-tests"


def _model(id: str) -> Row:
    return {"id": id, "object": "model", "created": 1700000000, "owned_by": "openai"}


MODELS = [_model(id) for id in ("gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "whisper-1")]


class Server:
    """One server: its store to look into, its faults, and where it listens once it was started.

    `stop` closes its port, so that connections are refused; `start` opens the same one again.
    """

    def __init__(self, store: Store | None = None, *, key: str = KEY, models: list[Row] | None = None) -> None:
        self.store = store or Store()
        self.key = key
        self.calls = Calls(self.store, key, MODELS if models is None else models)
        self.faults = Faults(self.calls.app())
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def seen(self) -> list[Seen]:
        """Every request so far, in order of their answers."""
        return self.faults.seen

    def fault(
        self, kind: Kind, *, at: int | None = None, path: str | None = None, times: int = 1, seconds: float = 0.0
    ) -> Fault:
        """Arms a fault; `at` counts from the next request on, from 1."""
        made = Fault(kind, at if at is None else at + self.faults._count, path, times, seconds)
        self.faults.armed.append(made)
        return made

    def clear(self) -> None:
        """Disarms all faults and forgets the requests."""
        self.faults.armed.clear()
        self.faults.seen.clear()

    def start(self, port: int = 0) -> None:
        """Serves from a thread, on a free port or on the one it had."""
        listening = listen(port or self._port)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(self.faults, lifespan="off", log_config=None, access_log=False)
        self._uvicorn = uvicorn.Server(config)
        self._listening = listening
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it; connections are refused from here on."""
        self._uvicorn.should_exit = True
        self._uvicorn.force_exit = True
        self._thread.join()
        self._listening.close()

    def run(self, port: int) -> None:
        """Serves in the foreground until interrupted; says where on the first line."""
        self.start(port)
        print(f"Evolution-like server on {self.url}, apikey {self.key}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            self._thread.join()
        self.stop()


@contextmanager
def serving(file: Path | None = None, *, key: str = KEY, models: list[Row] | None = None) -> Iterator[Server]:
    """A server of its own on a free port; with `file` it keeps its rows there."""
    server = Server(Store(file), key=key, models=models)
    server.start()
    try:
        yield server
    finally:
        server.stop()
