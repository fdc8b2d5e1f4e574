"""examples/review: each planted problem is found, one by one; the Markdown is as it was read by eye."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.plan.review.annotations import workflow_commands
from reconciler.plan.review.findings import Review
from reconciler.plan.review.markdown import markdown
from reconciler.plan.review.text import text
from reconciler.plan.review.verdict import verdict
from tests.conftest import Repo
from tests.reconcile.review.conftest import look_at

GOLDEN = Path(__file__).parent / "golden"
Example = Callable[[str], Repo]


@pytest.fixture
def review(example: Example) -> Review:
    return look_at(example("head"), head="change")


RISKS = [
    ("widened-trigger", "shop/winter", "bots/shop/winter.yaml:13"),
    ("new-host", "shop/orders", "bots/shop/orders.yaml:11"),
    ("secret", "shop/orders", "bots/shop/orders.yaml:11"),
    ("retiring-model", "shop/opening", "bots/shop/opening.yaml:7"),
    ("max-tokens", "shop/repairs", "bots/shop/repairs.yaml:10"),
    ("disabled", "shop/welcome", "bots/shop/welcome.yaml:11"),
    ("delete", "shop/vouchers", ""),
]


@pytest.mark.parametrize(("rule", "bot", "at"), RISKS, ids=[row[0] for row in RISKS])
def test_a_planted_risk_is_found(review: Review, rule: str, bot: str, at: str) -> None:
    (risk,) = [one for one in review.parts[0].risks if one.rule == rule]
    assert risk.level == "human"
    assert f"{risk.ref.instance}/{risk.ref.name}" == bot
    assert bot in risk.message
    assert f"{risk.at.path}:{risk.at.line}" == at if at else risk.at is None


def test_there_is_no_other_risk(review: Review) -> None:
    assert sorted(one.rule for one in review.parts[0].risks) == sorted(row[0] for row in RISKS)


ROUTES = [
    ("never answers", "gifts", "gifts never answers: all that its trigger takes goes to presents", "gift card"),
    ("moved", "tyres", "messages go to tyres in place of repairs", "repair a tyre"),
    ("unanswered", "rentals", "messages that rentals answered are answered by nobody", "rent a bike"),
    ("unanswered", "welcome", "welcome is disabled; of its messages some are answered by nobody", None),
    ("unanswered", "vouchers", "vouchers is gone; of its messages some are answered by nobody", "voucher"),
]


@pytest.mark.parametrize(("rule", "bot", "said", "example_"), ROUTES, ids=[f"{row[0]} {row[1]}" for row in ROUTES])
def test_a_planted_route_is_found(review: Review, rule: str, bot: str, said: str, example_: str | None) -> None:
    found = [one for one in review.parts[0].routes if (one.rule, one.bot) == (rule, bot)]
    assert [one.message.startswith(said) for one in found].count(True) == 1, [one.message for one in found]
    shown = next(one for one in found if one.message.startswith(said))
    assert shown.level == "human"
    assert shown.example == example_ or example_ is None


def test_the_failing_conversation_is_found_at_its_lines(review: Review) -> None:
    outcomes = {one.ref.name: (one.level, one.outcome) for one in review.parts[0].talks}
    assert outcomes == {
        "rents-a-bike": ("broken", "fails now; it passed before"),
        "asks-for-an-order": ("note", "passes as before"),
    }
    (talk,) = [one for one in review.parts[0].talks if one.level == "broken"]
    assert str(talk.after.places[0]) == "bots/shop/conversations.yaml:7:21"


def test_the_verdict_and_its_reasons(review: Review) -> None:
    decided, reasons = verdict(review)
    assert decided == "broken"
    assert [(one.level, one.text) for one in reasons] == [
        ("broken", "1 Conversation fails"),
        ("human", "a chosen model is about to go"),
        ("human", "something is sent to a new host"),
        ("human", "an address carries a secret"),
        ("human", "a reply may be longer and dearer"),
        ("human", "an object is deleted"),
        ("human", "a bot is disabled"),
        ("human", "a trigger reaches more messages"),
        ("human", "messages are answered by nobody any more (3 times)"),
        ("human", "a bot never answers"),
        ("human", "messages go to other bots (5 times)"),
    ]


def test_a_key_in_clear_is_broken_and_says_where(example: Example) -> None:
    review = look_at(example("leak"), head="change")
    assert verdict(review)[0] == "broken"
    (problem,) = review.problems
    assert (problem.path, problem.line) == ("bots/shop/repairs.yaml", 9)
    for shown in (markdown(review), text(review), "\n".join(workflow_commands(review))):
        assert "this looks like an API key" in shown
        assert "9hTq4mZx7LwRb2Kv8NcYd3Fs" not in shown


@pytest.mark.parametrize("head", ["head", "leak"])
def test_the_markdown_is_as_it_was_read(example: Example, head: str) -> None:
    found = markdown(look_at(example(head), head="change"))
    golden = GOLDEN / f"{head}.md"
    if "UPDATE_GOLDEN" in os.environ:
        golden.write_text(found)
    assert found == golden.read_text()


def test_the_injection_is_text_everywhere(review: Review) -> None:
    shown = markdown(review)
    for live in ("<img", "@security", "closes #1", "](https", "https://evil", "\n/merge", "`/merge"):
        assert live not in shown
    assert "Approved" in shown
    assert not any(line.startswith("::") and "\n" in line for line in workflow_commands(review))
