"""Attempts at a plan that a target refuses: counted over restarts, forgotten when something is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.live.together import Stale
from reconciler.model import Change, Ref, Secret
from reconciler.reconcile import course as module
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Ended, Site
from reconciler.reconcile.tries import ATTEMPTS, tried
from tests.clock import until
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.test_course import Refusing, drift
from tests.reconcile.test_loop import bots, looping


def change(name: str, key: str = "sk-1") -> Change:
    return Change(
        action="create",
        ref=Ref("Bot", "bistro", name),
        instance_name="bistro",
        spec={"maxTokens": 1, "key": Secret(key)},
    )


def test_the_same_changes_of_the_same_commit_are_counted() -> None:
    whole, left = (change("a"), change("b")), (change("b"),)
    first = tried(None, "c1", whole, left, "partial", "no")
    assert (first.attempts, first.of("c1", left), first.of("c1", whole), first.of("c2", left)) == (
        1,
        True,
        False,
        False,
    )
    second = tried(first, "c1", left, left, "failed", "no")
    assert (second.attempts, second.message) == (2, "no")
    assert tried(second, "c2", left, left, "failed", "no").attempts == 1
    assert tried(second, "c1", (change("b", "sk-2"),), left, "failed", "no").attempts == 1  # another key


def test_what_is_kept_holds_no_key_and_comes_back(history: History) -> None:
    one = tried(None, "c1", (), (change("a", "sk-0123456789abcdef"),), "failed", "no")
    history.tries.put("t", one)
    assert history.tries.get("t") == one
    assert b"0123456789abcdef" not in msgspec.json.encode(one)
    history.tries.put("t", None)
    assert history.tries.get("t") is None


async def test_a_restart_forgets_no_attempt(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(a=bot_file("a", 1), nope=bot_file("nope")))
    reach = Refusing()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach) as clock:
            await clock.run(lambda: reach.refused == ATTEMPTS)
            await until(lambda: history.targets.all()[0].attempts == ATTEMPTS)
        told = list[Ended]()
        async with looping(site, data, lambda target: reach, told) as clock:
            await until(lambda: told)
            assert reach.refused == ATTEMPTS  # it only looked
            assert (told[0].trigger, told[0].outcome) == ("start", "failed")
            assert "tried 5 times" in told[0].message
            assert history.targets.all()[0].attempts == ATTEMPTS
            drift(reach, maxTokens=7)
            history.requests.ask("local")
            await clock.run(lambda: reach.refused > ATTEMPTS)


async def test_the_back_off_goes_on_after_a_restart(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(nope=bot_file("nope")))
    reach, told = Refusing(), list[Ended]()
    with History(data / "loop.db") as history:
        for attempts in (1, 2, 3):
            told.clear()
            async with looping(site, data, lambda target: reach, told) as clock:
                await until(lambda: told)
                await until(lambda: len(told) and history.targets.all()[0].next)
            (row,) = history.targets.all()
            assert row.attempts == attempts
            assert row.next is not None
            assert row.next - clock.now() == pytest.approx(5 * 2 ** (attempts - 1))


async def test_a_target_that_moved_on_meanwhile_is_read_again_at_once_and_not_for_ever(
    repo: Repo, site: Site, data: Path
) -> None:
    class Moving(Refusing):
        stale = 2

        async def perform(self, step: Any, ids: Any) -> str | None:
            if step.ref.name == "a" and self.stale:
                self.stale -= 1
                raise Stale(412, "moved")
            return await super().perform(step, ids)

    repo.commit(fleet(a=bot_file("a", 1)))
    reach, told = Moving(), list[Ended]()
    async with looping(site, data, lambda target: reach, told):
        await until(lambda: bots(reach.model) == {"a": 1})
    assert [one.outcome for one in told] == ["partial", "failed", "applied"]
    repo.commit(fleet(a=bot_file("a", 2)))
    reach.stale = 100
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told) as clock:
            await until(lambda: reach.stale == 100 - 1 - module._STALE)
            await clock.rest()
            assert clock.left() == pytest.approx(40)
            assert history.targets.all()[0].attempts == 0


async def test_what_a_target_does_not_delete_and_does_not_put_back(repo: Repo, site: Site, data: Path) -> None:
    config = (
        "apiVersion: reconciler/v1\nkind: Config\nsync: {interval: 1h, selfHeal: false}\ntargets:\n"
        "  keeps: {type: runtime, sync: {prune: false}}\n"
        "  heals: {type: runtime, url: 'http://127.0.0.1:2', sync: {selfHeal: true}}\n"
    )
    repo.commit({**fleet(a=bot_file("a", 1), b=bot_file("b", 1)), "reconciler.yaml": config})
    reaches = {name: Refusing() for name in ("keeps", "heals")}
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda wanted: reaches[wanted.target.name], targets=("keeps", "heals")):
            await until(lambda: all(bots(reach.model) == {"a": 1, "b": 1} for reach in reaches.values()))
            for reach in reaches.values():
                row = next(row for row in reach.model.rows.values() if row["label"] == "a")
                row["spec"]["maxTokens"] = 5
                reach.model.version += 1
            repo.commit({"bots/bistro/b.yaml": None}, "less\n\nReconciler-Allow: delete:1")
            await until(lambda: bots(reaches["heals"].model) == {"a": 1})
            await until(lambda: history.targets.drift("keeps"))
            assert bots(reaches["keeps"].model) == {"a": 5, "b": 1}
