"""Each error says what to do and has its exit code."""

from __future__ import annotations

import pytest

from reconciler.errors import (
    InvalidBots,
    Misuse,
    PlanRefused,
    Problem,
    Refusal,
    Rejected,
    Unavailable,
    exit_code,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidBots((Problem(path="a.yaml", message="is wrong"),)), 1),
        (PlanRefused((Refusal(reason="too much"),)), 3),
        (Unavailable("down", retry_after=3), 4),
        (Misuse("no"), 64),
        (Rejected(404, "gone"), 1),
        (ValueError("a bug"), 70),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_a_problem_names_place_pointer_message_and_hint() -> None:
    problem = Problem(
        path="bots/a.yaml", line=14, column=16, pointer="spec.x", message="'y' is wrong", hint="did you mean 'z'?"
    )
    assert str(problem) == "bots/a.yaml:14:16: spec.x: 'y' is wrong (did you mean 'z'?)"
    assert str(Problem(path="a", message="m")) == "a: m"
    assert str(InvalidBots((problem, problem))).count("\n") == 1


def test_a_refusal_says_what_would_allow_it() -> None:
    assert str(Refusal(reason="it is protected", remedy="take protect away")) == "it is protected (take protect away)"
    assert str(Refusal(reason="no")) == "no"
