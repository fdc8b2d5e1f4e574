"""The loop on a remote repository: fetched beside passes, on demand, after a knock; what happens when it is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.desired.remote import Clone, Remote
from reconciler.errors import Unavailable
from reconciler.reconcile.follow import fetch_once
from reconciler.reconcile.history import History
from reconciler.reconcile.locks import one_fetch
from reconciler.reconcile.loop import run_loop
from reconciler.reconcile.once import Ended, Site
from reconciler.reconcile.wake import knock, touch
from tests.clock import PATIENCE, Wound, until
from tests.conftest import Repo
from tests.githttp import git_server, silent_server
from tests.live.served import InMemory
from tests.plan.target import Model
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.test_loop import bots


def made(tmp_path: Path, data: Path, url: str, ref: str | None = None) -> Clone:
    return Clone(data / "source.git", tmp_path, Remote(url=url, ref=ref, variables=dict(os.environ)))


@asynccontextmanager
async def following(
    clone: Clone, data: Path, reach: InMemory, told: list[Ended] | None = None
) -> AsyncIterator[tuple[History, Wound]]:
    """A loop's records, and its clock, which stands."""
    stop, ends, clock = asyncio.Event(), told if told is not None else [], Wound()
    site = Site(clone.repository, {"KEY": "sk-0123456789abcdef"}, None)
    task = asyncio.create_task(
        run_loop(
            site,
            data,
            ("local",),
            lambda _: reach,
            stop=stop,
            told=lambda _, ended: ends.append(ended),
            clone=clone,
            clock=clock,
        )
    )
    with History(data / "loop.db") as history:
        try:
            yield history, clock
        finally:
            stop.set()
            await asyncio.wait_for(task, PATIENCE)


SLOW = "apiVersion: reconciler/v1\nkind: Config\nsource: {interval: 1h}\nsync: {interval: 1h}\n"
QUICK = SLOW.replace("interval: 1h}\nsync", "interval: 1s}\nsync")


async def test_a_push_is_live_after_the_interval_a_knock_or_a_request(repo: Repo, data: Path, tmp_path: Path) -> None:
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": QUICK})
    reach = InMemory(Model())
    async with following(made(tmp_path, data, str(repo.root)), data, reach) as (history, clock):
        await until(lambda: bots(reach.model) == {"a": 1})
        repo.commit({**fleet(a=bot_file("a", 2)), "reconciler.yaml": SLOW})
        await clock.rest()
        assert clock.left() <= 1.05
        clock.leap()
        await until(lambda: bots(reach.model) == {"a": 2})
        commit = repo.commit(fleet(a=bot_file("a", 3)))
        await clock.rest()
        assert 3420 <= clock.left() <= 3780
        clock.wind(3000)
        rests = clock.rests
        touch(data)  # the loop looks, but not at the remote
        await clock.rest(rests)
        assert bots(reach.model) == {"a": 2}
        knock(data)
        await until(lambda: bots(reach.model) == {"a": 3})
        source = history.source()
        assert source is not None
        assert (source.commit, source.message, source.url) == (commit, "", str(repo.root))
        commit = repo.commit(fleet(a=bot_file("a", 4)))
        request = history.requests.ask("local")
        touch(data)
        number = await until(lambda: history.requests.answered(request, "local"))
        answered = history.one(number)
        assert answered is not None
        assert answered.commit == commit  # it was fetched before
        assert bots(reach.model) == {"a": 4}


async def test_a_remote_that_is_gone_leaves_what_is_there(repo: Repo, data: Path, tmp_path: Path) -> None:
    first = repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": QUICK.replace("1h", "1s")})
    reach, told = InMemory(Model()), list[Ended]()
    with git_server(repo.root.parent) as server:
        clone = made(tmp_path, data, f"{server.url}/repo/.git")
        async with following(clone, data, reach, told) as (history, clock):
            await until(lambda: bots(reach.model) == {"a": 1})
            server.down = True
            failed = await clock.run(lambda: (one := history.source()) and one.message and one)
            assert "503" in failed.message
            assert (failed.commit, failed.fetched is not None) == (first, True)
            for row in reach.model.rows.values():  # drift is put back meanwhile
                if row["kind"] == "Bot":
                    row["spec"]["maxTokens"] = 5
            reach.model.version += 1
            await clock.run(lambda: bots(reach.model) == {"a": 1})
            assert history.targets.all()[0].outcome in ("applied", "unchanged")
            repo.commit(fleet(a=bot_file("a", 2)))
            server.down = False
            await clock.run(lambda: bots(reach.model) == {"a": 2})
            await clock.run(lambda: (one := history.source()) and not one.message)


async def test_a_remote_that_comes_later_is_waited_for(repo: Repo, data: Path, tmp_path: Path) -> None:
    reach, told = InMemory(Model()), list[Ended]()
    async with following(made(tmp_path, data, str(repo.root)), data, reach, told) as (history, clock):
        await clock.run(lambda: told and told[-1].outcome == "unavailable")
        assert "nothing was fetched yet" in told[-1].message
        source = history.source()
        assert source is not None
        assert "no commit yet" in source.message
        repo.commit(fleet(a=bot_file("a", 1)))
        await clock.run(lambda: bots(reach.model) == {"a": 1})


async def test_the_loop_ends_while_it_fetches(data: Path, tmp_path: Path) -> None:
    with silent_server() as (url, asked):
        clone = made(tmp_path, data, url)
        async with following(clone, data, InMemory(Model())):
            await until(asked)


async def test_one_process_fetches_at_a_time(repo: Repo, data: Path, tmp_path: Path) -> None:
    commit = repo.commit({"a.txt": "1"})
    clone = made(tmp_path, data, str(repo.root))
    with History(data / "loop.db") as history:
        async with one_fetch(data):
            with pytest.raises(Unavailable, match="another process has been fetching"):
                async with one_fetch(data, 0.05):
                    pass
            waiting = asyncio.create_task(fetch_once(clone, data, history))
            for _ in range(20):
                await asyncio.sleep(0)
            assert clone.commit is None
        assert await waiting == commit
