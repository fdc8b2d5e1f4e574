"""The files of a database: closed to others, and copied whole while others read and write them.

Before it come `store/sqlite.py`, which keeps a copy before tables change, and `reconciler backup`; after it a file of
its own, which holds one commit. Source: https://sqlite.org/backup.html.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from reconciler.errors import Misuse, Unavailable


def make_closed(path: Path) -> None:
    """Makes a file that only its owner can read, where there is none: a database's logs take their mode from it. Raises
    OSError.

    A file that is there is not opened: to close it again would end the locks that this process has on it (POSIX).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def copy_database(source: sqlite3.Connection | Path, target: Path) -> None:
    """Copies a database into a new file, mode 0600. Raises Unavailable where that fails; no half of it is left."""
    making = target.with_name(f"{target.name}.making")
    making.unlink(missing_ok=True)
    make_closed(making)
    try:
        with closing(sqlite3.connect(making)) as copy:
            if isinstance(source, Path):
                with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=10)) as opened:
                    opened.backup(copy)
            else:
                source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log beside it
        making.replace(target)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            making.unlink()
        raise Unavailable(f"{target} cannot be made: {error}") from error


def check_database(path: Path) -> None:
    """Raises Misuse where a file is no whole database."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        raise Misuse(f"{path.name} is no whole database: {error}") from error
    if found != "ok":
        raise Misuse(f"{path.name} is no whole database: {found}")


def count_on(path: Path) -> None:
    """Moves the count of changes of a runtime's database on by a random stretch.

    ETags are made of it: in a database that is taken back to an earlier state no later change may get a tag that a
    change had which is undone by that. Raises Misuse where the file is no store of a runtime.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10)) as opened, opened:
            opened.execute("UPDATE fleet SET version=version+?", (1 + secrets.randbelow(1 << 40),))
    except sqlite3.Error as error:
        raise Misuse(f"{path.name} is no store of reconciler: {error}") from error
