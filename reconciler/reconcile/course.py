"""One target in the loop: what is remembered of it, when it is due, and the pass that is made then.

Before it the loop's rounds; after it `passes.run_pass`. A target is due when its interval ends or its schedule says so,
when a window opens that it waited for, when a back-off ends; and at once when another commit is desired, or somebody
asks.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from reconciler.desired.times import after, cron
from reconciler.errors import Unavailable
from reconciler.model import Desired, Live, Ref, Sync
from reconciler.plan.order import Step
from reconciler.reconcile.apply import Reach, Together
from reconciler.reconcile.clock import SYSTEM, Clock
from reconciler.reconcile.history import History
from reconciler.reconcile.locks import one_pass
from reconciler.reconcile.once import Ended, Site, Wanted
from reconciler.reconcile.passes import Ask, Memory, closed, run_pass
from reconciler.reconcile.targets import GOOD
from reconciler.reconcile.tries import ATTEMPTS

_QUICK: Final = 10.0  # seconds after the start in which a target that does not answer is asked again at once
_QUICK_STEP: Final = 0.2
_BACK_OFF: Final = (5.0, 180.0)  # seconds: the first wait after a failure, doubled each time up to the second
_JITTER: Final = 0.05  # of the interval, so that many loops do not ask in step
_LATEST: Final = 60.0  # seconds between two looks at the clock, for moments of the wall clock
_BACK: Final = 1.0  # seconds that the wall clock may be put back unnoticed
_STALE: Final = 3  # times in a row that a target which moved on meanwhile is read again at once


class Closing(Reach, Protocol):
    """A target that holds connections."""

    async def close(self) -> None: ...


Connect = Callable[[Wanted], Closing]
Told = Callable[[str, Ended], None]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What all targets of a loop share: where it works, how a target is connected to, who is told of each pass."""

    site: Site
    data: Path
    history: History
    connect: Connect
    stop: asyncio.Event
    parallel: int
    told: Told | None
    clock: Clock = SYSTEM


class Course:
    """One target in the loop."""

    def __init__(self, running: Running, name: str) -> None:
        self._running, self._name, self._clock = running, name, running.clock
        self._memory = Memory()
        self._reach: Closing | None = None
        self._place: tuple[object, ...] = ()  # what the connection is to
        self._sync = Sync()
        self._failures = self._stale = 0
        self._began = self._clock.steady()
        self._passed: str | None = None  # the commit of the last pass
        self._first = True
        self._unwritten = False  # the last pass could not be written down, so what started it would start it again
        self._due = self._began  # of the steady clock
        self._at = math.inf  # of the wall clock, in seconds since the epoch
        self._planned = 0.0  # when that was found, of the wall clock
        self._shut = False  # whether it waits for a window
        self.waits = True  # for its turn or a reading, so that it may be ended at any moment

    async def close(self) -> None:
        if self._reach is not None:
            await self._reach.close()
            self._reach = None

    @property
    def name(self) -> str:
        """The target's name."""
        return self._name

    @property
    def desired(self) -> Desired | None:
        """What the commit in force declares, keys resolved; None before one could be read."""
        return self._memory.resolved

    def asked(self) -> list[int]:
        """Requests that its next pass would answer."""
        return self._running.history.requests.asked(self._name)

    def left(self) -> float:
        """Seconds until it is to be looked at again; the wall clock may be moved meanwhile."""
        if self._at is not math.inf and self._clock.now() < self._planned - _BACK:
            self._plan_moments()
        coming = self._next() - self._clock.now()
        return coming if self._at is math.inf else min(coming, _LATEST)

    def due(self, commit: str | None) -> str | None:
        """What starts a pass now, where `commit` is desired (None: not to be told); None: nothing."""
        return self._trigger(self.asked(), commit)

    async def look(self, commit: str | None) -> None:
        """Makes a pass if one is due, asked for, or another commit (None: not to be told) is desired."""
        self.waits = True
        try:
            await self._look(commit)
            self._unwritten = False
        except Unavailable as error:  # what was done cannot be written down: it is looked at anew
            self._unwritten = True
            ended = Ended(outcome="unavailable", message=str(error), error=error)
            self._plan_next(ended, 0)
            if self._running.told is not None:
                self._running.told(self._name, ended)

    async def _look(self, commit: str | None) -> None:
        history = self._running.history
        asked = self.asked()
        if (trigger := self._trigger(asked, commit)) is None:
            return
        if trigger != "retry":
            self._failures = self._stale = 0
        rollback = history.requests.rollback(asked)
        async with one_pass(self._running.data, self._name, math.inf):
            held = None if asked else history.holds.suspended(self._name)  # who asks, gets a pass
            ask = Ask(
                trigger="rollback" if rollback else trigger,
                commit=commit,
                suspended=held.reason if held else "",
                rollback=rollback[1] if rollback else None,
                parallel=self._running.parallel,
                stop=self._running.stop,
                clock=self._clock,
            )
            history.targets.looking(self._name, begins=True)
            try:
                ended = await run_pass(
                    self._running.site, history, self._name, _Late(self._open, self._has_read), self._memory, ask
                )
            except asyncio.CancelledError:
                history.interrupted(self._name)
                raise
            finally:
                with suppress(Unavailable):  # what could not be written down of the pass itself is told
                    history.targets.looking(self._name, begins=False)
        if ended.number is not None:
            history.requests.answer([rollback[0]] if rollback else asked, self._name, ended.number)
        self._first = False
        self._passed = commit
        if self._memory.wanted is not None:
            self._sync = self._memory.wanted.target.sync
        tried = history.tries.get(self._name)
        attempts = tried.attempts if tried is not None else 0
        self._plan_next(ended, attempts)
        if rollback and ended.outcome not in GOOD:
            self._failures, self._due = 0, self._clock.steady()  # what is wanted is looked at as before
        history.targets.coming(self._name, attempts, self._next())
        if self._running.told is not None:
            self._running.told(self._name, ended)
        if ended.outcome == "unavailable":
            await self.close()

    def _trigger(self, asked: list[int], commit: str | None) -> str | None:
        """What starts a pass now; None: nothing."""
        if self._unwritten and self.left() > 0:
            return None
        if asked:
            return "sync"
        if self._first:
            return "start"
        if commit is not None and commit != self._passed:
            return "commit"
        if self.left() <= 0:
            return "retry" if self._failures else "interval"
        return None

    async def _open(self) -> Closing:
        """The connection to the target as the commit in force names it: another address, key or source is another."""
        wanted = self._memory.wanted
        assert wanted is not None
        target = wanted.target
        place = (target.type, target.url, target.api_key, target.here, wanted.desired.source)
        if self._place != place:
            await self.close()
        if self._reach is None:
            self._reach, self._place = self._running.connect(wanted), place
        return self._reach

    def _has_read(self) -> None:
        self.waits = False

    def _next(self) -> float:
        """When it is to be looked at again, in seconds since the epoch."""
        return min(self._clock.now() + self._due - self._clock.steady(), self._at)

    def _plan_next(self, ended: Ended, attempts: int) -> None:
        """When to look again: `attempts` is how often the plan was refused, also before a restart."""
        now = self._clock.steady()
        self._at = math.inf
        tired = attempts >= ATTEMPTS
        if ended.outcome in GOOD or tired or ended.outcome in ("invalid", "refused", "suspended", "waiting"):
            self._failures = self._stale = 0
            self._plan_usual(now, ended)
            return
        self._failures = max(self._failures + 1, attempts)
        if ended.walked is not None and ended.walked.stale and self._stale < _STALE:
            self._stale += 1
            self._due = now  # nothing is wrong: somebody else was quicker
            return
        if ended.outcome == "unavailable" and now - self._began < _QUICK:
            self._due = now + _QUICK_STEP
            return
        first, longest = _BACK_OFF
        asked = getattr(ended.error, "retry_after", None) or 0.0
        self._due = now + max(asked, min(first * 2 ** min(self._failures - 1, 10), longest))

    def _plan_usual(self, now: float, ended: Ended) -> None:
        """The next look when all is as it can be: by the interval or the schedule, or when a window opens."""
        interval = self._sync.interval if self._sync.schedule is None else math.inf
        self._due = now + max(0.05, interval * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
        self._shut = ended.outcome == "waiting"
        self._plan_moments()

    def _plan_moments(self) -> None:
        """The next look by the wall clock, as it is now."""
        sync, moment = self._sync, self._clock.moment()
        self._at, self._planned = math.inf, moment.timestamp()
        if sync.schedule is not None and (following := after(cron(sync.schedule, sync.timezone), moment)) is not None:
            self._at = following.timestamp()
        if self._shut and (opens := closed(sync, moment)[1]) is not None:
            self._at = min(self._at, opens.timestamp())


class _Late:
    """A target that is connected to when it is first read: its address is in the commit that a pass reads. `read` is
    told when it has been read."""

    def __init__(self, connect: Callable[[], Awaitable[Reach]], read: Callable[[], None]) -> None:
        self._connect, self._read = connect, read
        self._reach: Reach | None = None

    async def read(self, known_version: str | None = None) -> Live | None:
        self._reach = await self._connect()
        found = await self._reach.read(known_version)
        self._read()
        return found

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None:
        assert self._reach is not None
        return await self._reach.perform(step, ids)

    @property
    def together(self) -> Together | None:
        """Many steps at once, where the target takes them."""
        found: Together | None = getattr(self._reach, "together", None)
        return found
