from __future__ import annotations

import asyncio
from itertools import pairwise

from reconciler.live.pace import Pace


async def test_so_many_calls_and_no_more_are_under_way() -> None:
    pace, running, highest = Pace(3), 0, 0

    async def call() -> None:
        nonlocal running, highest
        async with pace:
            running += 1
            highest = max(highest, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert (highest, running) == (3, 0)


async def test_a_refusal_halves_and_answers_add_one_after_the_other() -> None:
    pace = Pace(16)
    for expected in (8, 4, 2, 1, 1):
        async with pace as began:
            pace.refused(began, 0)
        assert pace.allowed == expected
    grown = []
    for _ in range(400):
        pace.answered()
        grown.append(pace.allowed)
    assert grown[0] == 2
    assert grown == sorted(grown)
    assert {b - a for a, b in pairwise(grown)} <= {0, 1}
    assert grown[-1] == 16


async def test_calls_sent_side_by_side_count_as_one_refusal() -> None:
    pace = Pace(16)
    async with pace as first, pace as second:
        pace.refused(first, 0)
        pace.refused(second, 0)
    assert pace.allowed == 8


async def test_a_refusal_holds_all_others_back_until_its_time_is_over() -> None:
    pace = Pace(4)
    async with pace as began:
        pace.refused(began, 0.05)
    async with pace as next_one:
        assert next_one - began >= 0.05
    assert Pace(0).allowed == 1


async def test_whoever_waits_for_a_place_gets_one_when_more_are_allowed() -> None:
    pace = Pace(2)
    async with pace as began:
        pace.refused(began, 0)
        waiting = asyncio.create_task(pace.__aenter__())
        for _ in range(20):  # of the loop: who does not wait has its place by then
            await asyncio.sleep(0)
        assert not waiting.done()
        pace.answered()
        await asyncio.wait_for(waiting, 120)
