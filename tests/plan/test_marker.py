"""The hidden line of a comment: written and read again, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from reconciler.plan.review.digest import digest, printed, prints
from reconciler.plan.review.marker import REVIEW, Reviewed, Shown, line, read, reviewed
from tests.plan.fleet import bistro, bot, main, running
from tests.plan.test_render import plan

HEAD = "3f2a91c4" + "0" * 32


def test_a_line_is_read_as_it_was_written() -> None:
    one = plan(bistro(), main(), bot("x", maxTokens=900), live=running(bistro(), main(), bot("x")))
    more = plan(bistro(), main(), bot("a"), bot("b"), live=running(bistro(), main()))
    none = plan(bistro(), main(), live=running(bistro(), main()))
    found = reviewed(HEAD, [("local", one), ("production-2", more), ("empty", none)])
    written = line(found)
    assert written.startswith(REVIEW)
    assert written.endswith(f" head={HEAD} -->")
    assert "--" not in written[4:-3].replace("production-2", "")
    again = read(f"{written}\n## Fine\n")
    assert again is not None
    assert again.head == HEAD
    assert again.plans["local"] == Shown(digest(one), prints(one))
    assert again.plans["production-2"].prints == prints(more)
    assert again.plans["empty"] == Shown(digest(none), None)
    assert len(printed(more)) == 2


def test_a_large_plan_is_compared_as_a_whole() -> None:
    many = plan(bistro(), main(), *(bot(f"b{n}") for n in range(301)), live=running(bistro(), main()))
    again = read(line(reviewed(HEAD, [("local", many)])))
    assert again == Reviewed(HEAD, {"local": Shown(digest(many), None)})
    assert len(line(reviewed(HEAD, [("local", many)]))) < 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "text",
        f"> {REVIEW} plan= head= -->",
        f"{REVIEW} plan=local:12 head={HEAD} -->",
        f"{REVIEW} plan=LOCAL:{'0' * 16} head={HEAD} -->",
        f"{REVIEW} plan=local:{'0' * 16}.xyz head={HEAD} -->",
        f"{REVIEW} plan= head={HEAD}",
        f"{REVIEW} plan=@all head= -->",
    ],
    ids=range(8),
)
def test_nothing_else_is_a_line(body: str) -> None:
    assert read(body) is None


def test_no_plan_is_a_line_too() -> None:
    assert read(line(Reviewed(HEAD))) == Reviewed(HEAD, {})
