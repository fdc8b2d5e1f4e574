"""Carries what was said to an instance's webhook, for whoever holds the line: one POST a message.

The body is the event that an Evolution API server sends for its own messages (`send.message`), without any key in it.
The message's id is the `Idempotency-Key`, for after a crash or a lost answer the same message is posted again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from reconciler.egress import Gate, client, forbidden
from reconciler.model import Instance
from reconciler.store.outbox import Push
from reconciler.talk.attach import kind_of

if TYPE_CHECKING:
    import httpx

SECONDS: Final = 15.0
_BYTES: Final = 64 * 1024  # of an answer
_NAMED: Final = 1.0  # seconds to read what an answer says; taken is taken, whatever it says


class NotTaken(Exception):
    """A webhook did not take a message; `final` if posting it again would change nothing."""

    def __init__(self, reason: str, final: bool) -> None:
        super().__init__(reason)
        self.final = final


class Webhooks:
    """Posts to webhooks over one connection pool and through `gate`; redirects are not followed."""

    def __init__(self, seconds: float = SECONDS, gate: Gate | None = None) -> None:
        self._seconds, self._gate = seconds, gate or Gate()
        self._http: httpx.AsyncClient | None = None

    async def post(self, instance: Instance, push: Push) -> str | None:
        """Posts one message. The id under which it was taken, where the answer names one as Evolution API's sendText
        does (`{"key": {"id"}}`). Raises NotTaken where the answer is not a success (2xx).
        """
        import httpcore
        import httpx

        if self._http is None:
            self._http = client(httpx, httpcore, self._gate, _BYTES, self._seconds)
        headers = {"Content-Type": "application/json", "Idempotency-Key": push.id}
        body = msgspec.json.encode(event(instance, push))
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._http.stream("POST", instance.webhook or "", content=body, headers=headers) as response,
            ):
                status = response.status_code
                if 200 <= status < 300:
                    return await _named(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NotTaken("the instance's webhook is no http address", final=True) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise NotTaken(forbidden(error) or f"no answer ({type(error).__name__})", final=False) from error
        raise NotTaken(f"answered {status}", final=400 <= status < 500 and status not in (408, 409, 425, 429))

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()


class _Key(msgspec.Struct):
    id: str


class _Taken(msgspec.Struct):
    key: _Key


async def _named(response: httpx.Response) -> str | None:
    """The id that an answer gives the message, if it does."""
    import httpx

    try:
        async with asyncio.timeout(_NAMED):
            return msgspec.json.decode(await response.aread(), type=_Taken).key.id
    except (httpx.HTTPError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def event(instance: Instance, push: Push) -> dict[str, Any]:
    """The body of a push; a file stands as that server's own messages do, with its address beside."""
    said = datetime.fromtimestamp(push.at, UTC)
    kind, message = "conversation", {"conversation": push.text}  # type: str, dict[str, Any]
    if push.media_url is not None:
        kind = f"{kind_of(push.media_url) or 'document'}Message"
        message = {kind: {"caption": push.text} if push.text else {}, "mediaUrl": push.media_url}
    return {
        "event": "send.message",
        "instance": instance.name,
        "data": {
            "key": {"id": push.id, "remoteJid": push.jid, "fromMe": True},
            "message": message,
            "messageType": kind,
            "messageTimestamp": int(push.at),
            "instanceId": instance.id,
        },
        "date_time": said.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
