"""Opens the store of one runtime: the database file, the fleet in it and the chats.

Before it comes the process that serves; after it `store/fleet.py` and `store/chats.py`, which share one file, so that
deleting a bot deletes its sessions and an accepted message and its chat's wake are one commit.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from reconciler.errors import Misuse
from reconciler.store import chats, fleet_tables
from reconciler.store.chats import Chats
from reconciler.store.db import Database
from reconciler.store.fleet import Fleet
from reconciler.store.tokens import Tokens
from reconciler.store.vault import Vault


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


def open_store(path: Path, secret_key: str) -> Store:
    """The store in the file `path`, made or brought up to date.

    Raises Misuse where the file is no database, or its keys were encrypted with another secret key.
    """
    vault = Vault(secret_key)
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
    """Brings the tables up to date; what was applied before is not applied again."""
    from sqlite_utils import Database as Tables

    tables = Tables(connection)
    for migrations in (fleet_tables.MIGRATIONS, chats.MIGRATIONS):
        migrations.apply(tables)
