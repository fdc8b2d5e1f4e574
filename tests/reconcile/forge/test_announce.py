"""After the merge: each outcome of a commit is said once on its pull request, whatever the forge does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Misuse
from reconciler.model import ForgeAt, Plan, Secret
from reconciler.plan.order import order
from reconciler.plan.review.marker import line, reviewed
from reconciler.reconcile.apply import Walked
from reconciler.reconcile.forge import announce as module
from reconciler.reconcile.forge import calls
from reconciler.reconcile.forge.announce import Announcer, wanted
from reconciler.reconcile.forge.port import Kind
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Ended, Site
from tests.clock import PATIENCE, Wound, until
from tests.conftest import Repo
from tests.live.served import InMemory
from tests.plan.fleet import bistro, bot, main, running
from tests.plan.target import Model
from tests.plan.test_render import plan
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.forge.conftest import ci_of
from tests.reconcile.forge.served import ANA, Served, serve

SLEEP = asyncio.sleep
LIVE = running(bistro(), main(), bot("x"))
ONE = plan(bistro(), main(), bot("x", maxTokens=900), live=LIVE)
TWO = plan(bistro(), main(), bot("x", maxTokens=900), bot("y"), live=LIVE)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of the forge does not wait; the loop and these tests do."""

    class Quick:
        @staticmethod
        async def sleep(seconds: float) -> None:
            await SLEEP(0)

    monkeypatch.setattr(calls, "asyncio", Quick)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def commits(repo: Repo) -> list[str]:
    return [repo.commit({"a": str(number)}) for number in range(4)]


@pytest.fixture
def hub() -> Iterator[Served]:
    with serve("github") as found:
        found.merged.clear()
        yield found


@asynccontextmanager
async def announcing(
    served: Served, site: Site, data: Path, lines: list[str], *, several: bool = False, **more: Any
) -> AsyncIterator[Announcer]:
    with History(data / "loop.db") as history:
        ci = ci_of(served, number=None, **more)
        async with Announcer(history, site.repository, ci, several=several, log=lines.append, clock=Wound()) as found:
            yield found


def ended(commit: str, outcome: str = "applied", what: Plan | None = ONE, number: int | None = 7, **more: Any) -> Ended:
    steps = order(what) if what is not None else ()
    endings: dict[int, Any] = {step.index: more.pop("ending", "done") for step in steps}
    walked = Walked(endings, {}, False, False) if outcome in ("applied", "partial", "failed") else None
    return Ended(outcome=outcome, commit=commit, plan=what, steps=steps, walked=walked, number=number, **more)


def told(served: Served, commit: str) -> Callable[[], Any]:
    return lambda: served.statuses.get(commit)


async def settled(announcer: Announcer) -> None:
    assert isinstance(announcer._clock, Wound)
    await announcer._clock.run(lambda: announcer._history.told.waiting() is None)


def states(served: Served, commit: str) -> list[str]:
    return [one["state"] for one in served.statuses.get(commit, [])]


async def test_a_merged_commit_is_applied(
    served: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    served.merged = {commits[1]: [12]}
    served.comment(ANA, line(reviewed("a" * 40, [("local", ONE)])) + "\n## Fine\n")
    async with announcing(served, site, data, lines) as announcer:
        announcer("local", ended(commits[1]))
        await settled(announcer)
    review, outcome = served.comments
    assert review["body"].endswith("## Fine\n")
    assert "### ✅ Applied to local" in outcome["body"]
    assert "The plan was the one that the review showed." in outcome["body"]
    (status,) = served.statuses[commits[1]]
    assert (status["context"], status["state"]) == ("reconciler/apply", "success")
    assert status["description"] == "applied to local: 1 updated"
    assert lines == []


async def test_what_differs_from_the_review_is_said(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[1]: [12]}
    hub.comment(ANA, line(reviewed("a" * 40, [("local", ONE)])) + "\n## Fine\n")
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[1], what=TWO))
        await settled(announcer)
    assert "not the one that the review showed**: 1 more" in hub.comments[1]["body"]
    assert "Bot bistro/y" in hub.comments[1]["body"]


async def test_once_for_each_commit_and_target_and_not_again_after_a_restart(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12]}
    async with announcing(hub, site, data, lines, several=True) as announcer:
        announcer("local", ended(commits[0], "refused", None, message="39% is over 30%"))
        announcer("production", ended(commits[0]))
        await settled(announcer)
        announcer("local", ended(commits[0], "refused", None, message="40% is over 30%", number=8))
        announcer("production", ended(commits[0], number=9))  # drift put back
        announcer("production", ended(commits[0], "failed", number=10, ending="failed"))
        announcer("production", ended(commits[0], "unchanged", None, number=None))
        await settled(announcer)
    heard = len(hub.heard)
    async with announcing(hub, site, data, lines, several=True) as announcer:
        announcer("local", ended(commits[0], "refused", None, message="39% is over 30%", number=11))
        announcer("production", ended(commits[0], "unchanged", None, number=12))
        await settled(announcer)
    assert len(hub.heard) == heard
    assert sorted(one["body"].split("\n")[1] for one in hub.comments) == [
        "### ⛔ Refused for local",
        "### ✅ Applied to production",
    ]
    contexts = [one["context"] for one in hub.statuses[commits[0]]]
    assert sorted(contexts) == ["reconciler/apply (local)", "reconciler/apply (production)"]


async def test_one_comment_of_a_target_lives(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12]}
    async with announcing(hub, site, data, lines) as announcer:
        for outcome, ending in (("partial", "failed"), ("applied", "done")):
            announcer("local", ended(commits[0], outcome, message="no", ending=ending))
            await settled(announcer)
    assert states(hub, commits[0]) == ["failure", "success"]
    (only,) = hub.comments
    assert "Applied to local" in only["body"]


async def test_what_was_put_right_by_hand_counts_as_applied(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12]}
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[0], "invalid", None, message="bots/a.yaml:1:1: no"))
        await settled(announcer)
        announcer("local", ended(commits[0], "unchanged", None))
        await settled(announcer)
    assert states(hub, commits[0]) == ["failure", "success"]
    assert "all was as declared" in hub.comments[0]["body"]


async def test_all_that_came_since_the_last_pass_hears_of_it(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[1]: [12], commits[2]: [13], commits[3]: [14]}
    hub.pulls |= {13: hub.pulls[12], 14: hub.pulls[12]}
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[0]))
        await settled(announcer)
        assert hub.comments == []  # no pull request brought it
        announcer("local", ended(commits[1], "refused", None, message="39% is over 30%"))
        await settled(announcer)
        announcer("local", ended(commits[3], what=TWO))
        await settled(announcer)
    assert sorted(one["pull"] for one in hub.comments) == [12, 13, 14]
    assert all(f"commit={commits[3]}" in one["body"] for one in hub.comments)


async def test_a_rollback_is_said_of_the_commit_that_went(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12], commits[1]: [13]}
    async with announcing(hub, site, data, lines) as announcer:
        for commit in commits[:2]:
            announcer("local", ended(commit))
            await settled(announcer)
        announcer._history.holds.roll_back("local", commits[1], commits[0], ())
        announcer("local", ended(commits[0], "partial", trigger="rollback", ending="failed"))
        assert announcer._history.told.waiting() is None
        announcer("local", ended(commits[0], trigger="rollback", number=9))
        await settled(announcer)
        announcer("local", ended(commits[0], "unchanged", None, number=10))
        await settled(announcer)
    bodies = {one["pull"]: one["body"] for one in hub.comments}
    assert "Applied to local" in bodies[12]
    assert "Rolled back on local" in bodies[13]
    assert f"`{commits[0][:8]}` stands in its place" in bodies[13]
    assert states(hub, commits[1]) == ["success", "failure"]
    assert states(hub, commits[0]) == ["success"]


async def test_a_first_start_on_what_is_as_it_should_be_says_nothing(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12], commits[1]: [12]}
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[0], "unchanged", None))
        assert announcer._history.told.waiting() is None
        announcer("local", ended(commits[1], "unchanged", None))  # it changed documents only: a status, no comment
        await settled(announcer)
        hub.comment(ANA, line(reviewed("a" * 40, [("local", ONE)])))
        hub.merged[commits[2]] = [12]
        announcer("local", ended(commits[2], "unchanged", None))  # but the review showed a change
        await settled(announcer)
    assert hub.heard != []
    assert states(hub, commits[1]) == ["success"]
    assert ["Nothing to do on local" in one["body"] for one in hub.comments] == [False, True]


async def test_a_target_that_waits_is_a_status_after_a_while(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12]}
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[0], "unavailable", None, message="it does not answer"))
        announcer("local", ended(commits[0]))
        await settled(announcer)
        assert states(hub, commits[0]) == ["success"]  # mostly it does not wait any more by then
        announcer("local", ended(commits[1], "suspended", message="suspended (holiday): 1 to update"))
        await settled(announcer)
    assert states(hub, commits[1]) == ["pending"]
    assert len(hub.comments) == 1


async def test_a_forge_that_is_gone_delays_nothing_and_hears_later(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12]}
    hub.faults = [(503, {}, b"")] * 12
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[0]))
        await settled(announcer)
    assert states(hub, commits[0]) == ["success"]
    assert len(hub.comments) == 1
    assert len(lines) == 1
    assert "cannot be told to github yet" in lines[0]


async def test_what_was_not_told_is_told_after_a_restart(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str]
) -> None:
    hub.merged = {commits[0]: [12]}
    hub.after = [None]  # the comment is made, and then the connection is lost
    with History(data / "loop.db") as history:
        announcer = Announcer(history, site.repository, ci_of(hub), several=False, log=lines.append)
        announcer("local", ended(commits[0]))
    async with announcing(hub, site, data, lines) as announcer:
        await settled(announcer)
    assert len(hub.comments) == 1
    assert states(hub, commits[0]) == ["success"]


async def test_a_forge_that_refuses_is_given_up(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    hub.tokens["writes"]["writes"] = False
    async with announcing(hub, site, data, lines) as announcer:
        announcer("local", ended(commits[0]))
        await settled(announcer)
    assert "stays untold after 3 attempts" in lines[-1]
    assert "pull-requests: write" in lines[-1]


async def test_nothing_that_goes_wrong_here_reaches_the_loop(
    hub: Served, site: Site, data: Path, commits: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    async with announcing(hub, site, data, lines) as announcer:

        def broken(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database is locked")

        with monkeypatch.context() as patch:
            patch.setattr(announcer._history.told, "note", broken)
            announcer("local", ended(commits[0]))
        assert "database is locked" in lines[-1]
        with monkeypatch.context() as patch:
            patch.setattr(module, "described", lambda *_: 1 / 0)
            announcer("local", ended(commits[0]))
            await until(lambda: "division" in lines[-1])
        with monkeypatch.context() as patch:
            patch.setattr(announcer._history.told, "waiting", broken)
            announcer("local", ended(commits[0], number=8))
            announcer._news.set()
            await until(lambda: "cannot be read" in lines[-1])
        await settled(announcer)
    assert states(hub, commits[0]) == ["success"]


async def test_the_loop_tells_a_forge(hub: Served, repo: Repo, site: Site, data: Path, lines: list[str]) -> None:
    from reconciler.reconcile.loop import run_loop

    first = repo.commit(fleet(a=bot_file("a", 1)))
    hub.merged = {first: [12]}
    reach, stop = InMemory(Model()), asyncio.Event()
    async with announcing(hub, site, data, lines) as announcer:
        task = asyncio.create_task(run_loop(site, data, ("local",), lambda _: reach, stop=stop, told=announcer))
        await until(told(hub, first))
        second = repo.commit(fleet(a="kind: ["))
        await until(told(hub, second))
        stop.set()
        await asyncio.wait_for(task, PATIENCE)
    assert states(hub, first) == ["success"]
    assert states(hub, second) == ["failure"]
    assert "3 created" in hub.comments[0]["body"]


def test_where_the_forge_is(tmp_path: Path) -> None:
    at = ForgeAt(type="github", repository="acme/bots", token={"env": "T"})
    found = wanted({"T": "t", "RECONCILER_FORGE": "gitlab"}, tmp_path, at)
    assert found is not None
    assert (found.kind, found.token) == ("github", Secret("t"))
    variables = {
        "RECONCILER_FORGE": "gitea",
        "RECONCILER_FORGE_URL": "https://git.example",
        "RECONCILER_FORGE_REPOSITORY": "acme/bots",
        "FORGEJO_TOKEN": "f",
    }
    other = wanted(variables, tmp_path, None)
    assert other is not None
    kind: Kind = "gitea"
    assert (other.kind, other.api, other.token) == (kind, "https://git.example/api/v1", Secret("f"))
    assert wanted({}, tmp_path, None) is None
    with pytest.raises(Misuse, match="there are github"):
        wanted({"RECONCILER_FORGE": "svn"}, tmp_path, None)
    with pytest.raises(Misuse, match="RECONCILER_FORGE_REPOSITORY"):
        wanted({"RECONCILER_FORGE": "github"}, tmp_path, None)
