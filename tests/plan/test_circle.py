"""Circles are found wherever they are, and nothing else is one."""

from __future__ import annotations

import pytest

from reconciler.plan.circle import circle


@pytest.mark.parametrize(
    ("waits", "found"),
    [
        ({}, []),
        ({"a": "b", "b": "c"}, []),
        ({"a": "bc", "b": "d", "c": "d", "d": ""}, []),  # two ways to one
        ({"a": "a"}, ["a"]),
        ({"a": "b", "b": "a"}, ["a", "b"]),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, ["a", "b", "c"]),
        ({"a": "b", "b": "", "c": "bd", "d": "c"}, ["c", "d"]),
        ({"a": "bz"}, []),  # who waits for nobody need not be named
    ],
)
def test_a_circle(waits: dict[str, str], found: list[str]) -> None:
    assert circle(waits) == found


def test_a_long_row_is_no_matter() -> None:
    assert circle({number: [number + 1] for number in range(50_000)}) == []
