"""Rows and lists as they are answered: their ETag, 304 for who has seen it, pages, and no second copy in memory.

Before it come the handlers of `runtime/api/`, after it the wire. A list is asked for whole or by pages; the state it
shows is named before it is read, so an answer newer than its ETag only makes the next reading a full one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import Response

from reconciler.errors import Rejected
from reconciler.runtime.answers import raw
from reconciler.runtime.call import Call
from reconciler.store.tags import row_tag

MOST: Final = 1000  # entries of one page
MOST_PAGES: Final = 1_000_000
PAGED: Final = ("page", "limit")  # the parameters of a list that is asked for by pages
_ASKED: Final = ("instanceName", "instanceId", "openaiCredsId", "target", "limit")  # said again of the next page
_CHUNK: Final = 1 << 16  # bytes sent at once
_CACHE: Final = "private, no-cache"

T = TypeVar("T")
Read = Callable[[str, int, int], Awaitable[list[bytes]]]  # instance's id, limit (-1: all), offset -> rows as JSON


async def answer_list(call: Call, read: Read) -> Response:
    """A list of the instance in the path; `?page=` (from 1) and `?limit=` (1 to 1000) choose a part of it."""
    limit, offset = page(call)
    etag = quoted(call.served.store.fleet.version_of(call.instance.id))
    if seen(call, etag):
        return unchanged(etag)
    rows = await read(call.instance.id, limit, offset)
    return Rows(rows, {"ETag": etag, "Cache-Control": _CACHE, **more(call, limit, offset, len(rows))})


def answer_row(call: Call, row: str, status: int = 200) -> Response:
    """One row with its ETag; 304 to a GET of who has seen it."""
    etag = quoted(row_tag(row))
    if call.request.method in ("GET", "HEAD") and seen(call, etag):
        return unchanged(etag)
    return raw(row, status, {"ETag": etag, "Cache-Control": _CACHE})


async def answer_found(call: Call, found: Iterable[object], headers: dict[str, str]) -> Response:
    """A list put together for this answer, with an ETag of what it says; 304 spares who has seen it the transfer. Its
    entries are made and encoded aside, one by one."""

    def made() -> tuple[list[bytes], str]:
        rows = [msgspec.json.encode(one) for one in found]
        return rows, quoted(row_tag(b",".join(rows)))

    rows, etag = await asyncio.to_thread(made)
    return unchanged(etag) if seen(call, etag) else Rows(rows, {"ETag": etag, "Cache-Control": _CACHE, **headers})


async def answer_rows(found: Iterable[object], headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """A list whose entries are made and encoded aside, one by one, so that the loop goes on meanwhile."""
    return Rows(await asyncio.to_thread(lambda: [msgspec.json.encode(one) for one in found]), headers or {}, status)


async def answer_aside(data: Callable[[], object]) -> Response:
    """What is asked for and encoded aside."""
    return raw(await asyncio.to_thread(lambda: msgspec.json.encode(data())))


def part(call: Call, rows: Sequence[T]) -> tuple[Sequence[T], dict[str, str]]:
    """The page of a list at hand that the query asks for, with the header that names the next one."""
    limit, offset = page(call)
    chosen = rows[offset:] if limit < 0 else rows[offset : offset + limit]
    return chosen, more(call, limit, offset, len(chosen))


def more(call: Call, limit: int, offset: int, count: int) -> dict[str, str]:
    """`Link` to the next page (RFC 8288), where this one is full; nothing where the list was asked for whole."""
    if limit < 0 or count < limit:
        return {}
    return following(call, page=offset // limit + 2, limit=limit)


def following(call: Call, **changed: object) -> dict[str, str]:
    """`Link` to the same call with other parameters. A key in the query is no key, and is not said again."""
    asked = {name: value for name, value in call.request.query_params.items() if name in (*_ASKED, *changed)}
    query = urlencode({**asked, **changed})
    return {"Link": f'<{quote(call.request.url.path, safe="/")}?{query}>; rel="next"'}


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

    def __init__(
        self, rows: list[bytes], headers: dict[str, str], status: int = 200, around: tuple[bytes, bytes] = (b"[", b"]")
    ) -> None:
        size = sum(map(len, rows)) + max(0, len(rows) - 1) + sum(map(len, around))
        super().__init__(status_code=status, headers={**headers, "Content-Length": str(size)})
        rows.reverse()
        self._rows, self._around = rows, around

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece, size = [self._around[0]], 0
        while self._rows:
            row = self._rows.pop()
            piece += (row, b",") if self._rows else (row,)
            size += len(row)
            if size >= _CHUNK:
                await send({"type": "http.response.body", "body": b"".join(piece), "more_body": True})
                await asyncio.sleep(0)  # a client that takes all at once is not the only one
                piece, size = [], 0
        await send({"type": "http.response.body", "body": b"".join([*piece, self._around[1]])})


class Streamed(Response):
    """A JSON list whose rows are read while it is sent: in memory is what the client has yet to take, and a bit.

    The first rows are there before anything is sent, so what is wrong with the question still has its own status.
    """

    media_type = "application/json"

    def __init__(self, first: list[bytes], rest: AsyncIterator[list[bytes]], headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._first, self._rest = first, rest

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece = b"[" + b",".join(self._first)
        self._first = []
        if scope["method"] != "HEAD":
            async for rows in self._rest:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)
                piece = b"," + b",".join(rows)
        await send({"type": "http.response.body", "body": piece + b"]"})
