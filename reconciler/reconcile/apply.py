"""Walks the steps of a plan: independent ones side by side, each outcome recorded before and after its call.

Before it `plan/order.py` makes the steps and `bundles` says which go together; after it the target and the history. A
step that fails holds up only the steps that need it: where a target refuses a bundle for some of its steps, the others
are sent again without those. A create whose answer was lost is `unknown`: the next pass finds the object by its mark,
or makes it then; it is never made twice.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, Protocol

import msgspec

from reconciler.errors import Rejected, Unavailable
from reconciler.live.client import AnswerLost
from reconciler.live.together import PartRefused, Stale
from reconciler.model import Live, Ref
from reconciler.plan.order import Step
from reconciler.reconcile.bundles import bundles

Ending = Literal["done", "failed", "skipped", "unknown"]
_GIVE_UP: Final = 3  # failures in a row to reach the target after which the rest is not tried


class Reach(Protocol):
    """A target: what is live there, and one step of changing it.

    One that takes many steps of an instance as one transaction has `together` too (see `Together`).
    """

    async def read(self, known_version: str | None = None) -> Live | None: ...

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None: ...


# Steps of one instance, all or none, on the state that was read: the ids by `Step.index`. Raises PartRefused, Stale,
# Rejected, Unavailable, AnswerLost.
Together = Callable[[Sequence[Step], Mapping[Ref, str]], Awaitable[Mapping[int, str]]]
Grouped = Callable[[], AbstractContextManager[object]]


class Record(Protocol):
    """Who is told of each step, before and after it."""

    def started(self, step: Step) -> None: ...

    def ended(self, step: Step, ending: Ending, message: str) -> None: ...


class Walked(msgspec.Struct, frozen=True):
    """How each step ended, by its index, and why where it was not done; `stopped`: told to stop before the last;
    `passing`: some of it failed for what may pass by itself (no answer, a stale reading), not for a refusal; `stale`:
    a reading was, so that another one may do at once."""

    endings: Mapping[int, Ending]
    messages: Mapping[int, str]
    stopped: bool
    unreachable: bool
    passing: bool = False
    stale: bool = False

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(self.endings.values()).items()))

    @property
    def complete(self) -> bool:
        return all(ending == "done" for ending in self.endings.values())


async def walk(
    steps: Sequence[Step],
    ids: Mapping[Ref, str],
    reach: Reach,
    record: Record,
    *,
    parallel: int = 10,
    stop: asyncio.Event | None = None,
    grouped: Grouped = nullcontext,
) -> Walked:
    """Performs `steps`, dependencies first, `parallel` at a time; `stop` lets running calls end and starts no more.

    `ids` are the target's ids of what is declared and live already. What `record` is told within `grouped()` may be
    written down together. Errors of single steps never raise.
    """
    walking = _Walking(steps, ids, reach, record, stop, grouped)
    running: set[asyncio.Task[None]] = set()
    try:
        while walking.ready or running:
            while walking.ready and len(running) < parallel:
                at, left = walking.next()
                if left:
                    running.add(asyncio.create_task(walking.perform(at, left)))
            if running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
    finally:  # whoever ends the walk ends its calls, which would go on and be written down by nobody
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return Walked(
        endings=walking.endings,
        messages=walking.messages,
        stopped=walking.stopped,
        unreachable=walking.unreachable >= _GIVE_UP,
        passing=walking.passing,
        stale=walking.stale,
    )


class _Walking:
    """The state of one walk."""

    def __init__(
        self,
        steps: Sequence[Step],
        ids: Mapping[Ref, str],
        reach: Reach,
        record: Record,
        stop: asyncio.Event | None,
        grouped: Grouped,
    ) -> None:
        self.ids = dict(ids)
        self.endings: dict[int, Ending] = {}
        self.messages: dict[int, str] = {}
        self.unreachable = 0
        self.stopped = self.passing = self.stale = False
        self._steps = steps
        self._reach = reach
        self._record = record
        self._stop = stop
        self._grouped = grouped
        self._together: Together | None = getattr(reach, "together", None)
        self._bundles = bundles(steps, together=self._together is not None)
        self._waiting = {at: len(bundle.after) for at, bundle in enumerate(self._bundles)}
        self._dependents: dict[int, list[int]] = {at: [] for at in self._waiting}
        for at, bundle in enumerate(self._bundles):
            for other in bundle.after:
                self._dependents[other].append(at)
        self.ready = [at for at, count in self._waiting.items() if not count]
        heapq.heapify(self.ready)

    def next(self) -> tuple[int, list[Step]]:
        """The next bundle that nothing holds up any more, by its place, and those of its steps that are to be tried."""
        at = heapq.heappop(self.ready)
        left = self._to_try(self._bundles[at].steps)
        if not left:
            self._over(at)
        return at, left

    async def perform(self, at: int, steps: list[Step]) -> None:
        """Performs what is left of a bundle; never raises what was foreseen."""
        with self._grouped():
            for step in steps:
                self._record.started(step)
        while steps:
            try:
                if self._together is not None and self._bundles[at].together:
                    made = await self._together(steps, self.ids)
                else:
                    made = await self._one(steps[0])
            except PartRefused as error:
                self.unreachable = 0
                steps = self._without(steps, error.faults)
            except (Unavailable, Rejected) as error:
                self._end(steps, *self._failed(error))
                break
            else:
                self.unreachable = 0
                self.ids.update((step.ref, made[step.index]) for step in steps if step.action == "create")
                self._end(steps, "done", "")
                break
        self._over(at)

    async def _one(self, step: Step) -> Mapping[int, str]:
        made = await self._reach.perform(step, self.ids)
        return {step.index: made or ""}

    def _without(self, steps: Sequence[Step], faults: Mapping[int, tuple[int, str]]) -> list[Step]:
        """The steps of a bundle that are worth sending again, now that some of them were refused."""
        for step in steps:
            if (fault := faults.get(step.index)) is not None:
                status, reason = fault
                gone = step.action == "delete" and status == 404  # what was wanted
                self._end([step], *("done", "") if gone else ("failed", f"{status}: {reason}"))
        return self._to_try([step for step in steps if step.index not in faults])

    def _failed(self, error: Unavailable | Rejected) -> tuple[Ending, str]:
        """What an error means for the steps that were sent."""
        if isinstance(error, Rejected):
            self.unreachable = 0
            if isinstance(error, Stale):
                self.passing = self.stale = True
                return (
                    "failed",
                    "not applied because its instance was changed since it was read; the next pass looks anew",
                )
            return "failed", f"{error.status}: {error}"
        self.unreachable += 1
        self.passing = True
        if isinstance(error, AnswerLost):
            return "unknown", f"{error}; the next pass finds it by its mark, or makes it"
        return "failed", str(error)

    def _to_try(self, steps: Iterable[Step]) -> list[Step]:
        """Those of `steps` that nothing holds up; the others end here."""
        left = []
        for step in steps:
            if reason := self._reason_to_skip(step):
                self._end([step], "skipped", reason)
            else:
                left.append(step)
        return left

    def _reason_to_skip(self, step: Step) -> str:
        """Why a step is not tried, or nothing."""
        for need in step.needs:
            ending = self.endings.get(need, "done")  # without an ending it goes together with this step
            if ending != "done":
                other = self._steps[need]
                how = {"failed": "failed", "skipped": "was skipped"}.get(ending, "has no known outcome")
                return f"skipped because {other.action} {other.ref} {how}"
        if self._stop is not None and self._stop.is_set():
            self.stopped = True
            return "skipped because the process was told to stop"
        if self.unreachable >= _GIVE_UP:
            return "skipped because the target does not answer"
        return ""

    def _end(self, steps: Iterable[Step], ending: Ending, message: str) -> None:
        with self._grouped():
            for step in steps:
                self.endings[step.index] = ending
                if message:
                    self.messages[step.index] = message
                self._record.ended(step, ending, message)

    def _over(self, at: int) -> None:
        """A bundle has ended: what waited for it may be ready."""
        for other in self._dependents[at]:
            self._waiting[other] -= 1
            if not self._waiting[other]:
                heapq.heappush(self.ready, other)
