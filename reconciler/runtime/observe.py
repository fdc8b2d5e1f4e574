"""Around every request: an id, one line in the access log, the counters, and the answer to what went wrong.

Before it comes the server, after it the router. The log says method, path, status, time and id: no header, no query,
no body, and no webhook secret. A bug is answered with an id by which it is found in the log, and nothing else.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from contextlib import suppress
from typing import Any, Final, TextIO

from starlette.requests import ClientDisconnect

from reconciler.runtime.answers import foreseen, refusal
from reconciler.runtime.metrics import Metrics
from reconciler.runtime.origins import HEADERS, preflight

_OWN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET: Final = re.compile(r"^(/+webhook/[^/]+/).+", re.IGNORECASE | re.DOTALL)
_LATER: Final = {"Retry-After": "5", "Connection": "close"}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def make_log(stream: TextIO | None = None) -> Any:
    """A structured log of one JSON object a line, to standard error by default; a line that cannot be written is let
    go."""
    import structlog

    class Lines(structlog.PrintLogger):
        def msg(self, message: str) -> None:
            with suppress(OSError):  # a full disk under the log is no reason to answer nobody
                super().msg(message)

        debug = info = warning = error = exception = critical = msg

    return structlog.wrap_logger(
        Lines(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


class Observe:
    """The outermost ASGI layer of our own, which also answers browsers' preflights.

    The client's `X-Request-Id` is taken over where it is a plain word.

    Without `access_log` only bugs are logged.
    """

    def __init__(self, app: Any, metrics: Metrics, log: Any, access_log: bool = True) -> None:
        self.app, self.metrics, self.log, self.access_log = app, metrics, log, access_log

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] != "/" and scope["path"].endswith("/"):
            scope["path"] = scope["path"].rstrip("/") or "/"
        began, status, stream = time.perf_counter(), 0, False
        id = _id(scope["headers"])

        async def sending(message: Any) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *HEADERS, (b"x-request-id", id.encode())]
                stream = any(name == b"content-type" and b"event-stream" in value for name, value in headers)
                message = {**message, "headers": headers}
            await send(message)

        try:
            answering = preflight(scope["headers"]) if scope["method"] == "OPTIONS" else self.app
            await answering(scope, receive, sending)
        except ClientDisconnect:
            status = status or 499
        except asyncio.CancelledError:  # the server stops and has waited long enough; nothing comes after this
            if status == 0:
                await refusal(503, "The runtime stops: send it again", headers=_LATER)(scope, receive, sending)
        except Exception as error:
            response = foreseen(error)
            if response is None:
                self.log.error("bug", id=id, path=masked(scope["path"]), exc_info=error)
                response = refusal(500, f"This is a bug. Its id in the log is {id}")
            if status == 0:
                await response(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.answered(method, route, status, None if stream else seconds)
            if self.access_log:
                path, ms = masked(scope["path"]), round(seconds * 1000, 2)
                self.log.info("request", id=id, method=method, path=path, status=status, ms=ms)


def masked(path: str) -> str:
    """A path as the log shows it: without webhook secrets."""
    return _SECRET.sub(r"\1…", path)


def _fresh_id() -> str:
    return f"{random.getrandbits(64):016x}"  # to find a line by, no secret; the kernel's cost 20 µs


def _id(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _OWN_ID.fullmatch(text) else _fresh_id()
    return _fresh_id()
