"""The fleet's tables, brought up to date when the store is opened.

Each row is kept as the JSON that is answered (`row`), beside the columns that the database itself must keep unique or
connected. `bots.trigger_key` is null for a bot that is switched off or starts by nothing: null is never a duplicate.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from reconciler.talk.match import trigger_key

if TYPE_CHECKING:
    from sqlite_utils import Database

MIGRATIONS = Migrations("fleet")


@MIGRATIONS(name="0001 the fleet")
def _fleet(db: Database) -> None:
    for statement in (
        "CREATE TABLE fleet (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, version INTEGER NOT NULL,"
        " sealed TEXT)",
        "CREATE TABLE instances (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, number TEXT UNIQUE,"
        " token TEXT NOT NULL, token_digest TEXT NOT NULL UNIQUE, secret TEXT NOT NULL,"
        " secret_digest TEXT NOT NULL UNIQUE, row TEXT NOT NULL)",
        "CREATE TABLE credentials (id TEXT PRIMARY KEY,"
        " instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,"
        " name TEXT NOT NULL, api_key TEXT NOT NULL, row TEXT NOT NULL, UNIQUE (instance_id, name))",
        "CREATE TABLE assistants (id TEXT PRIMARY KEY,"
        " instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,"
        " assistant_id TEXT NOT NULL, row TEXT NOT NULL, UNIQUE (instance_id, assistant_id))",
        "CREATE TABLE bots (id TEXT PRIMARY KEY,"
        " instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,"
        " credentials_id TEXT NOT NULL REFERENCES credentials(id),"
        " trigger_key TEXT, row TEXT NOT NULL, UNIQUE (instance_id, trigger_key))",
        "CREATE INDEX bots_in_order ON bots (instance_id, id)",
        "CREATE INDEX bots_by_credentials ON bots (credentials_id)",
        "CREATE TABLE settings (instance_id TEXT PRIMARY KEY REFERENCES instances(id) ON DELETE CASCADE,"
        " credentials_id TEXT REFERENCES credentials(id),"
        " fallback_id TEXT REFERENCES bots(id) ON DELETE SET NULL, row TEXT NOT NULL)",
        "CREATE INDEX settings_by_credentials ON settings (credentials_id)",
        "CREATE INDEX settings_by_fallback ON settings (fallback_id)",
    ):
        db.execute(statement)
    db.execute("INSERT INTO fleet VALUES (1, ?, 1, NULL)", [secrets.token_hex(8)])


@MIGRATIONS(name="0002 versions, tokens, idempotency keys")
def _exposed(db: Database) -> None:
    for statement in (
        # The fleet's change counter as it was at the instance's last change.
        "ALTER TABLE instances ADD COLUMN version INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, access TEXT NOT NULL,"
        " instance_id TEXT REFERENCES instances(id) ON DELETE CASCADE, digest TEXT NOT NULL UNIQUE,"
        " created_at TEXT NOT NULL)",
        "CREATE TABLE answers (instance_id TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,"
        " key TEXT NOT NULL, digest TEXT NOT NULL, answer BLOB NOT NULL, at REAL NOT NULL,"
        " PRIMARY KEY (instance_id, key))",
        "CREATE INDEX answers_by_age ON answers (at)",
    ):
        db.execute(statement)


@MIGRATIONS(name="0003 the digest's key outlives the secret key")
def _rotated(db: Database) -> None:
    db.execute("ALTER TABLE fleet ADD COLUMN digest_key TEXT")


@MIGRATIONS(name="0004 triggers in their clean form")
def _cleaned(db: Database) -> None:
    """What counts as the same trigger follows `trigger_key`: of two bots that it makes alike, the older keeps it."""
    kept = db.execute(
        "SELECT id, instance_id, row FROM bots WHERE trigger_key IS NOT NULL ORDER BY instance_id, id"
    ).fetchall()
    db.execute("UPDATE bots SET trigger_key=NULL")
    for id, instance, text in kept:
        row = json.loads(text)
        key = trigger_key(row["triggerType"], row["triggerOperator"], row["triggerValue"])
        db.execute("UPDATE OR IGNORE bots SET trigger_key=? WHERE id=? AND instance_id=?", [key, id, instance])
