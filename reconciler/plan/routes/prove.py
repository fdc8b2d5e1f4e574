"""The prover: which bots of an instance never answer, and which messages a change gives to another bot.

Before it `asking` (who is asked in which order) and `search` (is there a message of which all this holds?); after it
`review` and `why`. Each question is first tried on messages made of the triggers' own words, then handed to `search`
with as little as can be: the triggers that must take the message. When somebody who is asked earlier takes the message
that comes back, the next search leaves that one's messages out - until a message is left that shows the case, or none
is, which proves that there is no such case. What the bounds cut short is `not proven`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.plan.pattern import Beyond
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
from reconciler.plan.routes.answering import LAST, Answering, Test, Unknown, Views, test_of
from reconciler.plan.routes.asking import ALWAYS, Asked, Atom, Formula, Order, order_of
from reconciler.plan.routes.samples import join, samples
from reconciler.plan.routes.search import Budget, Finder, Spent

MOST_MOVED: Final = 40  # pairs of bots listed for an instance
MOST_OVERLAPS: Final = 10

_ODD: Final = "the messages in question hold marks that Unicode rearranges"


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


Taken = tuple[Asked, str]  # who takes messages, and one of them


class _Proof:
    def __init__(self, before: Order, after: Order, budget: Budget) -> None:
        self.semantics = after.semantics
        self.before, self.after = Answering(before), Answering(after)
        self.budget = budget
        triggers = [one.trigger for one in (*before.asked, *after.asked) if not one.unknown]
        self.finder = Finder(self.semantics, budget, triggers)
        self.tests: dict[tuple[str, str], Test] = {}
        self.unsure: dict[tuple[str, str], dict[str, None]] = {}
        self.known: dict[tuple[str, str, str], tuple[str, ...]] = {}

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

    # --- one question ----------------------------------------------------------------------------------------

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
                raise Unknown(_ODD)
        return None, list(barred.values())

    def confirmed(self, wants: list[tuple[Answering, str | None]], text: str) -> str:
        """A message that the target's own matcher gives to these bots. Raises Unknown where it does not."""
        if any(answering.real(text) != name for answering, name in wants):
            raise Unknown(_ODD)
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
                reached.append(Reached(name, self.confirmed([(self.after, name)], now) if now else None))
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
        text, by = self.case([(answering, LAST)], ["hello"])
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
        text, by = self.case([(answering, place)], [*([maybe] if maybe else []), *self.words(one)])
        if text is not None:
            return text
        if one.trigger == ALWAYS and answering.real(None) == one.name:
            return ""
        if not by:
            return Unreachable(one.name, "nothing")
        drops = [each for each, _ in by if each.drops]
        if drops:
            return Unreachable(one.name, "dropped", (drops[0].name,), next(iter(self.words(one)), None))
        return self.shadowed(answering, one, by)

    def shadowed(self, answering: Answering, one: Asked, by: list[Taken]) -> Unreachable:
        """By one that takes all by itself, where there is one, else by all of them: with a message that shows it."""
        some = self.fewest(one, by)
        first = answering.order.asked.index(some[0][0])
        natural = (text for text in self.words(one) if self.shows([(answering, first)], text))
        text = self.confirmed([(answering, some[0][0].name)], next(natural, some[0][1]))
        return Unreachable(one.name, "shadowed", tuple(each.name for each, _ in some), text)

    def fewest(self, one: Asked, by: list[Taken]) -> list[Taken]:
        """One that takes all by itself, where there is one; else all of them."""
        for each in by if len(by) > 1 else []:
            try:
                if self.finder.find([one.trigger], [each[0].trigger]) is None:
                    return [each]
            except (Spent, Beyond):
                break
        return by

    # --- what moves ------------------------------------------------------------------------------------------

    def moved(self) -> tuple[tuple[Moved, ...], bool]:
        found: dict[tuple[str | None, str | None], Moved] = {}
        for was, now in self.pairs():
            names = self.before.name(was), self.after.name(now)
            if names in found or names[0] == names[1]:
                continue
            if len(found) == MOST_MOVED:
                return tuple(found.values()), True
            wants = [(self.before, was), (self.after, now)]
            try:
                text, _ = self.case(wants, self.tries(was, now))
                if text is not None:
                    self.budget.pay(self.before.real_price + self.after.real_price)
                    found[names] = Moved(
                        *names, self.confirmed([(self.before, names[0]), (self.after, names[1])], text)
                    )
            except (Spent, Beyond, Unknown) as error:
                self.doubt("whether messages move between these bots", str(error), *names)
        self.without_text(found)
        return tuple(found.values()), False

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
        one = self.words(self.before.order.asked[was]) if was != LAST else ()
        two = self.words(self.after.order.asked[now]) if now != LAST else ()
        return [*two, *one, *join(one, two), *(["hello"] if LAST in (was, now) else [])]

    def pairs(self) -> Iterator[tuple[int, int]]:
        """The pairs of places between which messages can move at all: first those that nobody had or has."""
        stays = self.unchanged()
        olds, news = self.before.order.asked, self.after.order.asked
        was_at = {one.name: place for place, one in enumerate(olds)}
        now_at = {one.name: place for place, one in enumerate(news)}
        gone = [place for place, one in enumerate(olds) if one.name not in stays]
        come = [place for place, one in enumerate(news) if one.name not in stays]
        yield LAST, LAST
        yield from ((LAST, now) for now in come)
        yield from ((was, LAST) for was in gone)
        seen = set()
        for was, now in (
            *((was_at[news[now].name], now) for now in come if news[now].name in was_at),
            *((was, now) for was in gone for now in come),
            *((was, now) for now in come for was in range(len(olds))),
            *((was, now) for was in gone for now in range(len(news))),
        ):
            if (was, now) in seen:
                continue
            seen.add((was, now))
            one, two = olds[was], news[now]
            if one.name in stays and now_at[one.name] < now:
                continue  # it would still take the message, being asked first
            if two.name in stays and was_at[two.name] < was:
                continue
            if not _apart(one.trigger, two.trigger):
                yield was, now

    def unchanged(self) -> set[str]:
        """The bots whose trigger stays, asked in the same order among themselves."""
        olds = {one.name: one.key for one in self.before.order.asked}
        news = {one.name: one.key for one in self.after.order.asked}
        first = [name for name, key in olds.items() if news.get(name) == key]
        second = [name for name, key in news.items() if olds.get(name) == key]
        return {one for one, two in zip(first, second, strict=True) if one == two}

    # --- what meets ------------------------------------------------------------------------------------------

    def overlaps(self) -> tuple[Overlap, ...]:
        """Messages that a changed bot's trigger takes and another's as well: for information, not a whole list."""
        found: list[Overlap] = []
        stays, asked = self.unchanged(), self.after.order.asked
        pairs = (
            (one, two)
            for at, one in enumerate(asked)
            for two in asked[at + 1 :]
            if (one.name not in stays or two.name not in stays) and ALWAYS not in (one.trigger, two.trigger)
        )
        for one, two in pairs:
            if len(found) == MOST_OVERLAPS:
                break
            if _apart(one.trigger, two.trigger):
                continue
            texts = (*self.words(two), *self.words(one), *join(self.words(one), self.words(two)))
            for text in texts:
                if self.both(one, two, text):
                    found.append(Overlap(one.name, two.name, text))
                    break
        return tuple(found)

    def both(self, one: Asked, two: Asked, text: str) -> bool:
        views = Views(text, self.semantics)
        try:
            return self.takes(one, views) and self.takes(two, views)
        except Unknown:
            return False


def _apart(one: Formula, two: Formula) -> bool:
    """Whether it is plain that no message is taken by both."""
    if not isinstance(one, Atom) or not isinstance(two, Atom) or one.view != two.view:
        return False
    match one.operator, two.operator:
        case "equals", "equals":
            return one.value != two.value
        case "startsWith", "startsWith":
            return not one.value.startswith(two.value) and not two.value.startswith(one.value)
        case "endsWith", "endsWith":
            return not one.value.endswith(two.value) and not two.value.endswith(one.value)
        case "equals", "startsWith" | "endsWith" | "contains":
            return not _fits(two, one.value)
        case "startsWith" | "endsWith" | "contains", "equals":
            return not _fits(one, two.value)
    return False


def _fits(test: Atom, value: str) -> bool:
    match test.operator:
        case "startsWith":
            return value.startswith(test.value)
        case "endsWith":
            return value.endswith(test.value)
    return test.value in value
