"""Triggers as an Evolution API server of 2.3.x matches them: which bot a first message starts there.

Before it come the bots in the server's order, after it `route` for such a target, and `routes`. `talk.match` is the
runtime's own; the two differ in much: there `all` and `none` answer everything before anybody else is asked, then come
advanced, equals, regex, startsWith, endsWith and contains, in each the first row wins, case counts, nothing is
trimmed, patterns are JavaScript's, and the fallback bot answers although it is disabled. A pattern that JavaScript
refuses makes the server drop every message that gets as far as that bot.
(findBotByTrigger, advancedOperatorsSearch and base-chatbot.controller of its source, and recorded chats.)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec
import re2

from reconciler.model import Bot, Line
from reconciler.plan.patterns import javascript
from reconciler.plan.patterns.tree import Beyond, Refused, to_re2
from reconciler.talk.match import Asked

RANKS: Final = ("all", "advanced", "equals", "regex", "startsWith", "endsWith", "contains")
NO_TEXT: Final = "unknown"  # what the server takes for the text of a message without one

_MARKS: Final = re.compile("[\u0300-\u036f]")
_MAX_MEMORY: Final = 4 << 20  # bytes for one compiled pattern with its caches
# Names that every JavaScript object has: as an operator of an advanced rule they make the server throw.
_INHERITED: Final = frozenset(
    (
        "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString",
        "valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__",
    )
)  # fmt: skip

Terms = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


class Verdict(msgspec.Struct, frozen=True):
    """Who was asked, in order, up to the one that answers; `why` says why nobody does, where it is not for want of a
    match: the server breaks off, or it is not known what it would do (`known` is False)."""

    asked: tuple[Asked, ...]
    bot: Bot | None
    why: str = ""
    known: bool = True


def explain(line: Line, text: str | None) -> list[Asked]:
    """As `talk.match.explain`, on an Evolution API server: everyone who was asked, up to the one that answers."""
    return list(judge(line, text).asked)


def judge(line: Line, text: str | None) -> Verdict:
    """Which bot a first message starts on an Evolution API server. `line.bots` stand in the server's order of rows.

    None is a message without text.
    """
    asked: list[Asked] = []
    content = NO_TEXT if text is None else text
    for bot in ranked(line.bots):
        by = rank_of(bot)
        try:
            matched = passes(bot, content)
        except Refused as error:
            said = (
                f"JavaScript refuses the pattern of {bot.id} ({error}), so the server drops every message that it asks"
            )
            return Verdict((*asked, Asked(bot, by, False)), None, f"{said} it about")
        except Beyond as error:
            return Verdict(
                (*asked, Asked(bot, by, False)), None, f"not known whether {bot.id} takes it: {error}", False
            )
        asked.append(Asked(bot, "none" if bot.trigger_type == "none" else by, matched))
        if matched:
            return Verdict(tuple(asked), bot)
    if (last := fallback(line)) is not None:
        return Verdict((*asked, Asked(last, "fallback", True)), last)
    return Verdict(tuple(asked), None)


def ranked(bots: Iterable[Bot]) -> list[Bot]:
    """The enabled bots in the order in which the server asks them. It stores none without a value."""
    return sorted((bot for bot in bots if bot.enabled and rank_of(bot)), key=lambda bot: RANKS.index(rank_of(bot)))


def rank_of(bot: Bot) -> str:
    """The name of a bot's rank, "" where it has none."""
    if bot.trigger_type in ("all", "none"):
        return "all"
    if not bot.trigger_value:
        return ""
    return "advanced" if bot.trigger_type == "advanced" else bot.trigger_operator or ""


def fallback(line: Line) -> Bot | None:
    """The Settings' fallback bot; it answers although it is disabled."""
    wanted = line.settings.openai_id_fallback if line.settings else None
    return next((bot for bot in line.bots if bot.id == wanted), None) if wanted else None


def passes(bot: Bot, content: str) -> bool:
    """Whether a bot's trigger holds. Raises Refused where the server would throw, Beyond where it is not known."""
    rank, value = rank_of(bot), bot.trigger_value or ""
    if rank == "all":
        return True
    if rank == "advanced":
        return holds(terms(value), content)
    if rank == "regex":
        return finds(value, content)
    return _TESTS[rank](content, value)


def check_regex(pattern: str) -> str | None:
    """What JavaScript has against a pattern, or None. Raises Beyond where that is not known."""
    try:
        javascript.parse(pattern)
    except Refused as error:
        return f"JavaScript refuses this pattern: {error}"
    return None


def finds(pattern: str, content: str) -> bool:
    """`new RegExp(pattern).test(content)`. Raises Refused and Beyond."""
    return found_in(pattern, javascript.as_units(content))


def found_in(pattern: str, units: str) -> bool:
    """As `finds`, in a text that is made of units already (`javascript.as_units`)."""
    return _compiled(pattern).search(units) is not None


def plain(text: str) -> str:
    """A text as advanced rules compare it there: NFD, U+0300 to U+036F taken out, lower case."""
    return _MARKS.sub("", unicodedata.normalize("NFD", text)).lower()


@lru_cache(1024)
def terms(rule: str) -> Terms:
    """An advanced rule: its operators, each with its ways to hold (any of them), each way its values (all).

    As the server reads it: one space between terms (a second makes a term that never holds), operators told apart by
    their case although they mean the same, everything after the first colon a value, empty ones included.
    """
    ways: dict[str, list[tuple[str, ...]]] = {}
    for term in rule.split(" "):
        operator, _, values = term.partition(":")
        if operator in _INHERITED:
            raise Beyond(f"'{operator}' is a word of JavaScript's own")
        ways.setdefault(operator, []).append(tuple(plain(value) for value in values.split(",")))
    return tuple((operator.lower(), tuple(ways[operator])) for operator in ways)


def holds(rule: Terms, content: str) -> bool:
    """Whether an advanced rule holds of a text."""
    text = plain(content)
    return all(any(all(_TERM[name](text, one) for one in way) for way in ways) if name in _TERM else False
               for name, ways in rule)  # fmt: skip


_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": lambda text, value: text == value,
    "startsWith": lambda text, value: text.startswith(value),
    "endsWith": lambda text, value: text.endswith(value),
    "contains": lambda text, value: value in text,
}

_TERM: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda text, value: value in text,
    "notcontains": lambda text, value: value not in text,
    "startswith": lambda text, value: text.startswith(value),
    "endswith": lambda text, value: text.endswith(value),
    "exact": lambda text, value: text == value,
}


@lru_cache(1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    tree = javascript.parse(pattern)
    try:
        return re2.compile(to_re2(tree), options=options)
    except re2.error:
        raise Beyond("it is too large") from None
