"""What a plan says of one bot."""

from __future__ import annotations

from reconciler.errors import Refusal
from reconciler.model import Change, Plan, Ref
from reconciler.reconcile.why import planned

BOT = Ref("Bot", "bistro", "a")


def plan(*changes: Change, unproven: dict[str, str] | None = None) -> Plan:
    return Plan(target="t", commit=None, source="", version="", changes=changes, unproven=unproven or {})


def told(found: Plan, *reasons: str) -> list[tuple[str, str]]:
    refused = [Refusal(reason=reason, remedy="do something") for reason in reasons]
    return [(one.topic, one.text.partition(" (")[0]) for one in planned(found, BOT, "Bistro_01", refused)]


def test_a_bot_of_an_instance_that_could_not_be_read_whole_is_not_called_live() -> None:
    said = "what is live is not known: the listing of Bistro_01 is not whole: its bots are no list"
    assert told(plan(unproven={"Bistro_01": "its bots are no list", "Other": "no"})) == [("blocked", said)]
    ((topic, text),) = told(plan(unproven={"": "lost"}))
    assert (topic, "the listing of an instance is not whole" in text) == ("blocked", True)


def test_of_a_bot_that_is_as_declared_only_what_names_it_is_told() -> None:
    reasons = ("2 objects carry the mark of Bot bistro/a: x", "the mark of Bot bistro/ab", "All 2 bots would go")
    assert [text for _, text in told(plan(), *reasons)] == [reasons[0]]
    missing = Change(action="create", ref=BOT, instance_name="Bistro_01", spec={})
    assert [text for _, text in told(plan(missing), *reasons)] == ["it is not on t yet", *reasons]
