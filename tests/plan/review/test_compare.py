"""The plan between two desired states is the plan for a target that is as the first says."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from reconciler.catalog import catalog
from reconciler.model import Desired, Object, Plan
from reconciler.plan.review.compare import compare, staying
from reconciler.plan.review.risks import risks
from tests.plan.fleet import OLD, bistro, bot, declared, desired, keyword, main

FLEET = (bistro(), main(apiKey={"env": "KEY"}), bot("a", **keyword("a")), bot("b"))


def plan(base: tuple[Object, ...], head: tuple[Object, ...], **more: Any) -> Plan:
    return compare(desired(*base, commit=OLD, **more), desired(*head), "local")


def changes(found: Plan) -> list[tuple[str, str, list[tuple[str, Any, Any]]]]:
    return [(one.action, str(one.ref), [(f.field, f.before, f.after) for f in one.fields]) for one in found.changes]


def test_equal_states_differ_in_nothing() -> None:
    found = plan(FLEET, FLEET)
    assert (found.changes, found.faults, found.notes, found.empty) == ((), (), (), False)


def test_creates_updates_deletes_and_renames() -> None:
    head = (*FLEET[:2], bot("a", **keyword("x")), bot("c", formerly="b", maxTokens=5), bot("d"))
    found = plan((*FLEET, bot("e")), head)
    assert changes(found) == [
        ("update", "Bot bistro/a", [("triggerValue", "a", "x")]),
        ("update", "Bot bistro/c", [("name", "b", "c"), ("maxTokens", 1000, 5)]),
        ("create", "Bot bistro/d", []),
        ("delete", "Bot bistro/e", []),
    ]
    assert {one.origin for one in found.changes} == {"pending"}


def test_only_instances_that_change_are_looked_at() -> None:
    others = tuple(
        declared(kind, name, "other", **more)
        for kind, name, more in (("Instance", "other", {"instanceName": "Other"}), ("Bot", "z", {}))
    )  # type: ignore[arg-type]
    found = plan((*FLEET, *others), (*FLEET[:3], bot("b", maxTokens=7), *others))
    assert [str(one.ref) for one in found.changes] == ["Bot bistro/b"]
    assert {instance for instance, _ in found.owned} == {"bistro"}
    gone = plan((*FLEET, *others), FLEET)
    assert [str(one.ref) for one in gone.changes] == ["Bot other/z"]
    assert "Instance other (Other) is no longer declared" in gone.notes[0]
    assert gone.faults == ()


def test_protection_is_that_of_the_base() -> None:
    found = plan((*FLEET, bot("vip", protect=True)), FLEET)
    assert [one.protected for one in found.changes] == [True]


def test_nothing_left_is_refused_as_by_a_plan() -> None:
    found = plan(FLEET, ())
    assert found.empty
    assert "nothing is declared" in found.faults[0].reason


def test_another_source_name_makes_everything_foreign() -> None:
    found = plan(FLEET, FLEET, source="acme")
    assert any("carries the mark [gitops acme:a@" in fault.reason for fault in found.faults)


def test_an_instance_of_another_name_on_the_target_takes_its_objects_along() -> None:
    found = plan(FLEET, (bistro(instanceName="Bistro_02"), *FLEET[1:]))
    assert changes(found)[0] == ("update", "Instance bistro", [("instanceName", "Bistro_01", "Bistro_02")])


def test_a_target_that_is_not_pruned_keeps_what_goes() -> None:
    base, head = desired(*FLEET, commit=OLD), desired(*FLEET[:3])
    found = compare(base, head, "local", prune=False)
    assert [(one.action, one.held) for one in found.changes] == [("delete", "pruning is off")]
    assert risks(base, head, found, today=date(2026, 1, 1), known=catalog()) == ()
    assert staying(base, head, found).objects == FLEET
    assert staying(base, head, compare(base, head, "local")) is head


KEYS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("another variable", {}, {"apiKey": {"env": "OTHER"}}, ["apiKey"]),
    ("another address with a stand-in", {"whenMissing": "builtin:demo"},
     {"whenMissing": "builtin:demo", "baseUrl": "https://llm.example"}, ["baseUrl"]),
    ("both", {}, {"apiKey": {"file": "key"}, "baseUrl": "https://llm.example"}, ["baseUrl", "apiKey"]),
    ("only who stands in", {}, {"whenMissing": "builtin:demo"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("was", "now", "fields"), [one[1:] for one in KEYS], ids=[one[0] for one in KEYS])
def test_where_a_key_comes_from_and_goes_to(was: dict[str, Any], now: dict[str, Any], fields: list[str]) -> None:
    base = (bistro(), main(**{"apiKey": {"env": "KEY"}, **was}))
    head = (bistro(), main(**{"apiKey": {"env": "KEY"}, **now}))
    assert [f.field for one in plan(base, head).changes for f in one.fields] == fields


def test_settings_of_another_name_are_the_same_settings() -> None:
    base = (*FLEET, declared("Settings", "default", expire=1))
    head = (*FLEET, declared("Settings", "usual", expire=2))
    found = compare(desired(*base, commit=OLD), desired(*head), "local")
    assert changes(found) == [("update", "Settings bistro/usual", [("expire", 1, 2)])]
    assert found.changes[0].origin == "pending"


def test_a_working_tree_without_a_commit_can_be_compared() -> None:
    found = compare(Desired(commit=None, source="", objects=FLEET), desired(*FLEET[:3]), "local")
    assert [one.action for one in found.changes] == ["delete"]
