"""Following a remote repository: when it is fetched, and what is known of it where that fails.

Before it the loop's rounds and whoever asks for a pass; after it the clone, whose HEAD is the desired commit. Fetching
goes on beside passes, which never wait for it but at the start, when somebody asked, or when nothing is there yet. A
fetch that fails leaves the commit that is there; it is tried again with back-off.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.desired.config import read_config
from reconciler.desired.remote import Clone
from reconciler.errors import InvalidBots, Misuse, ReconcilerError, Unavailable
from reconciler.reconcile.clock import SYSTEM, Clock
from reconciler.reconcile.history import History, Source
from reconciler.reconcile.locks import one_fetch

_BACK_OFF: Final = (5.0, 180.0)  # seconds: the first wait after a failure, doubled each time up to the second
_JITTER: Final = 0.05  # of the interval
_PATIENCE: Final = 20.0  # seconds that passes wait for a fetch that somebody waits for
_USUAL: Final = 60.0


async def fetch_once(clone: Clone, data: Path, history: History, timeout: float | None = None) -> str:
    """Fetches now, one process at a time, and writes down how it went. Raises Unavailable and Misuse."""
    before = history.source()
    known = before if before is not None and before.url == clone.remote.shown else None
    tried = time.time()
    try:
        async with one_fetch(data):
            commit = await clone.fetch(timeout)
    except (Unavailable, Misuse) as error:
        history.followed(
            Source(
                url=clone.remote.shown,
                ref=clone.ref,
                commit=clone.commit,
                fetched=known.fetched if known else None,
                tried=tried,
                message=str(error),
            )
        )
        raise
    history.followed(Source(url=clone.remote.shown, ref=clone.ref, commit=commit, fetched=time.time(), tried=tried))
    return commit


class Follower:
    """Fetches a clone in the background of a loop; `wake` is called when another commit is there."""

    def __init__(
        self, clone: Clone, data: Path, history: History, wake: Callable[[], None], clock: Clock = SYSTEM
    ) -> None:
        self._clone, self._data, self._history, self._wake = clone, data, history, wake
        self._task: asyncio.Task[None] | None = None
        self._clock = clock
        self._due = clock.steady()
        self._failures = 0
        self._again = False
        self._seen: frozenset[int] = frozenset()

    def left(self) -> float:
        """Seconds until the next fetch."""
        if self._task is not None:
            return math.inf  # its end wakes the loop
        return self._due - self._clock.steady()

    def poke(self) -> None:
        """Somebody says that there is news: fetches at once, or once more after the fetch that runs."""
        if self._task is None:
            self._start()
        else:
            self._again = True

    def look(self, asked: frozenset[int]) -> None:
        """Begins to fetch if it is time, or somebody asked."""
        new, self._seen = asked - self._seen, asked
        if new:
            self.poke()
        elif self._task is None and self.left() <= 0:
            self._start()

    async def settle(self) -> None:
        """Waits for the fetch that runs, but not for long."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_PATIENCE)

    async def close(self) -> None:
        """Ends the fetch that runs."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _start(self) -> None:
        self._task = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        while True:
            self._again = False
            before = self._clone.commit
            try:
                commit = await fetch_once(self._clone, self._data, self._history)
            except ReconcilerError:
                self._failures += 1
                first, longest = _BACK_OFF
                wait = min(first * 2 ** min(self._failures - 1, 10), longest)
            else:
                self._failures = 0
                wait = self._interval() * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
                if commit != before:
                    self._wake()
            self._due = self._clock.steady() + wait
            if not self._again:
                break
        self._task = None
        self._wake()

    def _interval(self) -> float:
        """Seconds between two fetches, as the commit that is there says."""
        try:
            return read_config(self._clone.repository, self._clone.repository.resolve("HEAD")).fetch
        except (InvalidBots, Misuse, Unavailable):
            return _USUAL
