"""Automata: tests of a text that read it one character at a time. Before it trees and values; after it `search`.

All are deterministic and made as they are read, so that only states which some message reaches are ever built. A test
of a value is Knuth, Morris and Pratt's automaton; a pattern's is Thompson's, its states the sets of places where a
match could stand (with what came before it, for `^`, `$` and `\\b`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, Protocol

from reconciler.plan.patterns.charset import ANY, WORD, Ranges, holds, one
from reconciler.plan.patterns.tree import Beyond, Chars, Choice, Edge, Node, Place, Sequence

MOST_PLACES: Final = 3000  # of one pattern

Operator = Literal["equals", "startsWith", "endsWith", "contains"]
_GONE: Final = -1  # the state of a test that can hold no more


class Automaton(Protocol):
    """A test: states are numbers, `view` says which view of a letter it reads."""

    view: int
    start: int
    work: int  # what it has cost beside one for each step

    def step(self, state: int, char: str) -> int: ...

    def accepts(self, state: int) -> bool:
        """Whether the test holds of a text that ends here."""
        ...

    def fate(self, state: int) -> bool | None:
        """What the test will say whatever follows, or None while that is open."""
        ...


class Value:
    """Whether a text equals, begins with, ends with or contains a value. A state is how much of it was just read."""

    start = 0
    work = 0

    def __init__(self, operator: Operator, value: str, view: int) -> None:
        self.operator, self.value, self.view = operator, value, view
        self.size = len(value)
        self.back = _back(value) if operator in ("endsWith", "contains") else ()

    def step(self, state: int, char: str) -> int:
        if state == _GONE:
            return _GONE
        if state == self.size and self.operator in ("startsWith", "contains"):
            return state
        if not self.back:
            return state + 1 if state < self.size and self.value[state] == char else _GONE
        while state == self.size or self.value[state] != char:
            if state == 0:
                return 0
            state = self.back[state]
        return state + 1

    def accepts(self, state: int) -> bool:
        return state == self.size

    def fate(self, state: int) -> bool | None:
        if state == _GONE:
            return False
        return True if state == self.size and self.operator in ("startsWith", "contains") else None


def _back(value: str) -> tuple[int, ...]:
    """For each length read: the longest shorter beginning of the value that what was read ends in."""
    back = [0, 0]
    for char in value[1:]:
        at = back[-1]
        while at and value[at] != char:
            at = back[at]
        back.append(at + 1 if value[at] == char else 0)
    return tuple(back)


# What came before a place in the text.
_NOTHING, _WORD, _LINE, _OTHER = range(4)
_NEWLINE: Final = one(0x0A)


class Pattern:
    """Whether a pattern is found in a text. State 0 is the start, 1 found; the others are numbered as they come."""

    start = 0

    def __init__(self, tree: Node, view: int) -> None:
        self.view = view
        self.program = _Program(tree)
        self.work = self.program.size
        self.numbers: dict[tuple[frozenset[int], int], int] = {}
        self.kept: list[tuple[frozenset[int], int]] = []
        self.number((frozenset([0]), _NOTHING))
        self.kept.append((frozenset(), _NOTHING))  # found
        self.ends: dict[int, bool] = {}

    def number(self, state: tuple[frozenset[int], int]) -> int:
        found = self.numbers.get(state)
        if found is None:
            found = self.numbers[state] = len(self.kept)
            self.kept.append(state)
        return found

    def step(self, state: int, char: str) -> int:
        if state == 1:
            return 1
        places, before = self.kept[state]
        after = _kind(char)
        reached = self.program.closure(places, before, after)
        if self.program.found in reached:
            return 1
        self.work += len(reached)
        code = ord(char)
        steps = self.program.chars
        moved = {steps[place][1] for place in reached if place in steps and holds(steps[place][0], code)}
        if not self.program.anchored:
            moved.add(0)
        return self.number((frozenset(moved), after if self.program.looks else _OTHER))

    def accepts(self, state: int) -> bool:
        if state == 1:
            return True
        if state not in self.ends:
            places, before = self.kept[state]
            self.ends[state] = self.program.found in self.program.closure(places, before, _NOTHING)
        return self.ends[state]

    def fate(self, state: int) -> bool | None:
        if state == 1:
            return True
        return None if self.kept[state][0] else False


def _kind(char: str) -> int:
    if char == "\n":
        return _LINE
    return _WORD if char == "_" or (char.isascii() and char.isalnum()) else _OTHER


class _Program:
    """A tree as places with ways between them: over a character, over an edge, or free."""

    def __init__(self, tree: Node) -> None:
        self.chars: dict[int, tuple[Ranges, int]] = {}
        self.edges: dict[int, tuple[Place, int]] = {}
        self.free: dict[int, tuple[int, ...]] = {}
        self.size = 1
        self.found = self.add(tree, 0)
        self.looks = bool(self.edges)
        self.anchored = _anchored(tree)

    def place(self) -> int:
        if self.size > MOST_PLACES:
            raise Beyond("it is too large")
        self.size += 1
        return self.size - 1

    def add(self, tree: Node, at: int) -> int:
        """Adds a tree from a place on; gives the place where it ends."""
        match tree:
            case Chars(ranges):
                self.chars[at] = ranges, self.place()
                return self.chars[at][1]
            case Edge(place):
                self.edges[at] = place, self.place()
                return self.edges[at][1]
            case Sequence(parts):
                for part in parts:
                    at = self.add(part, at)
                return at
            case Choice(ways):
                begins = tuple(self.place() for _ in ways)
                self.free[at] = begins
                ends = [self.add(way, begin) for way, begin in zip(ways, begins, strict=True)]
                last = self.place()
                for end in ends:
                    self.free[end] = (last,)
                return last
        for _ in range(tree.least):
            at = self.add(tree.node, at)
        return (
            self.endless(tree.node, at) if tree.most is None else self.optional(tree.node, at, tree.most - tree.least)
        )

    def endless(self, node: Node, at: int) -> int:
        begin, last = self.place(), self.place()
        self.free[at] = (begin, last)
        end = self.add(node, begin)
        self.free[end] = (begin, last)
        return last

    def optional(self, node: Node, at: int, times: int) -> int:
        last = self.place()
        for _ in range(times):
            begin = self.place()
            self.free[at] = (begin, last)
            at = self.add(node, begin)
        self.free[at] = (last,)
        return last

    def closure(self, places: frozenset[int], before: int, after: int) -> set[int]:
        """Everywhere that can be reached from places without reading, between what came and what comes."""
        seen, left = set(places), list(places)
        while left:
            at = left.pop()
            nexts = self.free.get(at, ())
            if at in self.edges and _stands(self.edges[at][0], before, after):
                nexts = (self.edges[at][1],)
            for one_ in nexts:
                if one_ not in seen:
                    seen.add(one_)
                    left.append(one_)
        return seen


def _stands(place: Place, before: int, after: int) -> bool:
    match place:
        case "start":
            return before == _NOTHING
        case "end":
            return after == _NOTHING
        case "line start":
            return before in (_NOTHING, _LINE)
        case "line end":
            return after in (_NOTHING, _LINE)
    return ((before == _WORD) != (after == _WORD)) is (place == "word edge")


def _anchored(tree: Node) -> bool:
    """Whether a match can only begin where the text does."""
    match tree:
        case Edge(place):
            return place == "start"
        case Sequence(parts):
            return bool(parts) and _anchored(parts[0])
        case Choice(ways):
            return all(map(_anchored, ways))
    return False


def sets_of(tree: Node) -> Iterator[Ranges]:
    """The sets of characters that a pattern tells apart."""
    match tree:
        case Chars(ranges):
            yield ranges
        case Edge(place):
            yield _NEWLINE if place.startswith("line") else WORD if "word" in place else ANY
        case Sequence(parts) | Choice(parts):
            for part in parts:
                yield from sets_of(part)
        case _:
            yield from sets_of(tree.node)
