"""What holds a target's loop back: a suspension with its reason, and commits that were rolled back.

Before it a person says `suspend`, `resume` or `rollback`; after it each pass asks here what it may do, and which
commit takes the place of the desired one. Kept in the history's file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection

import msgspec

from reconciler.reconcile.history_tables import transaction


class Suspended(msgspec.Struct, frozen=True, kw_only=True):
    """Why a target's loop applies nothing; `since` in seconds since the epoch."""

    reason: str
    since: float


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that was rolled back, and the one that stands in its place while it is the desired one.

    `allow` is what the person who rolled back permitted, for the loop to finish what was begun.
    """

    bad: str
    good: str
    since: float
    allow: tuple[str, ...] = ()


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """A rollback that somebody asked the loop for: the commit to go back to (None: the last that was applied whole),
    and what it permits."""

    to: str | None = None
    allow: tuple[str, ...] = ()


class Holds:
    """The holds of all targets, in the history's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def suspend(self, target: str, reason: str) -> None:
        """From now on the loop only looks at a target; a second reason takes the place of the first."""
        self._db.execute("INSERT OR REPLACE INTO suspended VALUES (?, ?, ?)", (target, reason, time.time()))

    def resume(self, target: str) -> bool:
        """Ends a suspension; whether there was one."""
        return self._db.execute("DELETE FROM suspended WHERE target=?", (target,)).rowcount > 0

    def suspended(self, target: str) -> Suspended | None:
        """The suspension of a target, if it is suspended."""
        row = self._db.execute("SELECT reason, since FROM suspended WHERE target=?", (target,)).fetchone()
        return Suspended(**dict(row)) if row else None

    def roll_back(self, target: str, bad: str, good: str, allow: Collection[str]) -> None:
        """`good` takes the place of `bad`, and leaves quarantine itself; where they are one, that is all."""
        with transaction(self._db):
            self._db.execute('DELETE FROM quarantined WHERE target=? AND "bad"=?', (target, good))
            if bad != good:
                permitted = msgspec.json.encode(sorted(allow)).decode()
                self._db.execute(
                    "INSERT OR REPLACE INTO quarantined VALUES (?, ?, ?, ?, ?)",
                    (target, bad, good, time.time(), permitted),
                )

    def quarantined(self, target: str, commit: str | None) -> Quarantined | None:
        """What is known of a commit that was rolled back; None for all others."""
        return next((one for one in self.all(target) if one.bad == commit), None)

    def all(self, target: str) -> list[Quarantined]:
        """The commits of a target that were rolled back, the newest first."""
        rows = self._db.execute(
            "SELECT bad, good, since, allow FROM quarantined WHERE target=? ORDER BY since DESC, bad", (target,)
        )
        return [Quarantined(**{**dict(row), "allow": tuple(msgspec.json.decode(row["allow"]))}) for row in rows]

    def last_good(self, target: str, bad: str) -> str | None:
        """The commit that was last applied whole before `bad`, of those that were not rolled back."""
        row = self._db.execute(
            "SELECT \"commit\" FROM passes WHERE target=? AND outcome IN ('applied', 'unchanged')"
            ' AND "commit" <> ? AND "commit" NOT IN (SELECT bad FROM quarantined WHERE target=?)'
            " ORDER BY id DESC LIMIT 1",
            (target, bad, target),
        ).fetchone()
        return str(row["commit"]) if row else None
