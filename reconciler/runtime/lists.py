"""Rows and lists as they are answered: their ETag, 304 for who has seen it, pages, and no second copy in memory.

Before it come the handlers of `runtime/api/`, after it the wire. A list is asked for whole or by pages; the state it
shows is named before it is read, so an answer newer than its ETag only makes the next reading a full one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.responses import Response

from reconciler.errors import Rejected
from reconciler.runtime.answers import raw
from reconciler.runtime.call import Call
from reconciler.store.tags import row_tag

MOST: Final = 1000  # entries of one page
MOST_PAGES: Final = 1_000_000
PAGED: Final = ("page", "limit")  # the parameters of a list that is asked for by pages
_CHUNK: Final = 1 << 16  # bytes sent at once
_CACHE: Final = "private, no-cache"

Read = Callable[[str, int, int], Awaitable[list[bytes]]]  # instance's id, limit (-1: all), offset -> rows as JSON


async def answer_list(call: Call, read: Read) -> Response:
    """A list of the instance in the path; `?page=` (from 1) and `?limit=` (1 to 1000) choose a part of it."""
    limit, offset = page(call)
    etag = quoted(call.served.store.fleet.version_of(call.instance.id))
    if seen(call, etag):
        return unchanged(etag)
    return Rows(await read(call.instance.id, limit, offset), etag)


def answer_row(call: Call, row: str, status: int = 200) -> Response:
    """One row with its ETag; 304 to a GET of who has seen it."""
    etag = quoted(row_tag(row))
    if call.request.method in ("GET", "HEAD") and seen(call, etag):
        return unchanged(etag)
    return raw(row, status, {"ETag": etag, "Cache-Control": _CACHE})


def answer_found(call: Call, data: object) -> Response:
    """What was put together for this answer, with an ETag of what it says; 304 spares who has seen it the transfer."""
    content = msgspec.json.encode(data)
    etag = quoted(row_tag(content))
    return unchanged(etag) if seen(call, etag) else raw(content, 200, {"ETag": etag, "Cache-Control": _CACHE})


def page(call: Call) -> tuple[int, int]:
    """Limit (-1: all) and offset that the query asks for. Raises Rejected 400."""
    asked, limit = call.query("page"), call.query("limit")
    if asked is None and limit is None:
        return -1, 0
    number, size = whole("page", asked or "1", MOST_PAGES), whole("limit", limit or str(MOST), MOST)
    return size, (number - 1) * size


def whole(name: str, text: str, most: int) -> int:
    """A parameter that is a number from 1 to `most` (below 10**19). Raises Rejected 400."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    if not 1 <= number <= most:
        raise Rejected(400, f"{name} is not a number from 1 to {most}")
    return number


def quoted(tag: str) -> str:
    """A tag as the header carries it."""
    return f'"{tag}"'


def tags(header: str) -> tuple[str, ...]:
    """The tags of If-Match or If-None-Match. A proxy that compresses makes them weak: all the same, for a tag
    here names a state, whatever its coding."""
    found = (part.strip().removeprefix("W/") for part in header.split(","))
    return tuple(part if part == "*" else part.strip('"') for part in found if part)


def seen(call: Call, etag: str) -> bool:
    """Whether If-None-Match names this ETag."""
    header = call.request.headers.get("if-none-match")
    return header is not None and not {"*", etag.strip('"')}.isdisjoint(tags(header))


def match(call: Call) -> tuple[str, ...] | None:
    """The states on which the caller's change may be made (If-Match); None: on whatever is there."""
    header = call.request.headers.get("if-match")
    return None if header is None else tags(header)


def unchanged(etag: str) -> Response:
    """304: what the caller has is what there is."""
    return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _CACHE})


class Rows(Response):
    """A JSON list of rows. Sent piece by piece, each let go once it is sent, so that a long list is held once."""

    media_type = "application/json"

    def __init__(self, rows: list[bytes], etag: str) -> None:
        size = sum(map(len, rows)) + max(0, len(rows) - 1) + 2
        super().__init__(headers={"ETag": etag, "Cache-Control": _CACHE, "Content-Length": str(size)})
        rows.reverse()
        self._rows = rows

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece, size = [b"["], 0
        while self._rows:
            row = self._rows.pop()
            piece += (row, b",") if self._rows else (row,)
            size += len(row)
            if size >= _CHUNK:
                await send({"type": "http.response.body", "body": b"".join(piece), "more_body": True})
                piece, size = [], 0
        await send({"type": "http.response.body", "body": b"".join([*piece, b"]"])})
