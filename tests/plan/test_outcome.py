"""What became of a merged commit, as a comment: each outcome, and what differs from what the review showed."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.plan.review.marker import Shown, line, read, reviewed
from reconciler.plan.review.outcome import MARKER, Facts, comment, described, different, facts_of
from tests.plan.fleet import bistro, bot, main, running
from tests.plan.test_render import plan

COMMIT = "3f2a91c4" + "0" * 32
GOOD = "1" * 40
LIVE = running(bistro(), main(), bot("x"))
ONE = plan(bistro(), main(), bot("x", maxTokens=900), live=LIVE)
TWO = plan(bistro(), main(), bot("x", maxTokens=900), bot("y"), live=LIVE)


def shown(what: Any) -> Shown:
    found = read(line(reviewed(COMMIT, [("local", what)])))
    assert found is not None
    return found.plans["local"]


def done(what: Any = ONE, **more: Any) -> Facts:
    found = facts_of(what)
    return Facts(**{"digest": found.digest, "prints": found.prints, "number": 7, "counts": {"update": 1}, **more})


def test_what_was_shown_was_applied() -> None:
    assert comment("local", COMMIT, "applied", done(), shown(ONE)) == (
        f"{MARKER}local commit={COMMIT} -->\n### ✅ Applied to local\n\n`3f2a91c4`: 1 updated (pass 7).\n\n"
        "The plan was the one that the review showed.\n"
    )


def test_what_was_applied_differs() -> None:
    more = comment("local", COMMIT, "applied", done(TWO), shown(ONE))
    assert "**The plan was not the one that the review showed**: 1 more.\n\n- +&#8203; " not in more
    assert "**The plan was not the one that the review showed**: 1 more.\n\n- &#8203;+ Bot bistro/y" in more
    fewer = comment("local", COMMIT, "applied", done(ONE), shown(TWO))
    assert "**The plan was not the one that the review showed**: 1 of those shown not in it." in fewer
    large = Facts(digest="f" * 16, counts={"create": 10_000})
    assert "**The plan was not the one that the review showed**." in comment("l", COMMIT, "applied", large, shown(ONE))


def test_what_others_brought_in_the_same_pass_is_no_difference() -> None:
    text = comment("local", COMMIT, "applied", done(TWO), shown(ONE), alone=False)
    assert "All that the review showed is in it." in text
    assert different(done(ONE), shown(TWO), alone=False) == (True, (), 1)
    assert different(Facts(digest="f" * 16), shown(ONE), alone=False) == (False, (), 0)


def test_without_a_review() -> None:
    assert "No review of this pull request is known" in comment("local", COMMIT, "applied", done())


@pytest.mark.parametrize(
    ("outcome", "facts", "said", "status"),
    [
        ("unchanged", Facts(), "all was as declared", "nothing to do on local: all was as declared"),
        (
            "refused",
            Facts(message="39% is over 30%\nmore"),
            "Nothing was changed",
            "refused for local: 39% is over 30%",
        ),
        (
            "invalid",
            Facts(message="bots/a.yaml:1:1: no"),
            "reconciler validate",
            "not a desired state for local: bots/a",
        ),
        ("failed", Facts(failed=("create Bot a/b: failed, 409",)), "- create Bot a/b", "failed on local"),
        (
            "partial",
            Facts(counts={"create": 2, "delete": 1}, failed=("update Bot a/c: failed",)),
            "2 created, 1 deleted, 1 not done",
            "applied in part to local: 2 created, 1 deleted, 1 not done",
        ),
        (
            "rolled-back",
            Facts(good=GOOD, number=9),
            "`11111111` stands in its place (pass 9)",
            "rolled back on local: 11",
        ),
        ("pending", Facts(message="suspended"), "suspended", "waits for local: suspended"),
    ],
)
def test_outcomes(outcome: Any, facts: Facts, said: str, status: str) -> None:
    text = comment("local", COMMIT, outcome, facts)
    assert text.startswith(f"{MARKER}local commit={COMMIT} -->\n### ")
    assert said in text
    assert described("local", outcome, facts).startswith(status)


def test_messages_are_only_text_and_not_without_end() -> None:
    attack = "@all </details> <!-- x --> [a](http://b)\n/merge\n" + "\n".join(f"row {n}" for n in range(40))
    text = comment("local", COMMIT, "refused", Facts(message=attack))
    for power in ("@all", "</details>", "<!-- x", "](", "\n/merge"):
        assert power not in text
    assert "- and 22 more" in text
    assert "row 30" not in text


def test_a_large_plan_keeps_no_prints() -> None:
    many = plan(bistro(), main(), *(bot(f"b{n}") for n in range(301)), live=running(bistro(), main()))
    assert facts_of(many).prints is None
    assert facts_of(None) == Facts()
