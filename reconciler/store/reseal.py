"""Encrypts what is stored anew, with the secret key that is valid now.

Before it comes `reconciler rotate secret-key`, while no runtime has the file open; after it the database. It is one
transaction: whatever ends the process, all is sealed as before or all anew, and both can be opened as long as the
previous key is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reconciler.store.changes import Connection
from reconciler.store.sqlite import open_store
from reconciler.store.vault import Vault

# Every column that holds something sealed, and what names its row.
SEALED: Final = (
    ("fleet", "one", "sealed"),
    ("fleet", "one", "digest_key"),
    ("instances", "id", "token"),
    ("instances", "id", "secret"),
    ("credentials", "id", "api_key"),
)


def reseal(path: Path, secret_key: str, previous: tuple[str, ...]) -> int:
    """Seals everything in the store `path` with `secret_key`; how many secrets the previous key had sealed.

    Raises Misuse where neither opens one of them: then nothing is changed.
    """
    store = open_store(path, secret_key, previous)
    try:
        return store.db.submit(lambda c: _all(c, store.vault)).result()
    finally:
        store.close()


def _all(c: Connection, vault: Vault) -> int:
    count = 0
    for table, name, column in SEALED:
        for id, sealed in c.execute(f"SELECT {name}, {column} FROM {table}").fetchall():  # noqa: S608
            if not vault.is_current(sealed):
                again = vault.seal(vault.open(sealed))
                c.execute(f"UPDATE {table} SET {column}=? WHERE {name}=?", (again, id))  # noqa: S608
                count += 1
    return count
