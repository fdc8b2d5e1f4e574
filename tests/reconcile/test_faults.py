"""Every request of an apply to the real runtime goes wrong in every way; the next pass converges, and nothing is there
twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reconciler.errors import Unavailable
from reconciler.live import client as calls
from reconciler.live.runtime import Runtime
from reconciler.model import Desired, Object, Plan, Secret
from reconciler.plan.diff import diff
from reconciler.plan.order import order
from reconciler.reconcile.apply import Walked, walk
from tests.evolution.faults import KINDS, Fault, Faults, Kind
from tests.live.served import KEY, runtime
from tests.plan.fleet import declared, desired, keyword
from tests.reconcile.test_apply import Journal

PATHS = ("GET /fleet", "POST /instance/create", "POST /fleet/")
FAST, SLOW = 20.0, 0.3  # seconds a request may take: usually, and where it is slow on purpose


class Behind:
    """The runtime and the faults in front of it."""

    def __init__(self, url: str, faults: Faults) -> None:
        self.url, self.faults, self.used = url, faults, 0


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    made: list[Faults] = []

    def wrap(app: Any) -> Any:
        made.append(Faults(app))
        return made[0]

    with runtime(tmp_path_factory.mktemp("runtime"), wrap=wrap) as url:
        yield Behind(url, made[0])


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_FIRST_WAIT", 0.001)


def connect(url: str, patience: float = FAST) -> Runtime:
    found = Runtime(url, KEY)
    found._client._http.timeout = httpx.Timeout(patience)
    return found


def fleet(case: int, *, later: bool) -> Desired:
    """Two instances of this case alone; `later` with triggers swapped, one bot gone, another new, one text other."""
    objects: list[Object] = []
    for name in (f"a{case}", f"b{case}"):
        objects.append(declared("Instance", name, name, instanceName=name.upper(), retention=7 if later else None))
        objects.append(declared("Credentials", "main", name, apiKey=Secret("sk-0123456789abcdef")))
        objects.append(declared("Assistant", "host", name, assistantId="asst_1", instructions="b" if later else "a"))
        objects.append(declared("Settings", "s", name, credentials="main", fallbackBot="new" if later else "one"))
        one, two = ("y", "x") if later else ("x", "y")
        objects.append(declared("Bot", "one", name, **keyword(one)))
        objects.append(declared("Bot", "two", name, **keyword(two)))
        objects.append(declared("Bot", "new" if later else "old", name, triggerType="all"))
    return desired(*objects, commit=("2" if later else "1") * 40)


async def step_by(reach: Runtime, wanted: Desired) -> tuple[Plan, Walked]:
    """One pass; every step has its line before and after."""
    live = await reach.read()
    assert live is not None
    plan = diff(wanted, live, target="t")
    assert plan.faults == ()
    journal, steps = Journal(), order(plan)
    walked = await walk(steps, plan.ids, reach, journal, grouped=journal.grouped)
    words = Counter(journal.lines)
    for step in steps:
        assert words[walked.endings[step.index], step.index] == 1
        assert ("started", step.index) in words or walked.endings[step.index] == "skipped"
    return plan, walked


async def converge(url: str, wanted: Desired) -> None:
    """A pass or two without faults, then a plan that is empty."""
    reach = connect(url)
    try:
        for _ in range(2):
            plan, walked = await step_by(reach, wanted)
            if not plan.changes:
                break
            assert walked.complete, walked.messages
        live = await reach.read()
        assert live is not None
        assert diff(wanted, live, target="t").changes == ()
        own = {one.spec["instanceName"] for one in wanted.objects if one.ref.kind == "Instance"}
        there = Counter((one.instance, one.kind, one.mark.name if one.mark else "") for one in live.objects)
        assert {key: count for key, count in there.items() if count > 1 and key[0] in own} == {}
        assert sum(key[0] in own for key in there) == len(wanted.objects)
    finally:
        await reach.close()


async def under(behind: Behind, wanted: Desired, fault: Fault) -> Walked | None:
    """One pass with a fault; None where the target could not even be read."""
    reach = connect(behind.url, SLOW if fault.kind == "slow" else FAST)
    behind.faults.armed = [fault]
    try:
        return (await step_by(reach, wanted))[1]
    except Unavailable:
        return None
    finally:
        behind.faults.armed = []
        await reach.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_any_request_may_go_wrong_once(kind: Kind, behind: Behind) -> None:
    for later in (False, True):
        requests = 5 if not later else 3  # to read, two to make, two to fill; later to read and two to change
        for number in range(1, requests + 1):
            behind.used += 1
            if later:
                await converge(behind.url, fleet(behind.used, later=False))
            wanted, fault = (
                fleet(behind.used, later=later),
                Fault(kind, at=len_of(behind) + number, seconds=0.6 * (kind == "slow")),
            )
            walked = await under(behind, wanted, fault)
            assert fault.hits == 1
            if kind == "429":
                assert walked is not None
                assert walked.complete
            await converge(behind.url, wanted)


def len_of(behind: Behind) -> int:
    """How many requests came so far."""
    return behind.faults._count


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_goes_wrong_may_go_on_going_wrong(kind: Kind, path: str, behind: Behind) -> None:
    behind.used += 1
    wanted = fleet(behind.used, later=False)
    fault = Fault(kind, path=path, times=30, seconds=0.6 * (kind == "slow"))
    walked = await under(behind, wanted, fault)
    assert fault.hits
    if walked is None:
        assert path == "GET /fleet"
    else:
        assert not walked.complete
        assert set(walked.messages.values())
    await converge(behind.url, wanted)


async def test_what_was_done_but_not_answered_is_done_once_and_known_to_be_done(behind: Behind) -> None:
    behind.used += 1
    wanted = fleet(behind.used, later=False)
    seen = len(behind.faults.seen)
    walked = await under(behind, wanted, Fault("reset-after", path="POST /fleet/", times=1))
    assert walked is not None
    assert walked.complete
    own = {f"/fleet/A{behind.used}", f"/fleet/B{behind.used}"}  # requests of other cases may still be under way
    posts = [one for one in behind.faults.seen[seen:] if one.path in own]
    assert [one.status for one in posts] == [200, 200, 200]  # one of them a second time, answered and not done again
    await converge(behind.url, wanted)


async def test_what_arrives_late_is_not_done_any_more(behind: Behind) -> None:
    behind.used += 1
    name = f"late{behind.used}"
    account = declared("Credentials", "main", name, apiKey=Secret("sk-0123456789abcdef"))
    bots = [declared("Bot", f"b{number}", name) for number in range(3)]  # nothing forbids a second one of each
    wanted = desired(declared("Instance", name, name, instanceName=name.upper()), account, *bots)
    fault = Fault("late", path="POST /fleet/", times=3)
    walked = await under(behind, wanted, fault)
    assert walked is not None
    assert walked.counts == {"done": 1, "unknown": 4}
    await converge(behind.url, wanted)
    fault.over = True
    deadline = time.monotonic() + 120
    late: list[Any] = []
    while len(late) < 3 and time.monotonic() < deadline:
        late = [one for one in behind.faults.seen if one.path == f"/fleet/{name.upper()}" and one.fault]
        await asyncio.sleep(0.05)
    assert [one.status for one in late] == [412, 412, 412]
    await converge(behind.url, wanted)


async def test_an_instance_that_moves_between_reading_and_changing_is_stale(behind: Behind) -> None:
    behind.used += 1
    await converge(behind.url, fleet(behind.used, later=False))
    wanted = fleet(behind.used, later=True)
    reach = connect(behind.url)
    live = await reach.read()
    assert live is not None
    plan = diff(wanted, live, target="t")
    async with httpx.AsyncClient(base_url=behind.url, headers={"apikey": KEY}) as http:
        instance = f"A{behind.used}"
        assert (await http.post(f"/openai/settings/{instance}", json={"expire": 99})).is_success
    journal, steps = Journal(), order(plan)
    walked = await walk(steps, plan.ids, reach, journal)
    await reach.close()
    stale = {step.instance_name for step in steps if walked.endings[step.index] == "failed"}
    done = {step.instance_name for step in steps if walked.endings[step.index] == "done"}
    assert (stale, done) == ({instance}, {f"B{behind.used}"})
    assert all("changed since it was read" in text for text in walked.messages.values())
    await converge(behind.url, wanted)
