"""Random fleets on an Evolution API server: a green plan applies, then nothing is left to do, whatever happened.

In all a thousand fleets of those that the server's rules admit go through plan, apply, plan.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from reconciler.model import Desired
from tests.evolution.fleets import told, two
from tests.evolution.world import Recorder, World

MANY = settings(max_examples=125, deadline=None, suppress_health_check=list(HealthCheck))


async def _applied(world: World, wanted: Desired) -> None:
    """One pass that must be whole, and after which the next one has nothing to do."""
    plan = await world.plan(wanted)
    assert plan.faults == ()
    record = Recorder()
    walked = await world.apply(plan, record)
    assert record.failed == {}
    assert walked.complete
    assert world.wire.refused == []
    assert world.wrong(wanted) == []
    again = await world.plan(wanted)
    assert [change for change in again.changes if not change.held] == []
    # Settings that are no longer declared are left as they are, and so what they use.
    assert all("Settings" in change.held for change in again.changes)
    assert again.faults == ()


@pytest.mark.parametrize("part", range(4))
def test_a_plan_right_after_an_apply_is_empty(part: int) -> None:
    @MANY
    @given(two(), st.just(part))
    def check(both: tuple[Desired, Desired], _: int) -> None:
        note("\n".join(map(told, both)))

        async def run() -> None:
            world = World()
            for wanted in both:
                await _applied(world, wanted)

        asyncio.run(run())

    check()
