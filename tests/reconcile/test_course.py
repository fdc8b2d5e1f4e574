"""When a target is due: schedules, windows, back-off and its end; rollbacks that the loop is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reconciler.errors import Rejected, Unavailable
from reconciler.reconcile.history import History
from reconciler.reconcile.holds import Rollback
from reconciler.reconcile.locks import loop_runs
from reconciler.reconcile.once import Ended, Site
from reconciler.reconcile.tries import ATTEMPTS
from reconciler.reconcile.wake import touch
from tests.clock import PATIENCE, until
from tests.conftest import Repo
from tests.live.served import InMemory
from tests.plan.target import Model
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.test_loop import bots, looping

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
    repo: Repo, site: Site, data: Path
) -> None:
    interval = f"{CONFIG}sync: {{interval: 1s}}\n"
    repo.commit({**fleet(a=bot_file("a", 1), nope=bot_file("nope")), "reconciler.yaml": interval})
    reach, told = Refusing(), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told) as clock:
            await clock.run(lambda: reach.refused == ATTEMPTS)
            looked = len(told)
            await clock.run(lambda: len(told) > looked + 1)  # it goes on looking
            assert reach.refused == ATTEMPTS
            assert told[-1].outcome in ("partial", "failed")
            assert "tried 5 times: waits for another commit" in told[-1].message
            (row,) = history.targets.all()
            assert (row.attempts, "no such model" in row.message) == (ATTEMPTS, True)
            assert row.next is not None
            drift(reach, maxTokens=7)  # a change on the target: all of it is tried again
            await clock.run(lambda: bots(reach.model) == {"a": 1} and reach.refused > ATTEMPTS)
            await clock.run(lambda: reach.refused == 2 * ATTEMPTS)
            request = history.requests.ask("local")
            touch(data)
            await until(lambda: history.requests.answered(request, "local"))
            assert reach.refused == 2 * ATTEMPTS + 1
            repo.commit(fleet(nope=bot_file("nope", 2)))
            await until(lambda: reach.refused > 2 * ATTEMPTS + 1)
            reach.word = ""
            repo.commit(fleet(nope=bot_file("nope", 3)))
            await until(lambda: bots(reach.model) == {"a": 1, "nope": 3})
            await until(lambda: history.targets.all()[0].attempts == 0)


async def test_what_may_pass_by_itself_is_tried_again_and_again(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(a=bot_file("a", 1), nope=bot_file("nope")))
    reach = Refusing(Unavailable("not now"))
    async with looping(site, data, lambda target: reach) as clock:
        await clock.run(lambda: reach.refused > 3 * ATTEMPTS)
        reach.word = ""
        await clock.run(lambda: bots(reach.model) == {"a": 1, "nope": 100})


def window(how: str, now: datetime, length: str = "10m") -> str:
    """reconciler.yaml with a window that opens in the minute of `now`."""
    return (
        f"{CONFIG}sync:\n  interval: 1s\n"
        f"  windows: [{{{how}: '{now.minute} {now.hour} {now.day} {now.month} *', for: {length}}}]\n"
    )


async def test_outside_its_windows_a_target_is_looked_at_and_left(repo: Repo, site: Site, data: Path) -> None:
    now = datetime.now(UTC)
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": window("allow", now - timedelta(hours=3))})
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told) as clock:
            await until(lambda: told and told[-1].outcome == "waiting")
            assert told[-1].message.startswith("outside its windows until ")
            assert "3 to create" in told[-1].message
            assert bots(reach.model) == {}
            assert history.targets.all()[0].outcome == "waiting"
            request = history.requests.ask("local")  # who asks gets a pass
            touch(data)
            await until(lambda: history.requests.answered(request, "local"))
            assert bots(reach.model) == {"a": 1}
            drift(reach, maxTokens=7)
            await clock.run(lambda: history.targets.drift("local"))
            assert bots(reach.model) == {"a": 7}
            denied = repo.commit({"reconciler.yaml": window("deny", now - timedelta(minutes=1), "1h")})
            await until(lambda: told[-1].commit == denied)
            assert told[-1].outcome == "waiting"
            assert bots(reach.model) == {"a": 7}
            repo.commit({"reconciler.yaml": window("allow", now - timedelta(minutes=1), "1h")})
            await until(lambda: bots(reach.model) == {"a": 1})


async def test_a_window_that_opens_starts_a_pass(repo: Repo, site: Site, data: Path) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=20)
    hourly = window("allow", soon).replace("1s", "1h")
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": hourly})
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told) as clock:
        await until(lambda: told and told[-1].outcome == "waiting")
        await clock.rest()
        opens = soon.replace(second=0, microsecond=0)
        while clock.now() < opens.timestamp():
            assert clock.left() < 60.001  # so often the wall clock is looked at
            assert bots(reach.model) == {}
            await clock.go_on()
        assert bots(reach.model) == {"a": 1}
    assert [(one.trigger, one.outcome) for one in told] == [("start", "waiting"), ("interval", "applied")]


async def test_a_schedule_takes_the_intervals_place(repo: Repo, site: Site, data: Path) -> None:
    text = f"{CONFIG}sync: {{schedule: '0 3 * * *', timezone: Europe/Rome}}\n"
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": text})
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "applied")
            following = history.targets.all()[0].next
            assert following is not None
            assert datetime.fromtimestamp(following, ZoneInfo("Europe/Rome")).strftime("%H:%M") == "03:00"
            repo.commit(fleet(a=bot_file("a", 2)))  # a commit does not wait for it
            await until(lambda: bots(reach.model) == {"a": 2})
        assert [ended.trigger for ended in told] == ["start", "commit"]


async def test_a_wall_clock_that_is_put_forward_or_back(repo: Repo, site: Site, data: Path) -> None:
    text = f"{CONFIG}sync: {{schedule: '0 3 * * *', timezone: Europe/Rome}}\n"
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": text})
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told) as clock:
            await until(lambda: told)
            await clock.rest()
            assert clock.left() < 60.001  # so that it is noticed
            following = history.targets.all()[0].next
            assert following is not None
            drift(reach, maxTokens=7)
            clock.put(-86_400)
            await clock.go_on(60)
            assert bots(reach.model) == {"a": 7}
            clock.put(following - 86_400 - clock.now())  # three in the morning, a day before
            await clock.go_on(60)
            assert bots(reach.model) == {"a": 1}
            drift(reach, maxTokens=7)
            clock.put(86_400)
            await clock.go_on(60)
            assert bots(reach.model) == {"a": 1}
    assert [one.trigger for one in told] == ["start", "interval", "interval"]


async def test_a_rollback_that_the_loop_is_asked_for(repo: Repo, site: Site, data: Path) -> None:
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:

        async def back(to: str | None = None, *allow: str) -> Any:
            request = history.requests.ask("local", Rollback(to=to, allow=allow))
            touch(data)
            number = await until(lambda: history.requests.answered(request, "local"))
            return history.one(number)

        good = repo.commit(fleet(a=bot_file("a", 1)))
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: bots(reach.model) == {"a": 1})
            none = await back()
            assert (none.outcome, "name one with --to" in none.message) == ("refused", True)
            bad = repo.commit(fleet(a=bot_file("a", 2)))
            await until(lambda: bots(reach.model) == {"a": 2})
            done = await back()
            assert (done.outcome, done.trigger, done.commit) == ("applied", "rollback", good)
            assert bots(reach.model) == {"a": 1}
            held = history.holds.quarantined("local", bad)
            assert held is not None
            assert held.good == good
            drift(reach, maxTokens=9)
            history.requests.ask("local")
            touch(data)
            await until(lambda: bots(reach.model) == {"a": 1})  # and not 2
            both = repo.commit(fleet(a=bot_file("a", 3), b=bot_file("b", 3)))
            await until(lambda: bots(reach.model) == {"a": 3, "b": 3})
            assert (await back("nope")).outcome == "refused"
            assert history.holds.quarantined("local", both) is None
            await until(lambda: history.targets.all()[0].outcome == "unchanged")  # what was wanted is wanted still


async def test_a_rollback_that_a_gate_refuses_leaves_everything(repo: Repo, site: Site, data: Path) -> None:
    reach, told = InMemory(Model()), list[Ended]()
    empty = repo.commit(fleet())
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "applied")
            bad = repo.commit(fleet(a=bot_file("a"), b=bot_file("b")))
            await until(lambda: len(bots(reach.model)) == 2)
            request = history.requests.ask("local", Rollback(to=empty))
            touch(data)
            number = await until(lambda: history.requests.answered(request, "local"))
            refused = history.one(number)
            assert refused is not None
            assert (refused.outcome, "delete:2" in refused.message) == ("refused", True)
            assert history.holds.quarantined("local", bad) is None
            await until(lambda: history.targets.all()[0].outcome == "unchanged")
            assert len(bots(reach.model)) == 2
            request = history.requests.ask("local", Rollback(to=empty, allow=("delete:2",)))
            touch(data)
            await until(lambda: history.requests.answered(request, "local"))
            assert bots(reach.model) == {}


async def test_told_hears_of_each_pass_with_its_plan_and_commit(repo: Repo, site: Site, data: Path) -> None:
    commit = repo.commit(fleet(a=bot_file("a")))
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told):
        await until(lambda: told)
        broken = repo.commit(fleet(a="kind: ["))
        await until(lambda: len(told) > 1)
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


async def test_two_loops_never_run_together_and_a_killed_one_leaves_no_lock(
    repo: Repo, data: Path, unused_port: int
) -> None:
    def running() -> bool:
        return loop_runs(data)

    repo.commit(fleet(a=bot_file("a")))
    first = start(repo, data, unused_port)
    second: subprocess.Popen[str] | None = None
    try:
        await until(running)
        second = start(repo, data, unused_port)
        _, said = second.communicate(timeout=PATIENCE)
        assert (second.returncode, "already runs" in said) == (64, True), said
        assert running()
        first.kill()
        first.communicate(timeout=PATIENCE)
        assert not running()
        second = start(repo, data, unused_port)
        await until(running)
        second.terminate()
        second.communicate(timeout=PATIENCE)
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
