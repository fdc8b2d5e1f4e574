"""Says what is due and carries it to webhooks.

Before it comes the outbox, which a finished turn has filled; after it the transcript, whoever follows it (`Notices`),
and the instance's webhook. Both steps read what is due from the store, so a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from reconciler.model import Instance, Line
from reconciler.runtime.channels.push import SECONDS, NotTaken
from reconciler.runtime.notices import Notices
from reconciler.store.chats import Chats
from reconciler.store.outbox import Push

BATCH: Final = 500  # messages said in one transaction
POSTS: Final = 200  # at once
EACH: Final = 20  # of these to one instance's webhook
ATTEMPTS: Final = 8  # of one push, over about two minutes


class Lines(Protocol):
    """Where lines come from: the fleet."""

    async def line(self, instance_id: str) -> Line | None: ...


class Post(Protocol):
    """Carries a message to an instance's webhook."""

    async def post(self, instance: Instance, push: Push) -> str | None:
        """The id under which the message was taken, where the webhook tells one. Raises NotTaken."""
        ...


class Sender:
    """Steps that the engine repeats; each returns the seconds until there is something to do, None: nothing known."""

    def __init__(
        self,
        lines: Lines,
        chats: Chats,
        notices: Notices,
        post: Post,
        log: Any,
        clock: Callable[[], float],
        pause: float = 1.0,
    ) -> None:
        self._lines, self._chats, self._notices, self._post = lines, chats, notices, post
        self._log, self._clock, self._pause = log, clock, pause
        self._posting: dict[int, asyncio.Task[None]] = {}
        self._posts: Counter[str] = Counter()  # of each instance
        self.said, self.posted = asyncio.Event(), asyncio.Event()  # wakes of the two loops

    async def say(self) -> float | None:
        """Says what is due now."""
        now = self._clock()
        instances, due = await self._chats.due_instances(now)
        if instances:
            lines = [(instance_id, await self._lines.line(instance_id)) for instance_id in instances]
            hooked = {instance_id: bool(line.instance.webhook) for instance_id, line in lines if line is not None}
            off = {bot.id for _, line in lines if line is not None for bot in line.bots if not bot.enabled}
            chats, due = await self._chats.say(hooked, now, BATCH, off)
            for chat in chats:
                self._notices.publish(chat)
            if any(hooked.values()):
                self.posted.set()
        return None if due is None else max(0.0, due - self._clock())

    async def push(self) -> float | None:
        """Starts posting what is due, the oldest of each chat. An instance whose webhook takes its time holds up no
        other: it has only so many posts at once."""
        now, more = self._clock(), True
        while more:
            busy = {one for one, posts in self._posts.items() if posts >= EACH}
            pushes, due = await self._chats.due_pushes(now, POSTS + len(self._posting), busy)
            more = False
            for push in pushes:
                if len(self._posting) >= POSTS or push.seq in self._posting:
                    continue
                if self._posts[push.instance_id] >= EACH:  # it got busy just now: others may be due behind it
                    more = True
                    continue
                self._posts[push.instance_id] += 1
                self._posting[push.seq] = asyncio.create_task(self._carry(push))
        return None if due is None else max(0.0, due - self._clock())

    async def idle(self) -> None:
        """Waits for the posts that are under way."""
        await asyncio.gather(*self._posting.values())

    async def stop(self, wait: bool) -> None:
        """Ends the posts that are under way. With `wait` they may arrive first, in the time that a post has anyway: one
        that is cut off is due again at the next start, and who takes it sees the message twice."""
        posting = list(self._posting.values())
        if posting and wait:
            await asyncio.wait(posting, timeout=SECONDS)
        for task in posting:
            task.cancel()
        await asyncio.gather(*posting, return_exceptions=True)

    async def _carry(self, push: Push) -> None:
        again: float | None = None
        carried_as: str | None = None
        try:
            line = await self._lines.line(push.instance_id)
            if line is not None and line.instance.webhook:
                carried_as = await self._post.post(line.instance, push)
        except Exception as error:
            final = isinstance(error, NotTaken) and error.final
            told = {"instance": push.instance_id, "message": push.id, "attempt": push.attempts + 1}
            why = str(error) if isinstance(error, NotTaken) else repr(error)
            if final or push.attempts + 1 >= ATTEMPTS:
                self._log.error("webhook did not take a message; given up", why=why, **told)
            else:
                wait = self._pause * 2**push.attempts * random.uniform(0.8, 1.2)  # noqa: S311
                again = self._clock() + wait
                self._log.warning(
                    "webhook did not take a message; trying again", why=why, seconds=round(wait, 1), **told
                )
        try:
            await self._chats.end_push(push.seq, again, self._clock(), carried_as)
        except Exception as error:  # it stays due and is posted again
            self._log.error("a push could not be written down", why=repr(error), message=push.id)
        finally:
            del self._posting[push.seq]
            self._posts[push.instance_id] -= 1
            if not self._posts[push.instance_id]:
                del self._posts[push.instance_id]
            self.posted.set()
