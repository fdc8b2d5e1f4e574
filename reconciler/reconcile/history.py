"""What happened: passes with the outcome of each step. The journal, and the file that it shares with all else.

A small SQLite file of the loop's own (`loop.db`), which loop and command line share; what else is in it has modules of
its own: `targets`, `requests`, `holds`, `tries`, `told`, `listings`. A pass that found nothing to do only moves its
target's `checked` on, so that an idle loop does not grow the file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from reconciler.errors import Misuse, Unavailable
from reconciler.plan.order import Step
from reconciler.plan.render import field_document
from reconciler.plan.values import shown_spec
from reconciler.reconcile.history_tables import SCHEMA, Records, alone, migrate, transaction
from reconciler.reconcile.holds import Holds
from reconciler.reconcile.listings import Listings
from reconciler.reconcile.requests import Requests
from reconciler.reconcile.targets import Targets
from reconciler.reconcile.told import Told
from reconciler.reconcile.tries import Tries
from reconciler.store.copy import make_closed

KEPT_PASSES: Final = 1000  # for each target; older ones are dropped with their steps
_MADE: Final = 500  # characters kept of a field's value where the object was made
_MOVED: Final = 32 << 10  # and where it was changed: `show` gives the lines that differ
OUTCOMES: Final = (
    "running",  # not ended, or its process was killed before it ended
    "applied",  # every step done
    "unchanged",  # nothing to do
    "partial",  # some steps done, others not
    "failed",  # no step done
    "stopped",  # told to stop before its last step
    "invalid",  # the commit is no desired state
    "refused",  # a gate stopped the plan
    "suspended",  # something to do, left undone
    "waiting",  # something to do, left for the target's next window
    "unavailable",  # the target did not answer
    "interrupted",  # its process ended within it
)


class PassRow(msgspec.Struct, frozen=True, kw_only=True):
    """One pass; times are seconds since the epoch, `counts` say how many steps ended how."""

    id: int
    target: str
    commit: str | None
    trigger: str
    started: float
    ended: float | None
    outcome: str
    message: str
    counts: dict[str, int]


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a pass: what it was to do, whose move it answered, how it ended."""

    position: int
    action: str
    kind: str
    instance: str
    name: str
    note: str
    origin: str
    fields: list[dict[str, Any]]
    started: float | None
    ended: float | None
    outcome: str
    message: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The remote repository that is followed: its newest commit known here, when it was last fetched and last tried
    (seconds since the epoch), and what went wrong since it was last fetched."""

    url: str
    ref: str
    commit: str | None = None
    fetched: float | None = None
    tried: float | None = None
    message: str = ""


class History:
    """The history in one SQLite file, made where it is missing. Raises Misuse where the file is no database."""

    def __init__(self, path: Path) -> None:
        try:
            make_closed(path)
            with alone(path), closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as db:
                known: int = db.execute("PRAGMA user_version").fetchone()[0]
                if known > SCHEMA:
                    raise Misuse(f"{path} was written by a newer reconciler: start that version, or restore a backup")
                if known < SCHEMA:
                    migrate(db)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10, factory=Records)
            self._db.row_factory = sqlite3.Row
            for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self.targets = Targets(self._db)
            self.requests = Requests(self._db)
            self.holds = Holds(self._db)
            self.told = Told(self._db)
            self.tries = Tries(self._db)
            self.listings = Listings(self._db)
        except (sqlite3.OperationalError, OSError) as error:
            raise Unavailable(f"the history {path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Misuse(f"{path} is no database: move it away and start again") from error

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    # --- passes ---

    def begin(
        self,
        target: str,
        commit: str | None,
        trigger: str,
        steps: Iterable[Step] = (),
        started: float | None = None,
    ) -> int:
        """A pass that is about to walk `steps`, each `waiting`; one left running by a killed process is closed.

        `started` is when it began to look (seconds since the epoch, None: now).
        """
        now = time.time()
        with transaction(self._db):
            self.interrupted(target)
            made = self._db.execute(
                'INSERT INTO passes (target, "commit", trigger, started, outcome, message, counts)'
                " VALUES (?, ?, ?, ?, 'running', '', '{}')",
                (target, commit, trigger, now if started is None else started),
            )
            number = int(made.lastrowid or 0)
            self._db.executemany(
                "INSERT INTO steps (pass, position, action, kind, instance, name, note, origin, fields, outcome,"
                " message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', '')",
                [(number, *_of_step(step)) for step in steps],
            )
            self._db.execute(
                "DELETE FROM passes WHERE target=? AND id <= (SELECT id FROM passes WHERE target=?"
                " ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (target, target, KEPT_PASSES),
            )
        return number

    def note(self, target: str, commit: str | None, trigger: str, outcome: str, message: str, started: float) -> None:
        """A pass that came to nothing; whoever calls it need not be the one who makes the target's passes now."""
        self._db.execute(
            'INSERT INTO passes (target, "commit", trigger, started, ended, outcome, message, counts)'
            " VALUES (?, ?, ?, ?, ?, ?, ?, '{}')",
            (target, commit, trigger, started, time.time(), outcome, message),
        )

    def interrupted(self, target: str) -> None:
        """Closes what a killed process left running; whoever calls it makes the target's passes now."""
        self._db.execute(
            "UPDATE passes SET outcome='interrupted', ended=? WHERE target=? AND outcome='running'",
            (time.time(), target),
        )

    def grouped(self) -> AbstractContextManager[None]:
        """What is written within it is written as one."""
        return transaction(self._db)

    def step_started(self, number: int, position: int) -> None:
        """Written before the call, so that after a crash it is known which calls may have been made."""
        self._db.execute(
            "UPDATE steps SET outcome='started', started=? WHERE pass=? AND position=?", (time.time(), number, position)
        )

    def step_ended(self, number: int, position: int, outcome: str, message: str = "") -> None:
        """`outcome`: done, failed, skipped or unknown."""
        self._db.execute(
            "UPDATE steps SET outcome=?, message=?, ended=? WHERE pass=? AND position=?",
            (outcome, message, time.time(), number, position),
        )

    def end(self, number: int, outcome: str, message: str = "", counts: Mapping[str, int] | None = None) -> None:
        """How a pass ended."""
        self._db.execute(
            "UPDATE passes SET outcome=?, message=?, counts=?, ended=? WHERE id=?",
            (outcome, message, _json(dict(counts or {})), time.time(), number),
        )

    def last(self, target: str) -> PassRow | None:
        """The newest pass of a target."""
        return next(iter(self.passes(1, target)), None)

    def passes(self, limit: int = 20, target: str | None = None, before: int | None = None) -> list[PassRow]:
        """Passes, newest first; `before`: those with smaller numbers."""
        rows = self._db.execute(
            "SELECT * FROM passes WHERE (? IS NULL OR target=?) AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
            (target, target, before, before, limit),
        )
        return [_pass(row) for row in rows]

    def outcomes(self, target: str) -> dict[str, int]:
        """How many of the passes that are kept ended how."""
        rows = self._db.execute("SELECT outcome, count(*) FROM passes WHERE target=? GROUP BY 1", (target,))
        return {str(outcome): int(count) for outcome, count in rows}

    def step_outcomes(self, target: str) -> dict[tuple[str, str], int]:
        """How many steps of the passes that are kept did what (create, update, delete) and ended how."""
        rows = self._db.execute(
            "SELECT action, steps.outcome, count(*) FROM steps JOIN passes ON passes.id = pass WHERE target=?"
            " GROUP BY 1, 2",
            (target,),
        )
        return {(str(action), str(outcome)): int(count) for action, outcome, count in rows}

    def seconds(self, target: str) -> float | None:
        """How long the newest pass that is kept took."""
        last = self.last(target)
        return last.ended - last.started if last is not None and last.ended is not None else None

    def one(self, number: int) -> PassRow | None:
        """The pass of a number."""
        row = self._db.execute("SELECT * FROM passes WHERE id=?", (number,)).fetchone()
        return _pass(row) if row else None

    def steps(self, number: int) -> list[StepRow]:
        """The steps of a pass in their order."""
        rows = self._db.execute("SELECT * FROM steps WHERE pass=? ORDER BY position", (number,))
        return [
            StepRow(
                **{name: row[name] for name in StepRow.__struct_fields__ if name != "fields"},
                fields=_data(row["fields"]),
            )
            for row in rows
        ]

    # --- the remote repository ---

    def followed(self, source: Source) -> None:
        """How the remote repository stands."""
        self._db.execute("INSERT OR REPLACE INTO source VALUES (1, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(source))

    def source(self) -> Source | None:
        """The remote repository that was last followed from here; None: none was."""
        row = self._db.execute("SELECT * FROM source").fetchone()
        return Source(**{name: row[name] for name in Source.__struct_fields__}) if row else None


def _of_step(step: Step) -> tuple[Any, ...]:
    if step.action == "create":
        fields = [
            {"field": f, "after": v, "before": None, "origin": "pending"} for f, v in shown_spec(step.values).items()
        ]
    else:
        fields = [field_document(one) for one in step.change.fields if one.field in step.values or one.field == "name"]
    most = _MADE if step.action == "create" else _MOVED
    for one in fields:
        one["before"], one["after"] = _short(one["before"], most), _short(one["after"], most)
    origin = step.change.origin if step.action == "update" else "pending"
    ref = step.ref
    return step.index, step.action, ref.kind, ref.instance, ref.name, step.note, origin, _json(fields)


def _short(value: Any, most: int) -> Any:
    text = value if isinstance(value, str) else _json(value)
    return value if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _pass(row: sqlite3.Row) -> PassRow:
    return PassRow(**{n: row[n] for n in PassRow.__struct_fields__ if n != "counts"}, counts=_data(row["counts"]))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _data(text: str) -> Any:
    return msgspec.json.decode(text)
