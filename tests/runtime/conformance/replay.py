"""Plays recorded exchanges with an Evolution API server 2.3.6 against the real runtime and says where it differs.

`tests.recorded` has the exchanges and plays them. What only this runtime accepts is taken back, so that both stay in
step.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
import uvloop

from reconciler.runtime import server
from tests.recorded import KEY, SESSION_BOT, A, Difference, Exchange, Player


class Outcome(msgspec.Struct, frozen=True):
    """One exchange as it went here. `later`: the status with the global key, where the recording sent no key."""

    status: int
    body: Any
    differences: frozenset[Difference]
    later: int | None = None


class _OpenAI(BaseHTTPRequestHandler):
    """The server that the recording's model calls went to: lists four models, echoes, refuses keys with `bad`."""

    disable_nagle_algorithm = True  # head and body are two writes
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "bad" in self.headers.get("authorization", ""):
            self._answer(401, {"error": {"message": "Incorrect API key", "type": "invalid_request_error"}})
            return
        names = ["gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "whisper-1"]
        data = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "openai"} for name in names]
        self._answer(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = asked["messages"][-1]["content"]
        text = said if isinstance(said, str) else said[0]["text"]
        message = {"role": "assistant", "content": f"echo: {text}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
        self._answer(200, {**answer, "usage": usage})

    def _answer(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def openai() -> Iterator[str]:
    """The model server on a free port; gives its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OpenAI)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def runtime(folder: Path, models: str) -> Iterator[str]:
    """The whole runtime, as `reconciler serve` runs it, in a thread; asks `models`; gives its URL."""
    serving = server.Serving(
        database=folder / "runtime.db",
        address=folder / "address",
        api_key=KEY,
        secret_key="the-secret-key-of-this-test",
        openai_base_url=models,
        access_log=False,
    )
    listening = server.bind("127.0.0.1", 0)
    made: list[server.Server] = []

    class Remembered(server.Server):
        def __init__(self, config: uvicorn.Config, told: Callable[[], None]) -> None:
            super().__init__(config, told)
            made.append(self)

    loop = uvloop.new_event_loop()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(server, "Server", Remembered)
        running = pool.submit(loop.run_until_complete, server.serve(serving, listening))
        yield server.url_of(listening)  # it listens already: whoever is early waits
        loop.call_soon_threadsafe(made[0].handle_exit, signal.SIGTERM, None)
        running.result(30)
    loop.close()


class Replay(Player):
    """Plays the exchanges in order; `outcomes` has each by its number."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(client)
        self.outcomes: dict[int, Outcome] = {}

    def run(self) -> dict[int, Outcome]:
        for exchange in self.all():
            self.outcomes[exchange.n] = self._play(exchange)
        return self.outcomes

    def _play(self, exchange: Exchange) -> Outcome:
        undo = self._undoing(exchange)
        answer = self.send(exchange.method, exchange.path, exchange.headers, exchange.request)
        later = None
        if exchange.call == "POST /webhook/evolution" and answer.status_code == 401:
            keyed = {**exchange.headers, "apikey": KEY}
            later = self.send(exchange.method, exchange.path, keyed, exchange.request).status_code
            self._settle()
        if exchange.status >= 400 and answer.is_success:
            undo(answer)
        return self._outcome(exchange, answer, later)

    def _settle(self) -> None:
        """Waits until the chat's bot has answered (a session that is not its turn is not waited for long)."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            rows = self.send("GET", f"/openai/fetchSessions/{SESSION_BOT}/{A}", {"apikey": KEY}, None).json()
            if rows and all(row["awaitUser"] and row["context"].count("echo") for row in rows):
                return
            time.sleep(0.05)

    def _undoing(self, exchange: Exchange) -> Any:
        """How to take back what this exchange may do here, while the recorded server refused it."""
        call, path = exchange.call, self.ours(exchange.path.split("?")[0])
        instance = path.split("/")[-1]
        key = {"apikey": KEY}
        if call == "POST /openai/create":
            return lambda a: self.client.delete(f"/openai/delete/{a.json()['id']}/{instance}", headers=key)
        if call == "POST /openai/creds":
            return lambda a: self.client.delete(f"/openai/creds/{a.json()['id']}/{instance}", headers=key)
        if call == "POST /instance/create":
            return lambda a: self.client.delete(f"/instance/delete/{a.json()['instance']['instanceName']}", headers=key)
        read = None
        if call == "PUT /openai/update":
            read = path.replace("/update/", "/fetch/")
        elif call == "POST /openai/settings":
            read = path.replace("/settings/", "/fetchSettings/")
        before = self.client.get(read, headers=key).json() if read else {}
        return lambda _: self.client.request(exchange.method, path, headers=key, json=before)

    def _outcome(self, exchange: Exchange, answer: httpx.Response, later: int | None) -> Outcome:
        body = answer.json() if answer.content else ""
        if exchange.status >= 400 or not answer.is_success or exchange.response == "":
            return Outcome(answer.status_code, body, frozenset(), later)
        theirs = exchange.response
        if isinstance(theirs, list) and isinstance(body, list):  # the recorded server's lists are in no order
            theirs, body = self.paired(theirs, body)
        return Outcome(answer.status_code, body, frozenset(self.compared(theirs, body, "")), later)
