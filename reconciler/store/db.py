"""A SQLite file with one writer thread and group commit.

Before it come `store/fleet.py` and `store/chats.py`, which say what to write; after it comes the disk. Every write
is a function of the connection. Writes that are waiting when the thread is free share one transaction, each in a
savepoint of its own, and are answered after the commit: a commit costs about 2 ms however many writes it holds.
Reads run on a thread and connection of their own and see the last commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from reconciler.errors import Unavailable

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], T]

_BATCH: Final = 500  # writes in one transaction at the most, so that the first of them does not wait for ever


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode that waits 5 s for another process's lock and commits only when told."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5, cached_statements=512)
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-8000",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Database:
    """Reads and writes of one SQLite file for asyncio code.

    `migrate` runs once on the writer's connection before anything else and brings the tables up to date.
    """

    def __init__(self, path: Path, migrate: Callable[[sqlite3.Connection], None]) -> None:
        self.path = path
        self._writes: queue.SimpleQueue[tuple[Write[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._connection = connect(path)
        try:
            migrate(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._reader = connect(path)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._thread = threading.Thread(target=self._work, name="store-write", daemon=True)
        self._thread.start()
        self._closed = False

    async def write(self, change: Write[T]) -> T:
        """Runs `change` in a transaction; returns once it is on disk. If it raises, nothing of it is."""
        return await asyncio.wrap_future(self.submit(change))

    def submit(self, change: Write[T]) -> Future[T]:
        """As `write`, for callers that are not asyncio's."""
        if self._closed:
            raise Unavailable("the store is closed")
        done: Future[T] = Future()
        self._writes.put((change, done))
        return done

    async def read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `look` on the reading connection."""
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._reading, look, self._reader)

    def close(self) -> None:
        """Finishes what is queued, then closes the file."""
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        self._thread.join()
        self._reading.shutdown()
        self._reader.close()
        self._connection.close()

    def _work(self) -> None:
        while (first := self._writes.get()) is not None:
            batch, more = [first], True
            while more and len(batch) < _BATCH:
                try:
                    item = self._writes.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    self._writes.put(None)
                    more = False
                else:
                    batch.append(item)
            self._commit(batch)

    def _commit(self, batch: list[tuple[Write[Any], Future[Any]]]) -> None:
        connection = self._connection
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change, done in batch:
                if not done.set_running_or_notify_cancel():
                    continue
                connection.execute("SAVEPOINT one")
                try:
                    answers.append((done, change(connection), None))
                except BaseException as error:
                    connection.execute("ROLLBACK TO one")
                    answers.append((done, None, error))
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except sqlite3.Error as error:  # disk full, file locked by a stranger: nothing of the batch is stored
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            unavailable = Unavailable(f"the store cannot write: {error}")
            unavailable.__cause__ = error
            answered = {id(done) for done, _, _ in answers}
            for done, _, _ in answers:
                done.set_exception(unavailable)
            for _, done in batch:
                if id(done) not in answered and (done.running() or done.set_running_or_notify_cancel()):
                    done.set_exception(unavailable)
            return
        for done, value, failed in answers:
            if failed is None:
                done.set_result(value)
            else:
                done.set_exception(failed)
