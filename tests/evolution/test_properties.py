"""Random fleets on an Evolution API server: a green plan applies, then nothing is left to do, whatever happened.

In all a thousand fleets of those that the server's rules admit go through plan, apply, plan.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from reconciler.errors import PlanRefused, Unavailable
from reconciler.model import Desired
from reconciler.plan.order import order
from tests.conftest import many
from tests.evolution.faults import KINDS, Kind
from tests.evolution.fleets import told, two
from tests.evolution.world import Killed, World, applied, converged

pytestmark = pytest.mark.no_cover  # tracing makes many cases slow; tables cover the code


def _few(examples: int) -> settings:
    return settings(max_examples=many(examples), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("part", range(4))
def test_a_plan_right_after_an_apply_is_empty(part: int) -> None:
    @_few(25)
    @given(two(), st.just(part))
    def check(both: tuple[Desired, Desired], _: int) -> None:
        note("\n".join(map(told, both)))

        async def run() -> None:
            world = World()
            for wanted in both:
                await applied(world, wanted)

        asyncio.run(run())

    check()


@_few(15)
@given(two(), st.integers(0, 30), st.booleans())
def test_killed_at_any_request_it_converges_with_nothing_doubled(
    both: tuple[Desired, Desired], at: int, acting: bool
) -> None:
    note("\n".join(map(told, both)))

    async def run() -> None:
        world = World()
        await applied(world, both[0])
        plan = await world.plan(both[1])
        world.wire.killed_at, world.wire.acting = len(world.wire.sent) + 1 + at, acting
        with suppress(Killed):
            await world.apply(plan)
        await world.ended()
        world.wire.killed_at = None
        await converged(world, both[1])

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_any_fault_at_any_request_and_then_it_converges(kind: Kind) -> None:
    @_few(4)
    @given(two(), st.integers(1, 30), st.integers(1, 6))
    def check(both: tuple[Desired, Desired], at: int, times: int) -> None:
        note("\n".join(map(told, both)))

        async def run() -> None:
            world = World()
            await applied(world, both[0])
            fault = world.wire.fault(kind, at, times)
            with suppress(Unavailable):
                plan = await world.plan(both[1])
                assert plan.faults == ()
                await world.apply(plan)
            event(f"{kind} {'hit' if fault.hits else 'came too late'}")
            await converged(world, both[1])

        asyncio.run(run())

    check()


@_few(15)
@given(two(), st.randoms(use_true_random=False))
def test_the_order_of_input_is_irrelevant(both: tuple[Desired, Desired], random: Any) -> None:
    async def run() -> None:
        world = World()
        await applied(world, both[0])
        live = await world.read()
        plan = await world.plan(both[1], live)
        objects, lives = list(both[1].objects), list(live.objects)
        random.shuffle(objects)
        random.shuffle(lives)
        other = await world.plan(
            msgspec.structs.replace(both[1], objects=tuple(objects)),
            msgspec.structs.replace(live, objects=tuple(lives)),
        )
        assert other.changes == plan.changes
        assert order(other) == order(plan)

    asyncio.run(run())


@_few(25)
@given(two(wild=True))
def test_a_fleet_is_refused_before_anything_is_done_or_the_server_takes_all_of_it(
    both: tuple[Desired, Desired],
) -> None:
    note("\n".join(map(told, both)))

    async def run() -> None:
        world = World()
        for wanted in both:
            plan = await world.plan(wanted)
            if plan.faults:
                assert all(fault.reason and fault.remedy for fault in plan.faults)
                before = world.store.changes
                with pytest.raises(PlanRefused):
                    await world.apply(plan)
                assert world.store.changes == before
                event("refused")
            else:
                await applied(world, wanted)
                event("applied")

    asyncio.run(run())
