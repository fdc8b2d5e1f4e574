"""The turn engine: claims due chats, hears what is new in them, has due turns answered, one per chat at a time.

Before it comes `Chats.accept` with a wake; after it the outbox, which `runtime/sending.py` says. The inbox is the
truth: the engine holds nothing that a restart would miss. Debounce, delays and back-off are rows with a due time, so
a chat that waits costs nothing.

A turn ends in one fenced transaction as soon as the answer is there: what was paid for is kept in the same moment in
which it is intended to be said, so a crash either finds it there or finds the turn undone.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Final, Protocol

from reconciler.egress import Gate
from reconciler.errors import Unavailable
from reconciler.model import Bot, Line
from reconciler.runtime.answering import Answers, Reply, answer, unanswered
from reconciler.runtime.channels.push import Webhooks
from reconciler.runtime.hearing import Turn, look
from reconciler.runtime.notices import Notices
from reconciler.runtime.observe import make_log
from reconciler.runtime.sending import Lines, Post, Sender
from reconciler.store.chats import DONE, FAILED, Chats
from reconciler.store.leases import Claim, Ending
from reconciler.store.usage import Record
from reconciler.talk.effective import effective

BATCH: Final = 200  # chats claimed in one transaction
ATTEMPTS: Final = 5  # at a chat that makes our own code fail
PATIENCE: Final = 5.0  # seconds between tries to write an answer to a store that is away, at the most
POLL: Final = 1.0  # seconds between looks at the store that nothing asked for: finds a wake that was lost
RETENTION: Final = 90 * 24 * 3600  # seconds, where an instance says nothing
SWEEP: Final = 3600.0  # seconds between sweeps
EXPIRE: Final = 60.0  # seconds between looks for sessions that nobody has written in for too long


class Counts(Protocol):
    """Is told of each turn that ended: of which instance's bot, how it went, what it took."""

    def turned(self, instance: str, bot: Bot, record: Record) -> None: ...


class Engine:
    """Runs the chats of one store.

    `clock` gives seconds since the epoch, `fresh` new ids; `limit` chats are worked on at once, each held for `lease`
    seconds that are renewed while it is; `pause` is the first back-off in seconds. `post` carries messages to
    webhooks (an HTTP POST through `gate`, where None); `log` is structlog's (JSON lines to standard error, where None).
    """

    def __init__(
        self,
        lines: Lines,
        chats: Chats,
        models: Answers,
        notices: Notices,
        *,
        clock: Callable[[], float] = time.time,
        fresh: Callable[[], str] = lambda: uuid.uuid4().hex,
        post: Post | None = None,
        gate: Gate | None = None,
        counts: Counts | None = None,
        log: Any = None,
        limit: int = 2000,
        lease: float = 30.0,
        pause: float = 1.0,
    ) -> None:
        self._lines, self._chats, self._models, self._notices = lines, chats, models, notices
        self._clock, self._fresh, self._limit, self._lease, self._pause = clock, fresh, limit, lease, pause
        self._log = log or make_log()
        self._counts = counts
        self._webhooks = Webhooks(gate=gate)
        self.sender = Sender(lines, chats, notices, post or self._webhooks, self._log, clock, pause)
        self._working: dict[tuple[str, str], tuple[Claim, asyncio.Task[None]]] = {}
        self._renewed = -inf  # when the leases of all that is worked on were last renewed by `claim`
        self._woken = asyncio.Event()
        self._stopping, self._stopped = asyncio.Event(), asyncio.Event()  # claim nothing more; do nothing more
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self) -> None:
        """Works until `stop`; first takes back what a predecessor that died had claimed."""
        self._ended.clear()
        tending = asyncio.gather(  # may be at it for long, and is cut off at once
            self._repeat(self._stopping, asyncio.Event(), self.sweep, SWEEP),
            self._repeat(self._stopping, asyncio.Event(), self.expire, EXPIRE),
        )
        try:
            await self._chats.take_over()
            await asyncio.gather(
                self._repeat(self._stopping, self._woken, self.claim, POLL),
                self._repeat(self._stopped, self.sender.said, self.sender.say, POLL),
                self._repeat(self._stopped, self.sender.posted, self.sender.push, POLL),
                self._repeat(self._stopped, asyncio.Event(), self._renew, self._lease / 3),
            )
        finally:
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)
            await self._abandon()
            await self.sender.stop(wait=self._stopped.is_set())
            await self._webhooks.close()
            self._ended.set()

    def wake(self) -> None:
        """Something was accepted: look now. Only a hint."""
        self._woken.set()

    async def stop(self, grace: float) -> None:
        """Claims nothing more, lets running turns end within `grace` seconds and gives back the rest; then lets posts
        that are under way arrive. What is not said by then is said at the next start."""
        self._stopping.set()
        if working := [task for _, task in self._working.values()]:
            await asyncio.wait(working, timeout=grace)
        await self._abandon()
        self._stopped.set()
        await self._ended.wait()

    # --- steps: each returns the seconds until it has something to do (None: nothing known) --------------------

    async def claim(self) -> float | None:
        """Claims what is due and starts to work on it."""
        if (room := self._limit - len(self._working)) <= 0:
            return None  # whoever ends next wakes this step
        now = self._clock()
        late = now - self._renewed >= self._lease / 3
        mine = [claim for claim, _ in self._working.values()] if late else []
        claims, due = await self._chats.claim(now, min(room, BATCH), self._lease, mine)
        if late:
            self._renewed = now
        if self._stopping.is_set():
            await self._give_back(claims)
            return None
        if any(message.heard.send for one in claims for message in one.inbox):
            self.sender.posted.set()  # in a chat whose turn runs the sender finds it by itself
        for one in claims:
            if (busy := self._working.get(one.chat)) is not None:
                # It was forgotten while its turn runs, and came back: the new claim waits for the old work to end.
                busy[1].cancel()
                await self._chats.retry(one, self._clock() + self._pause)
                continue
            self._begin(one)
        return None if due is None else max(0.0, due - self._clock())

    async def idle(self) -> None:
        """Waits until nothing that was claimed is worked on."""
        while self._working:
            await asyncio.gather(*(task for _, task in self._working.values()), return_exceptions=True)

    async def sweep(self) -> float | None:
        """Deletes what is older than each instance's retention."""
        for instance_id in await self._chats.instances():
            line = await self._lines.line(instance_id)
            kept = (line.instance.retention if line else None) or RETENTION
            if gone := await self._chats.sweep(instance_id, self._clock() - kept):
                self._log.info("swept what was older than its retention", instance=instance_id, rows=gone)
        return None

    async def expire(self) -> float | None:
        """Ends sessions that are over, so that nobody sees them as open; a message would find them over anyway."""
        now = self._clock()
        for instance_id, bot_id in await self._chats.talking():
            line = await self._lines.line(instance_id)
            bot = next((bot for bot in line.bots if bot.id == bot_id), None) if line else None
            if line is not None and bot is not None and (own := effective(bot, line.settings)).expire:
                await self._chats.expire(instance_id, bot_id, now - own.expire, own.keep_open)
        return None

    async def _renew(self) -> float | None:
        if claims := [claim for claim, _ in self._working.values()]:
            await self._chats.renew(claims, self._clock() + self._lease)
        return None

    async def _repeat(
        self, end: asyncio.Event, woken: asyncio.Event, step: Callable[[], Awaitable[float | None]], net: float
    ) -> None:
        """Repeats a step when it is woken, when it asked to be, or after `net` seconds; its errors end nothing."""
        ending = asyncio.ensure_future(end.wait())
        try:
            while not end.is_set():
                woken.clear()
                try:
                    wait = await step()
                except Exception as error:
                    if isinstance(error, Unavailable):
                        self._log.error("the engine waits for the store", why=str(error))
                    else:
                        self._log.exception("a step of the engine failed; trying again")
                    wait = self._pause
                waking = asyncio.ensure_future(woken.wait())
                timeout = net if wait is None else min(wait, net)
                await asyncio.wait({waking, ending}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            ending.cancel()

    async def _abandon(self) -> None:
        """Cancels what is worked on and gives the chats back. Here and not in the tasks: one that is cancelled before
        its first step does nothing any more."""
        working = list(self._working.values())
        for _, task in working:
            task.cancel()
        await asyncio.gather(*(task for _, task in working), return_exceptions=True)
        await self._give_back([claim for claim, _ in working])

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        for failed in await asyncio.gather(*map(self._chats.give_back, claims), return_exceptions=True):
            if failed is not None:  # the lease runs out, and the next process takes it over anyway
                self._log.error("a chat could not be given back", why=repr(failed))

    # --- one chat ----------------------------------------------------------------------------------------------

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._work(claim))
        self._working[claim.chat] = (claim, task)

        def end(_: asyncio.Task[None]) -> None:
            del self._working[claim.chat]
            self._woken.set()

        task.add_done_callback(end)

    async def _work(self, claim: Claim) -> None:
        due: tuple[Line, Turn] | None = None
        try:
            line = await self._lines.line(claim.instance_id)
            if line is None:  # its instance is being deleted, and the chat with it
                await self._chats.give_up(claim)
                return
            now = self._clock()
            seen = look(line, claim, now, self._fresh)
            due = None if seen.turn is None else (line, seen.turn)
            if seen.settling is not None:
                if not await self._chats.settle(seen.settling):
                    return
                self._notices.publish(claim.chat)
            if seen.turn is not None:
                reply = await answer(self._models, self._chats, line, seen.turn, self._clock, self._fresh)
                await self._finish(claim, line, seen.turn, reply, DONE)
        except Exception as error:
            await self._fail(claim, due, error)

    async def _finish(self, claim: Claim, line: Line, turn: Turn, reply: Reply, state: int) -> None:
        """Writes a turn's end. A store that cannot write just now is waited for, however long: the answer is paid for,
        and nobody else can claim the chat meanwhile."""
        consumed = tuple(one.seq for one in turn.messages)
        done = Ending(
            claim=claim,
            session=reply.session,
            consumed=consumed,
            state=state,
            sayings=reply.sayings,
            record=reply.record,
        )
        wait = self._pause
        while True:
            try:
                if await self._chats.finish(done, self._clock()):
                    if self._counts is not None:
                        self._counts.turned(line.instance.name, turn.bot, reply.record)
                    if reply.sayings:
                        self.sender.said.set()
                return
            except Unavailable as error:
                self._log.error("an answer waits for the store", why=str(error))
            await asyncio.sleep(wait)
            wait = min(2 * wait, PATIENCE)

    async def _fail(self, claim: Claim, due: tuple[Line, Turn] | None, error: Exception) -> None:
        """Our own code failed at a chat: tried again later, and given up after `ATTEMPTS` times."""
        number, attempt = self._fresh(), claim.attempts + 1
        self._log.error("work on a chat failed", id=number, instance=claim.instance_id, attempt=attempt, exc_info=error)
        try:
            if attempt < ATTEMPTS:
                wait = self._pause * 2**claim.attempts * random.uniform(0.8, 1.2)  # noqa: S311
                await self._chats.retry(claim, self._clock() + wait)
            elif due is not None:
                line, turn = due
                reply = unanswered(line, turn, f"an error of the runtime, {number} in its log", self._fresh)
                await self._finish(claim, line, turn, reply, FAILED)
            else:
                await self._chats.give_up(claim)
        except Exception as again:  # the store is away; the lease runs out and the chat is claimed anew
            self._log.error("the failure could not be written down", id=number, why=repr(again))
