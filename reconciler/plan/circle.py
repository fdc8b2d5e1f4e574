"""Circles among things that wait for one another, as bots do that trade triggers. After it `order` parks one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

One = TypeVar("One", bound=Hashable)


def circle(waits: Mapping[One, Iterable[One]]) -> list[One]:
    """Some that wait for one another in a circle, each for the next, or none: depth first, without recursion."""
    done: set[One] = set()
    for start in waits:
        path: dict[One, Iterator[One]] = {}
        one: One | None = start
        while one is not None:
            if one in path:
                steps = list(path)
                return steps[steps.index(one) :]
            if one not in done:
                path[one] = iter(waits.get(one, ()))
            one = _further(path, done)
    return []


def _further(path: dict[One, Iterator[One]], done: set[One]) -> One | None:
    """The next to look at from the end of a path, which loses those that are looked through."""
    while path:
        last = next(reversed(path))
        if (following := next(path[last], None)) is not None:
            return following
        done.add(last)
        del path[last]
    return None
