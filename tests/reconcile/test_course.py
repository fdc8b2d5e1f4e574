"""When a target is due: schedules, windows, back-off and its end; rollbacks that the loop is asked for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reconciler.errors import Rejected, Unavailable
from reconciler.reconcile import course as module
from reconciler.reconcile.history import History
from reconciler.reconcile.holds import Rollback
from reconciler.reconcile.locks import loop_runs
from reconciler.reconcile.once import Ended, Site
from reconciler.reconcile.tries import ATTEMPTS
from reconciler.reconcile.wake import touch
from tests.conftest import Repo
from tests.live.served import InMemory
from tests.plan.target import Model
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.test_loop import bots, looping, until

CONFIG = "apiVersion: reconciler/v1\nkind: Config\n"


class Refusing(InMemory):
    """A target that does not take what has a word in it."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(Model())
        self.error = error or Rejected(422, "no such model")
        self.refused = 0
        self.word = "nope"

    async def perform(self, step: Any, ids: Any) -> str | None:
        if step.ref.kind == "Bot" and step.ref.name == self.word:
            self.refused += 1
            raise self.error
        return await super().perform(step, ids)


def drift(reach: InMemory, **fields: Any) -> None:
    row = next(row for row in reach.model.rows.values() if row["kind"] == "Bot")
    row["spec"].update(fields)
    reach.model.version += 1


async def test_a_plan_that_is_refused_is_given_up_until_something_is_another(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BACK_OFF", (0.01, 0.02))
    monkeypatch.setattr(module.random, "uniform", lambda _least, _most: 0.05)  # of an interval of a second
    interval = f"{CONFIG}sync: {{interval: 1s}}\n"
    repo.commit({**fleet(a=bot_file("a", 1), nope=bot_file("nope")), "reconciler.yaml": interval})
    reach, told = Refusing(), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: reach.refused == ATTEMPTS, 20)
            looked = len(told)
            await until(lambda: len(told) > looked + 1, 20)  # it goes on looking
            assert reach.refused == ATTEMPTS
            assert told[-1].outcome in ("partial", "failed")
            assert "tried 5 times: waits for another commit" in told[-1].message
            (row,) = history.targets.all()
            assert (row.attempts, "no such model" in row.message) == (ATTEMPTS, True)
            assert row.next is not None
            drift(reach, maxTokens=7)  # a change on the target: all of it is tried again
            await until(lambda: bots(reach.model) == {"a": 1} and reach.refused > ATTEMPTS, 20)
            await until(lambda: reach.refused == 2 * ATTEMPTS, 20)
            request = history.requests.ask("local")
            touch(data)
            await until(lambda: history.requests.answered(request, "local"), 20)
            assert reach.refused == 2 * ATTEMPTS + 1
            repo.commit(fleet(nope=bot_file("nope", 2)))
            await until(lambda: reach.refused > 2 * ATTEMPTS + 1, 20)
            reach.word = ""
            repo.commit(fleet(nope=bot_file("nope", 3)))
            await until(lambda: bots(reach.model) == {"a": 1, "nope": 3}, 20)
            await until(lambda: history.targets.all()[0].attempts == 0, 20)


async def test_what_may_pass_by_itself_is_tried_again_and_again(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BACK_OFF", (0.01, 0.02))
    repo.commit(fleet(a=bot_file("a", 1), nope=bot_file("nope")))
    reach = Refusing(Unavailable("not now"))
    async with looping(site, data, lambda target: reach):
        await until(lambda: reach.refused > 3 * ATTEMPTS, 20)
        reach.word = ""
        await until(lambda: bots(reach.model) == {"a": 1, "nope": 100}, 20)


def window(how: str, now: datetime, length: str = "10m") -> str:
    """reconciler.yaml with a window that opens in the minute of `now`."""
    return (
        f"{CONFIG}sync:\n  interval: 1s\n"
        f"  windows: [{{{how}: '{now.minute} {now.hour} {now.day} {now.month} *', for: {length}}}]\n"
    )


async def test_outside_its_windows_a_target_is_looked_at_and_left(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.random, "uniform", lambda _least, _most: 0.05)  # of an interval of a second
    now = datetime.now(UTC)
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": window("allow", now - timedelta(hours=3))})
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "waiting", 20)
            assert told[-1].message.startswith("outside its windows until ")
            assert "3 to create" in told[-1].message
            assert bots(reach.model) == {}
            assert history.targets.all()[0].outcome == "waiting"
            request = history.requests.ask("local")  # who asks gets a pass
            touch(data)
            await until(lambda: history.requests.answered(request, "local"), 20)
            assert bots(reach.model) == {"a": 1}
            drift(reach, maxTokens=7)
            await until(lambda: history.targets.drift("local"), 20)
            assert bots(reach.model) == {"a": 7}
            denied = repo.commit({"reconciler.yaml": window("deny", now - timedelta(minutes=1), "1h")})
            await until(lambda: told[-1].commit == denied)
            assert told[-1].outcome == "waiting"
            assert bots(reach.model) == {"a": 7}
            repo.commit({"reconciler.yaml": window("allow", now - timedelta(minutes=1), "1h")})
            await until(lambda: bots(reach.model) == {"a": 1}, 20)


async def test_a_window_that_opens_starts_a_pass(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = [True]
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    monkeypatch.setattr(module, "closed", lambda sync, now: (shut[0], soon))
    from reconciler.reconcile import passes

    monkeypatch.setattr(passes, "closed", lambda sync, now: (shut[0], soon))
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": f"{CONFIG}sync: {{interval: 1h}}\n"})
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told):
        await until(lambda: told and told[-1].outcome == "waiting", 20)
        shut[0] = False
        await until(lambda: bots(reach.model) == {"a": 1}, 20)


async def test_a_schedule_takes_the_intervals_place(repo: Repo, site: Site, data: Path) -> None:
    text = f"{CONFIG}sync: {{schedule: '0 3 * * *', timezone: Europe/Rome}}\n"
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": text})
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "applied", 20)
            following = history.targets.all()[0].next
            assert following is not None
            assert datetime.fromtimestamp(following, ZoneInfo("Europe/Rome")).strftime("%H:%M") == "03:00"
            repo.commit(fleet(a=bot_file("a", 2)))  # a commit does not wait for it
            await until(lambda: bots(reach.model) == {"a": 2}, 20)
        assert [ended.trigger for ended in told] == ["start", "commit"]


def test_due_by_the_wall_clock() -> None:
    from reconciler.model import Sync
    from reconciler.reconcile.course import Course

    async def look() -> tuple[float, float, float, float]:
        course = Course(None, "x")  # type: ignore[arg-type]
        ended = Ended(outcome="unchanged")
        course._sync = Sync(schedule="0 3 * * *")
        course._plan_next(ended, 0)
        far = course._at - time.time()
        looks = course.left()
        course._at += 86_400  # a clock that was put back by a day
        course._planned += 86_400
        course.left()
        back = course._at - time.time()
        course._at = time.time() - 1
        return far, looks, back, course.left()

    far, looks, back, due = asyncio.run(look())
    assert 0 < back <= 86_400
    assert 0 < far <= 86_400
    assert looks <= 60  # so that a clock that is put forward is noticed
    assert due <= 0


async def test_a_rollback_that_the_loop_is_asked_for(repo: Repo, site: Site, data: Path) -> None:
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:

        async def back(to: str | None = None, *allow: str) -> Any:
            request = history.requests.ask("local", Rollback(to=to, allow=allow))
            touch(data)
            number = await until(lambda: history.requests.answered(request, "local"), 20)
            return history.one(number)

        good = repo.commit(fleet(a=bot_file("a", 1)))
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: bots(reach.model) == {"a": 1}, 20)
            none = await back()
            assert (none.outcome, "name one with --to" in none.message) == ("refused", True)
            bad = repo.commit(fleet(a=bot_file("a", 2)))
            await until(lambda: bots(reach.model) == {"a": 2}, 20)
            done = await back()
            assert (done.outcome, done.trigger, done.commit) == ("applied", "rollback", good)
            assert bots(reach.model) == {"a": 1}
            held = history.holds.quarantined("local", bad)
            assert held is not None
            assert held.good == good
            drift(reach, maxTokens=9)
            history.requests.ask("local")
            touch(data)
            await until(lambda: bots(reach.model) == {"a": 1}, 20)  # and not 2
            both = repo.commit(fleet(a=bot_file("a", 3), b=bot_file("b", 3)))
            await until(lambda: bots(reach.model) == {"a": 3, "b": 3}, 20)
            assert (await back("nope")).outcome == "refused"
            assert history.holds.quarantined("local", both) is None
            await until(lambda: history.targets.all()[0].outcome == "unchanged", 20)  # what was wanted is wanted still


async def test_a_rollback_that_a_gate_refuses_leaves_everything(repo: Repo, site: Site, data: Path) -> None:
    reach, told = InMemory(Model()), list[Ended]()
    empty = repo.commit(fleet())
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "applied", 20)
            bad = repo.commit(fleet(a=bot_file("a"), b=bot_file("b")))
            await until(lambda: len(bots(reach.model)) == 2, 20)
            request = history.requests.ask("local", Rollback(to=empty))
            touch(data)
            number = await until(lambda: history.requests.answered(request, "local"), 20)
            refused = history.one(number)
            assert refused is not None
            assert (refused.outcome, "delete:2" in refused.message) == ("refused", True)
            assert history.holds.quarantined("local", bad) is None
            await until(lambda: history.targets.all()[0].outcome == "unchanged", 20)
            assert len(bots(reach.model)) == 2
            request = history.requests.ask("local", Rollback(to=empty, allow=("delete:2",)))
            touch(data)
            await until(lambda: history.requests.answered(request, "local"), 20)
            assert bots(reach.model) == {}


async def test_told_hears_of_each_pass_with_its_plan_and_commit(repo: Repo, site: Site, data: Path) -> None:
    commit = repo.commit(fleet(a=bot_file("a")))
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told):
        await until(lambda: told, 20)
        broken = repo.commit(fleet(a="kind: ["))
        await until(lambda: len(told) > 1, 20)
    first, second = told[:2]
    assert (first.commit, first.trigger, first.outcome, first.number) == (commit, "start", "applied", 1)
    assert first.plan is not None
    assert [str(change.ref) for change in first.plan.changes][-1] == "Bot bistro/a"
    assert (second.commit, second.trigger, second.outcome, second.plan) == (broken, "commit", "invalid", None)


def test_a_trailer_that_permits_nothing_is_told(repo: Repo, site: Site) -> None:
    from reconciler.model import Live
    from reconciler.reconcile.once import make_plan, read_wanted

    repo.commit(fleet(a=bot_file("a")), "big\n\nReconciler-Allow: delete:3, everything, delete-instance:\n")
    wanted = read_wanted(site, None)
    plan = make_plan(site, wanted, wanted.desired, Live(objects=(), version="1"))
    (note,) = [one for one in plan.notes if "Reconciler-Allow" in one]
    assert note.startswith("Reconciler-Allow: delete-instance:, everything permits nothing (there are delete:N")


# --- two processes ---------------------------------------------------------------------------------------------------


def start(repo: Repo, data: Path, port: int) -> subprocess.Popen[str]:
    variables = {
        **os.environ,
        "RECONCILER_API_KEY": "k" * 20,
        "RECONCILER_URL": f"http://127.0.0.1:{port}",
        "RECONCILER_DATA": str(data),
        "KEY": "sk-0123456789abcdef",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", "run"],
        cwd=repo.root,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_loops_never_run_together_and_a_killed_one_leaves_no_lock(repo: Repo, data: Path, unused_port: int) -> None:
    def running() -> bool:
        return loop_runs(data)

    def eventually(look: Any, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    repo.commit(fleet(a=bot_file("a")))
    first = start(repo, data, unused_port)
    second: subprocess.Popen[str] | None = None
    try:
        eventually(running)
        second = start(repo, data, unused_port)
        _, said = second.communicate(timeout=20)
        assert (second.returncode, "already runs" in said) == (64, True), said
        assert running()
        first.kill()
        first.communicate(timeout=20)
        assert not running()
        second = start(repo, data, unused_port)
        eventually(running)
        second.terminate()
        second.communicate(timeout=20)
        assert second.returncode == 0
        assert not running()
    finally:
        for one in (first, second):
            if one is not None and one.poll() is None:
                one.kill()
                one.communicate()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
