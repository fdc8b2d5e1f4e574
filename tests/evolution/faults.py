"""Faults on the way to a server and back: which request they hit, and what happens to it.

It stands before `app`, within uvicorn, whose connection it breaks.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal[
    "refuse", "reset", "reset-after", "500", "500-after", "429", "502", "502-after", "200-html", "slow", "truncated",
    "late",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "refuse", "reset", "reset-after", "500", "500-after", "429", "502", "502-after", "200-html", "slow",
    "truncated",
)  # fmt: skip


@dataclass
class Fault:
    """One kind of fault for requests that match, `times` times.

    `at`: the number of a request since the start, from 1; `path`: a regex searched in `METHOD /path`; neither: every
    request. `seconds`: what `slow` waits, what 429's Retry-After asks for. `-after`: the server acts first.
    `refuse` and `reset` break the connection before anything is done; a server that is down altogether refuses too.
    `late` breaks it, and the server acts once `over` is said.
    """

    kind: Kind
    at: int | None = None
    path: str | None = None
    times: int = 1
    seconds: float = 0.0
    hits: int = field(default=0, init=False)
    over: bool = field(default=False, init=False)

    def strikes(self, number: int, line: str) -> bool:
        if self.hits >= self.times or (self.at is not None and self.at != number):
            return False
        return self.path is None or re.search(self.path, line) is not None


@dataclass(frozen=True)
class Seen:
    """A request as it came, and the status the server gave it, 0 where it was not let through."""

    number: int
    method: str
    path: str
    status: int
    fault: Kind | None = None


class Faults:
    """The server with faults in front; `seen` has every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.armed: list[Fault] = []
        self.seen: list[Seen] = []
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._count += 1
        number, method, path = self._count, scope["method"], scope["path"]
        fault = next((one for one in self.armed if one.strikes(number, f"{method} {path}")), None)
        kind = fault.kind if fault else None
        answer = Held()
        if fault is not None:
            fault.hits += 1
        if fault is not None and kind == "slow":
            receive = await _heard(receive)  # it acts on what it has, whether or not anybody still waits
            await asyncio.sleep(fault.seconds)
        if fault is not None and kind == "late":
            receive = await _heard(receive)
            await _break(send)
            while not fault.over:  # noqa: ASYNC110  said in another thread
                await asyncio.sleep(0.01)
        acts = kind is None or kind in ("reset-after", "500-after", "502-after", "slow", "truncated", "late")
        if acts:
            await self._app(scope, receive, answer.take)
        self.seen.append(Seen(number, method, path, answer.status if acts else 0, kind))
        if fault is None or kind == "slow":
            await answer.give(send)
        elif kind in ("refuse", "reset", "reset-after"):
            await _break(send)
        elif kind == "late":
            pass
        elif kind == "truncated":
            await answer.give(send, of=0.5)
            await _break(send)
        else:
            await _trouble(send, fault)


class Held:
    """An answer that was made but not sent."""

    def __init__(self) -> None:
        self.status = 0
        self._head: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._head = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    async def give(self, send: Send, of: float = 1.0) -> None:
        """Sends it, or a part of it under the length of the whole."""
        await send({"type": "http.response.start", "status": self.status, "headers": self._head})
        part = self.body[: int(len(self.body) * of)]
        await send({"type": "http.response.body", "body": part, "more_body": of < 1})


async def _heard(receive: Receive) -> Receive:
    """The whole body, to be received again."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    messages.reverse()

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


async def _break(send: Any) -> None:
    """Ends the connection without a word; uvicorn is given the time to notice."""
    send.__self__.transport.abort()
    while not send.__self__.disconnected:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0)


async def _trouble(send: Send, fault: Fault) -> None:
    """An answer as proxies in front of the server give it: no JSON."""
    status = int(fault.kind[:3])
    head = [(b"content-type", b"text/html")]
    if status == 429:
        head.append((b"retry-after", f"{fault.seconds:g}".encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": b"<html><h1>try again later</h1></html>"})
