"""Files of messages that are somewhere else: a voice message or a text document, fetched by its address.

Before it comes a message's `Media` with a URL; after it transcription or the prompt. Bounded in time and size, through
the gate, no redirects.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from reconciler.egress import Gate, client, forbidden
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    import httpx

SECONDS: Final = 20.0  # for one file
BYTES: Final = 5 << 20  # of one file


class NotFetched(ReconcilerError):
    """A file could not be had; the text says why, without the address, which may hold a signature."""


class Files:
    """Fetches files, over one connection pool."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._http: httpx.AsyncClient | None = None

    async def fetch(self, url: str, most: int = BYTES) -> bytes:
        """The bytes at an address, `most` at the most. Raises NotFetched."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._get(url, most)
        except TimeoutError as error:
            raise NotFetched(f"its address did not answer within {SECONDS:.0f} s") from error

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _get(self, url: str, most: int) -> bytes:
        import httpcore
        import httpx

        if self._http is None:
            self._http = client(httpx, httpcore, self._gate, BYTES + 1, SECONDS)
        try:
            async with self._http.stream("GET", url) as response:
                if not response.is_success:
                    raise NotFetched(f"its address answered {response.status_code}")
                found = bytearray()
                async for chunk in response.aiter_bytes():
                    found += chunk
                    if len(found) > most:
                        raise NotFetched(f"it is larger than {most >> 10} KiB")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = forbidden(error)
            raise NotFetched(f"its address was not called: {why}" if why else "its address did not answer") from error
        return bytes(found)
