"""Who answers a given message: quickly for the thousands that `prove` tries, and by the target's own matcher for every
message that it reports.

Before it the order of asking; after it `prove`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reconciler.plan import evolution, javascript
from reconciler.plan.pattern import Beyond, Refused
from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.asking import All, Any_, Asked, Atom, Formula, Order
from reconciler.talk import match
from reconciler.talk.match import bare, fold

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


def takes(one: Asked, views: Views) -> bool:
    """Whether a bot's trigger takes a message. Raises Unknown where that cannot be told."""
    if not one.unknown:
        return _holds(one.trigger, views)
    if views.semantics == "runtime":
        return match.finds(one.value, views.text)
    try:
        return evolution.passes(one.bot, views.text)
    except Beyond as error:
        raise Unknown(f"what {one.name} takes is not known: {error}") from None


def _holds(formula: Formula, views: Views) -> bool:
    if isinstance(formula, Atom):
        if formula.operator == "regex":
            runtime = views.semantics == "runtime"
            return (match.found_in if runtime else evolution.found_in)(formula.value, views.of(formula.view))
        return _TESTS[formula.operator](views.of(formula.view), formula.value)
    if isinstance(formula, All):
        return all(_holds(part, views) for part in formula.parts)
    if isinstance(formula, Any_):
        return any(_holds(part, views) for part in formula.parts)
    return not _holds(formula.part, views)


_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": str.__eq__,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}


class Answering:
    """An order of asking made ready for many messages."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.won: dict[str, int] = {}
        self.runs: list[Callable[[Views], int | None]] = []
        start = 0
        while start < len(order.asked):
            end = start + 1
            while end < len(order.asked) and _kind(order.asked[end]) == _kind(order.asked[start]):
                end += 1
            self.runs.append(_run(order.asked[start:end], start))
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


def _run(asked: tuple[Asked, ...], start: int) -> Callable[[Views], int | None]:
    first = asked[0].trigger
    if not isinstance(first, Atom) or first.operator == "regex":
        return lambda views: next((start + at for at, one in enumerate(asked) if takes(one, views)), None)
    values = [(one.trigger.value, start + at) for at, one in enumerate(asked) if isinstance(one.trigger, Atom)]
    view = first.view
    if first.operator == "equals":
        known = dict(reversed(values))
        return lambda views: known.get(views.of(view))
    test = _TESTS[first.operator]

    def run(views: Views) -> int | None:
        text = views.of(view)
        for value, place in values:
            if test(text, value):
                return place
        return None

    return run
