"""Patterns written for RE2, as JavaScript's `new RegExp(value)` takes them. PURE.

Before it come declared triggers; `desired.links` asks what is wrong with them. JavaScript has no `(?i)` at the
start of a pattern, so the letters are written in both cases; what it would take but read otherwise is named.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from reconciler.plan.evolution.match import check_regex
from reconciler.plan.patterns.tree import Beyond

_PIECE: Final = re.compile(
    r"""\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)   # an escape
      | \(\?(?:P?<[A-Za-z0-9_]+>|[^)<]?)         # what begins a special group
      | .""",
    re.DOTALL | re.VERBOSE,
)
# Where JavaScript without the flag `u` reads something else than RE2 (github.com/google/re2/wiki/Syntax).
_OTHERWISE: Final = {
    "A": "the start of the text: write ^",
    "z": "the end of the text: write $",
    "Q": "quoted text: escape each character",
    "E": "quoted text: escape each character",
    "C": "a byte",
    "a": "the bell: write \\x07",
    "p": "a class of letters: write the letters out",
    "P": "a class of letters: write the letters out",
}
_CLASS: Final = re.compile(r"\[:\^?[a-z]+:\]|\[\^?\]")
# There a character beyond U+FFFF is two, of which a class takes either, and a repeat the second.
_PAIR: Final = re.compile(r"\[[^\]]*[\U00010000-\U0010ffff]|[\U00010000-\U0010ffff][*+?{]")
_NUMBERED: Final = re.compile(r"\\[xu0-9]")  # a letter by its number, of which the other case is not written here


def both_cases(pattern: str) -> str:
    """A pattern that begins with `(?i)`, with each letter in both cases; any other as it is.

    One with letters by number, or with what JavaScript reads otherwise, is left alone for somebody to look at.
    """
    rest = pattern.removeprefix("(?i)")
    if rest == pattern or _NUMBERED.search(rest) or foreign_syntax(rest) is not None:
        return pattern
    return "".join(_folded(rest))


def wrong_pattern(pattern: str) -> str | None:
    """What is wrong with a declared pattern on an Evolution API server, whose JavaScript searches it, or None."""
    lowered = both_cases(pattern)
    if (said := foreign_syntax(lowered)) is not None:
        return said
    try:
        return check_regex(lowered)
    except Beyond:
        return None  # JavaScript takes it; only what it matches is not known here


def foreign_syntax(pattern: str) -> str | None:
    """What RE2 and JavaScript read differently in a pattern, or None."""
    pieces = _PIECE.findall(pattern)
    for piece, following in itertools.pairwise([*pieces, ""]):
        if piece[0] == "\\" and piece[1:] in _OTHERWISE:
            return f"JavaScript reads {piece} in the pattern as the letter {piece[1:]}, RE2 as {_OTHERWISE[piece[1:]]}"
        if (piece, following) == ("\\x", "{"):
            return "JavaScript reads \\x{…} in the pattern as a repeated x: write the character itself"
    if found := _PAIR.search(pattern):
        return f"JavaScript takes a character beyond U+FFFF in {found[0]} for two: write (?:…|…) in place of [ ]"
    if found := _CLASS.search(pattern):
        return f"JavaScript does not read {found[0]} in a pattern as RE2 does: write the letters out"
    return None


def _folded(pattern: str) -> Iterator[str]:
    inside = False
    pieces = _PIECE.findall(pattern)
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        if not inside:
            inside = piece == "["
            other = _other(piece)
            yield f"[{piece}{other}]" if other else piece
        elif piece == "]":
            inside = False
            yield piece
        elif pieces[at + 1 : at + 2] == ["-"] and pieces[at + 2 : at + 3] not in ([], ["]"]):
            first, last = piece, pieces[at + 2]
            yield f"{first}-{last}"
            if (low := _other(first)) and (high := _other(last)) and low < high:
                yield f"{low}-{high}"
            at += 2
        else:
            yield piece + _other(piece)
        at += 1


def _other(piece: str) -> str:
    """The other case of a letter; "" for what has none, or none of one character."""
    other = piece.swapcase()
    return other if len(piece) == 1 and len(other) == 1 and other != piece else ""
