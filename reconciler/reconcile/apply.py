"""Walks the steps of a plan: independent ones side by side, each outcome recorded before and after its call.

Before it `plan/order.py` makes the steps; after it the target and the history. A step that fails holds up only the
steps that need it. A create whose answer was lost is `unknown`: the next pass finds the object by its mark, or makes
it then; it is never made twice.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from reconciler.errors import Rejected, Unavailable
from reconciler.live.client import AnswerLost
from reconciler.model import Live, Ref
from reconciler.plan.order import Step

Ending = Literal["done", "failed", "skipped", "unknown"]
_GIVE_UP: Final = 3  # failures in a row to reach the target after which the rest is not tried


class Reach(Protocol):
    """A target: what is live there, and one step of changing it."""

    async def read(self, known_version: str | None = None) -> Live | None: ...

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None: ...


class Record(Protocol):
    """Who is told of each step, before and after it."""

    def started(self, step: Step) -> None: ...

    def ended(self, step: Step, ending: Ending, message: str) -> None: ...


class Walked(msgspec.Struct, frozen=True):
    """How each step ended, by its index, and why where it was not done; `stopped`: told to stop before the last."""

    endings: Mapping[int, Ending]
    messages: Mapping[int, str]
    stopped: bool
    unreachable: bool

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
) -> Walked:
    """Performs `steps`, dependencies first, `parallel` at a time; `stop` lets running calls end and starts no more.

    `ids` are the target's ids of what is declared and live already. Errors of single steps never raise.
    """
    walking = _Walking(steps, ids, reach, record)
    running: set[asyncio.Task[None]] = set()
    while walking.ready or running:
        while walking.ready and len(running) < parallel:
            step = steps[heapq.heappop(walking.ready)]
            reason = walking.reason_to_skip(step, stop)
            if reason:
                walking.end(step, "skipped", reason)
            else:
                running.add(asyncio.create_task(walking.perform(step)))
        if running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    return Walked(walking.endings, walking.messages, walking.stopped, walking.unreachable >= _GIVE_UP)


class _Walking:
    """The state of one walk."""

    def __init__(self, steps: Sequence[Step], ids: Mapping[Ref, str], reach: Reach, record: Record) -> None:
        self.steps = steps
        self.ids = dict(ids)
        self.reach = reach
        self.record = record
        self.endings: dict[int, Ending] = {}
        self.messages: dict[int, str] = {}
        self.unreachable = 0
        self.stopped = False
        self._waiting = {step.index: len(step.needs) for step in steps}
        self._dependents: dict[int, list[int]] = {step.index: [] for step in steps}
        for step in steps:
            for need in step.needs:
                self._dependents[need].append(step.index)
        self.ready = [index for index, count in self._waiting.items() if not count]
        heapq.heapify(self.ready)

    def reason_to_skip(self, step: Step, stop: asyncio.Event | None) -> str:
        """Why a step is not tried, or nothing."""
        for need in step.needs:
            if (ending := self.endings[need]) != "done":
                other = self.steps[need]
                how = {"failed": "failed", "skipped": "was skipped"}.get(ending, "has no known outcome")
                return f"skipped because {other.action} {other.ref} {how}"
        if stop is not None and stop.is_set():
            self.stopped = True
            return "skipped because the process was told to stop"
        if self.unreachable >= _GIVE_UP:
            return "skipped because the target does not answer"
        return ""

    async def perform(self, step: Step) -> None:
        self.record.started(step)
        try:
            made = await self.reach.perform(step, self.ids)
        except AnswerLost as error:
            self.unreachable += 1
            self.end(step, "unknown", f"{error}; the next pass finds it by its mark, or makes it")
        except Unavailable as error:
            self.unreachable += 1
            self.end(step, "failed", str(error))
        except Rejected as error:
            self.unreachable = 0
            self.end(step, "failed", f"{error.status}: {error}")
        else:
            self.unreachable = 0
            if made is not None and step.action == "create":
                self.ids[step.ref] = made
            self.end(step, "done", "")

    def end(self, step: Step, ending: Ending, message: str) -> None:
        self.endings[step.index] = ending
        if message:
            self.messages[step.index] = message
        self.record.ended(step, ending, message)
        for other in self._dependents[step.index]:
            self._waiting[other] -= 1
            if not self._waiting[other]:
                heapq.heappush(self.ready, other)
