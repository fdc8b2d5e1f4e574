"""A SQLite file with one writer thread and group commit.

Before it come `store/fleet.py` and `store/chats.py`, which say what to write; after it comes the disk. Every write
is a function of the connection. Writes that are waiting when the thread is free share one transaction and are
answered after the commit: a commit costs about 2 ms however many writes it holds. Where one of them fails the
transaction is rolled back and made anew with each write in a savepoint of its own, so a write must be a function that
can run twice.
Reads run on a thread and connection of their own and see the last commit; those of whole lists on another one, so that
what answers chats and small requests never waits for them.
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
from reconciler.store.copy import make_closed

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], T]
_Answer = tuple[Any, BaseException | None]  # what a write returned, or what it raised

_BATCH: Final = 500  # writes in one transaction at the most, so that the first of them does not wait for ever


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode that waits 5 s for another process's lock and commits only when told."""
    make_closed(path)
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
        self._lister = connect(path)
        self._listing = ThreadPoolExecutor(1, thread_name_prefix="store-list")
        self._thread = threading.Thread(target=self._work, name="store-write", daemon=True)
        self._thread.start()
        self._closed = False

    async def write(self, change: Write[T]) -> T:
        """Runs `change` in a transaction; returns once it is on disk. If it raises, nothing of it is.

        It is made even if whoever waits for it is cancelled meanwhile: what is written may have been paid for.
        """
        return await asyncio.shield(asyncio.wrap_future(self.submit(change)))

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

    async def scan(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """As `read`, for what may be long: a list, or a part of one."""
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._listing, look, self._lister)

    def close(self) -> None:
        """Finishes what is queued, then closes the file."""
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        self._thread.join()
        for reading, reader in ((self._reading, self._reader), (self._listing, self._lister)):
            reading.shutdown()
            reader.close()
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
        waiting = [(change, done) for change, done in batch if done.set_running_or_notify_cancel()]
        answers = self._together(waiting) if len(waiting) > 1 else None
        try:
            answers = answers or self._apart(waiting)
        except sqlite3.Error as error:  # disk full, file locked by a stranger: nothing of the batch is stored
            self._roll_back()
            unavailable = Unavailable(f"the store cannot write: {error}")
            unavailable.__cause__ = error
            answers = [(None, unavailable)] * len(waiting)
        for (_, done), (value, failed) in zip(waiting, answers, strict=True):
            if failed is None:
                done.set_result(value)
            else:
                done.set_exception(failed)

    def _together(self, batch: list[tuple[Write[Any], Future[Any]]]) -> list[_Answer] | None:
        """The usual case: every write of the batch succeeds. None: one did not, and nothing of the batch is stored."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            answers: list[_Answer] = [(change(self._connection), None) for change, _ in batch]
            self._connection.execute("COMMIT")
        except BaseException:  # whichever it was, it happens again where each write stands alone
            self._roll_back()
            return None
        return answers

    def _apart(self, batch: list[tuple[Write[Any], Future[Any]]]) -> list[_Answer]:
        """Each write in a savepoint of its own, so that one which fails takes no other with it."""
        connection = self._connection
        answers: list[_Answer] = []
        connection.execute("BEGIN IMMEDIATE")
        for change, _ in batch:
            connection.execute("SAVEPOINT one")
            try:
                answers.append((change(connection), None))
            except BaseException as error:
                if not connection.in_transaction:  # a full disk ends all of it
                    raise sqlite3.OperationalError(str(error)) from error
                connection.execute("ROLLBACK TO one")
                answers.append((None, error))
            connection.execute("RELEASE one")
        connection.execute("COMMIT")
        return answers

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
