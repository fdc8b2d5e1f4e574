"""Retention: what is older than a time goes, in transactions so small that no turn waits for them.

Before it comes the engine's hourly sweep with each instance's retention; after it the disk. Messages go when they are
done with, sessions when nobody was active in them; sessions that go on forget what was said before; a chat goes when
it sleeps and nothing is left of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from reconciler.model import Spoken
from reconciler.store.db import Database

_ROWS: Final = 1_000  # looked at or deleted in one transaction

_OLD: Final = (
    "DELETE FROM messages WHERE seq IN ("
    "SELECT seq FROM messages WHERE instance_id = ? AND at < ? AND state >= 2 LIMIT ?)",
    "DELETE FROM sessions WHERE seq IN (SELECT seq FROM sessions WHERE instance_id = ? AND active_at < ? LIMIT ?)",
    "DELETE FROM turns WHERE seq IN (SELECT seq FROM turns WHERE instance_id = ? AND at < ? LIMIT ?)",
)

# A page: from one chat id (not with it) to another (with it; None: to the end). Returns how many rows changed.
_Page = Callable[[sqlite3.Connection, str, float, str, str | None], int]


async def sweep(db: Database, instance_id: str, before: float) -> int:
    """Deletes what an instance has from before a time (seconds since the epoch); how many rows went or changed."""
    gone = 0
    for old in _OLD:
        while some := await db.write(partial(_delete, old, instance_id, before)):
            gone += some
    for table, change in (("sessions", _trim), ("chats", _empty)):
        after: str | None = ""
        while after is not None:
            some, after = await db.write(partial(_page, table, change, instance_id, before, after))
            gone += some
    return gone


def _delete(sql: str, instance_id: str, before: float, connection: sqlite3.Connection) -> int:
    return connection.execute(sql, (instance_id, before, _ROWS)).rowcount


def _page(
    table: str, change: _Page, instance_id: str, before: float, after: str, connection: sqlite3.Connection
) -> tuple[int, str | None]:
    """Changes the next page of a table; how many rows, and the chat id that it ended with if there are more."""
    end = connection.execute(
        f"SELECT jid FROM {table} WHERE instance_id = ? AND jid > ? ORDER BY jid LIMIT 1 OFFSET ?",  # noqa: S608
        (instance_id, after, _ROWS - 1),
    ).fetchone()
    last = None if end is None else str(end[0])
    return change(connection, instance_id, before, after, last), last


def _trim(connection: sqlite3.Connection, instance_id: str, before: float, after: str, last: str | None) -> int:
    """What sessions remember of before; one that is younger was given it and keeps it."""
    long_lived = connection.execute(
        "SELECT id, history FROM sessions WHERE instance_id = ? AND jid > ? AND (? IS NULL OR jid <= ?)"
        " AND created_at < ? AND json_extract(history, '$[0].at') < ?",
        (instance_id, after, last, last, before, before),
    ).fetchall()
    for id, history in long_lived:
        kept = [entry for entry in msgspec.json.decode(history, type=list[Spoken]) if entry.at >= before]
        connection.execute("UPDATE sessions SET history = ? WHERE id = ?", (msgspec.json.encode(kept).decode(), id))
    return len(long_lived)


def _empty(connection: sqlite3.Connection, instance_id: str, _before: float, after: str, last: str | None) -> int:
    return connection.execute(
        "DELETE FROM chats WHERE instance_id = ? AND jid > ? AND (? IS NULL OR jid <= ?) AND due_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.instance_id = chats.instance_id AND m.jid = chats.jid)",
        (instance_id, after, last, last),
    ).rowcount
