"""The prover's findings as routes of a review: which are for a human, and how they are said."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import Object
from reconciler.plan.review import routing
from reconciler.plan.review.findings import Route
from reconciler.plan.routes.answer import Moved, NotProven, Overlap, Reached, Routes, Unreachable
from tests.plan.fleet import bistro, bot, declared, desired, keyword

ALL = {"triggerType": "all"}


def routes(before: tuple[Object, ...], after: tuple[Object, ...]) -> list[str]:
    found = routing.routed(desired(bistro(), *before), desired(bistro(), *after), {"bistro"}, "runtime")
    assert found.said == "triggers of 1 instance compared for every message: all of it proven"
    return [f"{one.level} {one.rule}: {one.message} [{one.example}]" for one in found.routes]


A, REST = bot("a", **keyword("start")), bot("rest", **ALL)
STARTS = {"triggerType": "keyword", "triggerOperator": "startsWith", "triggerValue": "st"}

CASES: list[tuple[str, tuple[Object, ...], tuple[Object, ...], list[str]]] = [
    ("nothing", (A, REST), (A, REST), []),
    ("a new bot takes from who takes the rest", (REST,), (A, REST),
     ["note moved: messages go to a in place of rest [start]"]),
    ("a new bot takes what nobody answered", (), (A,), ["note moved: messages that nobody answered go to a [start]"]),
    ("a bot that goes", (A,), (),
     ["human unanswered: a is gone; messages that it answered are answered by nobody [start]"]),
    ("a bot that goes, its messages go on", (A, REST), (REST,),
     ["human moved: a is gone; messages that it answered go to rest [start]"]),
    ("a bot without a trigger", (A,), (A, bot("b")),
     ["note never answers: b never answers: it has no trigger and is nobody's fallback [None]"]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_what_is_said_of_real_proofs(before: Any, after: Any, expected: list[str]) -> None:
    assert routes(before, after) == expected


def test_messages_from_another_bot_are_for_a_human() -> None:
    (found, *_) = routes((bot("wide", **STARTS),), (bot("wide", **STARTS), A))
    assert found == "human moved: messages go to a in place of wide [start]"


def proven(monkeypatch: pytest.MonkeyPatch, made: Routes, *bots: Object, budget: int = 0) -> tuple[Route, ...]:
    monkeypatch.setattr(routing, "prove", lambda *_: made)
    return routing.routed(desired(bistro()), desired(bistro(), *bots), {"bistro"}, "runtime").routes


NEVER = [
    ("shadowed", ("x", "y"), "all that its trigger takes goes to x and y, which are asked first", "human"),
    ("nothing", (), "its trigger takes no message at all", "human"),
    ("dropped", ("x",), "the server cannot read the pattern of x and drops what it is asked for before", "human"),
    ("refused", (), "the target cannot read its pattern", "human"),
]


@pytest.mark.parametrize(("why", "by", "said", "level"), NEVER, ids=[one[0] for one in NEVER])
def test_bots_that_never_answer(
    monkeypatch: pytest.MonkeyPatch, why: Any, by: tuple[str, ...], said: str, level: str
) -> None:
    made = Routes(unreachable=(Unreachable("a", why, by), Unreachable("b", "nothing", before=True)))
    (found,) = proven(monkeypatch, made, A)
    assert (found.level, found.rule, found.message) == (level, "never answers", f"a never answers: {said}")
    assert found.at is not None


def test_what_has_no_text_what_is_reached_and_what_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Routes(
        moved=(Moved("a", "rest", None), Moved("rest", None, "x")),
        reached=(Reached("a", "start"), Reached("rest", "hi")),
        more=True,
    )
    found = [f"{one.level} {one.rule}: {one.message}" for one in proven(monkeypatch, made, A, bot("rest", **ALL))]
    assert found == [
        "human unanswered: messages that rest answered are answered by nobody",
        "human moved: more messages go to other bots than are listed here",
        "human moved: pictures and what else has no text go to rest in place of a",
        "note answers now: a answers now; it never did before",
    ]


def test_messages_that_changed_bots_share(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(Overlap("a", f"b{n}", "x") for n in range(7))
    found = proven(monkeypatch, Routes(overlaps=(*many, Overlap("z", "a", "y"), Overlap("p", "q", "y"))), A)
    assert [one.message for one in found] == [
        "a shares messages with other bots: z is asked first and it is asked before b0, b1, b2, b3, b4 and 2 more"
    ]


def test_what_is_not_proven_is_for_a_human_where_a_trigger_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Routes(
        not_proven=(NotProven("whether a ever answers", ("a",), "too large"), NotProven("whether z", (), "so"))
    )
    found = proven(monkeypatch, made, A)
    assert [(one.level, one.message, one.at is not None) for one in found] == [
        ("human", "not proven: whether a ever answers (too large)", True),
        ("note", "not proven: whether z (so)", False),
    ]
    said = routing.routed(desired(bistro()), desired(bistro(), A), {"bistro"}, "runtime").said
    assert said.endswith(": 2 questions not proven")


def test_too_many_instances_are_said_to_be_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "prove", lambda *_: Routes(states=routing.STATES))
    one, other = bistro(), declared("Instance", "cafe", "cafe", instanceName="Cafe")
    found = routing.routed(desired(one, other), desired(one, other), {"bistro", "cafe"}, "runtime")
    assert [(route.level, route.instance) for route in found.routes] == [("human", "all")]
    assert found.said == "triggers of 1 instance compared for every message: 1 instances not looked at"
    assert routing.routed(desired(one), desired(one), set(), "runtime").said == ""
