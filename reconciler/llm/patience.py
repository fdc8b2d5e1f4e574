"""One request to a model server, tried until it is answered, refused for good, or the turn's deadline would pass.

Before it come the two APIs (`llm/chat.py`, `llm/responses.py`) and transcription; after it the SDK. Lost connections,
timeouts, 429 and 5xx are tried again with jitter, a server's Retry-After being a minimum.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.egress import forbidden
from reconciler.llm.answer import AWAY, ModelFailed
from reconciler.llm.breaker import Breakers

if TYPE_CHECKING:
    from openai import APIStatusError

T = TypeVar("T")

ATTEMPTS: Final = 6  # for one request, within the turn's deadline
REQUEST_SECONDS: Final = 60.0  # for one attempt
_RETRIED: Final = {408, 409, 429, 500, 502, 503, 504, 529}
_LATE = "the model server did not answer in time"
_ACCOUNT: Final = {401, 402, 403, 407}  # what says that the account is no good, whatever is asked


class Patience:
    """How requests are tried. `pause` is the seconds of the first back-off; each further one is twice as long."""

    def __init__(self, breakers: Breakers, pause: float = 0.5) -> None:
        self._breakers, self._pause = breakers, pause

    async def ask(
        self,
        key: Hashable,
        send: Callable[[float], Awaitable[T]],
        deadline: float,
        mended: Callable[[APIStatusError], bool] = lambda _: False,
    ) -> T:
        """The answer to `send(timeout in seconds)` by `deadline` (of time.monotonic); `key` is the account's circuit.

        `mended` may change the request after a refusal, to be sent again at once. Raises ModelFailed.
        """
        probe = self._breakers.admit(key)
        try:
            found = await self._ask(send, deadline, mended, 1 if probe else ATTEMPTS)
        except _Final as final:
            if final.ill:
                self._breakers.failed(key, probe, str(final))
            else:
                self._breakers.answered(key)
            raise ModelFailed(str(final)) from final.__cause__
        except asyncio.CancelledError:  # the turn's deadline, or the runtime stops
            if time.monotonic() >= deadline:
                self._breakers.failed(key, probe, _LATE)
            elif probe:
                self._breakers.cancelled(key)
            raise
        except BaseException:
            self._breakers.answered(key)  # it answered, though not as the API does
            raise
        self._breakers.answered(key)
        return found

    async def _ask(
        self,
        send: Callable[[float], Awaitable[T]],
        deadline: float,
        mended: Callable[[APIStatusError], bool],
        attempts: int,
    ) -> T:
        import openai

        attempt = 0
        while True:
            try:
                return await send(min(REQUEST_SECONDS, max(0.1, deadline - time.monotonic())))
            except openai.APIStatusError as error:
                if mended(error):
                    continue
                status, least = error.status_code, retry_after(error)
                cause: Exception = error
                failed = _Final(f"the model server answered {reason(error)}", status in _RETRIED | _ACCOUNT)
                if status not in _RETRIED or error.code == "insufficient_quota":
                    raise failed from error
            except openai.APIConnectionError as error:
                if why := forbidden(error):
                    raise _Final(f"the model server was not called: {why}", False) from error
                late = isinstance(error, openai.APITimeoutError)
                failed, least, cause = _Final(_LATE if late else AWAY, True), 0.0, error
            except openai.OpenAIError as error:
                raise _Final("the model's answer could not be read", False) from error
            wait = max(least, self._pause * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
            attempt += 1
            if attempt >= attempts or time.monotonic() + wait >= deadline:
                raise failed from cause
            await asyncio.sleep(wait)


class _Final(Exception):
    """A failure that is not tried again; `ill` if it says something of the account or its server."""

    def __init__(self, text: str, ill: bool) -> None:
        super().__init__(text)
        self.ill = ill


def retry_after(error: APIStatusError) -> float:
    """The seconds that a server asks to wait (RFC 9110, 10.2.3): a number or a date; 0 where it says nothing."""
    said = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0.0


def reason(error: APIStatusError) -> str:
    """Status and code, not the message: OpenAI puts parts of keys and prompts into it."""
    return f"{error.status_code} ({error.code})" if error.code else str(error.status_code)
