"""Plays recorded exchanges with an Evolution API server 2.3.6 against the real runtime and says where it differs.

`exchanges.jsonl`: one exchange a line, in order: request, status, body. Some of the recording's steps were not kept;
what later ones need of them is in `LEFT_OUT`. Ids and tokens of the recording are mapped to ours as answers show them,
and what only this runtime accepts is taken back, so that both stay in step.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec

KEY = "testkey"
RECORDED = Path(__file__).with_name("exchanges.jsonl")
SESSION_BOT = "cmwsddo3q00yk977d24g2qesc"
A = "recA_bf07e4"
_CHAT = {"enabled": True, "botType": "chatCompletion", "model": "gpt-4o", "triggerType": "keyword"}
_CHAT |= {"openaiCredsId": "cmwsddlbr00xj977d0ws7tff9", "triggerOperator": "equals"}

# Steps that the recording does not hold: number -> the exchange, with the id that later ones know its result by.
LEFT_OUT: dict[int, tuple[str, str, Any, str | None]] = {
    3: ("POST", "/instance/create", {"instanceName": "recC_bf07e4", "integration": "EVOLUTION"}, None),
    43: ("POST", f"/openai/creds/{A}", {"name": "secondbf07e4", "apiKey": "sk-bf07e4-2"}, "cmwsddlcf00xk977dapyop43f"),
    75: (
        "POST",
        f"/openai/create/{A}",
        {
            **_CHAT,
            "botType": "assistant",
            "assistantId": "asst_123",
            "functionUrl": "https://example.com/functions",
            "systemMessages": ["You are a helpful restaurant assistant"],
            "assistantMessages": ["Hello! How can I help you today?"],
            "userMessages": ["Hi", "Hello"],
            "maxTokens": 1000,
            "triggerValue": "start",
            "expire": 3600,
            "keywordFinish": "stop",
            "delayMessage": 1000,
            "unknownMessage": "I dont understand. Please try again.",
            "listeningFromMe": False,
            "stopBotFromMe": True,
            "keepOpen": True,
            "debounceTime": 500,
            "ignoreJids": [],
        },
        "cmwsddlsu00xt977d9bqba3r5",
    ),
    95: (
        "POST",
        f"/openai/create/{A}",
        {**_CHAT, "maxTokens": 310, "triggerValue": "chat310"},
        "cmwsddm7u00xz977dmijm74lf",
    ),
    219: ("POST", f"/openai/ignoreJid/{A}", {"remoteJid": "@g.us", "action": "add"}, None),
    235: ("POST", f"/openai/create/{A}", {**_CHAT, "maxTokens": 600, "triggerValue": "sess"}, SESSION_BOT),
    279: (
        "POST",
        f"/openai/create/{A}",
        {**_CHAT, "openaiCredsId": "cmwsddvfc00yz977d8wwt4lct", "maxTokens": 701, "triggerValue": "zz2"},
        "cmwsddvg000z0977d0gxvr8xq",
    ),
}


class Difference(msgspec.Struct, frozen=True, order=True):
    """`field` (indexes left out) is `missing` or `added` here, `null` here alone, or of another `type` or `value`."""

    field: str
    kind: str


class Outcome(msgspec.Struct, frozen=True):
    """One exchange as it went here. `later`: the status with the global key, where the recording sent no key."""

    status: int
    body: Any
    differences: frozenset[Difference]
    later: int | None = None


class Exchange(msgspec.Struct, frozen=True):
    """One recorded exchange; `request` is JSON data, or the text of the body as it was sent."""

    n: int
    group: str
    case: str
    method: str
    path: str
    headers: dict[str, str]
    status: int
    request: Any = None
    response: Any = None
    note: str | None = None

    @property
    def call(self) -> str:
        """The endpoint: `POST /openai/create`."""
        return f"{self.method} {'/'.join(self.path.split('?')[0].split('/')[:3])}"


def recorded() -> list[Exchange]:
    """All exchanges, in order."""
    return [msgspec.json.decode(line, type=Exchange) for line in RECORDED.read_bytes().splitlines()]


class _OpenAI(BaseHTTPRequestHandler):
    """The server that the recording's model calls went to: lists four models, echoes, refuses keys with `bad`."""

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
def runtime(folder: Path, **variables: str) -> Iterator[str]:
    """`reconciler serve` as a process of its own; gives its URL."""
    command = [sys.executable, "-m", "reconciler", "serve", "--port", "0", "--data", str(folder / "data")]
    environment = {**os.environ, "RECONCILER_API_KEY": KEY, **variables}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not (address := folder / "data" / "address").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.03)
        yield address.read_text().strip()
    finally:
        process.terminate()
        process.wait(20)


class Replay:
    """Plays the exchanges in order; `outcomes` has each by its number."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.ids: dict[str, str] = {}
        self.outcomes: dict[int, Outcome] = {}

    def run(self) -> dict[int, Outcome]:
        before = 0
        for exchange in recorded():
            for n in range(before + 1, exchange.n):
                if n in LEFT_OUT:
                    self._fill(n)
            before = exchange.n
            self.outcomes[exchange.n] = self._play(exchange)
        return self.outcomes

    def _fill(self, n: int) -> None:
        method, path, body, id = LEFT_OUT[n]
        answer = self._send(method, path, {"apikey": KEY, "content-type": "application/json"}, body)
        assert answer.is_success, (n, answer.text)
        if id is not None:
            self.ids[id] = answer.json()["id"]

    def _play(self, exchange: Exchange) -> Outcome:
        undo = self._undoing(exchange)
        answer = self._send(exchange.method, exchange.path, exchange.headers, exchange.request)
        later = None
        if exchange.call == "POST /webhook/evolution" and answer.status_code == 401:
            keyed = {**exchange.headers, "apikey": KEY}
            later = self._send(exchange.method, exchange.path, keyed, exchange.request).status_code
            self._settle()
        if exchange.status >= 400 and answer.is_success:
            undo(answer)
        return self._outcome(exchange, answer, later)

    def _settle(self) -> None:
        """Waits until the chat's bot has answered (a session that is not its turn is not waited for long)."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            rows = self._send("GET", f"/openai/fetchSessions/{SESSION_BOT}/{A}", {"apikey": KEY}, None).json()
            if rows and all(row["awaitUser"] and row["context"].count("echo") for row in rows):
                return
            time.sleep(0.05)

    def _send(self, method: str, path: str, headers: dict[str, str], body: Any) -> httpx.Response:
        content = None if body is None else self._ours(body if isinstance(body, str) else json.dumps(body)).encode()
        sent = {name: self._ours(value) for name, value in headers.items()}
        return self.client.request(method, self._ours(path), headers=sent, content=content)

    def _ours(self, text: str) -> str:
        for theirs, ours in self.ids.items():
            text = text.replace(theirs, ours)
        return text

    def _undoing(self, exchange: Exchange) -> Any:
        """How to take back what this exchange may do here, while the recorded server refused it."""
        call, path = exchange.call, self._ours(exchange.path.split("?")[0])
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
            theirs, body = self._paired(theirs, body)
        return Outcome(answer.status_code, body, frozenset(self._compared(theirs, body, "")), later)

    def _paired(self, theirs: list[Any], ours: list[Any]) -> tuple[list[Any], list[Any]]:
        """Both lists' rows side by side, found by their ids; rows of one list alone are left out."""
        by_id = {row["id"]: row for row in ours}
        pairs = [(row, by_id[self._ours(row["id"])]) for row in theirs if self._ours(row["id"]) in by_id]
        return [pair[0] for pair in pairs] or theirs, [pair[1] for pair in pairs] or ours

    def _compared(self, theirs: Any, ours: Any, field: str) -> Iterator[Difference]:
        """The differences of two bodies; learns the ids that ours has for theirs."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for name in sorted({*theirs, *ours}):
                inner = f"{field}.{name}" if field else name
                if name not in ours:
                    yield Difference(inner, "missing")
                elif name not in theirs:
                    yield Difference(inner, "added")
                else:
                    yield from self._compared(theirs[name], ours[name], inner)
        elif isinstance(theirs, list) and isinstance(ours, list):
            if len(theirs) != len(ours):
                yield Difference(field, "length")
            for one, other in zip(theirs, ours, strict=False):
                yield from self._compared(one, other, field)
        elif ours is None and theirs is not None:
            yield Difference(field, "null")
        elif type(theirs) is not type(ours):
            yield Difference(field, "type")
        elif isinstance(theirs, str) and field.rpartition(".")[2] in ("id", "instanceId", "hash", "token", "Setting"):
            if self.ids.setdefault(theirs, ours) != ours:
                yield Difference(field, "value")
        elif theirs != ours and not (_is_time(theirs) and _is_time(ours)) and self.ids.get(theirs) != ours:
            yield Difference(field, "value")


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None
