"""A pattern as a tree that means the same in every engine. After it `javascript` and `re2` make the trees,
`automata` runs them; `to_re2` writes one as RE2 takes it.

Only whether a pattern is found counts here: groups, lazy repeats and what is captured leave no trace.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from reconciler.plan.patterns.charset import Ranges

Place = Literal["start", "end", "line start", "line end", "word edge", "no word edge"]

MOST_REPEATS: Final = 1000  # RE2's own bound


class Refused(Exception):
    """The engine that will run the pattern refuses it."""


class Beyond(Exception):
    """The pattern may be sound, but is beyond what is understood here: nothing may be claimed of it."""


class Chars(msgspec.Struct, frozen=True):
    """One character of a set; an empty set matches nothing."""

    ranges: Ranges


class Edge(msgspec.Struct, frozen=True):
    """A place between characters. Word characters are ASCII's letters, digits and `_`."""

    place: Place


class Sequence(msgspec.Struct, frozen=True):
    """One after the other; an empty one matches the empty text."""

    parts: tuple[Node, ...]


class Choice(msgspec.Struct, frozen=True):
    """One of several."""

    ways: tuple[Node, ...]


class Repeat(msgspec.Struct, frozen=True):
    """A node at least `least` and at most `most` times (None: without end)."""

    node: Node
    least: int
    most: int | None


Node = Chars | Edge | Sequence | Choice | Repeat

_EDGES: Final[dict[Place, str]] = {
    "start": r"\A",
    "end": r"\z",
    "line start": r"(?m:^)",
    "line end": r"(?m:$)",
    "word edge": r"\b",
    "no word edge": r"\B",
}


def to_re2(node: Node) -> str:
    """The tree in RE2's syntax, every character by its number."""
    match node:
        case Chars(ranges):
            inside = "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)
            return f"[{inside}]" if inside else r"[^\x{0}-\x{10ffff}]"
        case Edge(place):
            return _EDGES[place]
        case Sequence(parts):
            return "".join(map(to_re2, parts))
        case Choice(ways):
            return f"(?:{'|'.join(map(to_re2, ways))})"
    return f"(?:{to_re2(node.node)}){{{node.least},{'' if node.most is None else node.most}}}"


def weight(node: Node) -> int:
    """How large a tree is for an engine: its ranges of characters, repeats written out."""
    match node:
        case Chars(ranges):
            return len(ranges) + 1
        case Edge():
            return 1
        case Sequence(parts) | Choice(parts):
            return 1 + sum(map(weight, parts))
    return weight(node.node) * max(node.least, node.most or 0, 1)
