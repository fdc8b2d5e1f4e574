"""HTTP calls to a target: time limits, bounded retries, answers of a bounded size, errors by who must act.

Before it come the profiles, which know paths and bodies; after it `pace`, which all calls share, and the network. The
one door to httpx. What is tried again, and how:

| what happened | reads, changes, deletes, calls with a key | creates without a key |
|---|---|---|
| the connection is refused: certainly not done | again | again |
| 429: certainly not done | again, all calls slower | again, all calls slower |
| the connection breaks, times out, ends early | again | never: `AnswerLost` |
| 502, 504 | again | never: `AnswerLost` |
| 503 | again | never |
| 500 and any other answer | never: it would be the same | never |
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import random
from collections.abc import Mapping
from typing import Any, Final, TypedDict
from urllib.parse import urlsplit

import httpx
import msgspec

from reconciler import __version__
from reconciler.errors import Rejected, Unavailable
from reconciler.live.pace import Pace

MAX_ANSWER: Final = 256 << 20  # bytes; more than any fleet, less than a machine's memory
_TIMEOUT: Final = httpx.Timeout(30, connect=5)
_WORTH_RETRYING: Final = frozenset({429, 502, 503, 504})
_FIRST_WAIT: Final = 0.1  # seconds before the first retry; doubled each time, with jitter
_LONGEST_WAIT: Final = 30.0  # a target that asks for more is not waited for here: the next pass comes anyway
_PATIENCE: Final = 8  # times that one call is told 429 before it is given up


class AnswerLost(Unavailable):
    """Something was sent and its answer never came: it may or may not have been done."""


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, the body as bytes, the ETag."""

    status: int
    body: bytes
    etag: str | None

    def json(self, type: Any = Any) -> Any:
        """The body as data. Raises Unavailable where it is no JSON: something else than the target answered; and
        msgspec.ValidationError where it is not of this `type`."""
        try:
            return msgspec.json.decode(self.body, type=type)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError as error:
            raise Unavailable(f"the target answered {self.status} with something else than JSON") from error


class Refused(Rejected):
    """What the target refuses (4xx): its own words, and all that it `answered`."""

    def __init__(self, answered: Answer) -> None:
        super().__init__(answered.status, *_messages(answered))
        self.answered = answered


class Failed(Unavailable):
    """The target answered that it failed (500), with all that it `answered`: some targets say so of callers' faults."""

    def __init__(self, url: str, answered: Answer) -> None:
        super().__init__(f"{url} answered {_said(answered)}")
        self.answered = answered
        self.messages = _messages(answered)


class Calling(TypedDict, total=False):
    """How a `Client` calls, as its own parameters have it."""

    key_source: str
    attempts: int
    parallel: int


class Client:
    """Calls one target with its key. `key_source` is what error messages name instead of the key.

    What is repeated is repeated `attempts` times in all, 429 apart, with a wait that doubles and has jitter; the
    target's Retry-After is its minimum. At most `parallel` calls are under way, fewer where the target answers 429.
    """

    def __init__(
        self, url: str, api_key: str, *, key_source: str = "RECONCILER_API_KEY", attempts: int = 3, parallel: int = 10
    ) -> None:
        self.url = url.rstrip("/")
        self.pace = Pace(parallel)
        self.attempts = attempts
        self._key_source = key_source
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
        match: str | None = None,
        key: str | None = None,
        creates: bool = False,
    ) -> Answer:
        """One call; 304 is an answer like 2xx. `creates`: done twice it would make two.

        `etag` is sent as If-None-Match, `match` as If-Match, `key` as Idempotency-Key: with one a call that was
        done and is repeated is only answered again.

        Raises Refused for what the target refuses (4xx), Unavailable where it does not answer as it should (with
        its Retry-After), AnswerLost where a create, or a call with a key, may have been done without an answer.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"} if content is not None else {}
        headers |= {"if-none-match": etag} if etag else {}
        headers |= {"if-match": match} if match else {}
        headers |= {"idempotency-key": key} if key else {}
        once = creates and key is None
        lost = f"{self.url} did not answer {'a create' if creates else method}"
        failed = throttled = 0
        sent = False  # whether the target may have it
        while True:
            request = self._http.build_request(method, path, content=content, headers=headers)
            after: float | None = None
            try:
                async with self.pace as began:
                    answer, after = await self._once(request)
                    if answer.status == 429:
                        self.pace.refused(began, min(after or 0.0, _LONGEST_WAIT))
                    else:
                        self.pace.answered()
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                failed += 1
                if failed >= self.attempts:
                    kind = AnswerLost if sent else Unavailable
                    raise kind(f"{self.url} cannot be reached: {_why(error)}") from error
            except httpx.TransportError as error:
                failed += 1
                sent = sent or creates or key is not None
                if once or failed >= self.attempts:
                    kind = AnswerLost if sent else Unavailable
                    raise kind(f"{lost}: {_why(error)}") from error
            else:
                if answer.status not in _WORTH_RETRYING or (once and answer.status != 429):
                    return self._judged(answer, once)
                failed, throttled = failed + (answer.status != 429), throttled + (answer.status == 429)
                if failed >= self.attempts or throttled >= _PATIENCE or (after or 0) > _LONGEST_WAIT:
                    kind = AnswerLost if sent or (key is not None and answer.status in (502, 504)) else Unavailable
                    raise kind(f"{self.url} answered {_said(answer)}", after)
            wait = _FIRST_WAIT * 2 ** (failed + throttled - 1)
            await asyncio.sleep((after or 0) + wait * random.uniform(0.5, 1.5))  # noqa: S311

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
            raise Refused(answer)
        if creates and status in (502, 504):
            raise AnswerLost(f"{self.url} answered {_said(answer)} to a create")
        raise Failed(self.url, answer)


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
    """Retry-After in seconds from now, from seconds or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(date: str) -> float | None:
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
