"""The history's file: its tables, and how several processes open it at once.

`history.py` reads and writes the tables.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from reconciler.errors import Unavailable
from reconciler.reconcile.listings import LISTED
from reconciler.reconcile.listings import TABLES as MODELS
from reconciler.reconcile.tries import TABLES as TRIES

SCHEMA: Final = 9  # PRAGMA user_version of a file whose tables are current

_TABLES: Final = (
    'CREATE TABLE IF NOT EXISTS passes (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, "commit" TEXT,'
    " trigger TEXT NOT NULL, started REAL NOT NULL, ended REAL, outcome TEXT NOT NULL, message TEXT NOT NULL,"
    " counts TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS passes_of_target ON passes (target, id)",
    "CREATE TABLE IF NOT EXISTS steps (pass INTEGER NOT NULL REFERENCES passes(id) ON DELETE CASCADE,"
    " position INTEGER NOT NULL, action TEXT NOT NULL, kind TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL,"
    " note TEXT NOT NULL, origin TEXT NOT NULL, fields TEXT NOT NULL, started REAL, ended REAL, outcome TEXT NOT NULL,"
    " message TEXT NOT NULL, PRIMARY KEY (pass, position)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS targets (target TEXT PRIMARY KEY, wanted TEXT, applied TEXT, outcome TEXT NOT NULL,"
    " message TEXT NOT NULL, notes TEXT NOT NULL, checked REAL NOT NULL, last_pass INTEGER) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS drift (target TEXT NOT NULL, kind TEXT NOT NULL, instance TEXT NOT NULL,"
    " name TEXT NOT NULL, field TEXT NOT NULL, first_seen REAL NOT NULL,"
    " PRIMARY KEY (target, kind, instance, name, field)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT, asked REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS answers (request INTEGER NOT NULL REFERENCES requests(id) ON DELETE CASCADE,"
    " target TEXT NOT NULL, pass INTEGER NOT NULL, PRIMARY KEY (request, target)) WITHOUT ROWID",
)

_HOLDS: Final = (
    "CREATE TABLE suspended (target TEXT PRIMARY KEY, reason TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE quarantined (target TEXT NOT NULL, bad TEXT NOT NULL, good TEXT NOT NULL, since REAL NOT NULL,"
    " allow TEXT NOT NULL, PRIMARY KEY (target, bad)) WITHOUT ROWID",
)

_FOLLOWED: Final = (
    "ALTER TABLE targets ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE targets ADD COLUMN next REAL",
    "ALTER TABLE requests ADD COLUMN rollback TEXT",  # what is asked for, as JSON; NULL: a pass as always
    "CREATE TABLE source (one INTEGER PRIMARY KEY CHECK (one = 1), url TEXT NOT NULL, ref TEXT NOT NULL,"
    ' "commit" TEXT, fetched REAL, tried REAL, message TEXT NOT NULL)',
)

_TOLD: Final = (
    # What a forge is to be told of a commit (`state`, `facts`), and what it was told last (`said`); times are seconds.
    'CREATE TABLE told (target TEXT NOT NULL, "commit" TEXT NOT NULL, since TEXT, state TEXT NOT NULL,'
    " facts TEXT NOT NULL, said TEXT, moment REAL NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL,"
    ' PRIMARY KEY (target, "commit")) WITHOUT ROWID',
)

_ABSENT: Final = "ALTER TABLE targets ADD COLUMN absent TEXT NOT NULL DEFAULT '[]'"  # `plan.keys.documents`, as JSON

# The targets that the loop follows, since when, and since when a pass is under way (seconds since the epoch).
_FOLLOWED_TARGETS: Final = (
    "CREATE TABLE followed (target TEXT PRIMARY KEY, since REAL NOT NULL, looking REAL) WITHOUT ROWID"
)


class Records(sqlite3.Connection):
    """The file's connection: what the system does not let it do (no room, a lock that is not given back) is Unavailable
    to whoever asked."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        with _told():
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        with _told():
            return super().executemany(sql, parameters)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(f"the loop's records cannot be read or written: {error}") from error


class transaction:  # noqa: N801
    """BEGIN IMMEDIATE … COMMIT; an exception rolls back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:  # what failed may have ended it already
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time looks whether the tables are current: SQLite does not wait for a switch to WAL."""
    with path.with_suffix(".lock-open").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def migrate(db: sqlite3.Connection) -> None:
    """Brings the tables up to date."""
    from sqlite_utils import Database, Migrations  # 90 ms, paid only when there is something to bring up to date

    migrations = Migrations("loop")

    @migrations()
    def first(tables: Any) -> None:
        for statement in _TABLES:
            tables.execute(statement)

    @migrations()
    def m002_holds(tables: Any) -> None:
        for statement in _HOLDS:
            tables.execute(statement)

    @migrations()
    def m003_followed(tables: Any) -> None:
        for statement in _FOLLOWED:
            tables.execute(statement)

    @migrations()
    def m004_told(tables: Any) -> None:
        for statement in _TOLD:
            tables.execute(statement)

    @migrations()
    def m005_models(tables: Any) -> None:
        for statement in MODELS:
            tables.execute(statement)

    @migrations()
    def m006_tries(tables: Any) -> None:
        for statement in TRIES:
            tables.execute(statement)

    @migrations()
    def m007_listed(tables: Any) -> None:
        tables.execute(LISTED)

    @migrations()
    def m008_absent(tables: Any) -> None:
        tables.execute(_ABSENT)

    @migrations()
    def m009_followed_targets(tables: Any) -> None:
        tables.execute(_FOLLOWED_TARGETS)

    db.execute("PRAGMA journal_mode=WAL")
    migrations.apply(Database(db))
    db.execute(f"PRAGMA user_version={SCHEMA}")
