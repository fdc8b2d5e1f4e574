"""Exchanges recorded from an Evolution API server 2.3.6, and playing them in order against another server.

`exchanges.jsonl`: one exchange a line, in order: request, status, body. Some of the recording's steps were not kept;
what later ones need of them is in `LEFT_OUT`. Ids and tokens of the recording are mapped to ours as answers show them,
so that both stay in step. Played against the runtime (`tests/runtime/conformance`) and the test server
(`tests/evolution`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec

KEY = "testkey"
RECORDED = Path(__file__).parent / "runtime" / "conformance" / "exchanges.jsonl"
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


class Player:
    """Sends recorded requests with our ids for theirs, and compares what comes back."""

    left_out: ClassVar[Mapping[int, tuple[str, str, Any, str | None]]] = LEFT_OUT

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.ids: dict[str, str] = {}

    def all(self) -> Iterator[Exchange]:
        """The exchanges in order; what was left out before one is done when it is asked for."""
        before = 0
        for exchange in recorded():
            for n in range(before + 1, exchange.n):
                if n in self.left_out:
                    self._fill(n)
            before = exchange.n
            yield exchange

    def _fill(self, n: int) -> None:
        method, path, body, id = self.left_out[n]
        answer = self.send(method, path, {"apikey": KEY, "content-type": "application/json"}, body)
        assert answer.is_success, (n, answer.text)
        if id is not None:
            self.ids[id] = answer.json()["id"]

    def send(self, method: str, path: str, headers: dict[str, str], body: Any) -> httpx.Response:
        content = None if body is None else self.ours(body if isinstance(body, str) else json.dumps(body)).encode()
        sent = {name: self.ours(value) for name, value in headers.items()}
        return self.client.request(method, self.ours(path), headers=sent, content=content)

    def ours(self, text: str) -> str:
        for theirs, ours in self.ids.items():
            text = text.replace(theirs, ours)
        return text

    def paired(self, theirs: list[Any], ours: list[Any]) -> tuple[list[Any], list[Any]]:
        """Both lists' rows side by side, found by their ids; rows of one list alone are left out."""
        by_id = {row["id"]: row for row in ours}
        pairs = [(row, by_id[self.ours(row["id"])]) for row in theirs if self.ours(row["id"]) in by_id]
        return [pair[0] for pair in pairs] or theirs, [pair[1] for pair in pairs] or ours

    def compared(self, theirs: Any, ours: Any, field: str) -> Iterator[Difference]:
        """The differences of two bodies; learns the ids that ours has for theirs."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for name in sorted({*theirs, *ours}):
                inner = f"{field}.{name}" if field else name
                if name not in ours:
                    yield Difference(inner, "missing")
                elif name not in theirs:
                    yield Difference(inner, "added")
                else:
                    yield from self.compared(theirs[name], ours[name], inner)
        elif isinstance(theirs, list) and isinstance(ours, list):
            if len(theirs) != len(ours):
                yield Difference(field, "length")
            for one, other in zip(theirs, ours, strict=False):
                yield from self.compared(one, other, field)
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
