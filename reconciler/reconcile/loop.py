"""The loop: passes when an interval ends, a commit comes or somebody asks; level-triggered, never two at once.

Before it `up` or `run`; after it `once.run_pass`. Whatever wakes it, it looks at everything anew. What fails is tried
again with back-off; a commit that is no desired state is left until there is another one or the interval ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from reconciler.desired.config import read_config
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, ReconcilerError
from reconciler.model import Live, Ref, Target
from reconciler.plan.order import Step
from reconciler.reconcile.apply import Reach, Together
from reconciler.reconcile.history import GOOD, History
from reconciler.reconcile.locks import one_pass, the_one_loop
from reconciler.reconcile.once import Ended, Memory, Site, run_pass
from reconciler.reconcile.wake import Wake, follow

_QUICK: Final = 10.0  # seconds after the start in which a target that does not answer is asked again at once
_QUICK_STEP: Final = 0.2
_BACK_OFF: Final = (5.0, 180.0)  # seconds: the first wait after a failure, doubled each time up to the second
_JITTER: Final = 0.05  # of the interval, so that many loops do not ask in step


class Closing(Reach, Protocol):
    """A target that holds connections."""

    async def close(self) -> None: ...


Connect = Callable[[Target], Closing]
Told = Callable[[str, Ended], None]


async def run_loop(
    site: Site,
    data: Path,
    targets: tuple[str, ...],
    connect: Connect,
    *,
    stop: asyncio.Event,
    parallel: int = 10,
    told: Told | None = None,
) -> None:
    """Runs passes of `targets` until `stop` is set; a running step ends first.

    `connect` makes a target's connection anew after it did not answer, in case its address changed. Raises Misuse
    where another loop runs on this data folder.
    """
    with the_one_loop(data), History(data / "loop.db") as history:
        wake = Wake()
        heads = _Heads(site)
        courses = [_Course(site, data, history, name, connect, heads, stop, parallel, told) for name in targets]
        helpers = [asyncio.create_task(follow(site.repository, data, wake)), asyncio.create_task(_end(stop, wake))]
        try:
            while not stop.is_set():
                heads.forget()
                for course in courses:
                    if not stop.is_set():
                        await course.look()
                now = asyncio.get_running_loop().time()
                await wake.wait(min(course.due for course in courses) - now)
        finally:
            for helper in helpers:
                helper.cancel()
            for helper in helpers:
                with contextlib.suppress(asyncio.CancelledError):
                    await helper
            for course in courses:
                await course.close()


async def _end(stop: asyncio.Event, wake: Wake) -> None:
    await stop.wait()
    wake.set()


class _Heads:
    """Which commit is desired now: read at most once a round, and reconciler.yaml only where HEAD moved."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._head = ""
        self._ref = "HEAD"
        self._now: str | None = None

    def forget(self) -> None:
        self._now = None

    def commit(self) -> str | None:
        """The desired commit; None where it cannot be told, which a pass then explains."""
        if self._now is None:
            repository = self._site.repository
            try:
                head = repository.resolve("HEAD")
                if head != self._head:
                    self._ref = _ref(repository, head)
                    self._head = head
                self._now = head if self._ref == "HEAD" else repository.resolve(self._ref)
            except ReconcilerError:
                self._head = ""
                return None
        return self._now


def _ref(repository: Repository, head: str) -> str:
    """The ref that reconciler.yaml names; HEAD where it cannot be read, so that a pass says why."""
    try:
        return read_config(repository, head).ref
    except InvalidBots:
        return "HEAD"


class _Course:
    """One target in the loop: what is remembered of it and when it is due."""

    def __init__(
        self,
        site: Site,
        data: Path,
        history: History,
        name: str,
        connect: Connect,
        heads: _Heads,
        stop: asyncio.Event,
        parallel: int,
        told: Told | None,
    ) -> None:
        self._site, self._data, self._history, self._name = site, data, history, name
        self._connect, self._heads, self._stop, self._parallel, self._told = connect, heads, stop, parallel, told
        self._memory = Memory()
        self._reach: Closing | None = None
        self._failures = 0
        self._began = asyncio.get_running_loop().time()
        self._passed: str | None = None  # the commit of the last pass
        self._first = True
        self._trigger: Any = None
        self.due = self._began

    async def close(self) -> None:
        if self._reach is not None:
            await self._reach.close()
            self._reach = None

    async def look(self) -> None:
        """Makes a pass if one is due, asked for, or another commit is desired."""
        asked = self._history.asked(self._name)
        commit = self._heads.commit()
        if self._first:
            trigger = "start"
        elif asked:
            trigger = "sync"
        elif commit is not None and commit != self._passed:
            trigger = "commit"
        elif asyncio.get_running_loop().time() >= self.due:
            trigger = "retry" if self._failures else "interval"
        else:
            return
        if trigger != "retry":
            self._failures = 0
        async with one_pass(self._data):
            held = None if asked else self._history.holds.suspended(self._name)  # who asks, gets a pass
            ended = await self._pass(commit, trigger, held.reason if held else "")
        if ended.number is not None:
            self._history.answer(asked, self._name, ended.number)
        self._first = False
        self._passed = commit
        self._plan_next(ended)
        if self._told is not None:
            self._told(self._name, ended)
        if ended.outcome == "unavailable":
            await self.close()

    async def _pass(self, commit: str | None, trigger: str, suspended: str) -> Ended:
        return await run_pass(
            self._site,
            self._history,
            self._name,
            _Late(self._open),
            self._memory,
            trigger=trigger,
            commit=commit,
            parallel=self._parallel,
            stop=self._stop,
            suspended=suspended,
        )

    def _open(self) -> Closing:
        if self._reach is None:
            assert self._memory.wanted is not None
            self._reach = self._connect(self._memory.wanted.target)
        return self._reach

    def _plan_next(self, ended: Ended) -> None:
        now = asyncio.get_running_loop().time()
        if ended.outcome in GOOD or ended.outcome in ("invalid", "refused", "suspended"):
            self._failures = 0
            self.due = now + self._interval()
            return
        self._failures += 1
        if ended.outcome == "unavailable" and now - self._began < _QUICK:
            self.due = now + _QUICK_STEP
            return
        first, longest = _BACK_OFF
        asked = getattr(ended.error, "retry_after", None) or 0.0
        self.due = now + max(asked, min(first * 2 ** min(self._failures - 1, 10), longest))

    def _interval(self) -> float:
        """Seconds to the next pass, with jitter."""
        from apscheduler.triggers.interval import IntervalTrigger

        seconds = self._memory.wanted.target.sync.interval if self._memory.wanted else 60.0
        if self._trigger is None or self._trigger.interval != timedelta(seconds=seconds):
            jitter = max(0.001, seconds * _JITTER)
            self._trigger = IntervalTrigger(seconds=seconds, jitter=jitter, timezone=UTC)
        now = datetime.now(UTC)
        following: datetime = self._trigger.get_next_fire_time(now, now)
        return max(0.05, (following - now).total_seconds())


class _Late:
    """A target that is connected to when it is first needed: its address is in the commit that a pass reads."""

    def __init__(self, connect: Callable[[], Reach]) -> None:
        self._connect = connect

    async def read(self, known_version: str | None = None) -> Live | None:
        return await self._connect().read(known_version)

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None:
        return await self._connect().perform(step, ids)

    @property
    def together(self) -> Together | None:
        """Many steps at once, where the target takes them."""
        found: Together | None = getattr(self._connect(), "together", None)
        return found
