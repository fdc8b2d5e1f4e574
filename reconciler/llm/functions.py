"""Functions that a model calls, as HTTP: `POST functionUrl {"functionName", "functionArguments"}`.

Before it comes a model's wish, after it the model again. Whatever goes wrong is an answer to the model, which can
tell the customer in its own words; bounded in time and size, no redirects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from reconciler.egress import Gate, client, forbidden
from reconciler.talk.prompt import Request

if TYPE_CHECKING:
    import httpx

SECONDS: Final = 20.0  # for one call
BYTES: Final = 256 * 1024  # of one answer


class Functions:
    """The functions of all bots, over one connection pool."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._http: httpx.AsyncClient | None = None

    async def call(self, request: Request, name: str, arguments: str, number: int) -> tuple[str, bool]:
        """Calls a function: the JSON text for the model, and whether it failed.

        `arguments` is the JSON object that the model wrote; `remoteJid` and `pushName` are added to it. The turn's
        key and `number` make an idempotency key, for a turn that was interrupted is tried again.
        """
        if request.function_url is None:
            return _failure("this bot has no functionUrl"), True
        try:
            given = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
        except msgspec.DecodeError:
            return _failure("the arguments are no JSON object"), True
        body = {
            "functionName": name,
            "functionArguments": {**given, "remoteJid": request.jid, "pushName": request.push_name},
        }
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(request.function_url, body, f"{request.key}:{number}"), False
        except _Refused as error:
            return _failure(str(error)), True
        except TimeoutError:
            return _failure(f"the function did not answer within {SECONDS:.0f} s"), True

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _post(self, url: str, body: Mapping[str, Any], key: str) -> str:
        import httpcore
        import httpx

        if self._http is None:
            self._http = client(httpx, httpcore, self._gate, 2 * BYTES, SECONDS)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            async with self._http.stream("POST", url, content=msgspec.json.encode(body), headers=headers) as response:
                if not response.is_success:
                    raise _Refused(f"the function answered {response.status_code}")
                found = bytearray()
                async for chunk in response.aiter_bytes():
                    found += chunk
                    if len(found) > BYTES:
                        raise _Refused(f"the function's answer is larger than {BYTES // 1024} KiB")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = forbidden(error)
            raise _Refused(
                f"the function was not called: {why}" if why else "the function could not be reached"
            ) from error
        try:
            return msgspec.json.encode(msgspec.json.decode(bytes(found))).decode()
        except msgspec.DecodeError as error:
            raise _Refused("the function's answer is no JSON") from error


class _Refused(Exception):
    pass


def _failure(reason: str) -> str:
    return msgspec.json.encode({"error": reason}).decode()
