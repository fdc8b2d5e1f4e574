"""Keys that go from one instance's account to another's: `plan`, which knows no keys, finds nothing to do after it."""

from __future__ import annotations

from typing import Final

import pytest

from reconciler.model import Desired, Secret
from tests.evolution.fleets import INSTANCES
from tests.evolution.world import World, applied, without_keys
from tests.plan.fleet import declared, desired

A, B, C = (f"sk-{letter}-0123456789abcdef" for letter in "abc")
ORDERS: Final = [
    ((A, B), (B, A)),  # swapped
    ((A, A), (A, B), (A, A)),  # shared, given a key of its own, shared again
    ((A, B), (A, C), (C, B), (A, B)),  # one is left and comes back
    ((A, A), (B, A), (A, B)),
]


def fleet(keys: tuple[str, str], commit: str) -> Desired:
    objects = []
    for instance, key in zip(INSTANCES, keys, strict=True):
        objects += [
            declared("Instance", instance, instance, instanceName=INSTANCES[instance], integration="EVOLUTION"),
            declared("Credentials", "main", instance, apiKey=Secret(key)),
            declared("Settings", "default", instance, credentials="main"),
            declared("Bot", "a", instance, maxTokens=100),
        ]
    rank = ("Instance", "Credentials", "Settings", "Bot")
    return desired(*sorted(objects, key=lambda one: rank.index(one.ref.kind)), commit=commit)


@pytest.mark.parametrize("order", ORDERS, ids=["swapped", "shared-again", "comes-back", "shared-swapped"])
async def test_a_plan_without_keys_is_empty_after_each(order: tuple[tuple[str, str], ...]) -> None:
    world = World()
    for number, keys in enumerate(order, 1):
        wanted = fleet(keys, f"{number:08}" * 5)
        await applied(world, wanted)
        assert (await world.plan(without_keys(wanted))).changes == ()
