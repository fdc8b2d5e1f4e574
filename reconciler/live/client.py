"""HTTP calls to a target: time limits, bounded retries, answers of a bounded size, errors by who must act.

Before it come the profiles, which know paths and bodies; after it the network. The one door to httpx.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from reconciler import __version__
from reconciler.errors import Rejected, Unavailable

MAX_ANSWER: Final = 256 << 20  # bytes; more than any fleet, less than a machine's memory
_TIMEOUT: Final = httpx.Timeout(30, connect=5)
_WORTH_RETRYING: Final = frozenset({429, 502, 503, 504})
_FIRST_WAIT: Final = 0.1  # seconds before the first retry; doubled each time, with jitter
_LONGEST_WAIT: Final = 30.0  # a target that asks for more is not waited for here: the next pass comes anyway


class AnswerLost(Unavailable):
    """A create was sent and its answer never came: it may or may not have been done."""


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, the body as bytes, the ETag."""

    status: int
    body: bytes
    etag: str | None

    def json(self) -> Any:
        """The body as data. Raises Unavailable where it is no JSON: something else than the target answered."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise Unavailable(f"the target answered {self.status} with something else than JSON") from error


class Client:
    """Calls one target with its key. `key_source` is what error messages name instead of the key.

    Reads, changes and deletes are repeated (`attempts` in all) after a lost connection, 429, 502, 503 and 504. A
    create is repeated only where it was certainly not taken: connection refused, or 429.
    """

    def __init__(
        self, url: str, api_key: str, *, key_source: str = "RECONCILER_API_KEY", attempts: int = 3, parallel: int = 10
    ) -> None:
        self.url = url.rstrip("/")
        self._key_source = key_source
        self._attempts = attempts
        local = _is_loopback(url)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={
                "apikey": api_key,
                "user-agent": f"reconciler/{__version__}",
                # On one machine squeezing a fleet costs more than carrying it.
                **({"accept-encoding": "identity"} if local else {}),
            },
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=parallel, max_keepalive_connections=parallel),
            trust_env=not local,  # a proxy of the environment does not know this machine's own addresses
            verify=urlsplit(url).scheme != "http",  # without TLS the certificates need not be read (30 ms)
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
        etag: str | None = None,
        creates: bool = False,
    ) -> Answer:
        """One call; 304 is an answer like 2xx. `creates`: done twice it would make two.

        Raises Rejected for what the target refuses (4xx), Unavailable where it does not answer as it should (with
        its Retry-After), AnswerLost for a create whose answer never came.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"} if content is not None else {}
        if etag:
            headers["if-none-match"] = etag
        attempt = 0
        while True:
            attempt += 1
            request = self._http.build_request(method, path, content=content, headers=headers)
            last = attempt >= self._attempts
            wait = _FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
            try:
                answer, after = await self._once(request)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                if last:
                    raise Unavailable(f"{self.url} cannot be reached: {_why(error)}") from error
            except httpx.TransportError as error:
                if creates:
                    raise AnswerLost(f"{self.url} did not answer a create: {_why(error)}") from error
                if last:
                    raise Unavailable(f"{self.url} did not answer: {_why(error)}") from error
            else:
                if answer.status not in _WORTH_RETRYING or (creates and answer.status != 429):
                    return self._judged(answer, creates)
                wait = max(wait, after or 0)
                if last or wait > _LONGEST_WAIT:
                    raise Unavailable(f"{self.url} answered {_said(answer)}", after)
            await asyncio.sleep(wait)

    async def _once(self, request: httpx.Request) -> tuple[Answer, float | None]:
        response = await self._http.send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > MAX_ANSWER:
                    raise Unavailable(f"{self.url} answered with more than {MAX_ANSWER >> 20} MiB")
                parts.append(part)
        finally:
            await response.aclose()
        answer = Answer(response.status_code, b"".join(parts), response.headers.get("etag"))
        return answer, _seconds(response.headers.get("retry-after"))

    def _judged(self, answer: Answer, creates: bool) -> Answer:
        status = answer.status
        if 200 <= status < 300 or status == 304:
            return answer
        if status == 401:
            raise Unavailable(f"{self.url} does not accept the key: check {self._key_source}")
        if 400 <= status < 500:
            raise Rejected(status, *_messages(answer))
        if creates and status in (502, 504):
            raise AnswerLost(f"{self.url} answered {_said(answer)} to a create")
        raise Unavailable(f"{self.url} answered {_said(answer)}")


def _messages(answer: Answer) -> tuple[str, ...]:
    """What the target says is wrong, in its own words."""
    try:
        found = msgspec.json.decode(answer.body)["response"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return (f"answered {answer.status}",)
    return tuple(map(str, found)) if isinstance(found, list) else (str(found),)


def _said(answer: Answer) -> str:
    messages = _messages(answer)
    return str(answer.status) if messages[0].startswith("answered ") else f"{answer.status}: {'; '.join(messages)}"


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; a date is not understood (RFC 9110, 10.2.3 allows both)."""
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
