"""Connections that strangers hold: a request's head has a size, and a whole request a time in which it must come.

Before it comes the socket, after it uvicorn's own protocol, which bounds neither: a head that never ends would fill the
memory, and connections that never say anything would use up all that the process may have.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reconciler.runtime.answers import refusal

HEAD: Final = 64 << 10  # bytes of a request's line and headers
PATIENCE: Final = 120.0  # seconds from a connection, or a request's first byte, to the request's end


class Wire(HttpToolsProtocol):
    """uvicorn's protocol with these two bounds; a connection that breaks one is closed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._size = 0  # bytes since the end of the last head or body
        self._heading = self._coming = True
        self._giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and has to say something."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A part of a request, or several requests."""
        self._size += len(data)
        super().data_received(data)
        if self._heading and self._size > HEAD:
            self._refuse(431, f"the request's line and headers are larger than {HEAD} bytes")
        elif self._coming:
            self._wait()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._coming = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._heading, self._size = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._heading, self._size, self._coming = True, 0, False
        self._rest()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all is answered in the one form that errors have here."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        answer = refusal(status, message, headers={"Connection": "close"})
        head = (b"%s: %s" % header for header in answer.raw_headers)
        start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
        self.transport.write(b"\r\n".join((start, *head, b"", bytes(answer.body))))
        self.transport.close()

    def _wait(self) -> None:
        if self._giving_up is None and not self.transport.is_closing():
            self._giving_up = self.loop.call_later(PATIENCE, self.transport.close)

    def _rest(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
