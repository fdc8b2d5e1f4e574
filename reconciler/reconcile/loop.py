"""The loop: passes when an interval ends, a commit comes or somebody asks; level-triggered, never two at once.

Before it `up` or `run`; after it each target's course. Whatever wakes it, it looks at everything anew. What fails is
tried again with back-off; a commit that is no desired state is left until there is another one or the interval ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from reconciler.desired.config import read_config
from reconciler.desired.git import Repository
from reconciler.desired.remote import Clone
from reconciler.errors import InvalidBots, ReconcilerError
from reconciler.reconcile.course import Closing, Connect, Course, Running, Told
from reconciler.reconcile.follow import Follower
from reconciler.reconcile.history import History
from reconciler.reconcile.locks import the_one_loop
from reconciler.reconcile.models import Ask, Models
from reconciler.reconcile.once import Site
from reconciler.reconcile.wake import Wake, follow, knocked

__all__ = ["Closing", "Connect", "Told", "run_loop"]


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
) -> None:
    """Runs passes of `targets` until `stop` is set; a running step ends first.

    `connect` makes a target's connection anew after it did not answer, in case its address changed. `told` hears of
    each pass as it ends, with its plan and commit. `clone` is what is fetched, where `site` is a remote's. `ask_models`
    reads an account's list of models; without it none is read. Raises Misuse where another loop runs on this data
    folder.
    """
    with the_one_loop(data), History(data / "loop.db") as history:
        wake = Wake()
        heads = _Heads(site)
        running = Running(
            site=site, data=data, history=history, connect=connect, stop=stop, parallel=parallel, told=told
        )
        courses = [Course(running, name) for name in targets]
        follower = Follower(clone, data, history, wake.set, stop) if clone is not None else None
        models = Models(history, ask_models) if ask_models is not None else None
        door = knocked(data)
        helpers = [asyncio.create_task(follow(site.repository, data, wake)), asyncio.create_task(_end(stop, wake))]
        try:
            while not stop.is_set():
                if follower is not None:
                    if door != (door := knocked(data)):
                        follower.poke()
                    await follower.look(frozenset(number for course in courses for number in course.asked()))
                heads.forget()
                for course in courses:
                    if not stop.is_set():
                        await course.look(heads.commit())
                if models is not None:
                    models.look((course.name, course.desired) for course in courses)
                left = [course.left() for course in courses]
                await wake.wait(min([*left, follower.left()] if follower is not None else left))
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
                    self._ref = "HEAD" if repository.pinned else _ref(repository, head)
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
