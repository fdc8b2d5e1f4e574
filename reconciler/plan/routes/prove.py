"""The prover: which bots of an instance never answer, and which messages a change gives to another bot.

Before it the orders of asking (`asking`) and `question` (is there a message that this bot answers now and that one did
before?); after it `review` and `why`. Every message that is reported was put to the target's own matcher. What the
bounds cut short is `not proven`.
"""

from __future__ import annotations

from typing import Final

from reconciler.plan.patterns.tree import Beyond
from reconciler.plan.routes.answer import (
    Fleet,
    Moved,
    NotProven,
    Overlap,
    Reached,
    Routes,
    Semantics,
    Unreachable,
)
from reconciler.plan.routes.answering import LAST, Answering, Unknown, Views
from reconciler.plan.routes.asking import ALWAYS, Asked, Order, order_of
from reconciler.plan.routes.pairs import apart, pairs, unchanged
from reconciler.plan.routes.question import Questions, Taken
from reconciler.plan.routes.samples import join
from reconciler.plan.routes.search import Budget, Spent

MOST_MOVED: Final = 40  # pairs of bots listed for an instance
MOST_OVERLAPS: Final = 10


def prove(before: Fleet, after: Fleet, semantics: Semantics, *, budget: Budget | None = None) -> Routes:
    """What a change does to who answers what in one instance of a target. Where no trigger changes: nothing, at once.

    >>> prove(Fleet({}), Fleet({"menu": {"triggerType": "all"}}), "runtime").moved
    (Moved(before=None, after='menu', message='hello'),)
    """
    orders = order_of(before, semantics), order_of(after, semantics)
    if _same(*orders):
        return Routes()
    return _Proof(*orders, budget or Budget()).routes()


def unreachable(fleet: Fleet, semantics: Semantics, only: str | None = None, *, budget: Budget | None = None) -> Routes:
    """Which bots of an instance never answer, or whether one of them does, and what of it is not proven."""
    proof = _Proof(order_of(Fleet({}), semantics), order_of(fleet, semantics), budget or Budget())
    never, _ = proof.reachability(only)
    return Routes(unreachable=never, not_proven=proof.open(), states=proof.spent())


def _same(before: Order, after: Order) -> bool:
    rows = [[(one.name, one.key) for one in order.asked] for order in (before, after)]
    return rows[0] == rows[1] and before.last == after.last and set(before.silent) == set(after.silent)


class _Proof:
    def __init__(self, before: Order, after: Order, budget: Budget) -> None:
        self.semantics = after.semantics
        self.before, self.after = Answering(before), Answering(after)
        self.budget = budget
        self.questions = Questions(self.semantics, budget, (*before.asked, *after.asked))
        self.unsure: dict[tuple[str, str], dict[str, None]] = {}

    def routes(self) -> Routes:
        self.budget.kept = self.budget.steps // 2
        never, reached = self.reachability()
        self.budget.kept = 0
        moved, more = self.moved()
        overlaps = self.overlaps()
        return Routes(never, reached, moved, more, overlaps, self.open(), self.spent())

    def spent(self) -> int:
        return self.budget.states

    def open(self) -> tuple[NotProven, ...]:
        return tuple(NotProven(question, tuple(bots), why) for (question, why), bots in self.unsure.items())

    def doubt(self, question: str, reason: str, *bots: str | None) -> None:
        self.unsure.setdefault((question, reason), {}).update({bot: None for bot in bots if bot})

    # --- who never answers -----------------------------------------------------------------------------------

    def reachability(self, only: str | None = None) -> tuple[tuple[Unreachable, ...], tuple[Reached, ...]]:
        never, reached = [], []
        order = self.after.order
        for name in (*(one.name for one in order.asked), *(name for name, _ in order.silent)):
            if only not in (None, name):
                continue
            now = self.state(self.after, name)
            if isinstance(now, NotProven):
                self.doubt(now.question, now.reason, name)
            elif isinstance(now, Unreachable):
                was = isinstance(self.state(self.before, name), Unreachable)
                never.append(Unreachable(name, now.why, now.by, now.message, was))
            elif now is not None and isinstance(self.state(self.before, name, now), Unreachable):
                reached.append(Reached(name, self.questions.confirmed([(self.after, name)], now) if now else None))
        return tuple(never), tuple(reached)

    def state(self, answering: Answering, name: str, maybe: str = "") -> Unreachable | str | NotProven | None:
        """A message that a bot answers ("": only ones without text), why it never does, or why that is not known.

        None for one that is not there or not enabled. `maybe` is a message that it may well answer.
        """
        place = next((at for at, one in enumerate(answering.order.asked) if one.name == name), None)
        why = dict(answering.order.silent).get(name)
        found: Unreachable | str | None = Unreachable(name, why) if why else None
        try:
            if place is not None:
                found = self.asked_in_vain(answering, place, maybe)
            if isinstance(found, Unreachable) and answering.order.last == name:
                return self.last_in_vain(answering, found)
            return found
        except (Spent, Beyond, Unknown) as error:
            return NotProven("whether it ever answers", (name,), str(error))

    def last_in_vain(self, answering: Answering, found: Unreachable) -> Unreachable | str:
        """The same for one whose trigger is in vain, but who answers what nobody else takes."""
        text, by = self.questions.case([(answering, LAST)], ["hello"])
        if text is not None:
            return text
        if answering.real(None) == found.bot:
            return ""
        if found.why != "no trigger":
            return found
        return Unreachable(found.bot, "shadowed", tuple(one.name for one, _ in by))

    def asked_in_vain(self, answering: Answering, place: int, maybe: str) -> Unreachable | str:
        one = answering.order.asked[place]
        if one.drops:
            return Unreachable(one.name, "refused")
        text, by = self.questions.case([(answering, place)], [*([maybe] if maybe else []), *self.questions.words(one)])
        if text is not None:
            return text
        if one.trigger == ALWAYS and answering.real(None) == one.name:
            return ""
        if not by:
            return Unreachable(one.name, "nothing")
        drops = [each for each, _ in by if each.drops]
        if drops:
            return Unreachable(one.name, "dropped", (drops[0].name,), next(iter(self.questions.words(one)), None))
        return self.shadowed(answering, one, by)

    def shadowed(self, answering: Answering, one: Asked, by: list[Taken]) -> Unreachable:
        """By one that takes all by itself, where there is one, else by all of them: with a message that shows it."""
        some = self.fewest(one, by)
        first = answering.order.asked.index(some[0][0])
        natural = (text for text in self.questions.words(one) if self.questions.shows([(answering, first)], text))
        text = self.questions.confirmed([(answering, some[0][0].name)], next(natural, some[0][1]))
        return Unreachable(one.name, "shadowed", tuple(each.name for each, _ in some), text)

    def fewest(self, one: Asked, by: list[Taken]) -> list[Taken]:
        """One that takes all by itself, where there is one; else all of them."""
        for each in by if len(by) > 1 else []:
            try:
                if self.questions.finder.find([one.trigger], [each[0].trigger]) is None:
                    return [each]
            except (Spent, Beyond):
                break
        return by

    # --- what moves ------------------------------------------------------------------------------------------

    def moved(self) -> tuple[tuple[Moved, ...], bool]:
        found: dict[tuple[str | None, str | None], Moved] = {}
        for was, now in pairs(self.before.order, self.after.order):
            names = self.before.name(was), self.after.name(now)
            if names in found or names[0] == names[1]:
                continue
            if len(found) == MOST_MOVED:
                return tuple(found.values()), True
            if self.narrowed(self.before, was, self.after, now) or self.narrowed(self.after, now, self.before, was):
                continue
            wants = [(self.before, was), (self.after, now)]
            try:
                text, _ = self.questions.case(wants, self.tries(was, now))
                if text is not None:
                    self.budget.pay(self.before.real_price + self.after.real_price)
                    found[names] = Moved(
                        *names, self.questions.confirmed([(self.before, names[0]), (self.after, names[1])], text)
                    )
            except (Spent, Beyond, Unknown) as error:
                self.doubt("whether messages move between these bots", str(error), *names)
        self.without_text(found)
        return tuple(found.values()), False

    def narrowed(self, one: Answering, place: int, other: Answering, at: int) -> bool:
        """Whether one order asks the bot at the other's place earlier, with a trigger that takes all it takes there.

        Then there is no message that one order gives to `place` and the other to `at`. One proof does for all places:
        most changed triggers are a little wider or narrower than they were.
        """
        if at == LAST:
            return False
        it = other.order.asked[at]
        ahead = one.order.asked if place == LAST else one.order.asked[:place]
        was = next((each for each in ahead if each.name == it.name), None)
        return was is not None and self.questions.inside(it, was)

    def without_text(self, found: dict[tuple[str | None, str | None], Moved]) -> None:
        try:
            names = self.before.real(None), self.after.real(None)
        except Unknown as error:
            self.doubt("whether messages without text move", str(error))
            return
        if names[0] != names[1] and names not in found:
            found[names] = Moved(*names, None)

    def tries(self, was: int, now: int) -> list[str]:
        """Messages that may well show a move."""
        one = self.questions.words(self.before.order.asked[was]) if was != LAST else ()
        two = self.questions.words(self.after.order.asked[now]) if now != LAST else ()
        return [*two, *one, *join(one, two), *(["hello"] if LAST in (was, now) else [])]

    # --- what meets ------------------------------------------------------------------------------------------

    def overlaps(self) -> tuple[Overlap, ...]:
        """Messages that a changed bot's trigger takes and another's as well: for information, not a whole list."""
        found: list[Overlap] = []
        stays, asked = unchanged(self.before.order, self.after.order), self.after.order.asked
        met = (
            (one, two)
            for at, one in enumerate(asked)
            for two in asked[at + 1 :]
            if (one.name not in stays or two.name not in stays) and ALWAYS not in (one.trigger, two.trigger)
        )
        for one, two in met:
            if len(found) == MOST_OVERLAPS:
                break
            if apart(one.trigger, two.trigger):
                continue
            texts = (
                *self.questions.words(two),
                *self.questions.words(one),
                *join(self.questions.words(one), self.questions.words(two)),
            )
            for text in texts:
                if self.both(one, two, text):
                    found.append(Overlap(one.name, two.name, text))
                    break
        return tuple(found)

    def both(self, one: Asked, two: Asked, text: str) -> bool:
        views = Views(text, self.semantics)
        try:
            return self.questions.takes(one, views) and self.questions.takes(two, views)
        except Unknown:
            return False
