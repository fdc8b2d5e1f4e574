"""Who is blamed for a Conversation that fails at times."""

from __future__ import annotations

import pytest

from reconciler.plan.review.flaky import blame, fisher

# From the hypergeometric distribution, by hand: C(4,0)C(4,4)/C(8,4) and so on.
EXACT = [((4, 4, 0, 4), 1 / 70), ((8, 8, 4, 8), 70 / 1820), ((4, 4, 4, 4), 1.0), ((0, 4, 0, 4), 1.0),
         ((3, 4, 1, 4), 17 / 70), ((8, 8, 0, 8), 1 / 12870)]  # fmt: skip


@pytest.mark.parametrize(("counts", "expected"), EXACT, ids=[str(case[0]) for case in EXACT])
def test_fisher(counts: tuple[int, int, int, int], expected: float) -> None:
    assert fisher(*counts) == pytest.approx(expected)


CASES = [
    ((1, 1, 1, 1), "no"),  # it passes
    ((1, 1, 0, 1), "open"),  # one run tells nothing
    ((4, 4, 0, 4), "yes"),
    ((4, 4, 1, 4), "open"),  # p = 0.07
    ((8, 8, 4, 8), "yes"),
    ((8, 8, 6, 8), "open"),  # lost too few
    ((2, 4, 0, 4), "no"),  # no baseline
    ((7, 8, 5, 8), "open"),
]


@pytest.mark.parametrize(("counts", "expected"), CASES, ids=[str(case[0]) for case in CASES])
def test_blame(counts: tuple[int, int, int, int], expected: str) -> None:
    assert blame(*counts) == expected
