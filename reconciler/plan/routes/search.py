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
from operator import getitem
from typing import Final

from reconciler.plan.routes.alphabet import Letters
from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.asking import Any_, Atom, Formula, Not, tree
from reconciler.plan.routes.automata import Automaton, Pattern, Value, sets_of

MOST_STATES: Final = 10_000  # of one question
MOST_STEPS: Final = 1_000_000  # of one instance: an automaton moved by a letter; about a second


class Spent(Exception):
    """The bounds are reached."""


class Budget:
    """What an instance's proofs may still cost: `steps` in all, `most` states each. `states` counts those looked at."""

    def __init__(self, most: int = MOST_STATES, steps: int = MOST_STEPS) -> None:
        self.most = most
        self.steps = steps
        self.states = 0
        self.kept = 0  # steps that are for later questions

    def pay(self, steps: int) -> None:
        """Raises Spent."""
        self.steps -= steps
        if self.steps < self.kept:
            raise Spent("the bound of an instance is reached (a second of work)")


class Finder:
    """Searches of one instance: letters and automata are made once, all pay from one budget."""

    def __init__(self, semantics: Semantics, budget: Budget, formulas: Iterable[Formula]) -> None:
        self.semantics = semantics
        self.budget = budget
        self.letters = Letters(semantics, dict.fromkeys(atom for one in formulas for atom in atoms_of(one)))
        self.tests: dict[Atom, _Test] = {}

    def find(self, wanted: Iterable[Formula], unwanted: Iterable[Formula]) -> str | None:
        """A message of which all wanted and no unwanted formula holds; None: it is proven that there is none.

        Raises Spent, and Beyond for a pattern that is too large. Of messages that are not `ordinary` nothing is said.
        """
        return _Search(self, tuple(wanted), tuple(unwanted)).run()

    def test(self, atom: Atom) -> _Test:
        found = self.tests.get(atom)
        if found is None:
            self.budget.pay(len(self.letters.all))
            found = self.tests[atom] = _Test(atom, self.semantics, self.letters)
        return found


class _Test:
    """An automaton with the letters in the classes that it tells apart, and its moves by class as they are needed."""

    def __init__(self, atom: Atom, semantics: Semantics, letters: Letters) -> None:
        self.automaton: Automaton
        if atom.operator == "regex":
            pattern = tree(atom.value, semantics)
            self.automaton = Pattern(pattern, atom.view)
            seen = letters.by_sets(list(dict.fromkeys(sets_of(pattern))), atom.view)
        else:
            self.automaton = Value(atom.operator, atom.value, atom.view)
            seen = letters.by_chars(set(atom.value), atom.view)
        numbers: dict[object, int] = {}
        self.classes = [numbers.setdefault(one, len(numbers)) for one in seen]
        self.texts = [""] * len(numbers)
        for number, letter in zip(self.classes, letters.all, strict=True):
            self.texts[number] = letter.views[atom.view]
        self.moves: dict[int, list[int]] = {}

    def row(self, state: int) -> list[int]:
        """Where a state leads by each class of letters, remembered in `moves`."""
        found = self.moves[state] = []
        for text in self.texts:
            at = state
            for char in text:
                at = self.automaton.step(at, char)
            found.append(at)
        return found


class _Search:
    def __init__(self, finder: Finder, wanted: tuple[Formula, ...], unwanted: tuple[Formula, ...]) -> None:
        self.wanted, self.unwanted = wanted, unwanted
        self.budget = finder.budget
        atoms = dict.fromkeys(atom for formula in (*wanted, *unwanted) for atom in atoms_of(formula))
        self.tests = [finder.test(atom) for atom in atoms]
        self.place = {atom: place for place, atom in enumerate(atoms)}
        self.trims = finder.semantics == "runtime"
        self.letters = finder.letters.apart([test.classes for test in self.tests])
        self.price = (len(self.tests) + 2) * len(self.letters)
        self.budget.pay(len(finder.letters.all) // 4 + 50)

    def run(self) -> str | None:
        first = tuple(test.automaton.start for test in self.tests), _START
        heap: list[tuple[int, int, tuple[tuple[int, ...], int], str]] = [(0, 0, first, "")]
        seen: set[tuple[tuple[int, ...], int]] = set()
        best: dict[tuple[tuple[int, ...], int], int] = {}  # the least price at which a node is reached; -1: in vain
        pushed, trims = 0, self.trims
        while heap:
            paid, _, node, text = heapq.heappop(heap)
            if node in seen:
                continue
            seen.add(node)
            states, edge = node
            if edge == _READ and self.whole(states):
                return text
            self.pay(len(seen))
            rows = self.rows(states)
            for letter, price, blank, classes in self.letters:
                if blank and edge != _READ and trims:  # a clean message begins with none, and has no two in a row
                    continue
                reached = tuple(map(getitem, rows, classes))
                after = reached, (_BLANK if blank and trims else _READ)
                known = best.get(after)
                if known is not None and known <= paid + price:
                    continue
                if known is None and not self.possible(reached):
                    best[after] = -1
                    continue
                best[after] = paid + price
                pushed += 1
                heapq.heappush(heap, (paid + price, pushed, after, text + letter))
        return None

    def pay(self, states: int) -> None:
        self.budget.states += 1
        if states > self.budget.most:
            raise Spent(f"the bound of a question is reached ({self.budget.most:,} states)")
        self.budget.pay(self.price)

    def rows(self, states: tuple[int, ...]) -> list[list[int]]:
        rows = []
        for test, state in zip(self.tests, states, strict=True):
            row = test.moves.get(state)
            if row is None:
                before = test.automaton.work
                row = test.row(state)
                self.budget.pay(test.automaton.work - before)
            rows.append(row)
        return rows

    def whole(self, states: tuple[int, ...]) -> bool:
        verdicts: list[bool | None] = [
            test.automaton.accepts(state) for test, state in zip(self.tests, states, strict=True)
        ]
        return all(self.verdict(one, verdicts) for one in self.wanted) and not any(
            self.verdict(one, verdicts) for one in self.unwanted
        )

    def possible(self, states: tuple[int, ...]) -> bool:
        """Whether the formulas may still come out as wanted, whatever follows."""
        fates = [test.automaton.fate(state) for test, state in zip(self.tests, states, strict=True)]
        for one in self.wanted:
            if self.verdict(one, fates) is False:
                return False
        return all(self.verdict(one, fates) is not True for one in self.unwanted)

    def verdict(self, formula: Formula, known: list[bool | None]) -> bool | None:
        """A formula's truth from its tests', None while it is open."""
        if isinstance(formula, Atom):
            return known[self.place[formula]]
        if isinstance(formula, Not):
            found = known[self.place[formula.part]]
            return None if found is None else not found
        parts = [self.verdict(part, known) for part in formula.parts]
        decided = isinstance(formula, Any_)
        if decided in parts:
            return decided
        return None if None in parts else not decided


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
