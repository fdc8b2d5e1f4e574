"""HTTP calls to a forge: time limits, bounded retries that heed the forge's wishes, paging, answers of a bounded size.

Before it the three forges, which know paths and bodies; after it the network. The token is in a header and nowhere
else: not in an address, an error or a log, and it goes to no other host, since redirects and foreign pages are not
followed.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from reconciler import __version__
from reconciler.errors import Misuse, Rejected, Unavailable
from reconciler.reconcile.forge.port import AnswerLost, NotAllowed

MAX_ANSWER: Final = 64 << 20  # bytes; a page of comments at their longest is smaller
MAX_PAGES: Final = 100
_ATTEMPTS: Final = 4
PATIENCE: Final = 90.0  # seconds waited in all for a forge that says when to come again
_FIRST_WAIT: Final = 0.5  # seconds before the first retry; doubled each time, with jitter
_SECONDARY: Final = 60.0  # GitHub, "best practices": a minute where a secondary limit names no time
_TIMEOUT: Final = httpx.Timeout(30, connect=10)
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_NEXT: Final = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next"?')


T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, the body as data, the query of the next page."""

    status: int
    data: Any
    following: str | None

    def of(self, kind: type[T]) -> T:
        """The body in the shape that the API's pages give it. Raises Unavailable where it has another one."""
        return _shaped(self.data, kind)


def _shaped(data: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise Unavailable(f"the forge answered in another shape than its API's ({error}): is that its API?") from error


class _User(msgspec.Struct, frozen=True):
    id: int


class Calls:
    """Calls one forge's API. `token_source` names the token in messages, `needs` what it must be allowed to do."""

    def __init__(
        self,
        api: str,
        headers: Mapping[str, str],
        *,
        token_source: str,
        needs: str,
        patience: float = PATIENCE,
        first_wait: float = _FIRST_WAIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(api)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise Misuse(f"the forge's address {parts.scheme}://{parts.hostname or ''} is no address of an API")
        self.api = api.rstrip("/")
        self.host = parts.hostname
        self._token_source, self._needs = token_source, needs
        self._patience, self._first_wait, self._clock = patience, first_wait, clock
        self._own: int | None = None
        self._asked = False
        self._http = httpx.AsyncClient(
            headers={"user-agent": f"reconciler/{__version__}", **headers},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=4),
            follow_redirects=False,
            verify=parts.scheme != "http",  # without TLS the certificates need not be read (30 ms)
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | str = "",
        creates: bool = False,
    ) -> Answer:
        """One call. `creates`: done twice it would make two, so it is repeated only where it was not taken.

        Raises NotAllowed (401, 403, 404), Rejected (other 4xx), Unavailable with when to come again, AnswerLost.
        """
        waited, attempt = 0.0, 0
        while True:
            attempt += 1
            wait = self._first_wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
            asked: float | None = None
            try:
                response = await self._send(method, path, body, query)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                failed = Unavailable(f"{self.host} cannot be reached: {_why(error)}")
                failed.__cause__ = error
            except httpx.TransportError as error:
                if creates:
                    raise AnswerLost(f"{self.host} did not answer: {_why(error)}") from error
                failed = Unavailable(f"{self.host} did not answer: {_why(error)}")
                failed.__cause__ = error
            else:
                asked = self._limited(response)
                if asked is None and response.status_code not in _PASSING:
                    return self._judged(response)
                if creates and asked is None:
                    raise AnswerLost(f"{self.host} answered {response.status_code}")
                said = "asks to come again later" if asked is not None else "answered with a fault of its own"
                failed = Unavailable(f"{self.host} {said} ({response.status_code})", asked)
            wait = max(wait, asked or 0.0)
            waited += wait
            if attempt >= _ATTEMPTS or waited > self._patience:
                raise failed
            await asyncio.sleep(wait)

    async def pages(
        self, path: str, kind: type[T], query: Mapping[str, str], most: int = MAX_PAGES
    ) -> AsyncIterator[T]:
        """The items of a list, page by page as the forge's `Link` header leads (RFC 8288).

        Of a link only the query is used: a forge behind a proxy may write another host into it.
        Raises Unavailable where there are more pages than `most`.
        """
        answer = await self.call("GET", path, query=query)
        for _ in range(most):
            for item in answer.data or ():
                yield _shaped(item, kind)
            if answer.following is None:
                return
            answer = await self.call("GET", path, query=answer.following)
        raise Unavailable(f"{self.host} has more than {most} pages of {path}")

    async def own(self) -> int | None:
        """The number of the user that the token is of; None where it cannot ask, as a job's own token."""
        if not self._asked:
            try:
                self._own = (await self.call("GET", "/user")).of(_User).id
            except NotAllowed:
                self._own = None
            self._asked = True
        return self._own

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str] | str
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"content-type": "application/json"}
        asked = query if isinstance(query, str) else urlencode(query)
        url = f"{self.api}{path}?{asked}" if asked else self.api + path
        request = self._http.build_request(method, url, content=content, headers=headers)
        response = await self._http.send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > MAX_ANSWER:
                    raise Unavailable(f"{self.host} answered with more than {MAX_ANSWER >> 20} MiB")
                parts.append(part)
        finally:
            await response.aclose()
        kept = [(name, value) for name, value in response.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(response.status_code, headers=kept, content=b"".join(parts))

    def _limited(self, response: httpx.Response) -> float | None:
        """Seconds that the forge asks to wait; None where it asks for nothing.

        GitHub says 403 as well as 429 for its limits: with Retry-After, with `x-ratelimit-remaining: 0` and the second
        at which there is more, or in words alone (docs.github.com, "Rate limits for the REST API").
        """
        status, headers = response.status_code, response.headers
        after = _seconds(headers.get("retry-after"), self._clock())
        if status == 429 or (status == 503 and after is not None):
            return after if after is not None else self._reset(headers) or self._first_wait
        if status != 403:
            return None
        if after is not None:
            return after
        if headers.get("x-ratelimit-remaining") == "0":
            return self._reset(headers) or _SECONDARY
        return _SECONDARY if "secondary rate limit" in response.text.lower() else None

    def _reset(self, headers: httpx.Headers) -> float | None:
        at = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
        return max(1.0, float(at) - self._clock()) if at.isdecimal() else None

    def _judged(self, response: httpx.Response) -> Answer:
        status = response.status_code
        if 200 <= status < 300:
            return Answer(status, self._data(response), _following(response.headers.get("link", "")))
        if status == 401:
            raise NotAllowed(f"{self.host} does not accept the token: check {self._token_source}", status)
        if status in (403, 404):
            reason = f"{self.host} answered {status}: {'; '.join(_messages(response))}"
            raise NotAllowed(f"{reason}; {self._token_source} needs {self._needs}", status)
        if 300 <= status < 400:
            raise Misuse(f"{self.host} answered {status}: the repository has moved, so use its new name")
        raise Rejected(status, *_messages(response))

    def _data(self, response: httpx.Response) -> Any:
        if not response.content:
            return None
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self.host} answered with something else than JSON: is that its API?") from error


def _following(link: str) -> str | None:
    found = _NEXT.search(link)
    return urlsplit(found[1]).query or None if found is not None else None


def _messages(response: httpx.Response) -> tuple[str, ...]:
    """What an error answer says of itself, short and on one line; GitLab nests its messages."""
    try:
        data = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        data = None
    said = []
    if isinstance(data, dict):
        said += [data[key] for key in ("message", "error", "error_description") if data.get(key)]
        said += [one.get("message") or one.get("code") for one in data.get("errors") or () if isinstance(one, dict)]
    texts = [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in said if one]
    return tuple(" ".join(text.split())[:300] for text in texts[:5]) or ("no reason given",)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _seconds(value: str | None, now: float) -> float | None:
    """Retry-After in seconds, from a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None
