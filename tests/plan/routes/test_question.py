"""What one trigger takes another takes too: claimed only where it is proven."""

from __future__ import annotations

import pytest

from reconciler.plan.routes.answer import Fleet, Semantics
from reconciler.plan.routes.asking import Asked, order_of
from reconciler.plan.routes.question import Questions
from reconciler.plan.routes.search import Budget


def keyword(operator: str, value: str) -> dict[str, str]:
    return {"triggerType": "keyword", "triggerOperator": operator, "triggerValue": value}


FLEET = {
    "word": keyword("equals", "menu"),
    "part": keyword("contains", "menu"),
    "begins": keyword("startsWith", "men"),
    "look": keyword("regex", "(?=menu)m"),
}


def asked(semantics: Semantics) -> dict[str, Asked]:
    return {one.name: one for one in order_of(Fleet(FLEET, None), semantics).asked}


@pytest.mark.parametrize(
    ("one", "other", "inside"),
    [
        ("word", "word", True),
        ("word", "part", True),
        ("word", "begins", True),
        ("part", "word", False),
        ("begins", "part", False),
        ("look", "part", False),
        ("word", "look", False),
    ],
)
def test_inside(one: str, other: str, inside: bool) -> None:
    known = asked("evolution")
    assert known["look"].unknown
    questions = Questions("evolution", Budget(10_000), known.values())
    for _ in range(2):  # what is known is not asked again
        assert questions.inside(known[one], known[other]) is inside


def test_what_costs_too_much_is_not_claimed() -> None:
    known = asked("evolution")
    questions = Questions("evolution", Budget(1), known.values())
    assert questions.inside(known["word"], known["part"]) is False
    assert questions.words(known["word"]) == ("menu",)
