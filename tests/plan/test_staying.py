"""What a plan leaves as it is keeps what it holds and uses: held changes, and those that a part leaves out."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.errors import PlanRefused
from reconciler.model import Change, Gates, Live, LiveObject, Object, Plan, Ref, TargetType
from reconciler.plan.diff import Before, diff
from reconciler.plan.gate import gate
from reconciler.plan.narrow import narrow
from reconciler.plan.order import order
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main, running

TEAM = {"team": "a"}
TYPES: tuple[TargetType, ...] = ("runtime", "evolution")
A, B = keyword("a"), keyword("b")


def plan(wanted: tuple[Object, ...], was: tuple[Object, ...], now: Live | None = None, **more: object) -> Plan:
    """The plan where a commit declared `was` and, unless `now` says otherwise, that is live."""
    before = Before(objects={one.ref: one for one in was})
    return diff(desired(*wanted), now or running(*was), before, target="t", **more)  # type: ignore[arg-type]


def reasons(found: Plan) -> list[str]:
    return [one.reason for one in found.faults]


@pytest.mark.parametrize("type", TYPES)
def test_a_delete_that_is_held_holds_its_trigger(type: TargetType) -> None:
    wanted, was = (bistro(), main(), bot("new", **A, maxTokens=5)), (bistro(), main(), bot("old", **A))
    assert reasons(plan(wanted, was, type=type)) == []
    assert reasons(plan(wanted, was, type=type, prune=False)) == [
        "Bot bistro/new needs what Bot bistro/old holds (equals a), which stays as it is: pruning is off"
    ]


@pytest.mark.parametrize("type", TYPES)
def test_drift_that_is_not_put_back_holds_its_trigger(type: TargetType) -> None:
    was = (bistro(), main(), bot("x", **A))
    drifted = running(bistro(), main(), bot("x", **B))
    wanted = (*was, bot("y", **B, maxTokens=5), bot("z", **keyword("c"), maxTokens=6))
    assert reasons(plan(wanted, was, drifted, type=type)) == []
    found = plan(wanted, was, drifted, type=type, self_heal=False)
    assert reasons(found) == [
        "Bot bistro/y needs what Bot bistro/x holds (equals b), which stays as it is: self-healing is off"
    ]
    assert found.notes == ("1 change shown but not applied: self-healing is off; `reconciler apply` puts them back",)
    with pytest.raises(PlanRefused):
        gate(found, (), Gates())


def test_what_drifted_back_to_what_goes_keeps_it() -> None:
    spare = declared("Credentials", "spare")
    was = (bistro(), main(), spare, bot("x"))
    drifted = running(bistro(), main(), spare, bot("x", credentials="spare"))
    (put_back, gone) = plan(was[:2] + was[3:], was, drifted).changes
    assert (put_back.held, gone.held) == ("", "")
    (put_back, gone) = plan(was[:2] + was[3:], was, drifted, self_heal=False).changes
    assert gone.held == "Bot 'x' of Bistro_01, which stays as it is, still uses it"
    assert [step.action for step in order(plan(was[:2] + was[3:], was, drifted, self_heal=False))] == []


@pytest.mark.parametrize("type", TYPES)
def test_a_part_cannot_take_what_the_rest_holds(type: TargetType) -> None:
    was = (bistro(), main(), bot("x", **A, labels=TEAM), bot("y", **B, maxTokens=5))
    swapped = (bistro(), main(), bot("x", **B, labels=TEAM), bot("y", **A, maxTokens=5))
    whole = plan(swapped, was, type=type)
    assert reasons(whole) == []
    part = narrow(whole, labels=TEAM)
    assert [change.ref.name for change in part.changes] == ["x"]
    assert reasons(part) == [
        "Bot bistro/x needs what Bot bistro/y holds (equals b), which stays as it is: "
        "it is not in this part of the plan"
    ]
    assert reasons(narrow(whole, "bistro")) == []


def test_a_part_deletes_nothing_that_the_rest_uses() -> None:
    spare, guide = declared("Credentials", "spare", labels=TEAM), declared("Assistant", "guide", labels=TEAM)
    runs = {"botType": "assistant", "assistantId": "concierge"}
    was = (bistro(), main(), spare, guide, bot("x", credentials="spare"), bot("y", **runs))
    whole = plan((bistro(), main(), bot("x"), bot("y")), was)
    assert [change.held for change in whole.changes if change.action == "delete"] == ["", ""]
    part = narrow(whole, labels=TEAM)
    assert [(change.ref.name, change.held) for change in part.changes] == [
        ("guide", "Bot 'y' of Bistro_01, which stays as it is, still uses it"),
        ("spare", "Bot 'x' of Bistro_01, which stays as it is, still uses it"),
    ]
    gone = narrow(plan((bistro(), main()), was), labels=TEAM)
    assert {change.held == "" for change in gone.changes} == {False}


def test_a_part_makes_what_it_refers_to() -> None:
    guide = declared("Assistant", "guide")
    runs = {"botType": "assistant", "assistantId": "concierge", "model": None}
    settings = declared("Settings", "default", credentials="main", fallbackBot="x", labels=TEAM)
    wanted = (bistro(), main(), settings, guide, bot("x", **runs), bot("y"))
    assert {change.ref.name for change in narrow(plan(wanted, ()), labels=TEAM).changes} == {
        "bistro", "main", "default", "x", "guide",
    }  # fmt: skip
    first = (*wanted[:2], declared("Settings", "default", credentials="main"), bot("x", labels=TEAM))
    named = {type: narrow(plan(first, (), type=type), labels=TEAM).changes for type in TYPES}
    assert [change.ref.name for change in named["runtime"]] == ["bistro", "main", "x"]
    assert [change.ref.name for change in named["evolution"]] == ["bistro", "main", "default", "x"]


def test_a_part_takes_no_instance_whose_credentials_the_rest_uses() -> None:
    def user(name: str, instance: str) -> Change:
        spec = {**bot(name).spec, "credentialsIn": "Bistro_01", "credentialsId": "r1"}
        live = LiveObject(kind="Bot", instance=instance, id=f"id-{name}", spec=spec, mark=None, label=name)
        return Change(action="delete", ref=Ref("Bot", instance.lower(), name), instance_name=instance, live=live)

    line = Change(
        action="delete",
        ref=Ref("Instance", "bistro", "bistro"),
        instance_name="Bistro_01",
        live=running(bistro()).objects[0],
    )
    whole = Plan(
        target="t", commit=None, source="", version="", type="evolution",
        changes=(line, user("own", "Bistro_01"), user("x", "clinic")),
    )  # fmt: skip
    assert reasons(narrow(whole, "bistro")) == [
        "Instance bistro has the credentials that Bot clinic/x still use: it is not in this part of the plan"
    ]
    assert reasons(narrow(msgspec.structs.replace(whole, changes=whole.changes[:2]), "bistro")) == []
    assert reasons(narrow(whole, "clinic")) == []
