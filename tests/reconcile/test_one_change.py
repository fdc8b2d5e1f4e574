"""A change of one bot costs its own instance: what is asked of the runtime, what is read and what is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.live.runtime import Runtime
from reconciler.reconcile import passes
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Ended, Site
from reconciler.reconcile.passes import Ask, Memory, run_pass
from tests.conftest import Repo
from tests.evolution.faults import Faults
from tests.live.served import KEY, runtime
from tests.reconcile.conftest import bot_file, fleet

NAMES = [f"i{number}" for number in range(12)]


def named(files: dict[str, str | None], instance: str) -> dict[str, str | None]:
    return {path.replace("bistro", instance): (text or "").replace("bistro", instance) for path, text in files.items()}


async def test_one_bot_of_many_instances(
    repo: Repo, site: Site, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit(
        {path: text for name in NAMES for path, text in named(fleet(a=bot_file("a"), b=bot_file("b")), name).items()}
    )
    made: list[Faults] = []
    planned: list[set[str]] = []
    make_plan = passes.make_plan

    def watched(site: Any, wanted: Any, desired: Any, live: Any, **more: Any) -> Any:
        planned.append({one.ref.instance for one in desired.objects} | {one.instance for one in live.objects})
        return make_plan(site, wanted, desired, live, **more)

    monkeypatch.setattr(passes, "make_plan", watched)

    def wrap(app: Any) -> Any:
        made.append(Faults(app))
        return made[0]

    with runtime(tmp_path, wrap=wrap) as url:
        reach, memory = Runtime(url, KEY), Memory()

        async def go(trigger: str) -> tuple[Ended, list[str], list[set[str]]]:
            made[0].seen.clear()
            planned.clear()
            ended = await run_pass(site, history, "local", reach, memory, Ask(trigger=trigger))
            return ended, [f"{one.method} {one.path} {one.status}" for one in made[0].seen], list(planned)

        assert (await go("start"))[0].outcome == "applied"
        ended, asked, _ = await go("interval")
        assert (ended.outcome, asked) == ("unchanged", ["GET /fleet 200"])
        assert (await go("interval"))[1:] == (["GET /fleet 304"], [])
        repo.commit(named({"bots/bistro/a.yaml": bot_file("a", 7)}, "i5"))
        ended, asked, parts = await go("commit")
        assert ended.plan is not None
        assert [(str(one.ref), [field.origin for field in one.fields]) for one in ended.plan.changes] == [
            ("Bot i5/a", ["pending"])
        ]
        assert asked == ["GET /fleet 200", "POST /fleet/i5 200"]
        assert parts == [{"i5"}]
        ended, asked, parts = await go("interval")
        assert (ended.outcome, asked, parts) == ("unchanged", ["GET /fleet 200"], [{"i5"}])
        await reach.close()
