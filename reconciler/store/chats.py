"""Chats on SQLite: the inbox, sessions and transcripts, and what the turn engine needs of them.

Before it come the channels (`accept`) and the HTTP API (`set_status`, `sessions`, `transcript`, `forget`); after it
`runtime/turns.py`, which claims chats, settles what it heard, finishes turns and says what is due. The statements are
in `leases.py` and `outbox.py`; here each becomes one transaction, many of which share a commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Literal, TypeVar

import msgspec

from reconciler.model import Heard, Media, Session, Status
from reconciler.store import leases, media, outbox, usage
from reconciler.store.chats_tables import DONE, FAILED, MIGRATIONS, NEW, WAITING
from reconciler.store.db import Database
from reconciler.store.sweep import sweep
from reconciler.talk.decide import Discard, End, switch

__all__ = ["DONE", "FAILED", "MIGRATIONS", "NEW", "WAITING", "Chats", "Said"]


T = TypeVar("T")

_SHORT: Final = 100  # messages of a transcript that are read without delay


class Said(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message of a transcript; `timestamp` in whole seconds since the epoch, `bot_id` the bot that said it."""

    id: str
    from_me: bool
    text: str | None
    media_url: str | None = None
    timestamp: int
    bot_id: str | None = None


class Count(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many sessions a bot has in each status."""

    bot_id: str
    opened: int
    paused: int
    closed: int


class Chats:
    """The chats of one database. All times are seconds since the epoch."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # --- for channels and the HTTP API -----------------------------------------------------------------------

    async def accept(self, heard: Sequence[Heard]) -> list[bool]:
        """Stores messages for good and wakes their chats, in one transaction. True for each that was not known yet.
        What the business sends through us is pushed at once: it waits for no turn.

        A message is known by its instance and id (docs/conversation.md, "A message arrives"). Raises
        sqlite3.IntegrityError for an instance that is not there.
        """
        messages = [_storable(message) for message in heard]

        def write(connection: sqlite3.Connection) -> list[bool]:
            return [_accept(connection, message) for message in messages]

        return await self._db.write(write)

    async def set_status(self, instance_id: str, jid: str, status: Status | Literal["delete"], now: float) -> int:
        """Switches a chat: its newest session, or with `delete` all of them. How many sessions were touched."""

        def write(connection: sqlite3.Connection) -> int:
            chat = (instance_id, jid)
            session, actions = switch(leases.newest_session(connection, chat), status, now)
            if Discard() in actions:
                leases.discard_waiting(connection, chat)
                connection.execute("DELETE FROM outbox WHERE instance_id = ? AND jid = ?", chat)
            if session is not None:
                return connection.execute(
                    "UPDATE sessions SET status = ?, active_at = ? WHERE id = ?",
                    (session.status, session.active_at, session.id),
                ).rowcount
            if any(isinstance(action, End) for action in actions):
                return connection.execute("DELETE FROM sessions WHERE instance_id = ? AND jid = ?", chat).rowcount
            return 0

        return await self._db.write(write)

    async def sessions_part(
        self, instance_id: str, bot_id: str, shown: Callable[[Session], T], after: int, limit: int, offset: int = 0
    ) -> tuple[list[T], int]:
        """At most `limit` sessions of a bot as `shown` shows them, oldest first, after the place `after` and `offset`
        more; and the place of the last. All of it is done where lists are read."""

        def look(connection: sqlite3.Connection) -> tuple[list[T], int]:
            found = leases.sessions_part(connection, instance_id, bot_id, after, limit, offset)
            return [shown(session) for _, session in found], found[-1][0] if found else after

        return await self._db.scan(look)

    async def counted(self, instance_id: str, limit: int = -1, offset: int = 0) -> list[Count]:
        """How many sessions each bot has, by status: `limit` bots (-1: all) after the first `offset`."""
        select = (
            "SELECT bot_id, sum(status = 'opened'), sum(status = 'paused'), sum(status = 'closed') FROM sessions"
            " WHERE instance_id = ? GROUP BY bot_id ORDER BY bot_id LIMIT ? OFFSET ?"
        )
        return await self._db.scan(
            lambda connection: [
                Count(bot_id=bot_id, opened=opened, paused=paused, closed=closed)
                for bot_id, opened, paused, closed in connection.execute(select, (instance_id, limit, offset))
            ]
        )

    async def session(self, instance_id: str, jid: str) -> Session | None:
        """The newest session of a chat."""
        return await self._db.read(lambda connection: leases.newest_session(connection, (instance_id, jid)))

    async def transcript(self, instance_id: str, jid: str, after: str | None, limit: int) -> list[Said]:
        """What was said in a chat by whomever, oldest first: `limit` messages after the one with the id `after`;
        without it (or where it is not there any more) the newest `limit`.
        """

        def look(connection: sqlite3.Connection) -> list[Said]:
            chat = (instance_id, jid)
            since = (
                after
                and connection.execute(
                    "SELECT seq FROM messages WHERE instance_id = ? AND jid = ? AND id = ?", (*chat, after)
                ).fetchone()
            )
            select = "SELECT id, from_me, text, media_url, at, bot_id FROM messages WHERE instance_id = ? AND jid = ?"
            if since:
                rows = connection.execute(f"{select} AND seq > ? ORDER BY seq LIMIT ?", (*chat, since[0], limit))
                return [_said(row) for row in rows]
            rows = connection.execute(f"{select} ORDER BY seq DESC LIMIT ?", (*chat, limit))
            return [_said(row) for row in rows][::-1]

        return await self._db.read(look) if limit <= _SHORT else await self._db.scan(look)

    async def forget(self, instance_id: str, jid: str) -> int:
        """Deletes everything of a chat: messages, sessions, what was to be said. How many messages there were."""

        def write(connection: sqlite3.Connection) -> int:
            chat = (instance_id, jid)
            for table in ("sessions", "outbox", "pushes", "chats"):
                connection.execute(f"DELETE FROM {table} WHERE instance_id = ? AND jid = ?", chat)  # noqa: S608
            return connection.execute("DELETE FROM messages WHERE instance_id = ? AND jid = ?", chat).rowcount

        return await self._db.write(write)

    # --- for the turn engine -----------------------------------------------------------------------------------

    async def take_over(self) -> int:
        """Gives back every lease of the process that had the file before. How many there were."""
        return await self._db.write(leases.release_all)

    async def claim(
        self, now: float, limit: int, lease: float, mine: Sequence[leases.Claim] = ()
    ) -> tuple[list[leases.Claim], float | None]:
        """As `leases.claim`."""
        return await self._db.write(lambda connection: leases.claim(connection, now, limit, lease, mine))

    async def settle(self, done: leases.Settling) -> bool:
        """As `leases.settle`."""
        return await self._db.write(lambda connection: leases.settle(connection, done))

    async def finish(self, done: leases.Ending, now: float) -> bool:
        """As `leases.finish`."""
        return await self._db.write(lambda connection: leases.finish(connection, done, now))

    async def media(self, seqs: Sequence[int], most: int) -> dict[int, Media]:
        """As `media.load`."""
        return await self._db.read(lambda connection: media.load(connection, seqs, most))

    async def read_out(self, texts: Mapping[int, str]) -> None:
        """Keeps what was heard in audio as the text of its message (by place in the transcript): it was paid for."""
        rows = [(_storable_text(text), seq) for seq, text in texts.items()]
        await self._db.write(
            lambda connection: connection.executemany("UPDATE messages SET text = ? WHERE seq = ?", rows).rowcount
        )

    async def recall(self, turn: str) -> dict[str, str]:
        """What was kept of a turn (a request's key) before its process died, by name."""
        select = "SELECT name, value FROM memos WHERE session_id = ? AND turn = ?"
        key = (turn.partition(":")[0], turn)
        return await self._db.read(lambda connection: dict(connection.execute(select, key).fetchall()))

    async def keep(self, turn: str, name: str, value: str) -> None:
        """Keeps something of a turn until it ends; the first value of a name stays, and nothing of a session gone."""
        statement = (
            "INSERT INTO memos (session_id, turn, name, value) SELECT id, ?, ?, ? FROM sessions WHERE id = ?"
            " ON CONFLICT DO NOTHING"
        )
        row = (turn, name, value.encode("utf-8", "replace").decode(), turn.partition(":")[0])
        await self._db.write(lambda connection: connection.execute(statement, row).rowcount)

    async def retry(self, claim: leases.Claim, at: float) -> bool:
        """As `leases.retry`."""
        return await self._db.write(lambda connection: leases.retry(connection, claim, at))

    async def give_up(self, claim: leases.Claim) -> bool:
        """As `leases.give_up`: the messages are marked failed."""
        return await self._db.write(lambda connection: leases.give_up(connection, claim, FAILED))

    async def give_back(self, claim: leases.Claim) -> None:
        """As `leases.give_back`."""
        await self._db.write(lambda connection: leases.give_back(connection, claim))

    async def renew(self, claims: Sequence[leases.Claim], until: float) -> None:
        """As `leases.renew`."""
        await self._db.write(lambda connection: leases.renew(connection, claims, until))

    async def due_instances(self, now: float) -> tuple[list[str], float | None]:
        """As `outbox.due_instances`."""
        return await self._db.read(lambda connection: outbox.due_instances(connection, now))

    async def say(
        self, hooked: Mapping[str, bool], now: float, limit: int, off: Collection[str] = ()
    ) -> tuple[list[tuple[str, str]], float | None]:
        """As `outbox.say`."""
        return await self._db.write(lambda connection: outbox.say(connection, hooked, now, limit, off))

    async def due_pushes(
        self, now: float, limit: int, busy: Collection[str] = ()
    ) -> tuple[list[outbox.Push], float | None]:
        """As `outbox.due_pushes`."""
        return await self._db.read(lambda connection: outbox.due_pushes(connection, now, limit, busy))

    async def end_push(self, seq: int, again_at: float | None, now: float, carried_as: str | None = None) -> None:
        """As `outbox.end_push`."""
        await self._db.write(lambda connection: outbox.end_push(connection, seq, again_at, now, carried_as))

    async def talking(self) -> list[tuple[str, str]]:
        """The (instance, bot) pairs that have sessions."""
        select = "SELECT DISTINCT instance_id, bot_id FROM sessions"
        return await self._db.read(lambda connection: [tuple(row) for row in connection.execute(select)])

    async def expire(self, instance_id: str, bot_id: str, before: float, keep: bool) -> int:
        """Ends a bot's sessions that were last active before a time: deleted, or with `keep` closed. How many.

        Only in chats that sleep: where a message waits to be heard, the time of that message decides.
        """
        return await self._db.write(lambda connection: leases.expire(connection, instance_id, bot_id, before, keep))

    async def usage(self, instance_id: str, since: float, until: float) -> list[usage.Usage]:
        """As `usage.sums`."""
        return await self._db.read(lambda connection: usage.sums(connection, instance_id, since, until))

    async def instances(self) -> list[str]:
        """The instances that have chats."""
        return await self._db.read(
            lambda connection: [row[0] for row in connection.execute("SELECT DISTINCT instance_id FROM chats")]
        )

    async def sweep(self, instance_id: str, before: float) -> int:
        """Deletes what is older than a time, as `sweep.sweep`."""
        return await sweep(self._db, instance_id, before)


def _accept(connection: sqlite3.Connection, message: Heard) -> bool:
    new = connection.execute(
        "INSERT INTO messages (instance_id, id, jid, from_me, push_name, kind, text, at, send, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (instance_id, id) DO NOTHING",
        (
            message.instance_id,
            message.id,
            message.jid,
            message.from_me,
            message.push_name,
            message.kind,
            message.text,
            message.at,
            message.send,
            NEW,
        ),
    )
    if not new.rowcount:
        return False
    if message.media is not None:
        assert new.lastrowid is not None
        media.keep(connection, new.lastrowid, message.media)
    chat = (message.instance_id, message.jid)
    if message.send and message.text:
        outbox.add_push(connection, chat, message.id, message.text, message.at)
    leases.wake(connection, chat)
    return True


def _storable(message: Heard) -> Heard:
    """The message without halves of surrogate pairs, which JSON can carry and UTF-8 cannot."""
    changed = {
        field: _storable_text(text)
        for field in ("id", "jid", "push_name", "kind", "text")
        if (text := getattr(message, field)) is not None and not text.isascii()
    }
    return msgspec.structs.replace(message, **changed) if changed else message


def _storable_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _said(row: sqlite3.Row) -> Said:
    id, from_me, text, media_url, at, bot_id = row
    return Said(id=id, from_me=bool(from_me), text=text, media_url=media_url, timestamp=int(at), bot_id=bot_id)
