"""Who is who on both sides of a change, and who stands before whom."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import Object
from reconciler.plan.review.align import aligned
from reconciler.plan.review.routing import routed
from tests.plan.fleet import bistro, bot, declared, desired

LONG: dict[str, Any] = {"triggerType": "keyword", "triggerOperator": "contains", "triggerValue": "abc"}
ALSO: dict[str, Any] = {**LONG, "triggerValue": "bcd"}


def names(before: tuple[Object, ...], after: tuple[Object, ...]) -> tuple[str, str]:
    sides = aligned(desired(bistro(), *before), desired(bistro(), *after))
    return tuple(" ".join(one.ref.name for one in side.objects if one.ref.kind == "Bot") for side in sides)  # type: ignore[return-value]


CASES = [
    ("new ones stand last", "m z", ("a", "m", "z"), ("m z", "m z a")),
    ("some go", "a m z", ("b", "z"), ("a m z", "z b")),
    ("a renamed one is the same", "a m", ("m", bot("z", formerly="a")), ("z m", "z m")),
    ("a name that was taken is no renaming", "a z", (bot("z", formerly="a"),), ("a z", "z")),
    ("what it was renamed from is not there", "m", ("m", bot("z", formerly="a")), ("m", "m z")),
]


@pytest.mark.parametrize(("before", "after", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_order_and_names(before: str, after: Any, expected: tuple[str, str]) -> None:
    bots = tuple(one if isinstance(one, Object) else bot(one) for one in after)
    assert names(tuple(map(bot, before.split())), bots) == expected


def test_the_fallback_bot_is_the_renamed_one() -> None:
    old, new = (declared("Settings", "default", fallbackBot=name) for name in ("a", "b"))
    before, _ = aligned(desired(bistro(), old, bot("a")), desired(bistro(), new, bot("b", formerly="a")))
    assert before.objects[1].spec == new.spec


def said(before: tuple[Object, ...], after: tuple[Object, ...], type: Any = "runtime") -> list[str]:
    sides = aligned(desired(bistro(), *before), desired(bistro(), *after))
    return [
        one.message for one in routed(*sides, {"bistro"}, type).routes if one.rule not in ("overlap", "answers now")
    ]


@pytest.mark.parametrize("type", ["runtime", "evolution"])
def test_a_new_bot_takes_nothing_from_one_that_is_asked_first_because_it_is_older(type: str) -> None:
    old = bot("zeta", **ALSO)
    assert said((old,), (bot("alpha", **LONG), old), type) == ["messages that nobody answered go to alpha"]


def test_a_renamed_bot_moves_no_messages() -> None:
    assert said((bot("a", **LONG),), (bot("b", **LONG, formerly="a"),)) == []
