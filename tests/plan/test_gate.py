from __future__ import annotations

import pytest

from reconciler.errors import PlanRefused
from reconciler.model import Live
from reconciler.plan.diff import Before, diff
from reconciler.plan.gate import gate
from tests.plan.fleet import bistro, bot, declared, desired, foreign, keyword, main, running, with_objects

OTHER = declared("Instance", "other", "other", instanceName="Other")
FORMER = {"Bistro_01": "bistro"}


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
