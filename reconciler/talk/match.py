"""Triggers: which bot a message starts. Before it comes the text as a channel understood it; after it `decide`.

Also used where bots are written: `check_regex` and `check_advanced` say what is wrong with a value, `trigger_key`
what two enabled bots of an instance must not share.

Everything is compared as the matcher sees it (`fold`); a trigger is prepared once and kept, so that matching a
message costs one pass over the text for each bot.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import re2

from reconciler.model import Bot, Line

RANKS: Final = ("equals", "regex", "startsWith", "endsWith", "contains", "advanced", "all")
OPERATORS: Final = ("contains", "notcontains", "startswith", "endswith", "exact")

_MAX_MEMORY: Final = 4 << 20  # bytes for one compiled pattern with its caches
_PREPARED: Final = 2048  # triggers kept ready

Terms = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


class Trigger(msgspec.Struct, frozen=True):
    """A trigger made ready: its place in the order of asking, and the test a text must pass.

    `length` is that of the value as compared; `holds` takes the text.
    """

    rank: int
    length: int
    holds: Callable[[str], bool]


class Asked(msgspec.Struct, frozen=True):
    """One bot that was asked whether a text is its own."""

    bot: Bot
    by: str
    matched: bool


# What nobody sees, or only as another look of what stands before it: format characters, variation selectors, the frame
# of a keycap, the tones of skin. Phones add them to emoji and to what is copied.
UNSEEN: Final = (
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff"
    "\U000e0020-\U000e007f\U000e0100-\U000e01ef"
)
_UNSEEN: Final = re.compile(f"[{UNSEEN}]")
_BLANKS: Final = re.compile(r"\s+")
_BREAK: Final = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Letters and digits of double width, as keyboards of East Asia write them.
_WIDE: Final = {
    code: chr(code - 0xFEE0)
    for first, last in ("09", "AZ", "az")
    for code in range(ord(first) + 0xFEE0, ord(last) + 0xFEE1)
}
# Signs that a phone's keyboard writes in place of those in a trigger.
SAME: Final[dict[int, str]] = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4\u0060"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-"),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if code not in _WIDE},
}


def clean(text: str) -> str:
    """A text in NFC without what nobody sees, letters and digits of one width, each run of blanks as one: a line's end
    where there is one in it, else a space; trimmed. What is clean stays as it is."""
    if text.isascii():
        return _BLANKS.sub(_blank, text).strip()
    seen = _UNSEEN.sub("", unicodedata.normalize("NFC", text)).translate(_WIDE)
    return unicodedata.normalize("NFC", _BLANKS.sub(_blank, seen)).strip()


def _blank(run: re.Match[str]) -> str:
    return "\n" if _BREAK.search(run[0]) else " "


def fold(text: str) -> str:
    """A text as triggers and finish words compare it: clean, with one form of quotes, dashes and digits, and
    NFC(casefold(NFC(x))).

    Case folding undoes NFC for a few letters (U+0345, ΐ), hence the second normalisation (Unicode 15, 3.13, D145).
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", clean(text).translate(SAME)).casefold()).strip()


def bare(text: str) -> str:
    """`fold` without accents, as advanced rules compare."""
    letters = unicodedata.normalize("NFD", fold(text))
    return unicodedata.normalize("NFC", "".join(c for c in letters if not unicodedata.combining(c))).strip()


def check_regex(pattern: str) -> str | None:
    """What RE2 has against a pattern, or None. The pattern is taken as the matcher takes it."""
    try:
        _compile(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"RE2 refuses this pattern: {text}"
    except UnicodeEncodeError:
        return "RE2 refuses this pattern: it holds half of a surrogate pair"
    return None


def finds(pattern: str, text: str) -> bool:
    """Whether a pattern that `check_regex` has nothing against is found in a text, as a `regex` trigger would."""
    return found_in(pattern, readable(text))


def found_in(pattern: str, text: str) -> bool:
    """As `finds`, in a text that `readable` gave."""
    return _compile(pattern).search(text) is not None


def check_advanced(rule: str) -> str | None:
    """What is wrong with an advanced rule (`operator:value[,value]` terms with spaces between them), or None."""
    terms = rule.split()
    if not terms:
        return f"the rule is empty: write operator:value, the operator one of {', '.join(OPERATORS)}"
    for term in terms:
        operator, colon, values = term.partition(":")
        if not colon:
            return f"'{term}' has no operator: write operator:value, such as contains:{term}"
        if operator.lower() not in OPERATORS:
            return f"'{operator}' is not one of {', '.join(OPERATORS)}"
        if not all(bare(value) for value in values.split(",")):
            return f"'{term}' has an empty value: write {operator}:value or {operator}:one,two"
    return None


def trigger_key(trigger_type: str, trigger_operator: str | None, trigger_value: str | None) -> str | None:
    """What two enabled bots of one instance must not share: the trigger as the matcher compares it.

    None for triggers that can stand beside each other (`none`, or a trigger that is not complete).
    """
    match trigger_type:
        case "all":
            return "all"
        case "keyword" if trigger_operator and trigger_value is not None:
            value = pattern_of(trigger_value) if trigger_operator == "regex" else fold(trigger_value)
            return f"{trigger_operator} {value}"
        case "advanced" if trigger_value is not None:
            if check_advanced(trigger_value) is not None:
                return f"advanced {fold(trigger_value)}"
            terms = (f"{operator}:{','.join(values)}" for operator, ways in terms_of(trigger_value) for values in ways)
            return f"advanced {' '.join(terms)}"
    return None


def ranked(bots: Iterable[Bot]) -> list[tuple[Trigger, Bot]]:
    """The enabled bots that can start by a trigger, in the order in which they are asked."""
    found = [
        (trigger, bot)
        for bot in bots
        if bot.enabled and (trigger := _prepare(bot.trigger_type, bot.trigger_operator, bot.trigger_value)) is not None
    ]
    found.sort(key=lambda pair: (pair[0].rank, -pair[0].length, pair[1].created_at, pair[1].id))
    return found


def triggered(bots: Iterable[Bot], text: str | None) -> Bot | None:
    """The bot whose trigger the text passes first; without readable text (None) only `all` can be."""
    return next((bot for trigger, bot in ranked(bots) if _passes(trigger, text)), None)


def fallback(line: Line) -> Bot | None:
    """The Settings' fallback bot, if it is there and enabled."""
    wanted = line.settings.openai_id_fallback if line.settings else None
    return next((bot for bot in line.bots if bot.id == wanted and bot.enabled), None) if wanted else None


def match(line: Line | Sequence[Bot], text: str | None) -> Bot | None:
    """The bot that a first message starts: by trigger, else (for a Line) the fallback bot, else None."""
    if not isinstance(line, Line):
        return triggered(line, text)
    return triggered(line.bots, text) or fallback(line)


def explain(line: Line, text: str | None) -> list[Asked]:
    """Everyone who was asked, in order, up to the one that answers; `by` is the rank's name or `fallback`."""
    asked: list[Asked] = []
    for trigger, bot in ranked(line.bots):
        asked.append(Asked(bot, RANKS[trigger.rank], _passes(trigger, text)))
        if asked[-1].matched:
            return asked
    if (last := fallback(line)) is not None:
        asked.append(Asked(last, "fallback", True))
    return asked


def _passes(trigger: Trigger, text: str | None) -> bool:
    if text is None or not text.strip():
        return RANKS[trigger.rank] == "all"
    return trigger.holds(text)


@lru_cache(_PREPARED)
def _prepare(trigger_type: str, operator: str | None, value: str | None) -> Trigger | None:
    """A trigger ready to be asked; None where it can never start a bot by itself."""
    if trigger_type == "all":
        return Trigger(RANKS.index("all"), 0, lambda _: True)
    if value is None or not fold(value):
        return None
    if trigger_type == "advanced":
        return _advanced(value)
    if trigger_type != "keyword" or operator not in RANKS[:5]:
        return None
    rank = RANKS.index(operator)
    if operator == "regex":
        if check_regex(value) is not None:
            return None
        return Trigger(rank, len(value), lambda text: finds(value, text))
    wanted = fold(value)
    tests: dict[str, Callable[[str], bool]] = {
        "equals": lambda text: fold(text) == wanted,
        "startsWith": lambda text: fold(text).startswith(wanted),
        "endsWith": lambda text: fold(text).endswith(wanted),
        "contains": lambda text: wanted in fold(text),
    }
    return Trigger(rank, len(wanted), tests[operator])


def _advanced(rule: str) -> Trigger | None:
    if check_advanced(rule) is not None:
        return None
    terms = terms_of(rule)

    def holds(text: str) -> bool:
        plain = bare(text)
        return all(any(all(_TERM[name](plain, value) for value in way) for way in ways) for name, ways in terms)

    return Trigger(RANKS.index("advanced"), len(rule), holds)


_TERM: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda text, value: value in text,
    "notcontains": lambda text, value: value not in text,
    "startswith": lambda text, value: text.startswith(value),
    "endswith": lambda text, value: text.endswith(value),
    "exact": lambda text, value: text == value,
}


def terms_of(rule: str) -> Terms:
    """A rule as its operators in order, each with its ways to hold (any of them), each way its values (all)."""
    ways: dict[str, set[tuple[str, ...]]] = {}
    for term in rule.split():
        operator, _, values = term.partition(":")
        way = tuple(sorted({bare(value) for value in values.split(",")}))
        ways.setdefault(operator.lower(), set()).add(way)
    return tuple((operator, tuple(sorted(ways[operator]))) for operator in sorted(ways))


def readable(text: str) -> str:
    """The text as a pattern searches it: clean, its case kept; half surrogates become `?`."""
    return clean(text).encode("utf-8", "replace").decode()


def pattern_of(written: str) -> str:
    """A pattern as it is searched: NFC, without what a clean text never holds, so that an emoji copied from a phone
    finds itself; a blank that is none is a space."""
    if written.isascii():
        return written
    seen = _UNSEEN.sub("", unicodedata.normalize("NFC", written)).translate(_WIDE)
    return "".join(" " if char.isspace() and not char.isascii() else char for char in seen)


@lru_cache(1024)
def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    return re2.compile(pattern_of(pattern), options=options)
