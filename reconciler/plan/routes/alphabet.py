"""The letters that stand for all of Unicode in one instance. Before it the triggers' tests; after it `search`.

A character is special where a value holds it, or holds what a view makes of it; each special one is a letter of its
own. Of all others only those between which a pattern tells a difference (or trimming, or a view that drops marks) are
kept, one for each stretch of characters without any difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from reconciler.plan.patterns.charset import Ranges, holds
from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.asking import Atom, tree
from reconciler.plan.routes.automata import sets_of
from reconciler.plan.routes.letters import (
    FINAL_SIGMA,
    FIRST,
    LETTERS,
    SECOND,
    THIRD,
    Letter,
    cost,
    silent,
    sources,
    spaces,
)

_READABLE: Final = (
    "abcdefghijklmnopqrstuvwxyz 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?-_:;'\"/()+*=@#&%éãñçüøßЖ中あ€😀\n"
)

Chosen = tuple[str, int, bool, tuple[int, ...]]


class Letters:
    """The alphabet of an instance: `all` its letters, the most readable first."""

    def __init__(self, semantics: Semantics, atoms: Iterable[Atom]) -> None:
        atoms = list(atoms)
        values = [
            set("".join(atom.value for atom in atoms if atom.operator != "regex" and atom.view == view))
            for view in (FIRST, SECOND, THIRD)
        ]
        sets = list(dict.fromkeys(
            found for atom in atoms if atom.operator == "regex" for found in sets_of(tree(atom.value, semantics))
        ))  # fmt: skip
        chars = dict.fromkeys(_READABLE + "".join(sorted(_special(values, semantics))))
        made = [letter for char in chars if (letter := LETTERS[semantics](char)) is not None]
        kept: dict[object, tuple[int, Letter]] = {}
        for letter in (*made, *_others(values, sets, set(chars), semantics)):
            key, price = _seen(letter, values, sets, semantics), cost(letter.text)
            if key not in kept or price < kept[key][0]:
                kept[key] = price, letter
        rows = sorted(kept.values(), key=lambda row: row[0])
        self.all = [letter for _, letter in rows]
        self.rows = [(letter.text, price, letter.text.isspace()) for price, letter in rows]

    def by_chars(self, chars: set[str], view: int) -> list[object]:
        """What a value of these characters sees of each letter."""
        return [tuple([char if char in chars else "" for char in letter.views[view]]) for letter in self.all]

    def by_sets(self, sets: list[Ranges], view: int) -> list[object]:
        """What a pattern of these sets sees of each letter."""
        return [
            tuple([holds(each, ord(char)) for char in letter.views[view] for each in sets] + [len(letter.views[view])])
            for letter in self.all
        ]

    def apart(self, tests: list[list[int]]) -> list[Chosen]:
        """One letter, the most readable, for all that none of some tests tells apart: as it is written, its price,
        whether it is a blank, and its class by test."""
        found: dict[object, Chosen] = {}
        for (text, price, blank), classes in zip(self.rows, zip(*tests, strict=True) if tests else (), strict=False):
            found.setdefault((classes, blank), (text, price, blank, classes))
        if not tests:
            text, price, blank = self.rows[0]
            return [(text, price, blank, ())]
        return list(found.values())


def _seen(letter: Letter, values: list[set[str]], sets: list[Ranges], semantics: Semantics) -> object:
    """What all tests together see of a letter."""
    views = tuple(
        tuple([char if char in known else "" for char in letter.views[view]]) if known else ()
        for view, known in enumerate(values)
    )
    pattern = letter.views[FIRST if semantics == "runtime" else SECOND] if sets else ""
    inside = tuple([holds(each, ord(char)) for char in pattern for each in sets])
    return views, inside, len(pattern), letter.text.isspace()


def _special(values: list[set[str]], semantics: Semantics) -> set[str]:
    """The characters that some view turns into one that a value holds, and those themselves."""
    second, third = sources(semantics)
    found = {char for known in values for char in known}
    if semantics == "runtime":
        found |= {char for known in values[SECOND] for char in second.get(known, "")}
    return found | {char for known in values[THIRD] for char in third.get(known, "")}


def _others(values: list[set[str]], sets: list[Ranges], taken: set[str], semantics: Semantics) -> Iterator[Letter]:
    """One letter for each stretch of characters between which nothing changes, if it has one that is not special."""
    parts: list[Ranges] = [*sets]
    if semantics == "runtime":
        parts.append(spaces())
    else:
        yield FINAL_SIGMA
        yield from _pairs(sets)
    if values[THIRD]:
        parts.append(silent(semantics))
    bounds = sorted({0, 0x110000, *(edge for part in parts for low, high in part for edge in (low, high + 1))})
    for low, end in pairwise(bounds):
        for code in range(low, end):
            if chr(code) not in taken and (letter := LETTERS[semantics](chr(code))) is not None:
                yield letter
                break


def _pairs(sets: list[Ranges]) -> Iterator[Letter]:
    """Letters beyond U+FFFF, which such a server reads as two units: one for each two kinds of units."""
    halves = []
    for first, last in ((0x10D800, 0x10DBFF), (0x10DC00, 0x10DFFF)):
        changes = (edge for each in sets for low, high in each for edge in (low, high + 1))
        edges = {first, *(edge for edge in changes if first < edge <= last)}
        kinds = {tuple(holds(each, code) for each in sets): code for code in sorted(edges, reverse=True)}
        halves.append(sorted(kinds.values()))
    for high in halves[0]:
        for low in halves[1]:
            letter = LETTERS["evolution"](chr(0x10000 + ((high - 0x10D800) << 10) + (low - 0x10DC00)))
            assert letter is not None
            yield letter
