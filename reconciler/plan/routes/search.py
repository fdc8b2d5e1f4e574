"""Is there a message of which all this holds? The shortest and most readable one, or the proof that there is none.

Before it come triggers as formulas (`asking`); after it `prove` puts what is found to the target's own matcher.

All tests of the formulas read the message at once, each its own view, letter by letter. Letters between which none of
the tests tells a difference are one; so a few dozen stand for all of Unicode. From the start state the states that some
message leads to are looked at, nearest first; where no test can hold any more is not gone on. When none is left, there
is no such message.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from reconciler.plan.charset import Ranges, holds
from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.asking import Any_, Atom, Formula, Not, tree
from reconciler.plan.routes.automata import Automaton, Pattern, Value, sets_of
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

MOST_STATES: Final = 10_000  # of one instance
MOST_STEPS: Final = 600_000  # single automata moved by a letter; about a second

_READABLE: Final = (
    "abcdefghijklmnopqrstuvwxyz 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?-_:;'\"/()+*=@#&%éãñçüøßЖ中あ€😀\n"
)


class Spent(Exception):
    """The bounds are reached."""


class Budget:
    """What an instance's proofs may still cost."""

    def __init__(self, states: int = MOST_STATES, steps: int = MOST_STEPS) -> None:
        self.most = self.states = states
        self.steps = steps

    def pay(self, states: int, steps: int) -> None:
        """Raises Spent."""
        self.states -= states
        self.steps -= steps
        if self.states < 0 or self.steps < 0:
            bound = f"{self.most:,} states" if self.states < 0 else "its share of a second"
            raise Spent(f"the bound of an instance is reached ({bound})")


class Finder:
    """Searches of one instance: automata are made once, all pay from one budget."""

    def __init__(self, semantics: Semantics, budget: Budget) -> None:
        self.semantics = semantics
        self.budget = budget
        self.automata: dict[Atom, Automaton] = {}

    def find(self, wanted: Iterable[Formula], unwanted: Iterable[Formula]) -> str | None:
        """A message of which all wanted and no unwanted formula holds; None: it is proven that there is none.

        Raises Spent, and Beyond for a pattern that is too large. Of messages that are not `ordinary` nothing is said.
        """
        return _Search(self, tuple(wanted), tuple(unwanted)).run()

    def automaton(self, atom: Atom) -> Automaton:
        found = self.automata.get(atom)
        if found is None:
            if atom.operator == "regex":
                self.budget.pay(0, 2_000)
                found = Pattern(tree(atom.value, self.semantics), atom.view)
            else:
                found = Value(atom.operator, atom.value, atom.view)
            self.automata[atom] = found
        return found


class _Search:
    def __init__(self, finder: Finder, wanted: tuple[Formula, ...], unwanted: tuple[Formula, ...]) -> None:
        self.wanted, self.unwanted = wanted, unwanted
        self.semantics, self.budget = finder.semantics, finder.budget
        atoms = dict.fromkeys(atom for formula in (*wanted, *unwanted) for atom in atoms_of(formula))
        self.tests = [finder.automaton(atom) for atom in atoms]
        self.place = {atom: place for place, atom in enumerate(atoms)}
        self.trims = self.semantics == "runtime"
        self.letters = _alphabet(tuple(atoms), self.semantics)
        self.budget.pay(0, 20 * len(self.letters))
        self.moves: list[dict[int, list[int]]] = [{} for _ in self.tests]

    def run(self) -> str | None:
        first = tuple(test.start for test in self.tests), 0
        heap: list[tuple[int, int, tuple[tuple[int, ...], int], str]] = [(0, 0, first, "")]
        seen: set[tuple[tuple[int, ...], int]] = set()
        pushed = 0
        while heap:
            paid, _, node, text = heapq.heappop(heap)
            if node in seen:
                continue
            seen.add(node)
            states, edge = node
            if edge == _READ and self.whole(states):
                self.budget.pay(len(seen) // 100, 0)
                return text
            self.budget.pay(1, len(self.letters) * (len(states) + 1))
            rows = [self.row(place, state) for place, state in enumerate(states)]
            for number, (letter, price, blank) in enumerate(self.letters):
                if self.trims and blank and edge == _START:
                    continue
                reached = tuple(row[number] for row in rows)
                after = reached, (_BLANK if blank and self.trims else _READ)
                if after in seen or not self.possible(reached):
                    continue
                pushed += 1
                heapq.heappush(heap, (paid + price, pushed, after, text + letter.text))
        return None

    def row(self, place: int, state: int) -> list[int]:
        """Where a test's state leads by each letter."""
        found = self.moves[place].get(state)
        if found is None:
            test = self.tests[place]
            found = []
            for letter, _, _ in self.letters:
                at = state
                for char in letter.views[test.view]:
                    at = test.step(at, char)
                found.append(at)
            self.moves[place][state] = found
        return found

    def whole(self, states: tuple[int, ...]) -> bool:
        verdicts: list[bool | None] = [test.accepts(state) for test, state in zip(self.tests, states, strict=True)]
        return all(self.verdict(one, verdicts) for one in self.wanted) and not any(
            self.verdict(one, verdicts) for one in self.unwanted
        )

    def possible(self, states: tuple[int, ...]) -> bool:
        """Whether the formulas may still come out as wanted, whatever follows."""
        fates = [test.fate(state) for test, state in zip(self.tests, states, strict=True)]
        return all(self.verdict(one, fates) is not False for one in self.wanted) and all(
            self.verdict(one, fates) is not True for one in self.unwanted
        )

    def verdict(self, formula: Formula, known: list[bool | None]) -> bool | None:
        """A formula's truth from its tests', None while it is open."""
        if isinstance(formula, Atom):
            return known[self.place[formula]]
        if isinstance(formula, Not):
            found = known[self.place[formula.part]]
            return None if found is None else not found
        found_ = [self.verdict(part, known) for part in formula.parts]
        decided = isinstance(formula, Any_)
        if decided in found_:
            return decided
        return None if None in found_ else not decided


_START, _READ, _BLANK = range(3)


def atoms_of(formula: Formula) -> Iterator[Atom]:
    """The tests of a formula."""
    if isinstance(formula, Atom):
        yield formula
    elif isinstance(formula, Not):
        yield formula.part
    else:
        for part in formula.parts:
            yield from atoms_of(part)


Alphabet = list[tuple[Letter, int, bool]]


def _alphabet(atoms: tuple[Atom, ...], semantics: Semantics) -> Alphabet:
    """One letter, the most readable, for all that no test tells apart; with its price and whether it is trimmed."""
    values = [set("".join(atom.value for atom in atoms if atom.operator != "regex" and atom.view == view))
              for view in (FIRST, SECOND, THIRD)]  # fmt: skip
    sets = list(dict.fromkeys(
        found for atom in atoms if atom.operator == "regex" for found in sets_of(tree(atom.value, semantics))
    ))  # fmt: skip
    made = LETTERS[semantics]
    chars = _READABLE + "".join(sorted(_special(values, semantics)))
    found: dict[object, tuple[int, Letter, bool]] = {}
    for letter in (*(made(char) for char in dict.fromkeys(chars)), *_others(values, sets, set(chars), semantics)):
        if letter is None:
            continue
        key, price, blank = _seen(letter, values, sets, semantics), cost(letter.text), letter.text.isspace()
        if key not in found or price < found[key][0]:
            found[key] = price, letter, blank
    return [(letter, price, blank) for price, letter, blank in found.values()]


def _seen(letter: Letter, values: list[set[str]], sets: list[Ranges], semantics: Semantics) -> object:
    """What the tests see of a letter."""
    views = tuple(
        tuple(char if char in known else "" for char in letter.views[view]) if known else ()
        for view, known in enumerate(values)
    )
    pattern = letter.views[FIRST if semantics == "runtime" else SECOND] if sets else ""
    inside = tuple(tuple(holds(each, ord(char)) for each in sets) for char in pattern)
    return views, inside, semantics == "runtime" and letter.text.isspace()


def _special(values: list[set[str]], semantics: Semantics) -> set[str]:
    """The characters that some view turns into one that a value holds, and those themselves."""
    second, third = sources(semantics)
    found = {char for known in values for char in known}
    if semantics == "runtime":
        found |= {char for known in values[SECOND] for char in second.get(known, "")}
    return found | {char for known in values[THIRD] for char in third.get(known, "")}


def _others(values: list[set[str]], sets: list[Ranges], taken: set[str], semantics: Semantics) -> Iterator[Letter]:
    """One letter for each stretch of characters between which nothing changes, where it has one that is not special."""
    if semantics == "evolution" and (values[THIRD] or sets):
        yield FINAL_SIGMA
    parts: list[Ranges] = [*sets]
    if semantics == "runtime":
        parts.append(spaces())
    if values[THIRD]:
        parts.append(silent(semantics))
    if semantics == "evolution":
        yield from _pairs(sets)
    bounds = sorted({0, 0x110000, *(edge for part in parts for low, high in part for edge in (low, high + 1))})
    for low, end in pairwise(bounds):
        for code in range(low, end):
            if chr(code) not in taken and (letter := LETTERS[semantics](chr(code))) is not None:
                yield letter
                break


def _pairs(sets: list[Ranges]) -> Iterator[Letter]:
    """Letters beyond U+FFFF, which such a server reads as two units: one for each two kinds of units."""
    if not sets:
        return
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
