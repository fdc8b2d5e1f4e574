"""Who answers a given message: quickly for the thousands that `prove` tries, and by the target's own matcher for every
message that it reports.

Before it the order of asking; after it `prove`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import re2

from reconciler.plan.evolution import match as evolution
from reconciler.plan.patterns import javascript
from reconciler.plan.patterns.tree import Beyond, Refused, to_re2, weight
from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.asking import Any_, Asked, Atom, Formula, Not, Order, tree
from reconciler.talk import match
from reconciler.talk.match import bare, fold

_PRICES: Final = {
    "regex": 2,
    "advanced": 3,
}  # what asking a bot costs, in steps of an automaton; values next to nothing
_TOGETHER: Final = 16  # patterns that are first looked for at once
_LARGE: Final = 4_000  # of patterns together, by weight: to compile more takes longer than it saves

LAST: Final = -1  # the place of whoever answers what no trigger takes


class Unknown(Exception):
    """It is not known who answers a message; says why."""


class Views:
    """A message in the views that triggers look at, each made once."""

    __slots__ = ("made", "semantics", "text")

    def __init__(self, text: str, semantics: Semantics) -> None:
        self.text, self.semantics = text, semantics
        self.made: dict[int, str] = {}

    def of(self, view: int) -> str:
        found = self.made.get(view)
        if found is None:
            found = self.made[view] = _VIEWS[self.semantics][view](self.text)
        return found


_VIEWS: Final[dict[Semantics, tuple[Callable[[str], str], ...]]] = {
    "runtime": (match.readable, fold, bare),
    "evolution": (str, javascript.as_units, evolution.plain),
}


Test = Callable[[Views], bool]


def test_of(one: Asked, semantics: Semantics) -> Test:
    """Whether a bot's trigger takes a message, as a function that raises Unknown where that cannot be told."""
    if not one.unknown:
        return _made(one.trigger, semantics)
    if semantics == "runtime":
        return lambda views: match.finds(one.value, views.text)

    def test(views: Views) -> bool:
        try:
            return evolution.passes(one.bot, views.text)
        except Beyond as error:
            raise Unknown(f"what {one.name} takes is not known: {error}") from None

    return test


def _made(formula: Formula, semantics: Semantics) -> Test:
    if isinstance(formula, Atom):
        test, value, view = _TESTS[semantics][formula.operator], formula.value, formula.view
        return lambda views: test(views.of(view), value)
    if isinstance(formula, Not):
        inner = _made(formula.part, semantics)
        return lambda views: not inner(views)
    parts = [_made(part, semantics) for part in formula.parts]
    if len(parts) == 1:
        return parts[0]
    decided = isinstance(formula, Any_)

    def holds(views: Views) -> bool:
        for part in parts:
            if part(views) is decided:
                return decided
        return not decided

    return holds


_VALUES: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": str.__eq__,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_TESTS: Final[dict[Semantics, dict[str, Callable[[str, str], bool]]]] = {
    "runtime": {**_VALUES, "regex": lambda text, pattern: match.found_in(pattern, text)},
    "evolution": {**_VALUES, "regex": lambda text, pattern: evolution.found_in(pattern, text)},
}


class Answering:
    """An order of asking made ready for many messages."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.won: dict[str, int] = {}
        self.said: dict[str, str | None] = {}
        self.price = sum(_PRICES.get(one.rank, 0) for one in order.asked) + len(order.asked) // 10 + 5
        self.real_price = sum(_PRICES.get(one.rank, 0) for one in order.asked) * 8 + len(order.asked)
        self.runs: list[Callable[[Views], int | None]] = []
        start = 0
        while start < len(order.asked):
            end = start + 1
            kind = _kind(order.asked[start])
            most = _TOGETHER if order.asked[start].rank == "regex" else len(order.asked)
            while end < len(order.asked) and end - start < most and _kind(order.asked[end]) == kind:
                end += 1
            self.runs.append(_run(order.asked[start:end], start, order.semantics))
            start = end
        self.ranked = match.ranked(one.bot for one in order.asked) if order.semantics == "runtime" else []

    def winner(self, views: Views) -> int:
        """The place of the bot that answers, LAST where no trigger takes the message. Raises Unknown."""
        found = self.won.get(views.text)
        if found is None:
            asked = (place for run in self.runs if (place := run(views)) is not None)
            found = self.won[views.text] = next(asked, LAST)
        return found

    def name(self, place: int) -> str | None:
        """Who answers what the bot at a place takes (None: nobody)."""
        if place == LAST:
            return self.order.last
        one = self.order.asked[place]
        return None if one.drops else one.name

    def real(self, text: str | None) -> str | None:
        """Who answers a message, by the target's own matcher (None: nobody). Raises Unknown."""
        if text is None:
            return self.asked(None)
        if text not in self.said:
            self.said[text] = self.asked(text)
        return self.said[text]

    def asked(self, text: str | None) -> str | None:
        if self.order.semantics == "runtime":
            if text is None:
                return next(
                    (bot.id for trigger, bot in self.ranked if match.RANKS[trigger.rank] == "all"), self.order.last
                )
            return next((bot.id for trigger, bot in self.ranked if trigger.holds(text)), self.order.last)
        content = evolution.NO_TEXT if text is None else text
        for one in self.order.asked:
            try:
                if evolution.passes(one.bot, content):
                    return one.name
            except Refused:
                return None
            except Beyond as error:
                raise Unknown(f"what {one.name} takes is not known: {error}") from None
        return self.order.last


def _kind(one: Asked) -> tuple[str, int] | str:
    """What bots must share to be asked in one go."""
    return (one.trigger.operator, one.trigger.view) if isinstance(one.trigger, Atom) else one.name


def _run(asked: tuple[Asked, ...], start: int, semantics: Semantics) -> Callable[[Views], int | None]:
    """Which of some bots takes a message first."""
    first = asked[0].trigger
    if not isinstance(first, Atom):
        test = test_of(asked[0], semantics)
        return lambda views: start if test(views) else None
    values = [(one.trigger.value, start + at) for at, one in enumerate(asked) if isinstance(one.trigger, Atom)]
    view = first.view
    if first.operator == "equals":
        known = dict(reversed(values))
        return lambda views: known.get(views.of(view))
    holds, every = _TESTS[semantics][first.operator], None
    if first.operator == "regex" and len(values) > 1:
        every = _together([value for value, _ in values], semantics)

    def run(views: Views) -> int | None:
        text = views.of(view)
        if every is not None and every.search(text) is None:
            return None
        for value, place in values:
            if holds(text, value):
                return place
        return None

    return run


def _together(patterns: list[str], semantics: Semantics) -> Any:
    """One pattern that is found where any of some is, or None where that is too large: most messages hold none."""
    trees = [tree(pattern, semantics) for pattern in patterns]
    return re2.compile("|".join(map(to_re2, trees))) if sum(map(weight, trees)) < _LARGE else None
