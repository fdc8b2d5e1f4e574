"""The bots of an instance in the order in which a target asks them, their triggers as formulas.

Before it a `Fleet`; after it `search` looks for messages of which formulas hold, and `answering` says who answers one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from reconciler.model import Bot
from reconciler.plan.evolution import match as evolution
from reconciler.plan.patterns import javascript, re2
from reconciler.plan.patterns.tree import Beyond, Node, Refused
from reconciler.plan.routes.answer import Fleet, Semantics
from reconciler.plan.routes.letters import FIRST, SECOND, THIRD
from reconciler.talk import match
from reconciler.talk.match import fold, pattern_of

ValueTest = Literal["equals", "startsWith", "endsWith", "contains"]


class Atom(msgspec.Struct, frozen=True):
    """One test of one view of a message: of a value, or (`operator` regex) of a pattern in the target's syntax."""

    operator: Literal["equals", "startsWith", "endsWith", "contains", "regex"]
    value: str
    view: int


class All(msgspec.Struct, frozen=True):
    """All of these hold; nothing in it: always."""

    parts: tuple[Formula, ...]


class Any_(msgspec.Struct, frozen=True):  # noqa: N801 - `Any` is typing's
    """One of these holds; nothing in it: never."""

    parts: tuple[Formula, ...]


class Not(msgspec.Struct, frozen=True):
    """This does not hold."""

    part: Atom


Formula = Atom | All | Any_ | Not
ALWAYS: Final = All(())
NEVER: Final = Any_(())


class Asked(msgspec.Struct, frozen=True):
    """An enabled bot with a trigger, as it is asked.

    `rank` is the trigger's operator as people know it. `trigger` says what it takes; `unknown` says why that cannot be
    reasoned about, where it cannot (`trigger` is then not to be used). `drops`: asking it makes the server drop the
    message. `key` tells the trigger from others: bots of the same key take the same messages.
    """

    name: str
    rank: str
    value: str
    trigger: Formula
    key: tuple[str, str]
    bot: Bot
    unknown: str = ""
    drops: bool = False


class Order(msgspec.Struct, frozen=True):
    """The bots in the order of asking, and who answers what none of them takes (None: nobody).

    `silent` are enabled bots that are not asked, each with what keeps it from that.
    """

    asked: tuple[Asked, ...]
    last: str | None
    semantics: Semantics
    silent: tuple[tuple[str, Literal["no trigger", "refused"]], ...] = ()


def order_of(fleet: Fleet, semantics: Semantics) -> Order:
    """The order in which a target asks a fleet's bots."""
    bots = [_bot(name, spec, number) for number, (name, spec) in enumerate(fleet.specs.items())]
    if semantics == "runtime":
        asked = tuple(_on_runtime(bot) for _, bot in match.ranked(bots))
        last = next((bot.id for bot in bots if bot.id == fleet.fallback and bot.enabled), None)
        taken = {one.name for one in asked}
        idle = tuple(
            (bot.id, "no trigger" if bot.trigger_type == "none" else "refused")
            for bot in bots
            if bot.enabled and bot.id not in taken
        )
        return Order(asked, last, semantics, idle)  # type: ignore[arg-type]
    asked = tuple(_on_evolution(bot) for bot in evolution.ranked(bots))
    return Order(asked, next((bot.id for bot in bots if bot.id == fleet.fallback), None), semantics)


def _bot(name: str, spec: Mapping[str, Any], number: int) -> Bot:
    return Bot(
        id=name,
        created_at=f"{number:06}",
        updated_at="",
        enabled=spec.get("enabled") is not False,
        bot_type="chatCompletion",
        trigger_type=spec["triggerType"],
        trigger_operator=spec.get("triggerOperator"),
        trigger_value=spec.get("triggerValue"),
        openai_creds_id="",
        instance_id="",
    )


def _on_runtime(bot: Bot) -> Asked:
    value = bot.trigger_value or ""
    key = match.trigger_key(bot.trigger_type, bot.trigger_operator, value) or ""
    if bot.trigger_type == "all":
        return Asked(bot.id, "all", "", ALWAYS, ("all", ""), bot)
    if bot.trigger_type == "advanced":
        formula = _rule(match.terms_of(value))
        return Asked(bot.id, "advanced", value, formula, ("advanced", key), bot)
    rank = str(bot.trigger_operator)
    if rank == "regex":
        return _regex(bot, pattern_of(value), FIRST, "runtime")
    return Asked(bot.id, rank, value, Atom(rank, fold(value), SECOND), (rank, fold(value)), bot)  # type: ignore[arg-type]


def _on_evolution(bot: Bot) -> Asked:
    rank, value = evolution.rank_of(bot), bot.trigger_value or ""
    if rank == "all":
        return Asked(bot.id, bot.trigger_type, "", ALWAYS, ("all", ""), bot)
    if rank == "advanced":
        try:
            if any("\u1100" <= char <= "\u11ff" for char in evolution.plain(value)):
                raise Beyond("the server compares Hangul in parts")
            return Asked(bot.id, rank, value, _rule(evolution.terms(value)), (rank, value), bot)
        except Beyond as error:
            return Asked(bot.id, rank, value, NEVER, (rank, value), bot, unknown=str(error))
    if rank == "regex":
        return _regex(bot, value, SECOND, "evolution")
    return Asked(bot.id, rank, value, Atom(rank, value, FIRST), (rank, value), bot)  # type: ignore[arg-type]


def _regex(bot: Bot, value: str, view: int, semantics: Semantics) -> Asked:
    key = ("regex", value)
    try:
        tree(value, semantics)
    except Refused:
        return Asked(bot.id, "regex", value, ALWAYS, key, bot, drops=True)
    except Beyond as error:
        return Asked(bot.id, "regex", value, NEVER, key, bot, unknown=str(error))
    return Asked(bot.id, "regex", value, Atom("regex", value, view), key, bot)


_OPERATORS: Final[dict[str, ValueTest]] = {
    "contains": "contains",
    "notcontains": "contains",
    "startswith": "startsWith",
    "endswith": "endsWith",
    "exact": "equals",
}


def _rule(terms: match.Terms) -> Formula:
    """An advanced rule as a formula; what the target does not know as an operator never holds."""
    parts: list[Formula] = []
    for operator, ways in terms:
        if operator not in _OPERATORS:
            return NEVER
        parts.append(Any_(tuple(All(tuple(_term(operator, value) for value in way)) for way in ways)))
    return All(tuple(parts))


def _term(operator: str, value: str) -> Formula:
    atom = Atom(_OPERATORS[operator], value, THIRD)
    return Not(atom) if operator == "notcontains" else atom


@lru_cache(1024)
def tree(value: str, semantics: Semantics) -> Node:
    """The tree of a pattern. Raises Refused and Beyond."""
    return re2.parse(value) if semantics == "runtime" else javascript.parse(value)
