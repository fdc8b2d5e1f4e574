"""An Evolution API server that is not one's own alone: other repositories, dashboards, listings that are not whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from reconciler.errors import Unavailable
from reconciler.model import Desired
from reconciler.plan.order import order
from tests.conftest import many
from tests.evolution.faults import Fault
from tests.evolution.fleets import INSTANCES, told, two
from tests.evolution.rules import Refused, Row, Store
from tests.evolution.world import World, applied, converged

pytestmark = pytest.mark.no_cover  # tracing makes many cases slow; tables cover the code


def _few(examples: int) -> settings:
    return settings(max_examples=many(examples), deadline=None, suppress_health_check=list(HealthCheck))


@_few(12)
@given(two(among=("bistro",), source="acme"), two(among=("clinic",), source="zeta"))
def test_two_repositories_with_an_account_in_common(
    ours: tuple[Desired, Desired], theirs: tuple[Desired, Desired]
) -> None:
    note("\n".join(map(told, (ours[0], theirs[0], ours[1], theirs[1]))))

    async def run() -> None:
        acme = World("acme")
        zeta = World("zeta", beside=acme)
        for mine, other in zip(ours, theirs, strict=True):
            for world, wanted in ((acme, mine), (zeta, other), (acme, mine), (zeta, other)):
                plan = await world.plan(wanted)
                assert plan.faults == ()
                assert (await world.apply(plan)).complete
        for world, wanted in ((acme, ours[1]), (zeta, theirs[1])):
            assert world.wire.refused == []
            assert world.wrong(wanted) == []
            assert order(await world.plan(wanted)) == ()

    asyncio.run(run())


_HANDS: list[Row] = [
    {"expire": 7},
    {"enabled": False},
    {"triggerType": "keyword", "triggerOperator": "contains", "triggerValue": "by hand"},
    {"triggerType": "all"},
    {"maxTokens": 777},
    {"model": "gpt-4"},
    {"systemMessages": ["Be rude"]},
    {"keywordFinish": "halt", "splitMessages": True, "timePerChar": 1},
]


def _by_hand(store: Store, pick: int, change: Row) -> str:
    """What a person does on a dashboard to one of the bots; the description and its mark stay."""
    bots = sorted(store.bots.values(), key=lambda row: str(row["id"]))
    if not bots:
        return "nothing there"
    bot = bots[pick % len(bots)]
    if not change:
        store.delete_bot(bot["instanceId"], bot["id"])
        return "deleted"
    try:
        store.update_bot(bot["instanceId"], bot["id"], {k: v for k, v in bot.items() if v is not None} | change)
    except Refused:
        return "refused"
    return "changed"


@_few(12)
@given(two(), st.lists(st.tuples(st.integers(0, 9), st.sampled_from([{}, *_HANDS])), min_size=1, max_size=3))
def test_what_a_dashboard_changed_is_put_back(both: tuple[Desired, Desired], hands: list[tuple[int, Row]]) -> None:
    note("\n".join(map(told, both)))

    async def run() -> None:
        world = World()
        await applied(world, both[0])
        for pick, change in hands:
            event(_by_hand(world.store, pick, change))
        for row in world.store.settings.values():
            row["debounceTime"], row["openaiIdFallback"] = 9, None
        await applied(world, both[0])
        await applied(world, both[1])

    asyncio.run(run())


@_few(12)
@given(two())
def test_what_git_alone_moved_is_never_drift(both: tuple[Desired, Desired]) -> None:
    note("\n".join(map(told, both)))

    async def run() -> None:
        world = World()
        await applied(world, both[0])
        plan = await world.plan(both[1], applied=both[0])
        moved = _keys(both[0]) != _keys(both[1])  # a key that went from one name to another took its row with it
        fields = [(change.ref, one) for change in plan.changes if not change.renamed_from for one in change.fields]
        strange = [(str(ref), one) for ref, one in fields if one.origin != "pending"]
        assert [one for one in strange if not (moved and one[1].field == "credentials")] == []

    asyncio.run(run())


def _keys(fleet: Desired) -> dict[str, Any]:
    return {str(one.ref): one.spec["apiKey"] for one in fleet.objects if one.ref.kind == "Credentials"}


_LISTINGS = ("creds", "find", "fetchSettings")


@_few(12)
@given(
    two(), st.sampled_from(_LISTINGS), st.sampled_from(["500", "200-html", "truncated"]), st.sampled_from([*INSTANCES])
)
def test_an_instance_that_cannot_be_read_whole_is_left_alone(
    both: tuple[Desired, Desired], listing: str, kind: Any, instance: str
) -> None:
    note("\n".join(map(told, both)))

    async def run() -> None:
        world = World()
        await applied(world, both[0])
        name = INSTANCES[instance]
        if name not in world.store.instances:
            return
        id = world.store.instances[name]["id"]
        path = f"GET /openai/{listing}/{world.quoted(name)}"
        before = _of(world.store, id)
        world.wire.armed.append(Fault(kind, path=f"^{path}$", times=10**6))
        try:
            plan = await world.plan(both[1])
        except Unavailable:
            event("nothing could be read")
        else:
            assert name in plan.unproven  # and whoever uses an account of it
            assert all(change.instance_name not in plan.unproven for change in plan.changes)
            await world.apply(plan)
            event("the others were applied")
        assert _of(world.store, id) == before
        await converged(world, both[1])

    asyncio.run(run())


def _of(store: Store, id: str) -> list[Row]:
    """All rows of an instance."""
    rows = [*store.credentials.values(), *store.bots.values(), *store.settings.values()]
    return [dict(row) for row in rows if row["instanceId"] == id]
