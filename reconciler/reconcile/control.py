"""What people and programs ask of a loop: how its targets stand, what passes did, and to sync, hold or roll back.

Before it the commands, or the HTTP API of the process that `up` runs; after it the history, which the loop reads before
each pass. It works on the data folder alone, from any process, and answers the same to everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse, ReconcilerError, Unavailable
from reconciler.model import Config, Sync
from reconciler.plan.retire import documents
from reconciler.reconcile.history import History, PassRow, Source, StepRow
from reconciler.reconcile.holds import Quarantined, Rollback, Suspended
from reconciler.reconcile.locks import loop_runs, one_pass
from reconciler.reconcile.once import commit_of
from reconciler.reconcile.targets import GOOD, Drifted, Followed, TargetRow
from reconciler.reconcile.wake import knock, touch

_PATIENCE: Final = 60.0  # seconds that a suspension waits for a pass to end


class State(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a target stands. Times are seconds since the epoch. `attempts`: how often the wanted commit was tried in
    vain; `next`: when the loop looks again; `loop_runs`: whether a loop follows it now; `looking`: since when a pass is
    under way; `checked`: when one last ended (None: none has); `source`: the remote repository that is followed, if one
    is; `prune`, `self_heal`: whether it deletes, and puts back, at all (None: not known here)."""

    target: str
    sync: str  # Synced, OutOfSync, Unknown
    health: str  # Healthy, Degraded, Suspended, Progressing
    suspended: Suspended | None
    quarantined: Quarantined | None
    wanted: str | None
    applied: str | None
    outcome: str
    message: str
    drift: list[Drifted]
    notes: list[str]
    retiring: list[dict[str, Any]]  # bots whose models go, as `plan.retire.documents` says them
    absent: list[dict[str, Any]]  # Credentials whose key is missing, as `plan.keys.documents` says them
    checked: float | None
    last_pass: int | None
    attempts: int
    next: float | None
    loop_runs: bool
    looking: float | None
    source: Source | None
    prune: bool | None = None
    self_heal: bool | None = None


class Shown(msgspec.Struct, frozen=True):
    """One pass with its steps; `pass` in JSON."""

    pass_: PassRow = msgspec.field(name="pass")
    steps: list[StepRow]


class Asked(msgspec.Struct, frozen=True):
    """A request to the loop: `pass` is the pass that answered it, once it has ended."""

    request: int
    target: str
    pass_: PassRow | None = msgspec.field(name="pass", default=None)


Desired = Callable[[], tuple[str | None, Config | None]]


class Control:
    """The loop of a data folder. `desired` tells the desired commit and the configuration, as far as they can be read
    here. Without `loop.db` all calls raise Unavailable."""

    def __init__(self, data: Path, desired: Desired) -> None:
        self._data, self._desired = data, desired

    def targets(self) -> tuple[str, ...]:
        """The targets there are, in reconciler.yaml or in the history; the first is the usual one."""
        _, config = self._desired()
        names = [target.name for target in config.targets] if config is not None else []
        with self._history() as history:
            names += [row.target for row in history.targets.all()]
            names += [one.target for one in history.targets.followed()]
        return tuple(dict.fromkeys(names)) or ("local",)

    def status(self, target: str | None = None) -> list[State]:
        """How all targets stand, or one."""
        running = loop_runs(self._data)
        commit, config = self._desired()
        syncs = {one.name: one.sync for one in config.targets} if config is not None else {}
        with self._history() as history:
            source = history.source()
            if source is not None and commit is not None and source.commit != commit:
                source = None  # another repository is read now
            followed = {one.target: one for one in history.targets.followed()} if running else {}
            rows = {row.target: row for row in history.targets.all()}
            rows |= {name: _unseen(name, commit) for name in followed if name not in rows}
            names = sorted(name for name in rows if target in (None, name))
            if target is None and syncs:  # one that was taken out of reconciler.yaml stands no more
                names = [name for name in names if name in syncs]
            return [_state(history, rows[name], commit, followed.get(name), source, syncs.get(name)) for name in names]

    def passes(self, limit: int, target: str | None = None, before: int | None = None) -> list[PassRow]:
        """Passes, newest first; `before`: those with smaller numbers."""
        with self._history() as history:
            return history.passes(limit, target, before)

    def one(self, number: int) -> Shown | None:
        """The pass of a number with its steps."""
        with self._history() as history:
            found = history.one(number)
            return None if found is None else Shown(found, history.steps(number))

    def ask(self, target: str, rollback: Rollback | None = None) -> Asked:
        """Asks the running loop for a pass, or a rollback. Raises Unavailable where none runs."""
        if not loop_runs(self._data):
            raise Unavailable(
                f"no loop runs on {self._data}: start `reconciler up` or `reconciler run`, "
                "or make one pass with `reconciler apply`"
            )
        with self._history() as history:
            number = history.requests.ask(target, rollback)
        touch(self._data)
        return Asked(number, target)

    def requested(self, request: int) -> Asked | None:
        """How far a request is."""
        with self._history() as history:
            if (target := history.requests.requested(request)) is None:
                return None
            number = history.requests.answered(request, target)
            return Asked(request, target, history.one(number) if number is not None else None)

    async def suspend(self, target: str, reason: str) -> Suspended:
        """Holds a target, and waits for the running pass to end. Raises Unavailable where it does not: the target is
        held from the next pass on."""
        with self._history() as history:
            history.holds.suspend(target, reason)
            try:
                async with one_pass(self._data, target, _PATIENCE):
                    pass
            except Unavailable as error:
                raise Unavailable(f"{target} is suspended from the next pass on; but {error}") from error
            held = history.holds.suspended(target)
            assert held is not None
            return held

    def resume(self, target: str) -> bool:
        """Lets a target go on, beginning with a pass now; whether it was suspended."""
        with self._history() as history:
            if not history.holds.resume(target):
                return False
            if loop_runs(self._data):
                history.requests.ask(target)
                touch(self._data)
        return True

    def knock(self) -> None:
        """Tells the loop that its repository may have moved."""
        if self._data.is_dir():
            knock(self._data)

    def ref(self) -> str | None:
        """The ref that is followed, where it can be told."""
        with self._history() as history:
            source = history.source()
        if source is not None:
            return source.ref
        _, config = self._desired()
        return config.ref if config is not None else None

    def _history(self) -> History:
        path = self._data / "loop.db"
        if not path.exists():
            raise Unavailable(
                f"there is no history in {self._data}: start `reconciler up` or `reconciler run` here, "
                "or set RECONCILER_DATA to the folder of the one that runs"
            )
        return History(path)


def named(control_targets: tuple[str, ...], given: str | None) -> str:
    """The target that is meant: the one given, or the first. Raises Misuse for one that there is not."""
    if given is None:
        return control_targets[0]
    if given not in control_targets:
        raise Misuse(f"there is no target '{given}': there are {', '.join(control_targets)}")
    return given


def _unseen(name: str, commit: str | None) -> TargetRow:
    """A target that is followed and of which no pass has ended."""
    return TargetRow(
        target=name, wanted=commit, applied=None, outcome="running", message="", notes=[], checked=0.0, last_pass=None
    )


def _state(
    history: History,
    row: TargetRow,
    commit: str | None,
    followed: Followed | None,
    source: Source | None,
    sync: Sync | None,
) -> State:
    skipped = history.holds.quarantined(row.target, commit or row.wanted)
    wanted = skipped.good if skipped else commit or row.wanted
    suspended = history.holds.suspended(row.target)
    drift = history.targets.drift(row.target)
    good = row.outcome in GOOD
    if row.outcome in ("unavailable", "running"):
        stands = "Unknown"
    else:
        stands = "Synced" if good and wanted == row.applied and not drift else "OutOfSync"
    return State(
        target=row.target,
        sync=stands,
        health=_health(row.outcome, suspended is not None),
        suspended=suspended,
        quarantined=skipped,
        wanted=wanted,
        applied=row.applied,
        outcome=row.outcome,
        message=row.message,
        drift=drift,
        notes=row.notes,
        retiring=documents(history.listings.retiring(row.target)),
        absent=row.absent,
        checked=row.checked or None,
        last_pass=row.last_pass,
        attempts=row.attempts,
        next=row.next if followed is not None else None,
        loop_runs=followed is not None,
        looking=followed.looking if followed is not None else None,
        source=source,
        prune=sync.prune if sync is not None else None,
        self_heal=sync.self_heal if sync is not None else None,
    )


def _health(outcome: str, suspended: bool) -> str:
    if suspended:
        return "Suspended"
    if outcome == "running":
        return "Progressing"
    return "Healthy" if outcome in GOOD or outcome == "waiting" else "Degraded"


def reading(repository: Callable[[], Repository]) -> Desired:
    """What a repository desires, as a Control asks it: what cannot be read is None."""

    def desired() -> tuple[str | None, Config | None]:
        try:
            return commit_of(repository(), None)
        except InvalidBots:  # of reconciler.yaml; the commit is there all the same
            with suppress(ReconcilerError):
                return repository().resolve("HEAD"), None
        except ReconcilerError:
            pass
        return None, None

    return desired
