from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model import Change, Desired, Live, Object, Ref, Secret
from reconciler.plan.diff import Before, diff
from reconciler.plan.order import Step, order
from tests.conftest import many
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main, running
from tests.plan.target import Model, walk


def steps(wanted: tuple[Object, ...], live: Live, **options: Any) -> tuple[Step, ...]:
    return order(diff(desired(*wanted), live, target="local", **options))


def told(found: tuple[Step, ...]) -> list[str]:
    """Each step as `3 update Bot x <- 0 1 (note)`."""
    return [
        f"{step.action} {step.ref.kind} {step.ref.name}"
        + (f" <- {' '.join(map(str, step.needs))}" if step.needs else "")
        + (f" ({step.note})" if step.note else "")
        for step in found
    ]


FALLBACK = declared("Settings", "default", credentials="main", fallbackBot="x")
ASSISTED = bot("x", botType="assistant", assistantId="a1")
A, B = keyword("a"), keyword("b")


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        pytest.param(
            (bistro(), main(), FALLBACK, bot("x")),
            (),
            [
                "create Instance bistro",
                "create Credentials main <- 0",
                "create Settings default <- 0 1",
                "create Bot x <- 0 1",
                "update Settings default <- 2 3 (fallback bot x)",
            ],
            id="all new",
        ),
        pytest.param(
            (bistro(), main(), declared("Assistant", "a", assistantId="a1"), ASSISTED),
            (bistro(), main()),
            ["create Assistant a", "create Bot x <- 0"],
            id="assistant before its bot",
        ),
        pytest.param(
            (bistro(), main()),
            (bistro(), main(), declared("Assistant", "a", assistantId="a1"), ASSISTED),
            ["delete Bot x", "delete Assistant a <- 0"],
            id="bot before its assistant",
        ),
        pytest.param(
            (bistro(), main(), declared("Settings", "default", credentials="main"), bot("y")),
            (
                bistro(), main(), declared("Credentials", "old"),
                declared("Settings", "default", credentials="old"), bot("x", credentials="old"),
                bot("y", credentials="old"),
            ),
            [
                "update Settings default", "update Bot y", "delete Bot x",
                "delete Credentials old <- 0 1 2",
            ],
            id="credentials go when nobody uses them",
        ),
        pytest.param(
            (bistro(), main(), bot("new", **A)),
            (bistro(), main(), bot("old", **A)),
            ["delete Bot old", "create Bot new <- 0"],
            id="a delete frees a trigger",
        ),
        pytest.param(
            (bistro(), main(), bot("x", **B), bot("y", **A)),
            (bistro(), main(), bot("x", **A), bot("y", enabled=False, **A)),
            ["update Bot x", "update Bot y <- 0"],
            id="an update frees a trigger",
        ),
        pytest.param(
            (bistro(), main(), bot("x", **B), bot("y", **A)),
            (bistro(), main(), bot("x", **A), bot("y", **B)),
            ["update Bot x (parked for a swap)", "update Bot y <- 0", "update Bot x <- 0 1"],
            id="a swap",
        ),
        pytest.param(
            (bistro(), declared("Assistant", "a", assistantId="2"), declared("Assistant", "b", assistantId="1")),
            (bistro(), declared("Assistant", "a", assistantId="1"), declared("Assistant", "b", assistantId="2")),
            ["update Assistant a (parked for a swap)", "update Assistant b <- 0", "update Assistant a <- 0 1"],
            id="assistants swap",
        ),
        pytest.param(
            (bistro(), main(), declared("Settings", "default", fallbackBot="new"), bot("new", **A)),
            (bistro(), main(), declared("Settings", "default", fallbackBot="old"), bot("old", **A)),
            [
                "update Settings default",
                "delete Bot old <- 0",
                "create Bot new <- 1",
                "update Settings default <- 0 2 (fallback bot new)",
            ],
            id="the fallback bot is replaced by one with its trigger",
        ),
        pytest.param(
            (bistro(), main(), declared("Settings", "default", fallbackBot="y"), bot("y")),
            (bistro(), main(), declared("Settings", "default"),),
            ["create Bot y", "update Settings default <- 0 (fallback bot y)"],
            id="only the fallback changes",
        ),
        pytest.param(
            (bistro(), main(), declared("Settings", "default", fallbackBot="y"), bot("y", maxTokens=9)),
            (bistro(), main(), declared("Settings", "default"), bot("y")),
            ["update Settings default", "update Bot y"],
            id="a fallback bot that is there already",
        ),
    ],
)  # fmt: skip
def test_steps(wanted: tuple[Object, ...], live: tuple[Object, ...], expected: list[str]) -> None:
    assert told(steps(wanted, running(*live))) == expected


def test_held_changes_make_no_steps() -> None:
    assert steps((bistro(), main()), running(bistro(), main(), bot("x")), prune=False) == ()


def test_an_instance_goes_last_with_all_it_holds() -> None:
    live = running(bistro(), main(), bot("x"))
    other = desired(declared("Instance", "other", "other", instanceName="Other"))
    plan = diff(other, live, Before(instances={"Bistro_01": "bistro"}), target="t", allow={"delete-instance:bistro"})
    assert told(order(plan)) == [
        "create Instance other",
        "delete Instance bistro",
    ]


def test_an_update_sends_what_changed_and_its_mark() -> None:
    (step,) = steps((bistro(), main(), bot("x", expire=5)), running(bistro(), main(), bot("x")))
    assert (dict(step.values), str(step.mark), step.id) == ({"expire": 5}, "[gitops x@3f2a91c4]", "id-Bot-x")


def test_a_new_key_is_sent_as_a_secret() -> None:
    (step,) = steps((bistro(), main(apiKey=Secret("sk-other-key-here"))), running(bistro(), main()))
    assert step.values == {"apiKey": Secret("sk-other-key-here")}
    assert "sk-other" not in repr(step)


def test_parking_keeps_the_mark() -> None:
    found = steps(
        (bistro(), main(), bot("x", **B), bot("y", **A)), running(bistro(), main(), bot("x", **A), bot("y", **B))
    )
    assert found[0].mark is None
    assert found[0].values["triggerValue"] == "gitops-swap-x-id-Bot-x"


# --- properties ----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
TRIGGERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"triggerType": "all"}, {"triggerType": "none"}, *(keyword(word) for word in ("x", "y", "z", "w"))]
)


@st.composite
def fleets(draw: st.DrawFn, commit: str = "1" * 40, after: Desired | None = None) -> Desired:
    """A desired state that `validate` would accept; `after`: some of its bots are renamed."""
    objects: list[Object] = []
    for instance in draw(st.sets(st.sampled_from(["bistro", "clinic"]), min_size=1)):
        objects.append(declared("Instance", instance, instance, instanceName=instance.title()))
        accounts = sorted(draw(st.sets(st.sampled_from(["main", "spare"]), min_size=1)))
        for name in accounts:
            key = Secret(draw(st.sampled_from(["sk-aaaaaaaaaaaaaa", "sk-bbbbbbbbbbbbbb"])))
            objects.append(declared("Credentials", name, instance, apiKey=key))
        hosts = sorted(draw(st.sets(st.sampled_from(["h1", "h2"]))))
        ids = draw(st.permutations(["asst_1", "asst_2"]))
        objects += [declared("Assistant", h, instance, assistantId=a) for h, a in zip(hosts, ids, strict=False)]
        taken: set[str] = set()
        formers = (
            [o.ref.name for o in after.objects if o.ref.kind == "Bot" and o.ref.instance == instance] if after else []
        )
        names = sorted(draw(st.sets(NAMES)))
        for name in names:
            trigger = draw(TRIGGERS)
            enabled = draw(st.booleans())
            key_of = str(sorted(trigger.items()))
            if trigger["triggerType"] != "none" and enabled:
                enabled = key_of not in taken
                taken.add(key_of)
            former = draw(st.sampled_from([*formers, None])) if formers and draw(st.booleans()) else None
            objects.append(
                declared(
                    "Bot",
                    name,
                    instance,
                    enabled=enabled,
                    credentials=draw(st.sampled_from(accounts)),
                    expire=draw(st.integers(0, 1)),
                    formerly=former if former not in names else None,
                    **trigger,
                )
            )
        if draw(st.booleans()):
            fallback = draw(st.sampled_from([*names, None])) if names else None
            credentials = draw(st.sampled_from(accounts))
            objects.append(declared("Settings", "default", instance, credentials=credentials, fallbackBot=fallback))
    return desired(*objects, commit=commit)


@st.composite
def two_fleets(draw: st.DrawFn) -> tuple[Desired, Desired]:
    first = draw(fleets())
    return first, draw(fleets(commit="2" * 40, after=first))


def reconcile(model: Model, wanted: Desired, former: dict[str, str], stop_after: int | None = None) -> int:
    plan = diff(wanted, model.live(), Before(instances=former), target="model", allow={"empty"})
    assert plan.faults == ()
    found = order(plan)
    assert walk(model, found, plan.ids, stop_after) == {}
    return len(found)


def to_apply(model: Model, wanted: Desired) -> list[Change]:
    """What is still to do; credentials that undeclared Settings use stay, and are shown as held."""
    changes = diff(wanted, model.live(), Before(instances=FORMER), target="model").changes
    return [change for change in changes if not change.held]


FORMER = {"Bistro": "bistro", "Clinic": "clinic"}
# A thousand other fleets go through the same in tests/reconcile/test_random_fleets.py; these shrink where they fail.
FEW = settings(max_examples=many(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(two_fleets())
def test_applying_any_plan_gives_the_desired_state(both: tuple[Desired, Desired]) -> None:
    model = Model()
    for wanted in both:
        reconcile(model, wanted, FORMER)
        assert to_apply(model, wanted) == []


@FEW
@given(two_fleets(), st.data())
def test_a_crash_after_any_step_converges_with_nothing_doubled(
    both: tuple[Desired, Desired], data: st.DataObject
) -> None:
    model = Model()
    first, second = both
    reconcile(model, first, FORMER)
    plan = diff(second, model.live(), Before(instances=FORMER), target="model", allow={"empty"})
    killed_after = data.draw(st.integers(0, len(order(plan))))
    reconcile(model, second, FORMER, stop_after=killed_after)
    reconcile(model, second, FORMER)
    assert to_apply(model, second) == []
    marks = [(o.kind, o.instance, o.mark.name) for o in model.live().objects if o.mark]
    assert len(marks) == len(set(marks))


@FEW
@given(two_fleets(), st.randoms(use_true_random=False))
def test_the_order_of_input_is_irrelevant(both: tuple[Desired, Desired], random: Any) -> None:
    model = Model()
    reconcile(model, both[0], FORMER)
    plan = diff(both[1], model.live(), Before(instances=FORMER), target="model")
    changes = list(plan.changes)
    random.shuffle(changes)
    assert order(msgspec.structs.replace(plan, changes=tuple(changes))) == order(plan)
    objects = list(model.live().objects)
    random.shuffle(objects)
    live = Live(objects=tuple(objects), version=model.live().version)
    assert diff(both[1], live, Before(instances=FORMER), target="model").changes == plan.changes


@given(fleets())
@FEW
def test_a_step_needs_only_earlier_ones_and_failing_it_spares_the_rest(wanted: Desired) -> None:
    found = order(diff(wanted, Live(objects=(), version=""), target="model"))
    for step in found:
        assert all(need < step.index for need in step.needs)
    model = Model()
    model.perform(found[0], {})
    failed = walk(model, found, {})
    assert set(failed) <= {str(step.ref) for step in found}


def test_failed_credentials_skip_their_bot_alone() -> None:
    found = steps(
        (bistro(), main(), declared("Credentials", "bad"), bot("x", credentials="bad"), bot("y")), running(bistro())
    )
    need = {step.ref: {found[n].ref for n in step.needs} for step in found}
    bad = Ref("Credentials", "bistro", "bad")
    assert [ref.name for ref, refs in need.items() if bad in refs] == ["x"]
