"""How much waits in the chats' queues: what `GET /metrics` shows. Reads only what the indexes of due rows hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

_QUEUES: Final = {
    "chats": "SELECT count(*) FROM chats WHERE due_at IS NOT NULL AND due_at <= ?",
    "outbox": "SELECT count(*) FROM outbox WHERE due_at <= ?",
    "pushes": "SELECT count(*) FROM pushes WHERE due_at <= ?",
}


def depths(connection: sqlite3.Connection, now: float) -> Mapping[str, int]:
    """How many rows of each queue are due at `now` (seconds since the epoch): chats to look at, messages to say, posts
    to webhooks."""
    return {name: connection.execute(sql, (now,)).fetchone()[0] for name, sql in _QUEUES.items()}
