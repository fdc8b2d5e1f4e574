"""One writer thread, group commit: what is answered is on disk, what fails leaves nothing behind."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from reconciler.errors import Unavailable
from reconciler.reconcile.history import History
from reconciler.store.db import Database, connect


def migrate(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY)")


def insert(x: int) -> object:
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (x,)).lastrowid


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


async def test_writes_of_one_batch_are_independent(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", migrate)
    results = await asyncio.gather(*(db.write(insert(x % 50)) for x in range(100)), return_exceptions=True)  # type: ignore[arg-type]
    assert sum(isinstance(r, sqlite3.IntegrityError) for r in results) == 50
    assert await db.read(count) == 50
    db.close()
    reopened = Database(tmp_path / "a.db", migrate)
    assert await reopened.read(count) == 50
    reopened.close()
    reopened.close()  # a second close is harmless


async def test_a_write_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", migrate)

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise KeyError("half")

    with pytest.raises(KeyError):
        await db.write(half)
    assert await db.read(count) == 0
    db.close()


def test_nobody_else_can_read_it_whatever_the_folder_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    db = Database(tmp_path / "a.db", migrate)
    with History(tmp_path / "loop.db"):
        modes = {
            found.name: found.stat().st_mode & 0o777 for found in tmp_path.glob("*.db*") if "lock" not in found.name
        }
    db.close()
    assert modes.keys() >= {"a.db", "a.db-wal", "a.db-shm", "loop.db"}
    assert set(modes.values()) == {0o600}


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", migrate)
    db.close()
    with pytest.raises(Unavailable):
        await db.write(count)
    with pytest.raises(Unavailable):
        await db.read(count)


async def test_a_store_that_cannot_write_tells_every_waiting_writer(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", migrate)
    db._connection.execute("PRAGMA busy_timeout=50")
    stranger = connect(tmp_path / "a.db")
    stranger.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(*(db.write(insert(x)) for x in range(3)), return_exceptions=True)  # type: ignore[arg-type]
    assert [type(r) for r in results] == [Unavailable] * 3
    stranger.execute("ROLLBACK")
    stranger.close()
    await db.write(insert(1))  # type: ignore[arg-type]
    db.close()


async def test_a_full_disk_is_said_to_every_waiting_writer(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", migrate)
    await db.write(insert(1))  # type: ignore[arg-type]
    db._connection.execute("PRAGMA max_page_count=3")

    def large(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS u (x)")
        connection.execute("INSERT INTO u VALUES (zeroblob(10000000))")

    results = await asyncio.gather(*(db.write(large) for _ in range(3)), return_exceptions=True)
    assert [(type(r), str(r)) for r in results] == [
        (Unavailable, "the store cannot write: database or disk is full")
    ] * 3
    db._connection.execute("PRAGMA max_page_count=1000000")
    await db.write(insert(2))  # type: ignore[arg-type]
    assert await db.read(count) == 2
    db.close()


def test_a_failed_migration_closes_the_file(tmp_path: Path) -> None:
    def broken(_: sqlite3.Connection) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Database(tmp_path / "a.db", broken)


class Blocked:
    """A write that holds the writer's thread until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.begun.set()
        assert self.go.wait(20)


async def test_a_write_that_is_taken_back_is_left_out(tmp_path: Path) -> None:
    db, slow = Database(tmp_path / "a.db", migrate), Blocked()
    first = asyncio.ensure_future(db.write(slow))
    await asyncio.to_thread(slow.begun.wait, 120)
    waiting = db.submit(insert(7))  # type: ignore[arg-type]
    assert waiting.cancel()
    slow.go.set()
    await first
    assert await db.read(count) == 0
    db.close()


async def test_a_write_is_made_though_whoever_asked_for_it_was_cancelled(tmp_path: Path) -> None:
    db, slow = Database(tmp_path / "a.db", migrate), Blocked()
    first = asyncio.ensure_future(db.write(slow))
    await asyncio.to_thread(slow.begun.wait, 120)
    asked = asyncio.ensure_future(db.write(insert(7)))
    await asyncio.sleep(0)  # it is queued in its first step
    assert db._writes.qsize() == 1
    asked.cancel()
    slow.go.set()
    await asyncio.gather(first, asked, return_exceptions=True)
    assert asked.cancelled()
    await db.write(insert(8))
    assert await db.read(count) == 2
    db.close()
