"""A store with the chats' tables and a fleet that is only a dictionary: what the engine's tests stand on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from sqlite_utils import Database as Tables

from reconciler.llm.answer import Answer, ModelFailed
from reconciler.model import Bot, Heard, Line
from reconciler.runtime.notices import Notices
from reconciler.runtime.turns import Engine
from reconciler.store.chats import MIGRATIONS, Chats
from reconciler.store.db import Database
from tests.talk import rows


def migrate(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # no test cuts the power, and kill -9 does not lose what was written
    connection.execute("CREATE TABLE IF NOT EXISTS instances (id TEXT PRIMARY KEY)")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS bots (id TEXT PRIMARY KEY,"
        " instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE)"
    )
    MIGRATIONS.apply(Tables(connection))


class Lines:
    """The fleet as the engine sees it; `put` also keeps the rows that sessions hang on."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.all: dict[str, Line] = {}

    async def line(self, instance_id: str) -> Line | None:
        return self.all.get(instance_id)

    async def put(self, line: Line) -> None:
        id, bots = line.instance.id, [bot.id for bot in line.bots]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO instances VALUES (?) ON CONFLICT DO NOTHING", (id,))
            marks = ",".join("?" * len(bots))
            connection.execute(f"DELETE FROM bots WHERE instance_id = ? AND id NOT IN ({marks})", (id, *bots))
            for bot in bots:
                connection.execute("INSERT INTO bots VALUES (?, ?) ON CONFLICT DO NOTHING", (bot, id))

        await self.db.write(write)
        self.all[id] = line


class Model:
    """A model that answers with what it was asked, and keeps every request."""

    def __init__(self) -> None:
        self.requests = []
        self.fails: list[Exception] = []
        self.files = []

    async def answer(self, account, request) -> Answer:
        self.requests.append(request)
        if self.fails:
            raise self.fails.pop(0)
        return Answer(f"re: {request.messages[-1].text}")

    async def read(self, account, media) -> str:
        self.files.append(media)
        if self.fails:
            raise self.fails.pop(0)
        return f"{media.kind} {(media.data or b'').decode()}"

    @property
    def asked(self) -> list[str]:
        return [request.messages[-1].text for request in self.requests]


class Stand:
    """Everything of one runtime but HTTP, with a clock that stands still until it is told."""

    def __init__(self, path: Path) -> None:
        self.db = Database(path, migrate)
        self.chats = Chats(self.db)
        self.lines = Lines(self.db)
        self.model = Model()
        self.notices = Notices()
        self.now = 10_000.0
        self.ids = 0
        self.posted: list[tuple[str, str]] = []
        self.refusals: list[Exception] = []
        self.engine = self.new_engine()

    def new_engine(self, **options) -> Engine:
        options = {"clock": lambda: self.now, "fresh": self.fresh, "post": self, "pause": 1.0, **options}
        return Engine(self.lines, self.chats, self.model, self.notices, **options)

    def fresh(self) -> str:
        self.ids += 1
        return f"own{self.ids}"

    async def post(self, instance, push) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.posted.append((push.id, push.text))

    async def bots(self, *bots: Bot, **fields) -> None:
        await self.lines.put(rows.line(*bots, **fields))

    async def hear(self, text: str | None, id: str | None = None, jid: str = "ana", **fields) -> bool:
        message = Heard(
            id=id or self.fresh(),
            instance_id=fields.pop("instance_id", "inst"),
            jid=jid,
            from_me=fields.pop("from_me", False),
            push_name=fields.pop("push_name", "Ana"),
            kind=fields.pop("kind", "conversation"),
            text=text,
            at=fields.pop("at", self.now),
            **fields,
        )
        return (await self.chats.accept([message]))[0]

    async def work(self) -> None:
        """Works until nothing is due at the clock's time."""
        busy, steps = True, 0
        while busy:
            steps += 1
            assert steps < 100, "the engine turns in circles"
            wait = await self.engine.claim()
            busy = bool(self.engine._working) or wait == 0
            await self.engine.idle()
            busy = await self.engine.sender.say() == 0 or busy
            await self.engine.sender.push()
            await self.engine.sender.idle()

    async def later(self, seconds: float) -> None:
        """Moves the clock in small steps, working at each."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.25)
            await self.work()

    async def talk(self, text: str | None, seconds: float = 3.0, **fields) -> None:
        await self.hear(text, **fields)
        await self.work()
        await self.later(seconds)

    async def replies(self, jid: str = "ana") -> list[str]:
        return [said.text for said in await self.chats.transcript("inst", jid, None, 1000) if said.bot_id]

    async def session(self, jid: str = "ana"):
        return await self.chats.session("inst", jid)

    def close(self) -> None:
        self.db.close()


def thinks(stand, text):
    """Has the model answer only when it is let; gives the events that it thinks, and that it may answer."""
    thinking, may = asyncio.Event(), asyncio.Event()

    async def slow(account, request):
        stand.model.requests.append(request)
        thinking.set()
        await may.wait()
        return Answer(text)

    stand.model.answer = slow
    return thinking, may


def carries(stand):
    """Has posts arrive only when they are let; gives the events that one is under way, that it may arrive, and the
    texts that have arrived."""
    begun, may, posted = asyncio.Event(), asyncio.Event(), []

    async def slow(instance, push):
        begun.set()
        await may.wait()
        posted.append(push.text)

    stand.post = slow
    return begun, may, posted


async def polled(condition):
    """Waits until a condition, asked again and again, holds."""
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110 - a store has no event for it
            await asyncio.sleep(0.005)


__all__ = ["Answer", "ModelFailed", "Stand"]
