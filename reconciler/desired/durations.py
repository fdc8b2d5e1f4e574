"""Durations: `90s`, `1h` or a plain number as a whole number of the field's unit."""

from __future__ import annotations

from typing import Any, Final

MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

# Each field's unit, and how many milliseconds it has.
UNITS: Final = {
    "expire": ("seconds", 1_000),
    "retention": ("seconds", 1_000),
    "delayMessage": ("milliseconds", 1),
    "debounceTime": ("milliseconds", 1),
    "timePerChar": ("milliseconds", 1),
    "after": ("milliseconds", 1),
}


def milliseconds(text: str) -> int:
    """A duration with its unit in milliseconds; the text fits the schemas' pattern."""
    number = text.rstrip("dhms")
    return int(number) * MILLISECONDS[text[len(number) :]]


def shown(field: str, value: int) -> int | str:
    """A whole number of the field's unit as people write it: `3600` seconds are `1h`; 0 stays a number."""
    length = value * UNITS[field][1]
    for unit in ("d", "h", "m", "s", "ms"):
        if length and length % MILLISECONDS[unit] == 0:
            return f"{length // MILLISECONDS[unit]}{unit}"
    return 0


def convert(field: str, value: Any) -> int:
    """A duration in its field's unit. Raises ValueError, saying the unit, where that is no whole number."""
    if not isinstance(value, str):
        return int(value)
    unit, length = UNITS[field]
    whole, rest = divmod(milliseconds(value), length)
    if rest:
        raise ValueError(f"'{value}' is not a whole number of {unit}, the unit of {field}")
    return whole
