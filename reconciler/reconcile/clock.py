"""The loop's time: the wall clock, a clock that never goes back, and waiting by it.

Everything in the loop that is due at some moment asks one `Clock`: passes, fetches, windows, back-off, what the forge
is told. So all of them agree on what time it is, and a test winds a clock of its own in place of waiting.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since the epoch; somebody may put this clock forward or back."""
        return time.time()

    def moment(self) -> datetime:
        """What `now` says, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def steady(self) -> float:
        """Seconds since any beginning, which never go back."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Waits until an event is set, at most so many steady seconds (None: for ever). Says whether it is set."""
        try:
            await asyncio.wait_for(event.wait(), None if seconds is None else max(0.0, seconds))
        except TimeoutError:
            return False
        return True


SYSTEM = Clock()
