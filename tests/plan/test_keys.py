"""Keys that are missing: nothing that is live is ever overwritten for want of one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.model import DEMO, Absent, Change, Desired, Live, LiveObject, Missing, Object, Plan, Ref, TargetType
from reconciler.plan.diff import diff
from reconciler.plan.keys import notes, reasons
from reconciler.plan.narrow import narrow
from reconciler.plan.order import order
from tests.plan.fleet import AT, bistro, bot, declared, desired, main, running

GONE = Missing("OPENAI_API_KEY is not set", {"env": "OPENAI_API_KEY"})
REAL = main(baseUrl="https://llm.example")


def without(**more: Any) -> Object:
    return main(**{"apiKey": GONE, "baseUrl": "https://llm.example", **more})


def planned(wanted: Desired, live: Live, type: TargetType = "runtime") -> Plan:
    return diff(wanted, live, target="t", type=type)


def demo_account() -> Object:
    return main(baseUrl=DEMO)


CASES: list[tuple[str, tuple[Object, ...], Object, TargetType, str]] = [
    ("an account is live", (bistro(), REAL), without(), "runtime", "kept"),
    (
        "an account is live, and the demo model may stand in",
        (bistro(), REAL),
        without(whenMissing=DEMO),
        "runtime",
        "kept",
    ),
    ("the demo model is live", (bistro(), demo_account()), without(whenMissing=DEMO), "runtime", "demo"),
    ("the demo model is live and may no longer stand in", (bistro(), demo_account()), without(), "runtime", "kept"),
    ("nothing is live", (bistro(),), without(), "runtime", "held"),
    ("nothing is live, and the demo model may stand in", (bistro(),), without(whenMissing=DEMO), "runtime", "demo"),
    ("nothing is live where there is no demo model", (bistro(),), without(whenMissing=DEMO), "evolution", "held"),
]


@pytest.mark.parametrize(("case", "live", "wanted", "type", "effect"), CASES, ids=[case for case, *_ in CASES])
def test_what_becomes_of_credentials_whose_key_is_missing(
    case: str, live: tuple[Object, ...], wanted: Object, type: TargetType, effect: str
) -> None:
    plan = planned(desired(bistro(), wanted, bot("a")), running(*live), type)
    assert plan.absent == (
        Absent(
            ref=wanted.ref,
            effect=effect,  # type: ignore[arg-type]
            said="OPENAI_API_KEY is not set",
            at=AT,
            bots=("a",) if effect == "demo" else (),
        ),
    )
    of = {change.ref.kind: change for change in plan.changes}
    account = of.get("Credentials")
    if effect == "demo":
        assert account is None or (account.action, account.held, (account.spec or {})["baseUrl"]) == (
            "create",
            "",
            DEMO,
        )
        assert not of["Bot"].held
        assert reasons(plan) == ()
    elif effect == "held":
        assert order(plan) == ()
        assert {change.held for change in plan.changes} == {GONE.said}
    else:
        assert [step.ref.kind for step in order(plan)] == ["Bot"], "the rest of the instance goes on"
        assert account is None or account.held == GONE.said


def test_no_field_of_an_account_that_is_kept_is_written() -> None:
    wanted = without(baseUrl="https://other.example", organization="o")
    plan = planned(desired(bistro(), wanted), running(bistro(), REAL))
    (change,) = plan.changes
    assert [field.field for field in change.fields] == ["baseUrl", "organization"]
    assert (change.held, order(plan)) == (GONE.said, ())


def test_nor_is_it_renamed_and_its_bots_find_it_by_its_new_name() -> None:
    renamed = declared("Credentials", "account", apiKey=GONE, baseUrl="https://llm.example", formerly="main")
    plan = planned(desired(bistro(), renamed, bot("a", credentials="account")), running(bistro(), REAL, bot("a")))
    assert [(change.ref.kind, change.held) for change in plan.changes] == [("Credentials", GONE.said)]
    assert plan.ids[renamed.ref] == "id-Credentials-main"


def test_where_one_is_kept_no_other_of_its_instance_is_deleted() -> None:
    other = declared("Credentials", "other", apiKey=GONE)
    plan = planned(desired(bistro(), without()), running(bistro(), REAL, other, bot("gone")))
    held = {change.ref: change.held for change in plan.changes}
    assert held == {other.ref: GONE.said, Ref("Bot", "bistro", "gone"): ""}


def two(first: Object, *more: Object) -> Desired:
    """The bistro, and beside it a clinic that lacks nothing."""
    clinic = declared("Instance", "clinic", "clinic", instanceName="clinic")
    key = msgspec.structs.replace(main(), ref=Ref("Credentials", "clinic", "main"))
    return desired(
        bistro(), first, clinic, key, *more, msgspec.structs.replace(bot("b"), ref=Ref("Bot", "clinic", "b"))
    )


def test_one_instance_is_held_and_the_others_go_on() -> None:
    plan = planned(two(without(), bot("a")), running())
    assert {step.ref.instance for step in order(plan)} == {"clinic"}
    assert {change.ref for change in plan.changes if change.held} == {
        Ref("Instance", "bistro", "bistro"),
        Ref("Credentials", "bistro", "main"),
        Ref("Bot", "bistro", "a"),
    }


def test_what_is_held_for_another_reason_stays_so() -> None:
    live = running(bistro(), declared("Credentials", "other"), bot("x"))
    plan = diff(desired(bistro(), without()), live, target="t", prune=False)
    assert {change.ref.name: change.held for change in plan.changes if change.action == "delete"} == {
        "other": "pruning is off",
        "x": "pruning is off",
    }


def test_what_is_said() -> None:
    plan = planned(two(without(), bot("a")), running())
    assert notes(plan)[0] == "OPENAI_API_KEY is not set: nothing of bistro is applied"
    assert reasons(plan) == (
        "bots/bistro/bots.yaml:1: OPENAI_API_KEY is not set: nothing of bistro is applied "
        "(set it and start again, or name a key file, which is read at each pass)",
    )
    kept = planned(desired(bistro(), without()), running(bistro(), REAL))
    assert notes(kept) == ("OPENAI_API_KEY is not set: bistro/main keeps the account that is live",)
    assert "Credentials bistro/main keeps the account that is live" in reasons(kept)[0]
    demo = planned(desired(bistro(), without(whenMissing=DEMO)), running(bistro()))
    assert notes(demo) == ("OPENAI_API_KEY is not set, so the built-in demo model answers for bistro/main",)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "i/0 keeps the account that is live"),
        (2, "i/0 and i/1 keep the accounts that are live"),
        (3, "i/0, i/1 and i/2 keep the accounts that are live"),
        (9, "9 credentials: i/0, i/1, i/2, i/3, … keep the accounts that are live"),
    ],
)
def test_a_note_names_a_few_credentials_at_most(count: int, said: str) -> None:
    rows = tuple(
        Absent(ref=Ref("Credentials", "i", str(number)), effect="kept", said="K is not set", at=AT)
        for number in range(count)
    )
    plan = Plan(target="t", commit=None, source="", version="", changes=(), absent=rows, notes=("n",))
    assert notes(plan) == (f"K is not set: {said}", "n")


def test_a_part_of_a_plan_speaks_of_its_own_instance() -> None:
    plan = planned(two(without(), bot("a")), running())
    assert narrow(plan, "bistro").absent == narrow(plan, "Bistro_01").absent == plan.absent
    assert narrow(plan, "clinic").absent == ()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_live_and_declared_a_missing_key_writes_no_account(seed: int) -> None:
    """Over random fleets: with every key gone, no step touches Credentials that are live, nor a bot's account."""
    import random

    from tests.plan.random_fleets import fleet

    draw = random.Random(seed)
    had = fleet(draw, "1" * 40)
    live = running(*(one for one in had.objects if one.ref.kind != "Conversation"))
    wanted = fleet(draw, "2" * 40, had)
    objects = tuple(
        msgspec.structs.replace(one, spec={**one.spec, "apiKey": GONE, "whenMissing": draw.choice([None, DEMO])})
        if one.ref.kind == "Credentials"
        else one
        for one in wanted.objects
    )
    plan = planned(msgspec.structs.replace(wanted, objects=objects), live)
    there: dict[str, LiveObject] = {one.id: one for one in live.objects if one.kind == "Credentials"}
    stepped: list[Change] = [step.change for step in order(plan)]
    keeping = {one.ref.instance for one in plan.absent if one.effect == "kept"}
    touched = [change for change in stepped if change.live is not None and change.live.id in there]
    assert all(change.action == "delete" and change.ref.instance not in keeping for change in touched)
    held = {one.ref.instance for one in plan.absent if one.effect == "held"}
    assert not [change for change in stepped if change.ref.instance in held]
