"""A clock for the loop's tests: it stands until a test winds it, so no test waits for time to pass."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from reconciler.reconcile.clock import Clock

_JUST = 0.001  # seconds: the difference of two moments of the wall clock is exact to a millionth
PATIENCE = 120.0  # seconds of the machine's clock: only what never comes takes so long


async def until(look: Callable[[], Any], between: Callable[[], object] = lambda: None) -> Any:
    """What `look` gives as soon as it is anything; `between` is called before each further look."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"not so within {PATIENCE:.0f} s"
        between()
        await asyncio.sleep(0.005)
    return found


class Wound(Clock):
    """Its wall clock begins now, and both its clocks go on only by `wind`."""

    def __init__(self) -> None:
        self._epoch, self._gone = time.time(), 0.0
        self._waits: dict[asyncio.Future[None], float] = {}  # when each ends, in steady seconds
        self.rests = 0  # how often somebody began to wait

    def now(self) -> float:
        return self._epoch + self._gone

    def steady(self) -> float:
        return self._gone

    def put(self, seconds: float) -> None:
        """Puts the wall clock forward or back."""
        self._epoch += seconds

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        if event.is_set() or (seconds is not None and seconds <= 0):
            await asyncio.sleep(0)
            return event.is_set()
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits[ended] = math.inf if seconds is None else self._gone + seconds
        self.rests += 1
        setting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({ended, setting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            setting.cancel()
            del self._waits[ended]
        return event.is_set()

    def left(self) -> float:
        """Seconds to the moment that is waited for first; infinite while nobody waits for one."""
        return max(0.0, min(self._waits.values(), default=math.inf) - self._gone)

    def wind(self, seconds: float) -> None:
        """Lets so much time pass at once."""
        self._gone += seconds
        for ended, at in self._waits.items():
            if at <= self._gone and not ended.done():
                ended.set_result(None)

    def leap(self) -> None:
        """Goes on to just after the moment that is waited for first, if nothing but that is left to happen."""
        if math.isfinite(left := self.left()):
            self.wind(left + _JUST)

    async def run(self, look: Callable[[], Any]) -> Any:
        """What `look` gives as soon as it is anything; time passes as nothing but time is left to happen."""
        return await until(look, self.leap)

    async def go_on(self, seconds: float | None = None) -> None:
        """Lets time pass, to the moment that is waited for first where it is not said how much, until time alone is
        waited for again."""
        since = self.rests
        if seconds is None:
            self.leap()
        else:
            self.wind(seconds)
        await self.rest(since)

    async def rest(self, since: int = 0) -> None:
        """Until time alone is waited for, by somebody who began to wait after `since` rests."""
        await until(lambda: self.rests > since and math.isfinite(self.left()))
