"""How many calls to one target may be under way, and not before when: learned from what the target refuses.

Before it comes `client`, whose calls all pass here; after it the network. Additive increase, multiplicative decrease,
as TCP does it (RFC 5681, 3.1): a 429 halves what is allowed, each answer without one adds a little, so that many calls
settle just below what the target takes. A 429 also holds back every other call until its Retry-After is over.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

_LEAST: Final = 1.0


class Pace:
    """Lets at most `most` calls pass at a time; `async with` it around each. Made and used in one event loop."""

    def __init__(self, most: int) -> None:
        self._most = float(max(1, most))
        self._allowed = self._most
        self._running = 0
        self._resume = 0.0  # the loop's time before which no call starts
        self._slowed = 0.0  # when it was slowed last: calls that began before say nothing new
        self._moved = asyncio.Event()

    @property
    def allowed(self) -> int:
        """How many calls may be under way now."""
        return int(self._allowed)

    async def __aenter__(self) -> float:
        """Waits for a place; gives the loop's time at which the call begins."""
        loop = asyncio.get_running_loop()
        while True:
            if (wait := self._resume - loop.time()) > 0:
                await asyncio.sleep(wait)
            elif self._running < self.allowed:
                self._running += 1
                return loop.time()
            else:
                self._moved.clear()
                await self._moved.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running -= 1
        self._moved.set()

    def refused(self, began: float, after: float) -> None:
        """A call that began at `began` was told that there are too many; none starts for `after` seconds."""
        now = asyncio.get_running_loop().time()
        self._resume = max(self._resume, now + after)
        if began >= self._slowed:  # of calls sent side by side only the first one counts
            self._allowed = max(_LEAST, self._allowed / 2)
            self._slowed = now

    def answered(self) -> None:
        """A call was taken."""
        self._allowed = min(self._most, self._allowed + 1 / self._allowed)
        self._moved.set()
