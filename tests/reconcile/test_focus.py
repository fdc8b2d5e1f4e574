"""What is left out of a plan changes nothing of it."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from reconciler.model import Desired, Live, Mark, Plan
from reconciler.plan.diff import Before, diff
from reconciler.plan.order import order
from reconciler.reconcile.focus import Focus
from tests.plan.fleet import bistro, bot, declared, desired, foreign, main, running, with_objects
from tests.plan.random_fleets import INSTANCES, fleet
from tests.plan.target import Model, walk


def planned(wanted: Desired, live: Live) -> Plan:
    return diff(wanted, live, Before(instances=INSTANCES), target="t", allow={"empty"})


def meddle(draw: random.Random, model: Model) -> None:
    """What somebody does on the target: a field moves, an object goes, a foreign one comes, a mark is lost."""
    rows = [row for row in model.rows.values() if row["kind"] == "Bot"]
    if not rows or draw.random() < 0.3:
        return
    row = draw.choice(rows)
    match draw.randint(0, 3):
        case 0:
            row["spec"]["expire"] = draw.randint(100, 200)
        case 1:
            row["mark"] = Mark("another", "x", "0" * 8)
        case 2:
            model.add("Bot", row["instance"], {"enabled": False}, None)
        case _:
            del model.rows[row["id"]]
            for other in model.rows.values():
                if other["spec"].get("fallbackBot") == row["id"]:
                    other["spec"]["fallbackBot"] = None
    model.version += 1


@pytest.mark.parametrize("tenth", range(10))
def test_the_plan_of_what_is_left_is_the_plan_of_the_whole(tenth: int) -> None:
    left_out = 0
    for seed in range(tenth, 150, 10):
        draw, model, focus = random.Random(seed), Model(), Focus()
        wanted = fleet(draw, "1" * 40)
        for number in range(8):
            if number and draw.random() < 0.4:
                wanted = fleet(draw, f"{number + 1}" * 40, wanted)
            live = model.live()
            whole = planned(wanted, live)
            part, seen = focus.narrow(wanted, live)
            left_out += len(wanted.objects) - len(part.objects)
            found = planned(part, seen)
            for field in ("changes", "notes", "faults", "strangers", "version", "foreign"):
                assert getattr(found, field) == getattr(whole, field), field
            assert order(found) == order(whole)
            focus.settle(part, seen, found)
            if not found.faults:
                assert walk(model, order(found), found.ids) == {}
            meddle(draw, model)
    assert left_out > 20


CLINIC = (
    declared("Instance", "clinic", "clinic", instanceName="Clinic"),
    declared("Credentials", "main", "clinic", apiKey=main().spec["apiKey"]),
)


def settled(*more: Any, live: Live | None = None) -> tuple[Focus, Desired, Live]:
    wanted = desired(bistro(), main(), *CLINIC, *more)
    live = live or running(*wanted.objects)
    focus = Focus()
    part, seen = focus.narrow(wanted, live)
    assert (part, seen) == (wanted, live)
    focus.settle(wanted, live, diff(wanted, live, target="t"))
    return focus, wanted, live


def test_one_declared_instance_is_always_left() -> None:
    focus, wanted, live = settled()
    part, seen = focus.narrow(wanted, live)
    assert {one.ref.instance for one in part.objects} == {"bistro"}
    assert {one.instance for one in seen.objects} == {"Bistro_01"}


def test_an_instance_comes_back_when_either_side_moves() -> None:
    focus, wanted, live = settled(bot("x"))
    moved = msgspec.structs.replace(wanted, objects=(*wanted.objects, bot("y")))
    assert {one.ref.instance for one in focus.narrow(moved, live)[0].objects} == {"bistro"}
    focus, wanted, live = settled(bot("x"))
    there = with_objects(live, foreign("Bot", "new", instance="Clinic"))
    part, seen = focus.narrow(wanted, there)
    assert {one.ref.instance for one in part.objects} == {"clinic"}
    assert {one.instance for one in seen.objects} == {"Clinic"}


def test_another_source_makes_every_mark_another() -> None:
    focus, wanted, live = settled()
    other = msgspec.structs.replace(wanted, source="acme")
    assert focus.narrow(other, live) == (other, live)


def test_what_a_plan_has_something_to_say_of_is_never_left_out() -> None:
    undeclared = running(bistro(), main(), *CLINIC, declared("Settings", "s", "clinic", credentials="main"))
    focus, wanted, live = settled(live=undeclared)  # Settings that are not declared are noted each time
    assert {one.ref.instance for one in focus.narrow(wanted, live)[0].objects} == {"clinic"}
    busy = with_objects(running(bistro(), main(), *CLINIC), foreign("Bot", "somebody's", instance="Clinic"))
    focus, wanted, live = settled(live=busy)
    assert {one.ref.instance for one in focus.narrow(wanted, live)[0].objects} == {"clinic"}


def test_a_plan_with_faults_settles_nothing() -> None:
    doubled = running(bistro(), main(), bot("x"), *CLINIC)
    doubled = with_objects(doubled, foreign("Bot", "copy", Mark("", "x", "a" * 8)))
    focus, wanted, live = settled(bot("x"), live=doubled)
    assert focus.narrow(wanted, live) == (wanted, live)
