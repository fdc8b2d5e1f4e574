from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.errors import Rejected
from reconciler.live.client import Answer, AnswerLost, Refused
from reconciler.live.runtime import lower
from reconciler.live.together import PartRefused, Request, Stale, outcome_of, refused, request_of
from reconciler.model import Object
from reconciler.plan.diff import diff
from reconciler.plan.order import Step, order
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main, running

A, B = keyword("a"), keyword("b")
SETTINGS = declared("Settings", "default", credentials="main", fallbackBot="x")


def planned(wanted: tuple[Object, ...], live: tuple[Object, ...]) -> tuple[tuple[Step, ...], dict[Any, str]]:
    plan = diff(desired(*wanted), running(*live), target="t")
    return tuple(step for step in order(plan) if step.ref.kind != "Instance" or step.action == "update"), dict(plan.ids)


def brief(request: Request) -> list[tuple[str, ...]]:
    return [
        (one["action"], one["kind"], one.get("ref", one.get("id", "")), *sorted(one.get("body", {})))
        for one in request.changes
    ]


def test_what_a_request_makes_is_named_in_it() -> None:
    steps, ids = planned((bistro(), main(), SETTINGS, bot("x")), (bistro(),))
    request = request_of(steps, ids, lower)
    by_kind = {one["kind"]: one for one in request.changes}
    assert by_kind["Bot"]["body"]["openaiCredsId"] == by_kind["Credentials"]["ref"] == "new:Credentials/main"
    assert by_kind["Settings"]["body"]["openaiCredsId"] == "new:Credentials/main"
    assert by_kind["Settings"]["body"]["fallbackId"] == by_kind["Bot"]["ref"] == "new:Bot/x"
    assert (by_kind["Settings"]["action"], "id" in by_kind["Settings"]) == ("update", False)
    assert [[step.note for step in steps] for steps in request.members] == [[""], ["", "fallback bot x"], [""]]


def test_a_swap_goes_straight_to_its_end() -> None:
    steps, ids = planned(
        (bistro(), main(), bot("x", **B), bot("y", **A)), (bistro(), main(), bot("x", **A), bot("y", **B))
    )
    assert len(steps) == 3
    request = request_of(steps, ids, lower)
    assert [(one["id"], one["body"]["triggerValue"]) for one in request.changes] == [
        ("id-Bot-x", "b"),
        ("id-Bot-y", "a"),
    ]
    assert request.changes[0]["body"]["description"] == "[gitops x@3f2a91c4]"


def test_an_instance_is_updated_and_others_are_deleted() -> None:
    steps, ids = planned((bistro(retention=60), main()), (bistro(), main(), bot("x")))
    assert brief(request_of(steps, ids, lower)) == [
        ("update", "Instance", "", "retention"),
        ("delete", "Bot", "id-Bot-x"),
    ]


def test_what_cannot_be_put_into_a_body_is_refused_for_its_steps_alone() -> None:
    steps, ids = planned((bistro(), main(apiKey={"env": "KEY"}), bot("x")), (bistro(),))
    with pytest.raises(PartRefused, match="is not known here") as found:
        request_of(steps, ids, lower)
    assert {index: status for index, (status, _) in found.value.faults.items()} == {0: 400}


def request() -> Request:
    steps, ids = planned((bistro(), main(), SETTINGS, bot("x")), (bistro(),))
    return request_of(steps, ids, lower)


def answer(status: int, body: Any) -> Answer:
    return Answer(status, body if isinstance(body, bytes) else msgspec.json.encode(body), None)


def test_every_step_has_the_id_of_its_object() -> None:
    rows = [{"id": "c"}, {"id": "s"}, {"id": "b"}]
    made, etag = outcome_of(request(), answer(200, {"etag": '"7"', "changes": rows}))
    assert (made, etag) == ({0: "c", 1: "s", 3: "s", 2: "b"}, '"7"')


@pytest.mark.parametrize(
    "body",
    [b"<html>", {}, [], {"etag": "1", "changes": []}, {"etag": "1", "changes": [1, 2, 3]}, {"etag": "1", "changes": 7}],
)
def test_an_answer_that_says_something_else_leaves_open_what_became_of_it(body: Any) -> None:
    with pytest.raises(AnswerLost):
        outcome_of(request(), answer(200, body))


def refusal(status: int, body: Any) -> Rejected:
    return refused(request(), Refused(answer(status, body)))


def test_a_refusal_names_the_steps() -> None:
    changes = [{"index": 1, "status": 422, "message": ["no", "never"]}]
    found = refusal(422, {"response": {"message": ["changes[1]: no"], "changes": changes}})
    assert isinstance(found, PartRefused)
    assert (found.status, found.faults) == (422, {1: (422, "no; never"), 3: (422, "no; never")})


def test_a_lost_race_is_stale() -> None:
    assert isinstance(refusal(412, {"response": {"message": ["moved"]}}), Stale)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        {"response": {"message": ["no"]}},
        {"response": {"changes": []}},
        {"response": {"changes": [{"index": 9, "status": 400, "message": []}]}},
        {"response": {"changes": [{"index": 0}]}},
    ],
)
def test_a_refusal_that_names_nothing_is_that_of_the_whole(body: Any) -> None:
    assert type(refusal(413, body)) is Refused
