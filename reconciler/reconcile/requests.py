"""What somebody asked the loop for: a pass now, or a rollback; and which pass answered it.

Before it `sync`, `resume` and `rollback`, in any process; after it the loop, which looks here each time it is woken. A
part of the history's file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

import msgspec

from reconciler.reconcile.holds import Rollback


class Requests:
    """The requests to the loop of a data folder, in the history's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def ask(self, target: str | None, rollback: Rollback | None = None) -> int:
        """A request for a pass now (None: of every target), or for a rollback; returns its number."""
        order = None if rollback is None else msgspec.json.encode(rollback).decode()
        made = self._db.execute(
            "INSERT INTO requests (target, asked, rollback) VALUES (?, ?, ?)", (target, time.time(), order)
        )
        return int(made.lastrowid or 0)

    def asked(self, target: str) -> list[int]:
        """Requests that a pass of this target would answer."""
        rows = self._db.execute(
            "SELECT id FROM requests WHERE (target=? OR target IS NULL) AND asked > ? AND NOT EXISTS"
            " (SELECT 1 FROM answers WHERE request=requests.id AND answers.target=?)",
            (target, time.time() - 3600, target),
        )
        return [int(row["id"]) for row in rows]

    def rollback(self, requests: Iterable[int]) -> tuple[int, Rollback] | None:
        """The first of these requests that is one for a rollback."""
        for request in requests:
            row = self._db.execute("SELECT rollback FROM requests WHERE id=?", (request,)).fetchone()
            if row is not None and row["rollback"] is not None:
                return request, msgspec.json.decode(row["rollback"], type=Rollback)
        return None

    def requested(self, request: int) -> str | None:
        """The target of a request that was made for one."""
        row = self._db.execute("SELECT target FROM requests WHERE id=?", (request,)).fetchone()
        return str(row["target"]) if row and row["target"] is not None else None

    def answer(self, requests: Iterable[int], target: str, number: int) -> None:
        """Says which pass answered requests."""
        self._db.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", [(r, target, number) for r in requests])

    def answered(self, request: int, target: str) -> int | None:
        """The pass that answered a request for a target, once there is one."""
        row = self._db.execute("SELECT pass FROM answers WHERE request=? AND target=?", (request, target)).fetchone()
        return int(row["pass"]) if row else None
