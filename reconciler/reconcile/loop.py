"""The loop: passes when an interval ends, a commit comes or somebody asks; level-triggered, targets side by side.

Before it `up` or `run`; after it each target's course, of which two passes never overlap. Whatever wakes it, it looks
at everything anew. What fails is tried again with back-off; a commit that is no desired state is left until there is
another one or the interval ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.desired.config import read_config
from reconciler.desired.git import Repository
from reconciler.desired.remote import Clone
from reconciler.errors import InvalidBots, ReconcilerError, Unavailable
from reconciler.model import Config
from reconciler.reconcile.clock import SYSTEM, Clock
from reconciler.reconcile.course import Closing, Connect, Course, Running, Told
from reconciler.reconcile.follow import Follower
from reconciler.reconcile.history import History
from reconciler.reconcile.locks import the_one_loop
from reconciler.reconcile.models import Ask, Models
from reconciler.reconcile.once import Site
from reconciler.reconcile.wake import Wake, follow, knocked

__all__ = ["Closing", "Connect", "Told", "run_loop"]

Chosen = Callable[[Config], tuple[str, ...]]

_GRACE: Final = 10.0  # seconds that calls under way have to end once the loop is told to stop


async def run_loop(
    site: Site,
    data: Path,
    targets: tuple[str, ...],
    connect: Connect,
    *,
    stop: asyncio.Event,
    parallel: int = 10,
    told: Told | None = None,
    clone: Clone | None = None,
    ask_models: Ask | None = None,
    chosen: Chosen | None = None,
    clock: Clock = SYSTEM,
) -> None:
    """Runs passes of `targets` until `stop` is set; running steps end first, if they do so soon.

    `chosen` says which targets of a commit's configuration are followed from then on; without it always the same.

    `connect` makes a target's connection anew after it did not answer, in case its address changed. `told` hears of
    each pass as it ends, with its plan and commit. `clone` is what is fetched, where `site` is a remote's. `ask_models`
    reads an account's list of models; without it none is read. Raises Misuse where another loop runs on this data
    folder.
    """
    with the_one_loop(data), History(data / "loop.db") as history:
        wake = Wake(clock)
        heads = _Heads(site, chosen, targets)
        running = Running(
            site=site,
            data=data,
            history=history,
            connect=connect,
            stop=stop,
            parallel=parallel,
            told=told,
            clock=clock,
        )
        follower = Follower(clone, data, history, wake.set, clock) if clone is not None else None
        lanes: dict[str, _Lane] = {}
        following: tuple[str, ...] | None = None
        models = Models(history, ask_models, clock) if ask_models is not None else None
        door = knocked(data)
        helpers = [asyncio.create_task(follow(site.repository, data, wake)), asyncio.create_task(_end(stop, wake))]
        try:
            while not stop.is_set():
                if follower is not None:
                    if door != (door := knocked(data)):
                        follower.poke()
                    follower.look(frozenset(number for lane in lanes.values() for number in lane.course.asked()))
                heads.forget()
                names = heads.targets()
                for name in [name for name, lane in lanes.items() if name not in names and not lane.runs]:
                    await lanes.pop(name).close()
                if following != (following := names):
                    with contextlib.suppress(Unavailable):  # as below
                        history.targets.follow(names)
                for name in names:
                    if name not in lanes:
                        lanes[name] = _Lane(name, running, heads, follower, wake)
                    lanes[name].look()
                if models is not None:
                    with contextlib.suppress(Unavailable):  # the records cannot be written, of which the passes tell
                        models.look((name, lane.course.desired) for name, lane in lanes.items())
                left = [lane.left() for lane in lanes.values()]
                left += [follower.left()] if follower is not None else []
                await wake.wait(min(left, default=math.inf))
            await asyncio.gather(*(lane.end() for lane in lanes.values()))
            with contextlib.suppress(Unavailable):
                history.targets.follow(())
        finally:
            for helper in helpers:
                helper.cancel()
            for helper in helpers:
                with contextlib.suppress(asyncio.CancelledError):
                    await helper
            if follower is not None:
                await follower.close()
            if models is not None:
                await models.close()
            for lane in lanes.values():
                await lane.close()


class _Lane:
    """The passes of one target: one after the other, beside those of other targets, which never wait for them."""

    def __init__(self, name: str, running: Running, heads: _Heads, follower: Follower | None, wake: Wake) -> None:
        self.course = Course(running, name)
        self._heads, self._follower, self._wake = heads, follower, wake
        self._task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether a pass runs."""
        return self._task is not None and not self._task.done()

    def look(self) -> None:
        """Begins a pass if one is due and none runs, whose end wakes the loop. Raises what the last one raised."""
        if self.runs:
            return
        if self._task is not None:
            self._task.result()
            self._task = None
        if (trigger := self.course.due(self._heads.commit())) is not None:
            self.course.waits = True
            self._task = asyncio.create_task(self._pass(trigger))
            self._task.add_done_callback(lambda _: self._wake.set())

    def left(self) -> float:
        """Seconds until it is to be looked at again."""
        return math.inf if self._task is not None else self.course.left()

    async def end(self) -> None:
        """Lets what the pass that runs has begun end, for a while; a pass that has changed nothing yet ends at once."""
        if self._task is not None:
            if not self.course.waits:
                await asyncio.wait({self._task}, timeout=_GRACE)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def close(self) -> None:
        """Ends the pass that runs, and the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.course.close()

    async def _pass(self, trigger: str) -> None:
        commit = self._heads.commit()
        if self._follower is not None and (trigger in ("start", "sync") or commit is None):
            await self._follower.settle()
            self._heads.forget()
            commit = self._heads.commit()
        await self.course.look(commit)


async def _end(stop: asyncio.Event, wake: Wake) -> None:
    await stop.wait()
    wake.set()


class _Heads:
    """Which commit is desired now: read at most once a round, and reconciler.yaml only where HEAD moved."""

    def __init__(self, site: Site, chosen: Chosen | None, targets: tuple[str, ...]) -> None:
        self._site, self._chosen = site, chosen
        self._head = ""
        self._ref = "HEAD"
        self._now: str | None = None
        self._read: tuple[str, tuple[str, ...]] = ("", targets)  # a commit and its targets

    def forget(self) -> None:
        self._now = None

    def commit(self) -> str | None:
        """The desired commit; None where it cannot be told, which a pass then explains."""
        if self._now is None:
            repository = self._site.repository
            try:
                head = repository.resolve("HEAD")
                if head != self._head:
                    self._ref = "HEAD" if repository.pinned else _ref(repository, head)
                    self._head = head
                self._now = head if self._ref == "HEAD" else repository.resolve(self._ref)
            except ReconcilerError:
                self._head = ""
                return None
        return self._now

    def targets(self) -> tuple[str, ...]:
        """The targets to follow: those that are chosen of the desired commit, or of the last that could be read."""
        commit = self.commit()
        if self._chosen is not None and commit is not None and commit != self._read[0]:
            with contextlib.suppress(ReconcilerError):
                self._read = (commit, self._chosen(read_config(self._site.repository, commit)))
        return self._read[1]


def _ref(repository: Repository, head: str) -> str:
    """The ref that reconciler.yaml names; HEAD where it cannot be read, so that a pass says why."""
    try:
        return read_config(repository, head).ref
    except InvalidBots:
        return "HEAD"
