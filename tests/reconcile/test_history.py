from __future__ import annotations

import contextlib
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Unavailable
from reconciler.reconcile import history as module
from reconciler.reconcile.history import History


def test_a_pass_whose_process_was_killed_is_closed_by_the_next(history: History) -> None:
    first = history.begin("local", "c", "commit")
    second = history.begin("local", "c", "interval")
    history.end(second, "applied", counts={"done": 1})
    assert [(one.id, one.outcome) for one in history.passes()] == [(second, "applied"), (first, "interrupted")]
    assert history.last("local") == history.one(second)
    assert (history.one(99), history.last("other")) == (None, None)


def test_old_passes_are_dropped(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_PASSES", 3)
    for _ in range(6):
        history.begin("local", None, "sync")
    history.begin("other", None, "sync")
    assert [one.id for one in history.passes(target="local")] == [6, 5, 4]


def test_a_target_keeps_what_was_applied_through_failures(history: History) -> None:
    history.targets.stand("t", wanted="a", outcome="applied", number=1)
    history.targets.stand("t", wanted="b", outcome="invalid", message="why", notes=["n"])
    history.targets.stand("t", wanted=None, outcome="unavailable")
    (row,) = history.targets.all()
    assert (row.wanted, row.applied, row.outcome, row.last_pass, row.notes) == ("b", "a", "unavailable", 1, [])
    assert history.targets.checked("other") is None


def test_drift_keeps_the_time_of_its_first_sight(history: History) -> None:
    one, two = ("Bot", "i", "a", "x"), ("Bot", "i", "b", "x")
    history.targets.drifting("t", [one])
    (first,) = history.targets.drift("t")
    history.targets.drifting("t", [one, two])
    assert history.targets.drift("t")[0] == first
    history.targets.drifting("t", [], within={("Bot", "i", "b")})  # of another nothing is known now
    assert history.targets.drift("t") == [first]
    history.targets.drifting("t", [two])
    assert [found.name for found in history.targets.drift("t")] == ["b"]


def test_a_refusal_beside_a_running_pass_leaves_it_running(history: History) -> None:
    running = history.begin("t", "c", "commit")
    history.note("t", "c", "apply", "refused", "no", 1.0)
    assert [(one.id, one.outcome) for one in history.passes()] == [(running + 1, "refused"), (running, "running")]


def test_requests_are_answered_for_each_target(history: History) -> None:
    everyone, one = history.requests.ask(None), history.requests.ask("t")
    assert (history.requests.asked("t"), history.requests.asked("u")) == ([everyone, one], [everyone])
    history.requests.answer([everyone, one], "t", 7)
    assert (history.requests.asked("t"), history.requests.asked("u")) == ([], [everyone])
    assert (history.requests.answered(one, "t"), history.requests.answered(everyone, "u")) == (7, None)


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "loop.db").write_text("this is no database, but it is long enough to be looked at" * 20)
    with pytest.raises(Misuse, match="no database"):
        History(tmp_path / "loop.db")
    with pytest.raises(Unavailable, match="cannot be opened"):
        History(tmp_path / "missing" / "loop.db")


def test_a_current_file_needs_no_migrations(tmp_path: Path) -> None:
    History(tmp_path / "loop.db").close()
    with sqlite3.connect(tmp_path / "loop.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (module.SCHEMA,)
    db.close()


def _open(path: Path) -> None:
    History(path).close()


def test_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_open, args=(tmp_path / "loop.db",)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_file_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "loop.db"
    with History(path) as history:
        history.begin("local", "c" * 40, "start")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in (
            "DROP TABLE suspended",
            "DROP TABLE quarantined",
            "DELETE FROM _sqlite_migrations WHERE name='m002_holds'",
            "PRAGMA user_version=1",
        ):
            db.execute(statement)
    with History(path) as history:
        assert history.holds.suspended("local") is None
        assert len(history.passes()) == 1


def test_without_room_nothing_is_half_written(history: History) -> None:
    (pages,) = history._db.execute("PRAGMA page_count").fetchone()
    history._db.execute(f"PRAGMA max_page_count={pages}")
    number = 0

    def fill() -> None:
        nonlocal number
        for _ in range(10_000):
            number = history.begin("t", "c" * 1000, "commit")

    with pytest.raises(Unavailable, match="records cannot be read or written: database or disk is full"):
        fill()
    assert not history._db.in_transaction
    assert history.passes()[0].id == number
    history._db.execute(f"PRAGMA max_page_count={pages + 1000}")
    assert history.begin("t", "c", "commit") == number + 1
    with pytest.raises(Unavailable):
        history._db.executemany("INSERT INTO nothing VALUES (?)", [(1,)])
