"""What turns took: one row a turn, written in the transaction that ends it, and sums of them.

Before it comes `leases.finish`; after it metrics, reviews and whoever pays. All functions run in a transaction of the
store.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from reconciler.model import Session

Outcome = Literal["answered", "truncated", "failed", "unread"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn took: tokens over all its rounds (`cached` of `input`), function calls, seconds until the answer.

    `outcome`: answered; truncated (as far as `maxTokens` let it); failed (the model gave no answer, `failure` says
    why); unread (nothing in the messages could be read, the model was not asked).
    """

    outcome: Outcome
    failure: str | None = None
    model: str | None = None
    input: int = 0
    output: int = 0
    cached: int = 0
    calls: int = 0
    seconds: float = 0.0


class Usage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The sums of one bot's turns with one model; `seconds` of all turns together."""

    bot_id: str
    model: str | None
    turns: int
    failed: int
    input: int
    output: int
    cached: int
    calls: int
    seconds: float


def keep(connection: sqlite3.Connection, session: Session, record: Record, now: float) -> None:
    """Writes down a turn."""
    connection.execute(
        "INSERT INTO turns (instance_id, bot_id, session_id, at, outcome, failure, model, input, output, cached, calls,"
        " seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (session.instance_id, session.bot_id, session.id, now, *msgspec.structs.astuple(record)),
    )


def sums(connection: sqlite3.Connection, instance_id: str, since: float, until: float) -> list[Usage]:
    """The sums of an instance's turns in `since` <= time < `until`, by bot and model, in their order."""
    rows = connection.execute(
        "SELECT bot_id, model, count(*), sum(outcome = 'failed'), sum(input), sum(output), sum(cached), sum(calls),"
        " sum(seconds) FROM turns WHERE instance_id = ? AND at >= ? AND at < ? GROUP BY bot_id, model ORDER BY 1, 2",
        (instance_id, since, until),
    )
    return [Usage(**dict(zip(Usage.__struct_fields__, row, strict=True))) for row in rows]
