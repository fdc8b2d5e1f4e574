"""Sets of code points, as sorted ranges: what `pattern` makes of classes and `automata` asks.

A set is a tuple of (first, last) pairs, both inclusive, in order, with gaps between them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

Ranges = tuple[tuple[int, int], ...]

LAST: Final = 0x10FFFF
ANY: Final[Ranges] = ((0, LAST),)
DIGITS: Final[Ranges] = ((0x30, 0x39),)
WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))


def union(parts: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in any order, overlapping or not, as one set."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(parts):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def without(taken: Ranges, last: int = LAST) -> Ranges:
    """Everything up to `last` that a set does not hold."""
    found, at = [], 0
    for first, end in taken:
        if first > at:
            found.append((at, first - 1))
        at = end + 1
    if at <= last:
        found.append((at, last))
    return tuple(found)


def holds(taken: Ranges, code: int) -> bool:
    """Whether a set holds a code point."""
    place = bisect_right(taken, (code, LAST + 1)) - 1
    return place >= 0 and code <= taken[place][1]


def one(code: int) -> Ranges:
    """The set of one code point."""
    return ((code, code),)
