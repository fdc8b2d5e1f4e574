"""A thousand random fleets on a model of the runtime, some of them on the runtime itself: a plan after an apply is
empty, whatever the order of what is read and wherever the apply before was cut off."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.live.runtime import Runtime
from reconciler.model import Change, Desired, Live, Ref
from reconciler.plan.diff import Before, diff
from reconciler.plan.order import Step, order
from reconciler.reconcile import bundles
from reconciler.reconcile.apply import walk
from tests.conftest import many
from tests.live.served import KEY, InBatches, InMemory, runtime
from tests.plan import target as models
from tests.plan.random_fleets import INSTANCES, pair_of
from tests.plan.target import Model

pytestmark = pytest.mark.no_cover  # tracing makes many cases slow; tables cover the code

FLEETS = many(500)  # pairs: a thousand fleets
BEFORE = Before(instances=INSTANCES)


def planned(wanted: Desired, live: Live) -> Any:
    plan = diff(wanted, live, BEFORE, target="t", allow={"empty"})
    assert plan.faults == ()
    return plan


def left(wanted: Desired, live: Live) -> list[Change]:
    """What is still to do; what must stay because something undeclared uses it is shown as held."""
    return [change for change in planned(wanted, live).changes if not change.held]


def doubled(live: Live) -> list[tuple[str, ...]]:
    marks = Counter((one.kind, one.instance, one.mark.name) for one in live.objects if one.mark)
    return [mark for mark, count in marks.items() if count > 1]


class Quiet:
    def started(self, step: Step) -> None:
        pass

    def ended(self, step: Step, ending: str, message: str) -> None:
        assert ending == "done", f"{step.action} {step.ref}: {message}"


async def apply(reach: Any, wanted: Desired) -> None:
    plan = planned(wanted, await reach.read())
    walked = await walk(order(plan), plan.ids, reach, Quiet())
    assert walked.complete
    assert left(wanted, await reach.read()) == []


@pytest.mark.parametrize("tenth", range(10))
async def test_a_plan_right_after_an_apply_is_empty(tenth: int) -> None:
    for seed in range(tenth, FLEETS, 10):
        reach = (InMemory if seed % 20 >= 10 else InBatches)(Model())
        for wanted in pair_of(seed):
            await apply(reach, wanted)
        assert doubled(reach.model.live()) == []


@pytest.mark.parametrize("tenth", range(10))
def test_cut_off_after_any_step_in_any_order_of_input_it_converges(tenth: int) -> None:
    for seed in range(tenth, FLEETS, 10):
        first, second = pair_of(seed)
        draw, model = random.Random(seed), Model()
        plan = planned(first, model.live())
        assert models.walk(model, order(plan), plan.ids) == {}
        plan, live = planned(second, model.live()), model.live()
        objects, changes = list(live.objects), list(plan.changes)
        draw.shuffle(objects)
        draw.shuffle(changes)
        assert planned(second, Live(objects=tuple(objects), version=live.version)).changes == plan.changes
        steps = order(plan)
        assert order(msgspec.structs.replace(plan, changes=tuple(changes))) == steps
        assert models.walk(model, steps, plan.ids, draw.randint(0, len(steps))) == {}
        plan = planned(second, model.live())
        assert models.walk(model, order(plan), plan.ids) == {}
        assert left(second, model.live()) == []
        assert doubled(model.live()) == []


@pytest.fixture
async def reach(tmp_path: Path) -> AsyncIterator[Runtime]:
    with runtime(tmp_path) as url:
        found = Runtime(url, KEY)
        yield found
        await found.close()


class OneByOne:
    """The runtime where each step is a call of its own."""

    def __init__(self, reach: Runtime) -> None:
        self.read, self._reach = reach.read, reach

    async def perform(self, step: Step, ids: dict[Ref, str]) -> str | None:
        return await self._reach.perform(step, ids)


async def test_on_the_runtime_itself_one_fleet_takes_the_place_of_another(reach: Runtime) -> None:
    for seed in range(many(15)):
        for wanted in pair_of(seed):
            await apply(OneByOne(reach) if seed % 3 == 0 else reach, wanted)
    live = await reach.read()
    assert live is not None
    assert doubled(live) == []


async def test_on_the_runtime_itself_large_instances_go_in_parts(
    reach: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MOST", 3)
    for seed in range(200, 200 + many(6)):
        for wanted in pair_of(seed):
            await apply(reach, wanted)


async def test_on_the_runtime_itself_what_was_cut_off_is_gone_on_with(reach: Runtime) -> None:
    draw = random.Random(1)
    for seed in range(100, 100 + many(10)):
        for wanted in pair_of(seed):
            live = await reach.read()
            assert live is not None
            plan = planned(wanted, live)
            steps = order(plan)[: draw.randint(0, len(plan.changes))]
            kept = {step.index for step in steps}
            assert all(set(step.needs) <= kept for step in steps)
            await walk(steps, plan.ids, reach, Quiet())
            await apply(reach, wanted)
