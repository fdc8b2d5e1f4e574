"""Server-sent events that end when the client goes, its key no longer opens what it follows, or the server stops.

Before it come handlers that follow something; after it the wire. An ASGI response of its own, since a stream must
watch two things at once: news to send and the client's leaving.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

from starlette.responses import Response

PING: Final = 15.0  # seconds of silence after which a comment is sent, so that nobody in between hangs up


Opens = Callable[[], bool]  # whether the key that a stream was opened with still opens it


class Streams:
    """The open streams of one server; `stop` ends them all, also those that are opened later."""

    def __init__(self, ping: float = PING) -> None:
        self.ping = ping
        self._open: dict[asyncio.Event, Opens] = {}
        self._stopped = False

    def stop(self) -> None:
        """Ends every stream. To be called when the server is told to stop, before it waits for its connections."""
        self._stopped = True
        for event in self._open:
            event.set()

    def review(self) -> None:
        """Ends the streams whose keys open them no more. To be called when a key was taken away; one that runs out is
        noticed before anything else is sent."""
        for event, opens in self._open.items():
            if not opens():
                event.set()

    def response(self, events: Callable[[], AsyncIterator[bytes]], opens: Opens) -> Response:
        """`events` as a response: each item is sent as it comes, and a comment after `ping` seconds of silence, as long
        as the client's key `opens` it."""
        return _EventStream(self, events, opens)


class _EventStream(Response):
    media_type = "text/event-stream"

    def __init__(self, streams: Streams, events: Callable[[], AsyncIterator[bytes]], opens: Opens) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams, self._events, self._opens = streams, events, opens

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        ended = asyncio.Event()
        if self._streams._stopped:
            ended.set()
        self._streams._open[ended] = self._opens
        tasks = [
            asyncio.create_task(self._watch(receive, ended)),
            asyncio.create_task(self._pump(scope["method"], send, ended)),
        ]
        try:
            await ended.wait()
        finally:
            del self._streams._open[ended]
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        for result in done:
            if isinstance(result, Exception):
                raise result

    async def _watch(self, receive: Any, ended: asyncio.Event) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    async def _pump(self, method: str, send: Any, ended: asyncio.Event) -> None:
        try:
            if method == "HEAD":
                return
            stream = self._events()
            coming: asyncio.Future[bytes] | None = None
            await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})
            try:
                while True:
                    coming = coming or asyncio.ensure_future(anext(stream))
                    await asyncio.wait([coming], timeout=self._streams.ping)
                    body = b": ping\n\n"
                    if coming.done():
                        try:
                            body = coming.result()
                        except StopAsyncIteration:
                            return
                        coming = None
                    if not self._opens():
                        return
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            finally:
                if coming is not None:
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
        finally:
            ended.set()
