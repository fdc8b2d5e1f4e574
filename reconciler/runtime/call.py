"""One call of the HTTP API: its endpoint's table entry, who calls, the instance it is about.

Before it comes the router, after it a handler of `runtime/api/`. The order is always: key (401), method (405),
instance (404), then the handler reads the body. Whoever has no key learns nothing, not even which paths exist.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reconciler.errors import Rejected
from reconciler.model import Account, Instance
from reconciler.runtime.answers import refusal, unauthorized
from reconciler.runtime.beside import Loop
from reconciler.runtime.keys import Caller, Keys, given
from reconciler.runtime.limits import Buckets, Limits
from reconciler.runtime.metrics import Metrics
from reconciler.runtime.notices import Notices
from reconciler.runtime.streams import Streams
from reconciler.store.chats import Chats
from reconciler.store.sqlite import Store

Page = Callable[[Request], Awaitable[Response]]
Access = Literal["instance", "any", "global", "loop", "open"]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What every handler may need of the process. `kept` is None where a loop runs without a runtime; `loop` is the one
    beside the runtime, if one is, `hooks` how often forges may wake it, with what they sign by."""

    kept: Store | None
    keys: Keys
    notices: Notices
    streams: Streams
    metrics: Metrics
    wake: Callable[[], None]
    list_models: Callable[[Account], Awaitable[list[dict[str, Any]]]]
    ready: Callable[[], bool]
    page: Page | None
    allow_private_urls: tuple[str, ...]
    limits: Limits
    loop: Loop | None = None
    hook_secret: str | None = None
    hooks: Buckets = msgspec.field(default_factory=lambda: Buckets(1, 30, time.monotonic))

    @property
    def store(self) -> Store:
        assert self.kept is not None
        return self.kept

    @property
    def chats(self) -> Chats:
        return self.store.chats


class Call(msgspec.Struct, frozen=True):
    """One call; `caller` is None only for open endpoints, `known` only for those without an instance in the path."""

    served: Served
    request: Request
    caller: Caller | None
    known: Instance | None

    @property
    def instance(self) -> Instance:
        """The instance in the path."""
        assert self.known is not None
        return self.known

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A parameter of the query; empty is None."""
        return self.request.query_params.get(name) or None


Handler = Callable[[Call], Awaitable[Response]]


class Endpoint(msgspec.Struct, frozen=True):
    """A line of the route table. `body` is the schema of the request's body; `access` is what opens it:
    `instance` a key of the instance in the path, `any` some right key, `global` the global key, `loop` the global key
    and, to read, a token that reads all instances, `open` nothing.
    `chat`: a token of the chat opens it too. `personal`: it answers what customers wrote, so no token that only reads
    opens it. `guessed`: where an open endpoint takes a key of its own: in the `path` or `body`. `ok` is the status when
    all goes well, `says` what else it answers by itself (what follows from the rest is in `api/describe.py`); `query`
    names the parameters it reads there, `answer` what it answers when all goes well: a schema of `schemas/`, a shape of
    `api/shapes.py`, or a content type of text.
    """

    method: str
    path: str
    handler: Handler
    body: str | None = None
    access: Access = "instance"
    chat: bool = False
    personal: bool = False
    guessed: Literal["path", "body"] | None = None
    ok: int = 200
    says: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    answer: str | None = None


def routes(served: Served, endpoints: Sequence[Endpoint]) -> list[Route]:
    """One route per path, each with its methods. As clients of this API expect, a path's own words may be written in
    upper or lower case; names and ids in it are exact."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    made = [Route(path, _Dispatch(served, methods)) for path, methods in paths.items()]
    for route in made:
        route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
    return made


class _Dispatch:
    """An ASGI application (so that Starlette leaves the methods to it)."""

    def __init__(self, served: Served, methods: dict[str, Endpoint]) -> None:
        self.served, self.methods = served, methods
        self.allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
        self.open = all(endpoint.access == "open" for endpoint in methods.values())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive, send)
        response = await self.answer(request)
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Keys that are guessed wait; then who calls, how often, and what for."""
        endpoint = self.methods.get("GET" if request.method == "HEAD" else request.method)
        guessed = endpoint.guessed if endpoint is not None else None
        key = given(request) if guessed is None else str(request.path_params.get("secret", ""))
        if key is None or (self.open and guessed is None):
            return await self._known(request, endpoint)
        limits, address = self.served.limits, _address(request)
        if wait := limits.tries(address, key):
            return too_many(wait)
        if guessed == "body":
            return await self._guessed(request, endpoint, address)
        response = await self._known(request, endpoint)
        if response.status_code != 401:
            limits.right(address, key)
        elif guessed is not None or self.served.keys.found(request) is None:
            limits.wrong(address)
        return response

    async def _guessed(self, request: Request, endpoint: Endpoint | None, address: str) -> Response:
        """A key in the body counts as wrong until it is found right: while one body is on its way, others come."""
        limits = self.served.limits
        limits.wrong(address)
        right = True
        try:
            response = await self._known(request, endpoint)
            right = response.status_code != 401
        finally:
            if right:  # or no key at all: what was sent could not be read
                limits.pardon(address)
        return response

    async def _known(self, request: Request, endpoint: Endpoint | None) -> Response:
        served = self.served
        access = endpoint.access if endpoint else ("open" if self.open else "any")
        caller = None if access == "open" else served.keys.found(request)
        if access != "open" and caller is None:
            return unauthorized()
        if caller is not None and not caller.everything and (wait := served.limits.call(caller)):
            return too_many(wait)
        if caller is not None and not caller.whole and (refused := self._partial(request, endpoint, caller)):
            return refused
        if endpoint is None:
            raise Rejected(
                405, f"{request.method} is not possible here: use {self.allow}", headers={"Allow": self.allow}
            )
        instance = None
        if access == "global" and caller is not None and not caller.everything:
            return unauthorized()
        if access == "loop" and caller is not None and caller.instance_id is not None:
            return unauthorized()
        if access == "instance" and caller is not None:
            name = request.path_params["instance"]
            instance = served.store.fleet.instance(name)
            if not caller.opens(instance.id if instance else None):
                return unauthorized()
            if instance is None:
                raise Rejected(404, f'The "{name}" instance does not exist')
        return await endpoint.handler(Call(served, request, caller, instance))

    def _partial(self, request: Request, endpoint: Endpoint | None, caller: Caller) -> Response | None:
        """401 where a token that only reads, or one of a chat, does not open the endpoint."""
        if caller.reads is not None:
            if endpoint is None or endpoint.method != "GET" or endpoint.access == "global":
                return refusal(401, "This token only reads: use the global key or the instance's token")
            if endpoint.personal or endpoint.chat:
                return refusal(401, "This token reads what is configured, not what customers wrote")
            return None
        if endpoint is None or not endpoint.chat or request.path_params.get("remoteJid", caller.jid) != caller.jid:
            return unauthorized()
        return None


def refused(served: Served, request: Request) -> Response | None:
    """What whoever has no right key is answered where there is no endpoint; None for who has one. A key that is tried
    here counts as anywhere else."""
    key, limits, address = given(request), served.limits, _address(request)
    if key is not None and (wait := limits.tries(address, key)):
        return too_many(wait)
    if (caller := served.keys.found(request)) is None:
        if key is not None:
            limits.wrong(address)
        return unauthorized()
    if not caller.everything and (wait := limits.call(caller)):
        return too_many(wait)
    return None if caller.whole else unauthorized()


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def too_many(wait: int) -> Response:
    """429: come back after `wait` seconds."""
    return refusal(429, f"Too many requests: try again in {wait} s", headers={"Retry-After": str(wait)})
