"""How each target of the loop stands: commits wanted and applied, the last outcome, what moved on the live side.

Before it the passes, which write here how they ended; after it `status`, the metrics, and the next pass. A part of the
history's file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from reconciler.reconcile.history_tables import transaction

GOOD: Final = frozenset({"applied", "unchanged"})  # outcomes after which a target is as its commit says


class Drifted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A field that somebody moved on the target, and when that was first seen."""

    kind: str
    instance: str
    name: str
    field: str
    first_seen: float


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a target stands: the commits wanted and applied, the last outcome, when it was last looked at.

    `attempts` is how often the commit was tried in vain, `next` when the loop looks again (seconds since the epoch),
    `absent` are the Credentials whose key is missing, as `plan.keys.documents` says them.
    """

    target: str
    wanted: str | None
    applied: str | None
    outcome: str
    message: str
    notes: list[str]
    checked: float
    last_pass: int | None
    attempts: int = 0
    next: float | None = None
    absent: list[dict[str, Any]] = []


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A target that the loop follows, since when; and since when a pass of it is under way (None: none is)."""

    target: str
    since: float
    looking: float | None


class Targets:
    """All targets, in the history's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def stand(
        self,
        target: str,
        *,
        wanted: str | None,
        outcome: str,
        message: str = "",
        notes: Iterable[str] = (),
        number: int | None = None,
        absent: Iterable[dict[str, Any]] | None = None,
    ) -> None:
        """How a target stands after a look at it; a good outcome makes the wanted commit the applied one.

        `absent` None: nothing new is known of missing keys.
        """
        keys = None if absent is None else msgspec.json.encode(list(absent)).decode()
        applied = wanted if outcome in GOOD else None
        self._db.execute(
            "INSERT INTO targets (target, wanted, applied, outcome, message, notes, checked, last_pass, absent)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, coalesce(?9, '[]')) ON CONFLICT (target) DO UPDATE SET"
            " wanted=coalesce(excluded.wanted, wanted), applied=coalesce(excluded.applied, applied),"
            " outcome=excluded.outcome, message=excluded.message, notes=excluded.notes, checked=excluded.checked,"
            " last_pass=coalesce(excluded.last_pass, last_pass), absent=coalesce(?9, absent)",
            (
                target,
                wanted,
                applied,
                outcome,
                message,
                msgspec.json.encode(list(notes)).decode(),
                time.time(),
                number,
                keys,
            ),
        )

    def still(self, target: str) -> None:
        """A look at a target found everything as it was."""
        self._db.execute("UPDATE targets SET checked=? WHERE target=?", (time.time(), target))

    def follow(self, names: Collection[str]) -> None:
        """Notes the targets that the loop follows from now on, and no others."""
        with transaction(self._db):
            for one in self.followed():
                if one.target not in names:
                    self._db.execute("DELETE FROM followed WHERE target=?", (one.target,))
            self._db.executemany(
                "INSERT OR IGNORE INTO followed (target, since) VALUES (?, ?)",
                [(name, time.time()) for name in names],
            )

    def looking(self, target: str, *, begins: bool) -> None:
        """Notes that a pass of a target begins, or that none is under way."""
        moment = time.time() if begins else None
        self._db.execute("UPDATE followed SET looking=? WHERE target=?", (moment, target))

    def followed(self) -> list[Followed]:
        """The targets that the loop follows, or followed when it was last killed; none after it ended in order."""
        rows = self._db.execute("SELECT target, since, looking FROM followed ORDER BY target")
        return [Followed(**dict(row)) for row in rows]

    def coming(self, target: str, attempts: int, following: float) -> None:
        """When the loop looks at a target again, and how often it tried in vain."""
        self._db.execute("UPDATE targets SET attempts=?, next=? WHERE target=?", (attempts, following, target))

    def all(self) -> list[TargetRow]:
        """All targets that were ever looked at, by name."""
        rows = self._db.execute("SELECT * FROM targets ORDER BY target")
        return [
            TargetRow(
                **{name: row[name] for name in TargetRow.__struct_fields__ if name not in ("notes", "absent")},
                notes=msgspec.json.decode(row["notes"]),
                absent=msgspec.json.decode(row["absent"]),
            )
            for row in rows
        ]

    def checked(self, target: str) -> float | None:
        """When a pass of this target last ended, however it ended; seconds since the epoch."""
        row = self._db.execute("SELECT checked FROM targets WHERE target=?", (target,)).fetchone()
        return float(row["checked"]) if row else None

    def drifting(
        self, target: str, found: Iterable[tuple[str, str, str, str]], within: Collection[tuple[str, ...]] | None = None
    ) -> None:
        """Notes which (kind, instance, name, field) differ on the live side now; the first sight of each is kept.

        `within`: only these objects (kind, instance, name) were looked at; what is known of others stays.
        """
        seen = set(found)
        with transaction(self._db):
            before = {
                (row["kind"], row["instance"], row["name"], row["field"])
                for row in self._db.execute("SELECT * FROM drift WHERE target=?", (target,))
                if within is None or (row["kind"], row["instance"], row["name"]) in within
            }
            self._db.executemany(
                "DELETE FROM drift WHERE target=? AND kind=? AND instance=? AND name=? AND field=?",
                [(target, *key) for key in before - seen],
            )
            self._db.executemany(
                "INSERT INTO drift VALUES (?, ?, ?, ?, ?, ?)", [(target, *key, time.time()) for key in seen - before]
            )

    def drift(self, target: str) -> list[Drifted]:
        """What differs on the live side, longest first."""
        rows = self._db.execute(
            "SELECT kind, instance, name, field, first_seen FROM drift WHERE target=?"
            " ORDER BY first_seen, kind, instance, name, field",
            (target,),
        )
        return [Drifted(**dict(row)) for row in rows]
