"""Between which bots messages can move at all. Before it the two orders of asking; after it `prove` asks about them.

Messages move only to or from a bot whose trigger or place changes; not where a bot that stays is asked first and would
still take them; and not between words that no message can both be.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.plan.routes.answering import LAST
from reconciler.plan.routes.asking import Atom, Formula, Order


def pairs(before: Order, after: Order) -> Iterator[tuple[int, int]]:
    """The pairs of places between which messages can move at all: first those that nobody had or has."""
    stays = unchanged(before, after)
    olds, news = before.asked, after.asked
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
        if not apart(one.trigger, two.trigger):
            yield was, now


def unchanged(before: Order, after: Order) -> set[str]:
    """The bots whose trigger stays, asked in the same order among themselves."""
    olds = {one.name: one.key for one in before.asked}
    news = {one.name: one.key for one in after.asked}
    first = [name for name, key in olds.items() if news.get(name) == key]
    second = [name for name, key in news.items() if olds.get(name) == key]
    return {one for one, two in zip(first, second, strict=True) if one == two}


def apart(one: Formula, two: Formula) -> bool:
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
