"""The outbox: what bots have to say, said when it is due; and the pushes that carry it to an instance's webhook.

Before it comes the transaction that ends a turn (`store/leases.py`), which intends the messages; after it the
transcript. On the web channel saying a message is writing it into the transcript in the transaction that takes it out
of the outbox: it is said exactly once, whatever crashes. A push is posted at least once, with the message's id as
its idempotency key.

All functions run in a transaction of the store's writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from reconciler.store.chats_tables import DONE, NEW

ECHO: Final = 10.0  # seconds for which a message of ours may come back as if a human had said it
_HOLD: Final = 0.05  # seconds until a message is tried again that waits for a human's message to be looked at


class Push(msgspec.Struct, frozen=True):
    """One message to post: `at` is when it was said (seconds since the epoch), `attempts` how often it was tried."""

    seq: int
    instance_id: str
    jid: str
    id: str
    text: str
    at: float
    attempts: int
    media_url: str | None = None


class Saying(msgspec.Struct, frozen=True):
    """One message to be said: `id` becomes the message's id, `delay` counts from the one before it, in seconds.

    With `media_url` it is that file, and the text its caption.
    """

    id: str
    text: str
    delay: float
    media_url: str | None = None


def intend(
    connection: sqlite3.Connection,
    chat: tuple[str, str],
    session_id: str,
    bot_id: str,
    sayings: Sequence[Saying],
    now: float,
) -> None:
    """Puts a reply into the outbox, after whatever the chat's bot still has to say."""
    latest = connection.execute("SELECT max(due_at) FROM outbox WHERE instance_id = ? AND jid = ?", chat).fetchone()[0]
    due = max(now, latest or 0.0)
    for saying in sayings:
        due += saying.delay
        connection.execute(
            "INSERT INTO outbox (instance_id, jid, id, session_id, bot_id, text, due_at, media_url)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*chat, saying.id, session_id, bot_id, saying.text, due, saying.media_url),
        )


def due_instances(connection: sqlite3.Connection, now: float) -> tuple[list[str], float | None]:
    """The instances with something due to be said; and when the next is due."""
    rows = connection.execute("SELECT DISTINCT instance_id FROM outbox WHERE due_at <= ?", (now,)).fetchall()
    return [row[0] for row in rows], connection.execute("SELECT min(due_at) FROM outbox").fetchone()[0]


def say(
    connection: sqlite3.Connection, hooked: Mapping[str, bool], now: float, limit: int, off: Collection[str] = ()
) -> tuple[list[tuple[str, str]], float | None]:
    """Says what is due in the instances of `hooked`; the chats whose transcript grew, and when the next is due.

    `hooked` tells which instances have a webhook. What belongs to a session that is not open any more is dropped, and
    what a bot that is switched `off` still had to say.
    While a human's message of the chat was not looked at yet, nothing is said: it may be a take-over. It is none if it
    is what was just sent: a reply's next part does not wait for the turn that runs meanwhile.
    """
    rows = connection.execute(
        "SELECT o.seq, o.instance_id, o.jid, o.id, o.session_id, o.bot_id, o.text, o.media_url, s.status,"
        " EXISTS (SELECT 1 FROM messages m WHERE m.instance_id = o.instance_id AND m.jid = o.jid AND m.state < 2"
        " AND m.state = ? AND m.from_me AND (m.send OR NOT EXISTS (SELECT 1 FROM messages ours"
        " WHERE ours.instance_id = m.instance_id AND ours.jid = m.jid AND (ours.bot_id IS NOT NULL OR ours.send)"
        " AND (ours.carried_as = m.id OR ours.text = m.text AND max(ours.at, coalesce(ours.carried_at, 0)) > m.at - ?)"
        "))) AS held FROM outbox o LEFT JOIN sessions s ON s.id = o.session_id"
        " WHERE o.due_at <= ? ORDER BY o.due_at, o.seq LIMIT ?",
        (NEW, ECHO, now, limit),
    ).fetchall()
    said: dict[tuple[str, str], None] = {}
    waiting: set[tuple[str, str]] = set()
    for seq, instance_id, jid, id, session_id, bot_id, text, media_url, status, held in rows:
        if (instance_id, jid) in waiting:
            continue
        if bot_id in off:
            status = None
        if status == "opened" and (held or instance_id not in hooked):
            # With all that the chat's bot has to say after it: its order is that of the times.
            connection.execute(
                "UPDATE outbox SET due_at = max(due_at, ?) WHERE instance_id = ? AND jid = ?",
                (now + _HOLD, instance_id, jid),
            )
            waiting.add((instance_id, jid))
            continue
        connection.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
        if status != "opened":
            continue
        new = connection.execute(
            "INSERT INTO messages (instance_id, id, jid, from_me, kind, text, media_url, at, bot_id, state)"
            " VALUES (?, ?, ?, 1, 'conversation', ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (instance_id, id, jid, text, media_url, now, bot_id, DONE),
        )
        if not new.rowcount:  # its own echo was faster: it is in the transcript
            continue
        connection.execute("UPDATE sessions SET active_at = max(active_at, ?) WHERE id = ?", (now, session_id))
        if hooked[instance_id]:
            add_push(connection, (instance_id, jid), id, text, now, media_url)
        said[(instance_id, jid)] = None
    return list(said), connection.execute("SELECT min(due_at) FROM outbox").fetchone()[0]


def drop(connection: sqlite3.Connection, session_id: str, chat: tuple[str, str]) -> None:
    """Takes back what a session still had to say."""
    connection.execute("DELETE FROM outbox WHERE instance_id = ? AND jid = ? AND session_id = ?", (*chat, session_id))


def add_push(
    connection: sqlite3.Connection,
    chat: tuple[str, str],
    id: str,
    text: str,
    now: float,
    media_url: str | None = None,
) -> None:
    """Asks for a message to be posted to the instance's webhook."""
    connection.execute(
        "INSERT INTO pushes (instance_id, jid, id, text, at, due_at, media_url) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*chat, id, text, now, now, media_url),
    )


def due_pushes(
    connection: sqlite3.Connection, now: float, limit: int, busy: Collection[str] = ()
) -> tuple[list[Push], float | None]:
    """The pushes that may be posted now, only the oldest of each chat, none of the instances that are `busy`; and when
    the next one is due after now."""
    rows = connection.execute(
        "SELECT seq, instance_id, jid, id, text, at, attempts, media_url FROM pushes p WHERE due_at <= ?"
        " AND instance_id NOT IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM pushes q"
        " WHERE q.instance_id = p.instance_id AND q.jid = p.jid AND q.seq < p.seq)"
        " ORDER BY due_at, seq LIMIT ?",
        (now, msgspec.json.encode(list(busy)).decode(), limit),
    ).fetchall()
    later = connection.execute("SELECT min(due_at) FROM pushes WHERE due_at > ?", (now,)).fetchone()[0]
    return [Push(*row) for row in rows], later


def end_push(
    connection: sqlite3.Connection, seq: int, again_at: float | None, now: float, carried_as: str | None
) -> None:
    """Ends an attempt: the push is over (None), or to be tried again at a time. `carried_as` is the id that whoever
    took it has given the message, by which its echo is known.
    """
    if again_at is None:
        done = connection.execute("DELETE FROM pushes WHERE seq = ? RETURNING instance_id, id", (seq,)).fetchone()
        if done is not None:
            connection.execute(
                "UPDATE messages SET carried_at = ?, carried_as = ? WHERE instance_id = ? AND id = ?",
                (now, carried_as, *done),
            )
    else:
        connection.execute("UPDATE pushes SET attempts = attempts + 1, due_at = ? WHERE seq = ?", (again_at, seq))
