"""The loop on a real repository and the real runtime, and on the model of a target."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Misuse, Unavailable
from reconciler.live.runtime import Runtime
from reconciler.reconcile import loop as looped
from reconciler.reconcile import wake as waking
from reconciler.reconcile.history import History
from reconciler.reconcile.locks import loop_runs, one_pass, the_one_loop
from reconciler.reconcile.loop import Chosen, run_loop
from reconciler.reconcile.once import Ended, Site
from reconciler.reconcile.wake import touch
from tests.clock import PATIENCE, Wound, until
from tests.conftest import Repo
from tests.live.served import KEY, InMemory, runtime
from tests.plan.target import Model
from tests.reconcile.conftest import bot_file, fleet


@asynccontextmanager
async def looping(
    site: Site,
    data: Path,
    connect: Callable[[Any], Any],
    told: list[Ended] | None = None,
    targets: tuple[str, ...] = ("local",),
    chosen: Chosen | None = None,
) -> AsyncIterator[Wound]:
    """A loop, and its clock, which stands."""
    stop, clock = asyncio.Event(), Wound()
    ends = told if told is not None else []
    task = asyncio.create_task(
        run_loop(
            site,
            data,
            targets,
            connect,
            stop=stop,
            told=lambda _, one: ends.append(one),
            chosen=chosen,
            clock=clock,
        )
    )
    try:
        yield clock
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


def bots(model: Model) -> dict[str, int]:
    return {row["label"]: row["spec"]["maxTokens"] for row in model.rows.values() if row["kind"] == "Bot"}


async def test_a_commit_is_live_soon_and_drift_is_put_back_on_demand(
    repo: Repo, site: Site, data: Path, tmp_path: Path
) -> None:
    import httpx

    repo.commit(fleet(a=bot_file("a", 1), b=bot_file("b", 1)))
    with runtime(tmp_path) as url, History(data / "loop.db") as history:
        async with (
            httpx.AsyncClient(base_url=url, headers={"apikey": KEY}) as http,
            looping(site, data, lambda target: Runtime(url, KEY)),
        ):
            await until(lambda: history.targets.all() and history.targets.all()[0].outcome == "applied")
            repo.commit(fleet(a=bot_file("a", 2)))
            second = await until(lambda: (p := history.passes()) and p[0].trigger == "commit" and p[0].ended and p[0])
            rows = (await http.get("/openai/find/bistro")).json()
            assert sorted(row["maxTokens"] for row in rows) == [1, 2]

            changed = next(row for row in rows if row["maxTokens"] == 1)
            answer = await http.put(f"/openai/update/{changed['id']}/bistro", json={"maxTokens": 77})
            assert answer.status_code == 200
            request = history.requests.ask("local")
            touch(data)
            number = await until(lambda: history.requests.answered(request, "local"))
            (step,) = history.steps(number)
            assert (step.origin, step.fields[0]["before"]) == ("drift", 77)
            assert number > second.id

            repo.commit({"bots/bistro/b.yaml": None})
            await until(lambda: history.passes()[0].counts.get("delete"))
            (left,) = (await http.get("/openai/find/bistro")).json()
            assert left["description"].startswith("[gitops a@")


async def test_it_waits_for_a_target_that_is_starting(repo: Repo, site: Site, data: Path, tmp_path: Path) -> None:
    repo.commit(fleet(a=bot_file("a")))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told: list[Ended] = []
    async with looping(site, data, lambda target: Runtime(f"http://127.0.0.1:{port}", KEY, attempts=1), told) as clock:
        await clock.run(lambda: len(told) > 1)
        assert told[-1].outcome == "unavailable"
        with runtime(tmp_path, socket.create_server(("127.0.0.1", port))):
            await clock.run(lambda: told[-1].outcome == "applied")
    with History(data / "loop.db") as history:
        assert [one.outcome for one in history.passes()][-1] == "unavailable"


async def test_broken_yaml_leaves_what_is_live_until_a_good_commit(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(a=bot_file("a", 1)))
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told):
        await until(lambda: told and told[-1].outcome == "applied")
        repo.commit(fleet(a="kind: ["))
        await until(lambda: told[-1].outcome == "invalid")
        assert bots(reach.model) == {"a": 1}
        repo.commit({**fleet(a=bot_file("a", 2)), "reconciler.yaml": "nonsense: ["})
        await until(lambda: told[-1].outcome == "invalid" and "reconciler.yaml" in told[-1].message)
        repo.commit({"reconciler.yaml": None})
        await until(lambda: bots(reach.model) == {"a": 2})


async def test_a_repository_without_a_commit_is_waited_for(repo: Repo, site: Site, data: Path) -> None:
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told):
        await until(lambda: told and told[-1].outcome == "unavailable")
        assert "no commit yet" in told[-1].message
        repo.commit(fleet(a=bot_file("a")))
        await until(lambda: bots(reach.model) == {"a": 100})


async def test_the_interval_finds_drift_without_being_told(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(
        {**fleet(a=bot_file("a")), "reconciler.yaml": "apiVersion: reconciler/v1\nkind: Config\nsync: {interval: 1s}\n"}
    )
    reach, told = InMemory(Model()), list[Ended]()
    async with looping(site, data, lambda target: reach, told) as clock:
        await until(lambda: told and bots(reach.model) == {"a": 100})
        for row in reach.model.rows.values():
            if row["kind"] == "Bot":
                row["spec"]["maxTokens"] = 5
        reach.model.version += 1
        await clock.rest()
        assert 0.95 <= clock.left() <= 1.05
        clock.wind(0.9)
        rests = clock.rests
        touch(data)  # it looks, and it is not time yet
        await clock.rest(rests)
        assert bots(reach.model) == {"a": 5}
        await clock.go_on()
        assert bots(reach.model) == {"a": 100}
        await clock.go_on()
    assert [(one.trigger, one.outcome) for one in told] == [
        ("start", "applied"),
        ("interval", "applied"),
        ("interval", "unchanged"),
    ]


async def test_a_failure_is_retried_with_back_off(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(a=bot_file("a")))

    class Shy(InMemory):
        refusals = 8

        async def perform(self, step: Any, ids: Any) -> str | None:
            if step.ref.kind == "Bot" and self.refusals:
                self.refusals -= 1
                raise Unavailable("not now")
            return await super().perform(step, ids)

    reach, told, waits = Shy(Model()), list[Ended](), list[float]()
    async with looping(site, data, lambda target: reach, told) as clock:
        await until(lambda: told)
        await clock.rest()
        while not bots(reach.model):
            waits.append(clock.left())
            await clock.go_on()
    assert waits == pytest.approx([5, 10, 20, 40, 80, 160, 180, 180])
    assert [one.outcome for one in told] == ["partial", *["failed"] * 7, "applied"]


async def test_where_folders_cannot_be_watched_it_looks_by_itself(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import watchfiles

    def refuse(*paths: Any, **options: Any) -> Any:
        raise OSError("no inotify left")

    monkeypatch.setattr(watchfiles, "awatch", refuse)
    monkeypatch.setattr(waking, "_POLL", 0.02)
    repo.commit(fleet(a=bot_file("a", 1)))
    reach = InMemory(Model())
    async with looping(site, data, lambda target: reach):
        await until(lambda: bots(reach.model) == {"a": 1})
        repo.commit(fleet(a=bot_file("a", 2)))
        await until(lambda: bots(reach.model) == {"a": 2})


async def test_a_second_loop_is_refused_and_passes_do_not_overlap(data: Path) -> None:
    assert not loop_runs(data)
    with the_one_loop(data):
        assert loop_runs(data)
        with pytest.raises(Misuse, match="already runs"), the_one_loop(data):
            pass
    assert not loop_runs(data)
    async with one_pass(data, "a"), one_pass(data, "b"):
        with pytest.raises(Unavailable, match="another pass of a "):
            async with one_pass(data, "a", patience=0.05):
                pass
    async with one_pass(data, "a"):
        pass


class Hanging(InMemory):
    """A target that takes what it is asked and never answers, from a reading or a step on."""

    def __init__(self, *, reads: bool = False) -> None:
        super().__init__(Model())
        self.reads, self.asked = reads, asyncio.Event()

    async def read(self, known_version: str | None = None) -> Any:
        return await super().read(known_version) if self.reads else await self._hang()

    async def perform(self, step: Any, ids: Any) -> str | None:
        return str(await self._hang())

    async def _hang(self) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


TWO = (
    "apiVersion: reconciler/v1\nkind: Config\nsync: {interval: 1s}\ntargets:\n"
    "  slow: {type: runtime}\n  well: {type: runtime, url: 'http://127.0.0.1:2'}\n"
)


async def test_a_target_that_never_answers_delays_no_other_one(repo: Repo, site: Site, data: Path) -> None:
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": TWO})
    slow, well, told = Hanging(), InMemory(Model()), list[Ended]()
    reaches = {"slow": slow, "well": well}
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda wanted: reaches[wanted.target.name], told, ("slow", "well")) as clock:
            await until(lambda: bots(well.model) == {"a": 1} and slow.asked.is_set())
            repo.commit(fleet(a=bot_file("a", 2)))
            await until(lambda: bots(well.model) == {"a": 2})
            request = history.requests.ask("well")
            touch(data)
            await until(lambda: history.requests.answered(request, "well"))
            next(row for row in well.model.rows.values() if row["kind"] == "Bot")["spec"]["maxTokens"] = 5
            well.model.version += 1
            await clock.run(lambda: bots(well.model) == {"a": 2})  # its interval goes on as well
        # Being told to stop it did not wait for an answer, and nothing is said of a pass that had not begun.
        assert [one.target for one in history.targets.all()] == ["well"]
        assert {one.target for one in history.passes()} == {"well"}


async def test_a_commit_may_name_another_address_and_other_targets(repo: Repo, site: Site, data: Path) -> None:
    def config(**targets: int) -> str:
        lines = (f"  {name}: {{type: runtime, url: 'http://127.0.0.1:{port}'}}\n" for name, port in targets.items())
        return "apiVersion: reconciler/v1\nkind: Config\nsync: {interval: 1h}\ntargets:\n" + "".join(lines)

    models = [Model(), Model(), Model()]
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": config(one=0)})

    def connect(wanted: Any) -> Any:
        return InMemory(models[int(wanted.target.url[-1])])

    told = list[Ended]()
    async with looping(site, data, connect, told, ("one",), lambda config: tuple(one.name for one in config.targets)):
        await until(lambda: bots(models[0]) == {"a": 1})
        repo.commit({**fleet(a=bot_file("a", 2)), "reconciler.yaml": config(one=1)})
        await until(lambda: bots(models[1]) == {"a": 2})
        repo.commit({"reconciler.yaml": config(one=1, two=2)})
        await until(lambda: bots(models[2]) == {"a": 2})
        repo.commit({**fleet(a=bot_file("a", 3)), "reconciler.yaml": config(two=2)})
        await until(lambda: bots(models[2]) == {"a": 3})
        last = repo.commit({"reconciler.yaml": "nonsense: ["})
        await until(lambda: told[-1].outcome == "invalid" and told[-1].commit == last)
    assert bots(models[0]) == {"a": 1}  # the address that it was at before is left alone
    assert bots(models[1]) == {"a": 2}


async def test_calls_that_never_end_do_not_keep_the_loop_from_ending(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looped, "_GRACE", 0.05)
    repo.commit(fleet(a=bot_file("a", 1)))
    stuck = Hanging(reads=True)
    async with looping(site, data, lambda target: stuck):
        await asyncio.wait_for(stuck.asked.wait(), PATIENCE)
    with History(data / "loop.db") as history:
        (one,) = history.passes()
        assert (one.outcome, history.steps(one.id)[0].outcome) == ("interrupted", "started")
        well, told = InMemory(Model()), list[Ended]()
        async with looping(site, data, lambda target: well, told):
            await until(lambda: told)
        assert [one.outcome for one in history.passes()] == ["applied", "interrupted"]


async def test_a_pass_of_somebody_else_is_waited_for_until_told_to_stop(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(a=bot_file("a", 1)))
    reach = InMemory(Model())
    async with one_pass(data, "local"), looping(site, data, lambda target: reach) as clock:
        await until(lambda: clock.rests)
        assert loop_runs(data)
        assert bots(reach.model) == {}
    async with looping(site, data, lambda target: reach):
        await until(lambda: bots(reach.model) == {"a": 1})


async def test_while_nothing_can_be_written_down_it_goes_on_looking(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit(fleet(a=bot_file("a", 1)))
    reach, told, begin = InMemory(Model()), list[Ended](), History.begin
    full = [True]

    def begins(self: History, *arguments: Any, **more: Any) -> int:
        if full[0]:
            raise Unavailable("database or disk is full")
        return begin(self, *arguments, **more)

    monkeypatch.setattr(History, "begin", begins)
    async with looping(site, data, lambda target: reach, told) as clock:
        await clock.run(lambda: len(told) > 1)
        assert (told[0].outcome, told[0].number, told[0].message) == ("unavailable", None, "database or disk is full")
        assert bots(reach.model) == {}  # nothing is done that could not be found again
        full[0] = False
        await clock.run(lambda: bots(reach.model) == {"a": 1})


async def test_what_cannot_be_written_down_is_not_tried_again_and_again_at_once(
    repo: Repo, site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begins(self: History, *_: Any, **__: Any) -> int:
        raise Unavailable("database or disk is full")

    monkeypatch.setattr(History, "begin", begins)
    repo.commit(fleet(a=bot_file("a", 1)))
    told = list[Ended]()
    async with looping(site, data, lambda wanted: InMemory(Model()), told) as clock:
        await until(lambda: told)
        await clock.rest()
        await clock.go_on(60)  # it is long after the start, when what fails is tried again at once
        assert len(told) == 2
        with History(data / "loop.db") as history:
            history.requests.ask("local")
        for _ in range(3):
            rests = clock.rests
            touch(data)
            await clock.rest(rests)
        assert len(told) == 2
        assert clock.left() == pytest.approx(5)
        await clock.go_on()
        assert len(told) == 3


async def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        await run_loop(site, tmp_path / "none", ("local",), lambda target: InMemory(Model()), stop=asyncio.Event())


async def test_what_nobody_foresaw_ends_the_loop(repo: Repo, site: Site, data: Path) -> None:
    class Broken(InMemory):
        async def read(self, known_version: str | None = None) -> Any:
            raise RuntimeError("a fault of ours")

    repo.commit(fleet(a=bot_file("a", 1)))
    running = run_loop(site, data, ("local",), lambda target: Broken(Model()), stop=asyncio.Event())
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await asyncio.wait_for(running, PATIENCE)


async def test_commits_in_a_linked_worktree_wake_the_loop(repo: Repo, data: Path, tmp_path: Path) -> None:
    from reconciler.desired.git import Repository

    repo.commit(fleet(a=bot_file("a", 1)))
    repo.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    side = Repo.__new__(Repo)
    side.root = tmp_path / "side"
    site = Site(Repository.discover(side.root), {"KEY": "sk-0123456789abcdef"}, None)
    reach = InMemory(Model())
    async with looping(site, data, lambda target: reach):
        await until(lambda: bots(reach.model) == {"a": 1})
        side.commit(fleet(a=bot_file("a", 2)))
        await until(lambda: bots(reach.model) == {"a": 2})


async def test_a_suspended_target_is_looked_at_and_synced_on_demand(repo: Repo, site: Site, data: Path) -> None:
    repo.commit(fleet(a=bot_file("a", 1)))
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "applied")
            history.holds.suspend("local", "incident 12")
            row = next(row for row in reach.model.rows.values() if row["kind"] == "Bot")
            row["spec"]["debounceTime"] = 5
            reach.model.version += 1
            repo.commit(fleet(a=bot_file("a", 2)))
            await until(lambda: told[-1].outcome == "suspended")
            assert "incident 12" in told[-1].message
            assert bots(reach.model) == {"a": 1}
            assert [one.field for one in history.targets.drift("local")] == ["debounceTime"]
            request = history.requests.ask("local")
            touch(data)
            await until(lambda: history.requests.answered(request, "local"))
            assert bots(reach.model) == {"a": 2}
            repo.commit(fleet(a=bot_file("a", 3)))
            await until(lambda: told[-1].outcome == "suspended")
            assert history.holds.resume("local")
            history.requests.ask("local")
            touch(data)
            await until(lambda: bots(reach.model) == {"a": 3})


async def test_a_commit_that_was_rolled_back_is_skipped_until_another_comes(repo: Repo, site: Site, data: Path) -> None:
    good = repo.commit(fleet(a=bot_file("a", 1)))
    bad = repo.commit(fleet(a=bot_file("a", 2)))
    reach, told = InMemory(Model()), list[Ended]()
    with History(data / "loop.db") as history:
        history.holds.roll_back("local", bad, good, {"delete:3"})
        async with looping(site, data, lambda target: reach, told):
            await until(lambda: told and told[-1].outcome == "applied")
            assert bots(reach.model) == {"a": 1}
            assert history.targets.all()[0].applied == good
            newer = repo.commit(fleet(a=bot_file("a", 3)))
            await until(lambda: bots(reach.model) == {"a": 3})
            await until(lambda: history.targets.all()[0].applied == newer)
            repo.git("reset", "-q", "--hard", bad)
            await until(lambda: bots(reach.model) == {"a": 1})


async def test_who_only_looks_keeps_no_loop_from_starting(data: Path) -> None:
    stop = asyncio.Event()

    def look() -> None:
        while not stop.is_set():
            loop_runs(data)

    with the_one_loop(data):
        assert loop_runs(data)
    looking = [asyncio.create_task(asyncio.to_thread(look)) for _ in range(2)]
    try:
        for _ in range(50):
            with the_one_loop(data):
                assert loop_runs(data)
            assert not loop_runs(data)
    finally:
        stop.set()
        await asyncio.gather(*looking)
