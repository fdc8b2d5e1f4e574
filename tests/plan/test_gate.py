from __future__ import annotations

from collections.abc import Collection

import pytest

from reconciler.errors import PlanRefused
from reconciler.model import Gates, Live, Object, Plan
from reconciler.plan.diff import Before, diff
from reconciler.plan.gate import allowance
from reconciler.plan.gate import gate as judge
from reconciler.plan.narrow import narrow
from tests.plan.fleet import bistro, bot, declared, desired, foreign, keyword, main, running, with_objects

OTHER = declared("Instance", "other", "other", instanceName="Other")
USUAL = Gates()
FORMER = {"Bistro_01": "bistro"}


def gate(plan: Plan, allow: Collection[str] = (), gates: Gates = USUAL) -> None:
    judge(plan, allow, gates)


def fleet(count: int, tokens: int = 1, **more: object) -> tuple[Object, ...]:
    """An instance with its account and so many bots."""
    return (bistro(), main(), *(bot(f"b{number}", maxTokens=tokens, **more) for number in range(count)))


def planned(wanted: tuple[Object, ...], was: tuple[Object, ...], now: tuple[Object, ...] | None = None) -> Plan:
    """The plan where a commit declared `was`, and `now` (None: the same) is live."""
    before = Before(instances=FORMER, objects={one.ref: one for one in was})
    return diff(desired(*wanted), running(*(was if now is None else now)), before, target="t")


def refused(plan: Plan, allow: Collection[str] = (), gates: Gates = USUAL) -> list[tuple[str, str]]:
    try:
        judge(plan, allow, gates)
    except PlanRefused as error:
        return [(one.reason, one.remedy.partition(" ")[2].partition(" ")[0]) for one in error.refusals]
    return []


def test_a_harmless_plan_passes() -> None:
    gate(diff(desired(bistro(), main(), bot("x")), Live(objects=(), version=""), target="t"))


def test_every_refusal_comes_at_once() -> None:
    old = bot("kept", protect=True)
    live = with_objects(running(bistro(), main(), bot("kept")), foreign("Bot", "theirs", **keyword("start")))
    plan = diff(
        desired(bistro(), main(), bot("x", **keyword("start"))), live, Before(objects={old.ref: old}), target="t"
    )
    with pytest.raises(PlanRefused) as refused:
        gate(plan)
    reasons = [refusal.reason for refusal in refused.value.refusals]
    assert reasons[0].startswith("mark lost")
    assert reasons[1] == "Bot bistro/kept is protected and would be deleted"


def test_a_protected_bot_whose_delete_is_held_stops_nothing() -> None:
    old = bot("kept", protect=True)
    live = running(bistro(), main(), bot("kept"))
    gate(diff(desired(bistro(), main()), live, Before(objects={old.ref: old}), target="t", prune=False))


def test_deleting_an_instance_must_be_allowed() -> None:
    plan = diff(
        desired(OTHER), running(bistro()), Before(instances=FORMER), target="t", allow={"delete-instance:bistro"}
    )
    gate(plan, {"delete-instance:bistro"})
    gate(plan, {"delete-instance:Bistro_01"})
    with pytest.raises(PlanRefused, match="--allow delete-instance:bistro"):
        gate(plan)


def test_an_instance_that_holds_what_others_made_is_not_deleted() -> None:
    live = with_objects(running(bistro()), foreign("Bot", "theirs"), foreign("Bot", "else", instance="Other"))
    allow = {"delete-instance:bistro"}
    plan = diff(desired(OTHER), live, Before(instances=FORMER), target="t", allow=allow)
    with pytest.raises(PlanRefused, match="deleted with 1 that others made: Bot 'theirs'"):
        gate(plan, allow)


@pytest.mark.parametrize(
    ("plan", "gates", "expected"),
    [
        # 10 objects (an account, 9 bots) are too few for percentages, 11 are not; 30% of 20 is not over 30%.
        pytest.param(planned(fleet(9, 2), fleet(9)), Gates(), [], id="few: updates"),
        pytest.param(planned(fleet(1), fleet(9)), Gates(), [], id="few: deletes"),
        pytest.param(
            planned(fleet(10, 2), fleet(10)),
            Gates(),
            [("Too many updates in bistro, 90.91% is over 30.00% (10/11)", "update:10")],
            id="updates",
        ),
        pytest.param(
            planned(fleet(6), fleet(10)),
            Gates(),
            [("Too many deletes in bistro, 36.36% is over 30.00% (4/11)", "delete:4")],
            id="deletes",
        ),
        pytest.param(planned(fleet(13), fleet(19)), Gates(), [], id="exactly 30%"),
        pytest.param(planned(fleet(12), fleet(19), None), Gates(deletes=40), [], id="the target's own limit"),
        pytest.param(planned(fleet(6), fleet(10)), Gates(above=11), [], id="the target's own size"),
        pytest.param(planned(fleet(30), fleet(3)), Gates(), [], id="creates"),
        pytest.param(
            planned(fleet(0), fleet(2)), Gates(), [("All 2 bots of bistro would be deleted", "delete:2")], id="all bots"
        ),
        pytest.param(planned(fleet(0), fleet(1)), Gates(), [], id="the only bot"),
        pytest.param(planned((bistro(), main(), bot("new")), fleet(2)), Gates(), [], id="all bots replaced"),
        pytest.param(planned(fleet(0), fleet(20)), Gates(deletes=100), [], id="brakes off"),
    ],
)
def test_brakes(plan: Plan, gates: Gates, expected: list[tuple[str, str]]) -> None:
    assert refused(plan, gates=gates) == expected


def test_an_allowance_lets_through_at_most_so_many_over_all_instances() -> None:
    there = (
        declared("Instance", "other", "other", instanceName="Other"),
        *(declared("Bot", f"o{number}", "other") for number in range(2)),
    )
    plan = planned((*fleet(6), there[0]), (*fleet(10), *there))
    assert [remedy for _, remedy in refused(plan)] == ["delete:6", "delete:6"]
    assert len(refused(plan, {"delete:5", "update:6", "delete:", "delete:x", "delete:" + "9" * 5000})) == 2
    assert refused(plan, {"delete:6"}) == refused(plan, {"delete:5", "delete:7"}) == []


def test_putting_back_trips_no_brake() -> None:
    drifted = planned(fleet(20), fleet(20), fleet(20, 99))
    assert (len(drifted.changes), refused(drifted)) == (20, [])
    recreated = planned(fleet(20), fleet(20), (bistro(),))
    assert (len(recreated.changes), refused(recreated)) == (21, [])
    conflict = planned(fleet(20, 2), fleet(20), fleet(20, 99))
    assert [remedy for _, remedy in refused(conflict)] == ["update:20"]


def test_what_many_bots_inherit_counts_once() -> None:
    def inheriting(expire: int) -> tuple[Object, ...]:
        settings = declared("Settings", "default", expire=expire)
        return (*fleet(20, expire=expire, inherited=("expire",)), settings)

    assert refused(planned(inheriting(60), inheriting(5))) == []
    own = planned(fleet(20, expire=60), fleet(20, expire=5))
    assert [remedy for _, remedy in refused(own)] == ["update:20"]


def test_what_a_mark_never_named_is_not_deleted_by_itself() -> None:
    was = (*fleet(5), bot("x"), bot("y"))
    never = frozenset(one.ref for one in was[-2:])
    plan = diff(desired(*fleet(5)), running(*was), Before(never=never), target="t")
    assert [reason.partition(",")[0] for reason, _ in refused(plan)] == [
        "Bot bistro/x would be deleted", "Bot bistro/y would be deleted",
    ]  # fmt: skip
    assert plan.notes == ()
    assert len(refused(plan, {"delete:1"})) == 2
    assert refused(plan, {"delete:2"}) == []
    held = diff(desired(*fleet(5)), running(*was), Before(never=never), target="t", prune=False)
    assert refused(held) == []


def test_a_part_is_measured_by_the_whole() -> None:
    wanted, was = fleet(17), (*fleet(17), *(bot(f"x{n}", labels={"team": "x"}) for n in range(3)))
    part = narrow(planned((*wanted, bot("y")), was), labels={"team": "x"})
    assert (len(part.changes), refused(part)) == (3, [])
    alone = narrow(planned(fleet(0), (*fleet(1), bot("x", labels={"team": "x"}))), labels={"team": "x"})
    assert (len(alone.changes), refused(alone)) == (1, [])


def test_held_changes_an_empty_state_and_a_whole_instance_have_rules_of_their_own() -> None:
    was = fleet(20)
    assert refused(diff(desired(*fleet(0)), running(*was), target="t", prune=False)) == []
    assert [remedy for _, remedy in refused(planned((), was))] == ["source.path"]
    plan = diff(desired(), running(*was), Before(instances=FORMER), target="t", allow={"empty"})
    assert refused(plan, {"empty"}) == []
    allow = {"delete-instance:bistro"}
    gone = diff(desired(OTHER), running(*was), Before(instances=FORMER), target="t", allow=allow)
    assert refused(gone, allow) == []


@pytest.mark.parametrize(
    ("word", "permits"),
    [("empty", True), ("delete:3", True), ("update:10", True), ("delete-instance:bistro", True), ("adopt:cmws1", True),
     ("delete", False), ("delete:", False), ("delete:x", False), ("adopt:", False), ("everything", False)],
)  # fmt: skip
def test_the_words_that_permit_something(word: str, permits: bool) -> None:
    assert allowance(word) is permits
