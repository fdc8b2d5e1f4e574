"""Leases: one worker at a time looks at a chat, and only whoever holds the chat's newest epoch can write.

Before it come the wakes of `accept` (and of time); after it `talk.decide` and the model, then `settle` and `finish`
here. Each function runs in one transaction of the store's writer; what a worker writes after its lease was given to
another is refused as a whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import msgspec

from reconciler.model import Heard, Session, Spoken
from reconciler.store import usage
from reconciler.store.chats_tables import DONE, NEW, WAITING
from reconciler.store.outbox import ECHO, Saying, drop, intend

_SESSION = "id, instance_id, jid, bot_id, status, push_name, history, await_user, failure, created_at, active_at"
_HISTORY = msgspec.json.Decoder(tuple[Spoken, ...])


class Inbound(msgspec.Struct, frozen=True):
    """A message that was not answered yet: its place in the transcript, and where it is on its way."""

    seq: int
    state: int
    heard: Heard


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A chat that one worker holds: its newest session, its open messages in order, what time it is for.

    By `said` and `carried` an echo of what was sent in the chat is known: the texts with when they were last on their
    way, and those ids of the inbox under which the webhook's server took one. `in_flight`: one is on its way just now.
    """

    instance_id: str
    jid: str
    epoch: int
    first_at: float | None
    turn_at: float | None
    attempts: int
    session: Session | None
    inbox: tuple[Inbound, ...]
    said: Mapping[str, float] = {}
    carried: frozenset[str] = frozenset()
    in_flight: bool = False

    @property
    def chat(self) -> tuple[str, str]:
        return self.instance_id, self.jid

    def echoes(self, heard: Heard) -> bool:
        """Whether a message is one of ours, come back. It counts when it came, not when it is looked at: it may have
        waited behind a long turn."""
        return heard.id in self.carried or self.said.get((heard.text or "").strip(), -inf) > heard.at - ECHO


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """What hearing the new messages of a claimed chat came to.

    `ends` are sessions that are over (True: kept as closed), `session` the one that was there and goes on, `starts`
    those that are new, `states` where each message is now. With `hold` the lease stays, for the turn is due.
    `again_at`: when what was not heard yet is to be heard.
    """

    claim: Claim
    session: Session | None
    starts: Sequence[Session]
    ends: Mapping[str, bool]
    states: Mapping[int, int]
    first_at: float | None
    turn_at: float | None
    hold: bool
    again_at: float = 0.0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn came to: the messages it consumed, what the session remembers, what is to be said, what it took."""

    claim: Claim
    session: Session
    consumed: Sequence[int]
    state: int
    sayings: Sequence[Saying]
    record: usage.Record | None = None


def read_session(row: sqlite3.Row | tuple[Any, ...]) -> Session:
    """A session of a row of `_SESSION`'s columns."""
    id, instance_id, jid, bot_id, status, push_name, history, await_user, failure, created_at, active_at = row
    return Session(
        id=id,
        instance_id=instance_id,
        jid=jid,
        bot_id=bot_id,
        status=status,
        push_name=push_name,
        history=_HISTORY.decode(history),
        await_user=bool(await_user),
        failure=failure,
        created_at=created_at,
        active_at=active_at,
    )


def newest_session(connection: sqlite3.Connection, chat: tuple[str, str]) -> Session | None:
    """The newest session of a chat, whatever its status."""
    row = connection.execute(
        f"SELECT {_SESSION} FROM sessions WHERE instance_id = ? AND jid = ? ORDER BY seq DESC LIMIT 1",  # noqa: S608
        chat,
    ).fetchone()
    return None if row is None else read_session(row)


def sessions_part(
    connection: sqlite3.Connection, instance_id: str, bot_id: str, after: int, limit: int, offset: int
) -> list[tuple[int, Session]]:
    """At most `limit` sessions of a bot, oldest first, after the place `after` and `offset` more; each with its own."""
    rows = connection.execute(
        f"SELECT seq, {_SESSION} FROM sessions WHERE bot_id = ? AND instance_id = ? AND seq > ?"  # noqa: S608
        " ORDER BY seq LIMIT ? OFFSET ?",
        (bot_id, instance_id, after, limit, offset),
    )
    return [(row[0], read_session(tuple(row)[1:])) for row in rows]


def wake(connection: sqlite3.Connection, chat: tuple[str, str]) -> None:
    """Has a chat looked at as soon as nobody holds it."""
    connection.execute(
        "INSERT INTO chats (instance_id, jid, due_at) VALUES (?, ?, 0)"
        " ON CONFLICT DO UPDATE SET due_at = CASE WHEN leased THEN due_at ELSE 0 END",
        chat,
    )


def claim(
    connection: sqlite3.Connection, now: float, limit: int, lease: float, mine: Sequence[Claim] = ()
) -> tuple[list[Claim], float | None]:
    """Takes up to `limit` chats that are due, for `lease` seconds; and when the next one is due.

    A chat whose lease ran out is due again: its worker is taken for dead. `mine` are renewed before: whoever asks is
    not dead, however long its process or the store stood still.
    """
    renew(connection, mine, now + lease)
    rows = connection.execute(
        "SELECT instance_id, jid, first_at, turn_at, attempts FROM chats WHERE due_at <= ? ORDER BY due_at LIMIT ?",
        (now, limit),
    ).fetchall()
    claims = []
    if rows:
        (epoch,) = connection.execute("UPDATE epochs SET value = value + 1 RETURNING value").fetchone()
        connection.executemany(
            "UPDATE chats SET leased = 1, epoch = ?, due_at = ? WHERE instance_id = ? AND jid = ?",
            [(epoch, now + lease, row[0], row[1]) for row in rows],
        )
        claims = [_claimed(connection, row, epoch) for row in rows]
    return claims, connection.execute("SELECT min(due_at) FROM chats WHERE due_at IS NOT NULL").fetchone()[0]


def _claimed(connection: sqlite3.Connection, row: tuple[Any, ...], epoch: int) -> Claim:
    instance_id, jid, first_at, turn_at, attempts = row
    chat = (instance_id, jid)
    inbox = tuple(
        Inbound(
            found[0],
            found[1],
            Heard(
                id=found[2],
                instance_id=instance_id,
                jid=jid,
                from_me=bool(found[3]),
                push_name=found[4],
                kind=found[5],
                text=found[6],
                at=found[7],
                send=bool(found[8]),
            ),
        )
        for found in connection.execute(
            "SELECT seq, state, id, from_me, push_name, kind, text, at, send FROM messages"
            " WHERE instance_id = ? AND jid = ? AND state < 2 ORDER BY seq",
            chat,
        )
    )
    said: dict[str, float] = {}
    carried: frozenset[str] = frozenset()
    flying: list[Any] = []
    if ours := [one.heard for one in inbox if one.heard.from_me and not one.heard.send]:
        sent = connection.execute(
            "SELECT text, carried_as, max(at, coalesce(carried_at, 0)) AS last FROM messages WHERE instance_id = ?"
            " AND jid = ? AND (bot_id IS NOT NULL OR send)"
            " AND (last > ? OR carried_as IN (SELECT value FROM json_each(?))) ORDER BY last",
            (*chat, min(heard.at for heard in ours) - ECHO, msgspec.json.encode([heard.id for heard in ours]).decode()),
        ).fetchall()
        flying = connection.execute("SELECT text FROM pushes WHERE instance_id = ? AND jid = ?", chat).fetchall()
        said = {text.strip(): last for text, _, last in sent if text is not None}
        said |= dict.fromkeys((text.strip() for (text,) in flying), inf)
        carried = frozenset(id for _, id, _ in sent if id is not None)
    return Claim(
        instance_id=instance_id,
        jid=jid,
        epoch=epoch,
        first_at=first_at,
        turn_at=turn_at,
        attempts=attempts,
        session=newest_session(connection, chat),
        inbox=inbox,
        said=said,
        carried=carried,
        in_flight=bool(flying),
    )


def held(connection: sqlite3.Connection, one: Claim) -> bool:
    """Whether the claim is still the chat's newest."""
    row = connection.execute("SELECT epoch, leased FROM chats WHERE instance_id = ? AND jid = ?", one.chat).fetchone()
    return row is not None and tuple(row) == (one.epoch, 1)


def settle(connection: sqlite3.Connection, done: Settling) -> bool:
    """Writes what hearing came to. False: nothing was written, for the lease is another's, or the session was switched
    or deleted in the meantime and the messages must be heard anew.
    """
    one = done.claim
    if not held(connection, one):
        return False
    if not _unmoved(connection, one):
        release(connection, one, one.first_at, one.turn_at, one.attempts)
        wake(connection, one.chat)
        return False
    for session_id, keep in done.ends.items():
        if keep:
            connection.execute("UPDATE sessions SET status = 'closed', await_user = 0 WHERE id = ?", (session_id,))
        else:
            connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        drop(connection, session_id, one.chat)
    for session in done.starts:
        _start(connection, session)
    if (session_ := done.session) is not None:
        connection.execute(
            "UPDATE sessions SET status = ?, push_name = ?, await_user = ?, active_at = max(active_at, ?) WHERE id = ?",
            (session_.status, session_.push_name, session_.await_user, session_.active_at, session_.id),
        )
        if session_.status != "opened":
            drop(connection, session_.id, one.chat)
    if done.states:
        connection.executemany(
            "UPDATE messages SET state = ? WHERE seq = ?", [(state, seq) for seq, state in done.states.items()]
        )
    if done.hold:  # kept all the same: whoever comes after a crash must know that a turn is due
        connection.execute(
            "UPDATE chats SET first_at = ?, turn_at = ? WHERE instance_id = ? AND jid = ?",
            (done.first_at, done.turn_at, *one.chat),
        )
    else:
        attempts = one.attempts if done.turn_at is not None else 0
        release(connection, one, done.first_at, done.turn_at, attempts, done.again_at)
    return True


def finish(connection: sqlite3.Connection, done: Ending, now: float) -> bool:
    """Ends a turn: messages consumed, session remembered, reply intended, next wake. False: the lease is another's.

    If the session is no longer open nothing is said and nothing remembered, but the messages are consumed. If it went
    with its bot they are heard anew: another bot may take them. (Whoever switches a chat discards what waits.)
    """
    one, session = done.claim, done.session
    if not held(connection, one):
        return False
    kept = connection.execute(
        "UPDATE sessions SET history = ?, await_user = ?, failure = ?, active_at = max(active_at, ?)"
        " WHERE id = ? AND status = 'opened'",
        (_encode(session.history), session.await_user, session.failure, now, session.id),
    )
    if done.record is not None:
        usage.keep(connection, session, done.record, now)
    connection.execute("DELETE FROM memos WHERE session_id = ?", (session.id,))
    gone = not kept.rowcount and not _there(connection, session.id)
    after, least = (NEW, WAITING) if gone else (done.state, NEW)
    connection.executemany(
        "UPDATE messages SET state = ? WHERE seq = ? AND state >= ? AND state < 2",
        [(after, seq, least) for seq in done.consumed],
    )
    if kept.rowcount and done.sayings:
        intend(connection, one.chat, session.id, session.bot_id, done.sayings, now)
    release(connection, one, None, None, 0)
    return True


def retry(connection: sqlite3.Connection, one: Claim, at: float) -> bool:
    """Gives a chat back after something went wrong, to be tried again at a time. False: the lease is another's."""
    if not held(connection, one):
        return False
    connection.execute(
        "UPDATE chats SET leased = 0, due_at = ?, attempts = attempts + 1,"
        " turn_at = CASE WHEN turn_at IS NULL THEN NULL ELSE max(turn_at, ?) END WHERE instance_id = ? AND jid = ?",
        (at, at, *one.chat),
    )
    return True


def give_up(connection: sqlite3.Connection, one: Claim, state: int) -> bool:
    """Marks every open message of a claimed chat and lets it sleep. False: the lease is another's."""
    if not held(connection, one):
        return False
    connection.executemany("UPDATE messages SET state = ? WHERE seq = ?", [(state, each.seq) for each in one.inbox])
    release(connection, one, None, None, 0)
    return True


def give_back(connection: sqlite3.Connection, one: Claim) -> None:
    """Ends a lease without a result: whoever is next looks at the chat at once."""
    connection.execute(
        "UPDATE chats SET leased = 0, due_at = 0 WHERE instance_id = ? AND jid = ? AND epoch = ? AND leased = 1",
        (*one.chat, one.epoch),
    )


def renew(connection: sqlite3.Connection, claims: Sequence[Claim], until: float) -> None:
    """Prolongs leases that are still held."""
    connection.executemany(
        "UPDATE chats SET due_at = ? WHERE instance_id = ? AND jid = ? AND epoch = ? AND leased = 1",
        [(until, one.instance_id, one.jid, one.epoch) for one in claims],
    )


def release(
    connection: sqlite3.Connection,
    one: Claim,
    first_at: float | None,
    turn_at: float | None,
    attempts: int,
    again_at: float = 0.0,
) -> None:
    """Gives a chat back: due at `again_at` if it has messages that nobody heard, else at its turn, else it sleeps."""
    connection.execute(
        "UPDATE chats SET leased = 0, first_at = ?, turn_at = ?, attempts = ?, due_at = CASE WHEN EXISTS ("
        "SELECT 1 FROM messages WHERE instance_id = ? AND jid = ? AND state < 2 AND state = ?) THEN ? ELSE ? END"
        " WHERE instance_id = ? AND jid = ? AND epoch = ?",
        (first_at, turn_at, attempts, *one.chat, NEW, again_at, turn_at, *one.chat, one.epoch),
    )


def release_all(connection: sqlite3.Connection) -> int:
    """Gives back every chat: for a process that starts alone on the file, whose predecessor is dead."""
    return connection.execute("UPDATE chats SET leased = 0, due_at = 0 WHERE leased = 1").rowcount


def expire(connection: sqlite3.Connection, instance_id: str, bot_id: str, before: float, keep: bool) -> int:
    """Ends a bot's sessions that were last active before a time, in chats that sleep. How many there were."""
    change = "UPDATE sessions SET status = 'closed', await_user = 0" if keep else "DELETE FROM sessions"
    which = (
        "instance_id = ? AND bot_id = ? AND active_at < ? AND status IN ('opened', 'paused', ?) AND NOT EXISTS ("
        "SELECT 1 FROM chats c WHERE c.instance_id = sessions.instance_id AND c.jid = sessions.jid"
        " AND c.due_at IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.session_id = sessions.id)"
    )
    gone = "" if keep else "closed"  # what is closed already stays as it is, where sessions are kept
    return connection.execute(f"{change} WHERE {which}", (instance_id, bot_id, before, gone)).rowcount


def discard_waiting(connection: sqlite3.Connection, chat: tuple[str, str]) -> None:
    """Messages of a chat that wait for a turn get none."""
    connection.execute(
        "UPDATE messages SET state = ? WHERE instance_id = ? AND jid = ? AND state < 2 AND state = ?",
        (DONE, *chat, WAITING),
    )
    connection.execute("UPDATE chats SET first_at = NULL, turn_at = NULL WHERE instance_id = ? AND jid = ?", chat)


def _unmoved(connection: sqlite3.Connection, one: Claim) -> bool:
    """Whether the chat's newest session is what it was when the chat was claimed."""
    row = connection.execute(
        "SELECT id, status FROM sessions WHERE instance_id = ? AND jid = ? ORDER BY seq DESC LIMIT 1", one.chat
    ).fetchone()
    before = None if one.session is None else (one.session.id, one.session.status)
    return (None if row is None else tuple(row)) == before


def _there(connection: sqlite3.Connection, session_id: str) -> bool:
    return connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session_id,)).fetchone() is not None


def _start(connection: sqlite3.Connection, session: Session) -> None:
    connection.execute(
        f"INSERT INTO sessions ({_SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            session.id,
            session.instance_id,
            session.jid,
            session.bot_id,
            session.status,
            session.push_name,
            _encode(session.history),
            session.await_user,
            session.failure,
            session.created_at,
            session.active_at,
        ),
    )


def _encode(history: tuple[Spoken, ...]) -> str:
    return msgspec.json.encode(history).decode()
