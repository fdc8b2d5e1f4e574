"""Durations in their field's unit."""

from __future__ import annotations

import pytest

from reconciler.desired.durations import convert


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        ("expire", "1h", 3600),
        ("expire", "90s", 90),
        ("expire", "2000ms", 2),
        ("expire", 3600, 3600),
        ("expire", 3600.0, 3600),
        ("retention", "90d", 7_776_000),
        ("delayMessage", "1s", 1000),
        ("debounceTime", "500ms", 500),
        ("timePerChar", 50, 50),
        ("after", "10m", 600_000),
    ],
)
def test_convert(field: str, written: int | float | str, meant: int) -> None:
    assert convert(field, written) == meant
    assert type(convert(field, written)) is int


def test_a_part_of_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'500ms' is not a whole number of seconds, the unit of expire"):
        convert("expire", "500ms")
