"""Opens the store of one runtime: the database file, the fleet in it and the chats.

Before it comes the process that serves; after it `store/fleet.py` and `store/chats.py`, which share one file, so that
deleting a bot deletes its sessions and an accepted message and its chat's wake are one commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from reconciler.errors import Misuse
from reconciler.store import chats, fleet_tables
from reconciler.store.chats import Chats
from reconciler.store.copy import copy_database
from reconciler.store.db import Database
from reconciler.store.fleet import Fleet
from reconciler.store.tokens import Tokens
from reconciler.store.vault import Vault

_COPIES: Final = 2  # kept of the database as it was before its tables changed


class Store(msgspec.Struct, frozen=True):
    """One open store; `vault` also makes and knows the console's sessions."""

    db: Database
    vault: Vault
    fleet: Fleet
    chats: Chats
    tokens: Tokens

    def close(self) -> None:
        """Finishes what is queued, then closes the file."""
        self.db.close()


def open_store(path: Path, secret_key: str, previous: Sequence[str] = ()) -> Store:
    """The store in the file `path`, made or brought up to date; `previous` is what the secret key was before.

    Raises Misuse where the file is no database, or its keys were encrypted with another secret key.
    """
    vault = Vault(secret_key, previous)
    try:
        db = Database(path, migrate)
    except (sqlite3.DatabaseError, OSError) as error:
        raise Misuse(f"{path} cannot be opened as a database: {error}") from error
    try:
        return Store(db, vault, Fleet(db, vault), Chats(db), Tokens(db, vault))
    except BaseException:
        db.close()
        raise


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables up to date; what was applied before is not applied again.

    A file that has tables already is copied first, as `runtime.db.before-N` with N its number of migrations; the newest
    two copies are kept. Raises Misuse for a file of a newer version of this program, which is left as it is.
    """
    from sqlite_utils import Database as Tables

    tables = Tables(connection)
    sets = (fleet_tables.MIGRATIONS, chats.MIGRATIONS)
    path = Path(connection.execute("PRAGMA database_list").fetchone()["file"])
    applied = 0
    for migrations in sets:
        known = {one.name for one in migrations._migrations}
        names = [one.name for one in migrations.applied(tables)]
        if unknown := [name for name in names if name not in known]:
            raise Misuse(
                f"{path} was written by a newer reconciler (it has {unknown[0]!r}): start that version, or restore a"
                f" copy from before, such as {path.name}.before-N"
            )
        applied += len(names)
    if applied and any(migrations.pending(tables) for migrations in sets):
        keep_copy(connection, path, applied)
    for migrations in sets:
        migrations.apply(tables)


def keep_copy(connection: sqlite3.Connection, path: Path, number: int) -> None:
    """Copies the database beside itself before its tables change; of such copies the newest two stay."""
    copy = path.with_name(f"{path.name}.before-{number}")
    copy_database(connection, copy)
    copies = [
        (int(found.name.rpartition("-")[2]), found)
        for found in path.parent.glob(f"{path.name}.before-*")
        if found.name.rpartition("-")[2].isdecimal()
    ]
    for _, old in sorted(copies)[:-_COPIES]:
        old.unlink()
