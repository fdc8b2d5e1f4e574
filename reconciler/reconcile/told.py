"""What a forge is to be told of merged commits, and what it was told: rows of the loop's database.

Before it `forge/announce.py` hears of passes; after it its sender. A row is a commit on a target. It is written in the
loop and sent beside it, so a forge that is slow or gone delays nothing, and a restart loses and doubles nothing.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from reconciler.reconcile.history_tables import transaction

KEPT: Final = 500  # rows of each target


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One commit on a target: what became of it (`state`) and what is known of that (`facts`, JSON).

    `since` is the commit that was applied before it, `said` the state that the forge knows, `due` in seconds since the
    epoch.
    """

    target: str
    commit: str
    since: str | None
    state: str
    facts: str
    said: str | None
    attempts: int
    due: float


class Told:
    """The rows, in the history's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def state(self, target: str, commit: str) -> str | None:
        """The state last noted of a commit; None where it is new."""
        row = self._db.execute('SELECT state FROM told WHERE target=? AND "commit"=?', (target, commit)).fetchone()
        return str(row["state"]) if row else None

    def known(self, target: str) -> bool:
        """Whether anything was ever noted of a target."""
        return self._db.execute("SELECT 1 FROM told WHERE target=? LIMIT 1", (target,)).fetchone() is not None

    def note(
        self,
        target: str,
        commit: str,
        state: str,
        facts: str,
        *,
        now: float,
        wait: float = 0.0,
        silently: bool = False,
    ) -> None:
        """Notes the state of a commit at `now` (seconds since the epoch), to be told `wait` seconds later; what was not
        told of the target yet is told no more. `silently`: as if it had been told.
        """
        with transaction(self._db):
            before = self._db.execute(
                "SELECT \"commit\" FROM told WHERE target=? AND \"commit\"<>? AND state IN ('applied', 'unchanged')"
                " ORDER BY moment DESC LIMIT 1",
                (target, commit),
            ).fetchone()
            # A later commit's row names all since the last that was applied, so it brings the news of those between.
            self._db.execute("UPDATE told SET said=state WHERE target=? AND said IS NOT state", (target,))
            self._db.execute(
                'INSERT INTO told (target, "commit", since, state, facts, said, moment, attempts, due)'
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO UPDATE SET state=excluded.state,"
                " facts=excluded.facts, said=coalesce(excluded.said, said), moment=excluded.moment, attempts=0,"
                " due=excluded.due",
                (
                    target,
                    commit,
                    before["commit"] if before else None,
                    state,
                    facts,
                    state if silently else None,
                    now,
                    now + wait,
                ),
            )
            self._db.execute(
                'DELETE FROM told WHERE target=? AND "commit" NOT IN'
                ' (SELECT "commit" FROM told WHERE target=? ORDER BY moment DESC LIMIT ?)',
                (target, target, KEPT),
            )

    def waiting(self) -> Row | None:
        """The row that is to be told first; None where the forge knows all."""
        row = self._db.execute("SELECT * FROM told WHERE said IS NOT state ORDER BY due, moment LIMIT 1").fetchone()
        if row is None:
            return None
        return Row(**{name: row[name] for name in Row.__struct_fields__})

    def done(self, row: Row) -> None:
        """The forge knows the row's state; if the loop noted another meanwhile, that one still waits."""
        self._db.execute('UPDATE told SET said=? WHERE target=? AND "commit"=?', (row.state, row.target, row.commit))

    def later(self, row: Row, due: float) -> None:
        """The forge could not be told; it is tried again at `due` (seconds since the epoch)."""
        self._db.execute(
            'UPDATE told SET attempts=attempts+1, due=? WHERE target=? AND "commit"=? AND state=?',
            (due, row.target, row.commit, row.state),
        )
