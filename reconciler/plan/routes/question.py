"""One question of `prove`: is there a message that the bot at one place answers (and, in the other order, at another)?

Before it the triggers as formulas; after it `prove` puts the questions and says what came of them. It is first tried on
messages made of the triggers' own words, then handed to `search` with as little as can be: the triggers that must take
the message. When somebody who is asked earlier takes the message that comes back, the next search leaves that one's
messages out - until a message is left that shows the case, or none is, which proves that there is no such case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.plan.patterns.tree import Beyond
from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.answering import LAST, Answering, Test, Unknown, Views, test_of
from reconciler.plan.routes.asking import Asked, Formula
from reconciler.plan.routes.samples import samples
from reconciler.plan.routes.search import Budget, Finder, Spent

ODD: Final = "the messages in question hold marks that Unicode rearranges"

Taken = tuple[Asked, str]  # who takes messages, and one of them


class Questions:
    """The questions about one instance; what one has cost the next have not."""

    def __init__(self, semantics: Semantics, budget: Budget, asked: Iterable[Asked]) -> None:
        self.semantics = semantics
        self.budget = budget
        self.finder = Finder(semantics, budget, [one.trigger for one in asked if not one.unknown])
        self.tests: dict[tuple[str, str], Test] = {}
        self.known: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self.within: dict[tuple[tuple[str, str], tuple[str, str]], bool] = {}

    def case(self, wants: list[tuple[Answering, int]], tries: Iterable[str]) -> tuple[str | None, list[Taken]]:
        """A message for which each order's winner is at its place; None with those who take all there could be.

        Raises Spent, Beyond and Unknown: then nothing is known.
        """
        for tried in tries:
            if self.shows(wants, tried):
                return tried, []
        wanted: list[Formula] = []
        for answering, place in wants:
            if place != LAST:
                one = answering.order.asked[place]
                if one.unknown:
                    raise Unknown(f"what {one.name} takes is not known: {one.unknown}")
                wanted.append(one.trigger)
        barred: dict[tuple[str, str], Taken] = {}
        while (text := self.finder.find(wanted, [one.trigger for one, _ in barred.values()])) is not None:
            views = Views(text, self.semantics)
            winners = [(answering, place, self.winner(answering, views)) for answering, place in wants]
            wrong = [(answering, won) for answering, place, won in winners if won != place]
            if not wrong:
                return text, []
            fresh = False
            for answering, won in wrong:
                if won != LAST:
                    one = answering.order.asked[won]
                    if one.unknown:
                        raise Unknown(f"what {one.name} takes is not known: {one.unknown}")
                    fresh = fresh or one.key not in barred
                    barred[one.key] = one, text
            if not fresh:
                raise Unknown(ODD)
        return None, list(barred.values())

    def confirmed(self, wants: list[tuple[Answering, str | None]], text: str) -> str:
        """A message that the target's own matcher gives to these bots. Raises Unknown where it does not."""
        if any(answering.real(text) != name for answering, name in wants):
            raise Unknown(ODD)
        return text

    def takes(self, one: Asked, views: Views) -> bool:
        test = self.tests.get(one.key)
        if test is None:
            test = self.tests[one.key] = test_of(one, self.semantics)
        return test(views)

    def winner(self, answering: Answering, views: Views) -> int:
        if views.text not in answering.won:
            self.budget.pay(answering.price)
        return answering.winner(views)

    def shows(self, wants: list[tuple[Answering, int]], text: str) -> bool:
        """Whether a message shows a case."""
        views = Views(text, self.semantics)
        try:
            if not all(self.takes(answering.order.asked[place], views) for answering, place in wants if place != LAST):
                return False
            return all(self.winner(answering, views) == place for answering, place in wants)
        except Unknown:
            return False

    def inside(self, one: Asked, other: Asked) -> bool:
        """Whether it is proven that all which one bot's trigger takes another's takes too."""
        if one.unknown or other.unknown:
            return False
        if (one.key, other.key) not in self.within:
            try:
                found = one.key == other.key or self.finder.find([one.trigger], [other.trigger]) is None
            except (Spent, Beyond):
                found = False
            self.within[one.key, other.key] = found
        return self.within[one.key, other.key]

    def words(self, one: Asked) -> tuple[str, ...]:
        """A few messages that a bot's trigger takes, as far as they are easily had."""
        key = *one.key, one.value
        if key not in self.known:
            found = samples(one, self.semantics)
            if not found and not one.unknown:
                try:
                    word = self.finder.find([one.trigger], [])
                    found = (word,) if word is not None else ()
                except (Spent, Beyond):
                    found = ()
            self.known[key] = found
        return self.known[key]
