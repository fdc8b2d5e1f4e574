"""A real server on loopback, one for all tests of the API; each test has instances of its own."""

from __future__ import annotations

import asyncio
import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from reconciler.errors import Unavailable
from reconciler.model import Account
from reconciler.reconcile.control import Control
from reconciler.reconcile.history import History
from reconciler.runtime.app import build_app
from reconciler.runtime.limits import Limits
from reconciler.runtime.notices import Notices
from reconciler.runtime.wire import Wire
from reconciler.store.sqlite import Store, open_store

KEY = "the-global-key"
SECRET = "a-secret-key-of-the-tests"


HOOK_SECRET = "a-hook-secret-of-the-tests"


def loop_beside(data: Path) -> Control:
    """A loop's records, of a target that is as it should be; no loop runs."""
    data.mkdir(exist_ok=True)
    with History(data / "loop.db") as history:
        number = history.begin("local", "c" * 40, "commit")
        history.end(number, "applied", "", {"create": 1})
        history.targets.stand("local", wanted="c" * 40, outcome="applied", number=number)
    return Control(data, lambda: (None, None))


class Server:
    """The running server: its address, its log, how often it woke the engine."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.store: Store = open_store(path, SECRET)
        self.log = io.StringIO()
        self.woken = 0
        self.ready = True
        self.notices = Notices()
        self.app = build_app(
            self.store,
            api_key=KEY,
            notices=self.notices,
            wake=self._wake,
            list_models=self._models,
            loop=loop_beside(path.parent / "loop"),
            hook_secret=HOOK_SECRET,
            ready=lambda: self.ready,
            allow_private_urls=("127.0.0.1:9000",),
            log_to=self.log,
            limits=limits or Limits(rate=0, failures=0),  # tests of keys try many; limits have tests of their own
        )
        self.uvicorn = uvicorn.Server(
            uvicorn.Config(self.app, http=Wire, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=60)
        )
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        while not self.uvicorn.started:
            assert self.thread.is_alive()
            time.sleep(0.002)
        self.url = f"http://127.0.0.1:{self.uvicorn.servers[0].sockets[0].getsockname()[1]}"

    def _run(self) -> None:
        async def run() -> None:
            self.loop = asyncio.get_running_loop()
            await self.uvicorn.serve()

        asyncio.run(run())

    def _wake(self) -> None:
        self.woken += 1

    async def _models(self, account: Account) -> list[dict[str, Any]]:
        match account.api_key.value:
            case "sk-refused-by-provider":
                raise Unavailable("the provider refuses the key")
            case "sk-silent-provider":
                raise Unavailable("no answer") from TimeoutError()
        return [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": account.name}]

    def stop(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.app.state.stop)
        self.uvicorn.should_exit = True
        self.thread.join(120)
        assert not self.thread.is_alive()
        self.store.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("runtime") / "runtime.db")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client with the global key."""
    with httpx.Client(base_url=server.url, headers={"apikey": KEY}, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def nobody(server: Server) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


class Tenant:
    """An instance of its own, with its token."""

    def __init__(self, client: httpx.Client, name: str, **fields: Any) -> None:
        answer = client.post("/instance/create", json={"instanceName": name, **fields})
        assert answer.status_code == 201, answer.text
        self.client, self.name = client, name
        self.id: str = answer.json()["instance"]["instanceId"]
        self.token: str = answer.json()["hash"]

    def credentials(self, name: str = "creds_123", key: str = "sk-0123456789abcd", **fields: Any) -> dict[str, Any]:
        answer = self.client.post(f"/openai/creds/{self.name}", json={"name": name, "apiKey": key, **fields})
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json()
        return row

    def bot(self, **fields: Any) -> dict[str, Any]:
        answer = self.client.post(f"/openai/create/{self.name}", json={**BOT, **fields})
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json()
        return row


BOT: dict[str, Any] = {
    "enabled": True,
    "openaiCredsId": "creds_123",
    "botType": "chatCompletion",
    "model": "gpt-4o",
    "maxTokens": 300,
    "triggerType": "keyword",
    "triggerOperator": "equals",
    "triggerValue": "start",
}

_numbers = itertools.count(1)


@pytest.fixture
def make(client: httpx.Client) -> Callable[..., Tenant]:
    """Makes instances."""
    return lambda **fields: Tenant(client, fields.pop("name", f"Instance_{next(_numbers)}"), **fields)


@pytest.fixture
def tenant(make: Callable[..., Tenant]) -> Tenant:
    """An instance with credentials named creds_123."""
    made = make()
    made.credentials()
    return made
