"""The tables of the chats: inbox and transcript, wakes, sessions, outbox, pushes, media, turns.

They come after the fleet's tables (`instances`, `bots`), which they hang on: deleting an instance deletes its chats,
deleting a bot its sessions. `store/chats.py` reads and writes them.
"""

from __future__ import annotations

from typing import Any, Final

from sqlite_utils import Migrations

# messages.state: where a message is on its way from the inbox to the transcript.
NEW: Final = 0  # accepted, nobody looked at it yet
WAITING: Final = 1  # collected for the chat's next turn
DONE: Final = 2  # answered, ignored or said: only the transcript needs it
FAILED: Final = 3  # its turn failed for good

MIGRATIONS: Final = Migrations("chats")

_TABLES: Final = (
    # seq is the order of the transcript; (instance_id, id) makes a message that comes twice one message.
    """
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
        id TEXT NOT NULL,
        jid TEXT NOT NULL,
        from_me INTEGER NOT NULL,
        push_name TEXT,
        kind TEXT NOT NULL,
        text TEXT,
        media_url TEXT,
        at REAL NOT NULL,
        send INTEGER NOT NULL DEFAULT 0,
        bot_id TEXT,
        state INTEGER NOT NULL,
        UNIQUE (instance_id, id)
    )
    """,
    "CREATE INDEX messages_of_chat ON messages(instance_id, jid, seq)",
    "CREATE INDEX messages_open ON messages(instance_id, jid, seq) WHERE state < 2",
    "CREATE INDEX messages_by_age ON messages(instance_id, at)",
    # due_at is when the chat wants to be looked at (NULL: it sleeps); while it is leased, when the lease runs out.
    # turn_at is when the messages that wait are to be answered, first_at when the first of them was heard.
    """
    CREATE TABLE chats (
        instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
        jid TEXT NOT NULL,
        due_at REAL,
        leased INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0,
        first_at REAL,
        turn_at REAL,
        attempts INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (instance_id, jid)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX chats_due ON chats(due_at) WHERE due_at IS NOT NULL",
    # One counter for all leases: a chat that was forgotten and came back can never meet its own old epoch.
    "CREATE TABLE epochs (value INTEGER NOT NULL)",
    "INSERT INTO epochs VALUES (0)",
    """
    CREATE TABLE sessions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
        jid TEXT NOT NULL,
        bot_id TEXT NOT NULL REFERENCES bots(id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        push_name TEXT,
        history TEXT NOT NULL,
        await_user INTEGER NOT NULL,
        failure TEXT,
        created_at REAL NOT NULL,
        active_at REAL NOT NULL
    )
    """,
    "CREATE INDEX sessions_of_chat ON sessions(instance_id, jid, seq)",
    "CREATE INDEX sessions_of_bot ON sessions(bot_id)",
    "CREATE INDEX sessions_by_age ON sessions(instance_id, active_at)",
    # What is to be said, when, and by which session; the row goes when it was said or is not to be said any more.
    """
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
        jid TEXT NOT NULL,
        id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        bot_id TEXT NOT NULL,
        text TEXT NOT NULL,
        due_at REAL NOT NULL
    )
    """,
    "CREATE INDEX outbox_due ON outbox(due_at)",
    "CREATE INDEX outbox_of_chat ON outbox(instance_id, jid)",
    # What was said and is to be posted to the instance's webhook.
    """
    CREATE TABLE pushes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
        jid TEXT NOT NULL,
        id TEXT NOT NULL,
        text TEXT NOT NULL,
        at REAL NOT NULL,
        due_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX pushes_due ON pushes(due_at)",
    "CREATE INDEX pushes_of_chat ON pushes(instance_id, jid, seq)",
)


@MIGRATIONS()
def m001_chats(db: Any) -> None:
    """Tables and indexes of the first version."""
    for statement in _TABLES:
        db.execute(statement)


@MIGRATIONS()
def m002_media_and_turns(db: Any) -> None:
    """Files of messages until their turn is over; what each turn took."""
    for statement in _MEDIA_AND_TURNS:
        db.execute(statement)


_MEDIA_AND_TURNS: Final = (
    """
    CREATE TABLE media (
        seq INTEGER PRIMARY KEY REFERENCES messages(seq) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        mime TEXT NOT NULL,
        url TEXT,
        name TEXT,
        data BLOB
    )
    """,
    # Whatever becomes of a message, once it is done with (DONE, FAILED) its file goes.
    """
    CREATE TRIGGER media_done AFTER UPDATE OF state ON messages WHEN NEW.state >= 2
    BEGIN DELETE FROM media WHERE seq = NEW.seq; END
    """,
    # Says of no customer whose turn it was, so that it may outlast a customer who is forgotten.
    """
    CREATE TABLE turns (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
        bot_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        at REAL NOT NULL,
        outcome TEXT NOT NULL,
        failure TEXT,
        model TEXT,
        input INTEGER NOT NULL,
        output INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        seconds REAL NOT NULL
    )
    """,
    "CREATE INDEX turns_by_age ON turns(instance_id, at)",
)


@MIGRATIONS()
def m003_carried(db: Any) -> None:
    """When a message was carried by the instance's webhook, and under which id: its echo is known by that."""
    db.execute("ALTER TABLE messages ADD COLUMN carried_at REAL")
    db.execute("ALTER TABLE messages ADD COLUMN carried_as TEXT")


@MIGRATIONS()
def m004_memos(db: Any) -> None:
    """What a turn's rounds of function calls came to so far; gone with the turn, or its session."""
    db.execute(
        """
        CREATE TABLE memos (
            session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
            turn TEXT NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (session_id, turn, name)
        ) WITHOUT ROWID
        """
    )


@MIGRATIONS()
def m005_files_of_replies(db: Any) -> None:
    """Where the file is that a reply's message sends."""
    db.execute("ALTER TABLE outbox ADD COLUMN media_url TEXT")
    db.execute("ALTER TABLE pushes ADD COLUMN media_url TEXT")
