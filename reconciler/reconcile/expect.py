"""Expectations of a Conversation: what a turn was to come to against what it came to. PURE.

Before it comes `rehearse`, which fills a `Seen`; after it `reconciler test`, which prints the faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler.model import Bot
from reconciler.talk.match import bare, finds

_CUT: Final = 300  # characters of a reply that a message quotes


class Seen(msgspec.Struct):
    """What a turn came to, filled while it is played.

    `replies` are the messages that were sent, `pending` says that a model would have answered but none was asked,
    `unknown` whether each answer was the bot's unknownMessage, `reasons` why nothing more was said, `asked` the bots
    whose triggers were looked at, `demo` that the demo model answered, `untold` why it is not known whom the chat
    started on this target. `answering` and `delay` (seconds) belong to the turn that is under way.
    """

    bots: list[str] = []
    status: str = "none"
    replies: list[str] = []
    pending: bool = False
    unknown: list[bool] = []
    calls: list[str] = []
    reasons: list[str] = []
    asked: tuple[str, ...] = ()
    demo: bool = False
    untold: str = ""
    answering: Bot | None = None
    delay: float = 0.0

    def unsaid(self) -> None:
        """Takes back what was still to be said: its session has ended."""
        self.replies, self.unknown, self.pending = [], [], False

    @property
    def text(self) -> str:
        return "\n".join(self.replies)


class Fault(msgspec.Struct, frozen=True):
    """An expectation that does not hold, or (`incomplete`) that cannot be told, mostly without a model."""

    expectation: str
    message: str
    incomplete: bool = False


def judge(expected: Mapping[str, Any], seen: Seen) -> Iterator[Fault]:
    """The expectations that do not hold, in the order in which they are written."""
    for name, value in expected.items():
        if seen.untold:
            yield Fault(name, seen.untold, incomplete=True)
        elif name in _OF_REPLY and seen.pending:
            yield Fault(name, "only a model can tell: run with --model demo or --model live", incomplete=True)
        elif name == "calls" and seen.demo:
            yield Fault(name, "the demo model calls no functions: run with --model live", incomplete=True)
        elif (message := _RULES[name](value, seen)) is not None:
            yield Fault(name, message)


def _bot(value: str, seen: Seen) -> str | None:
    if seen.bots and set(seen.bots) == {value}:
        return None
    if seen.bots:
        return f"expected '{value}', but '{', '.join(dict.fromkeys(seen.bots))}' answered{_asked(seen)}"
    return f"expected '{value}', but nobody answered{_why(seen)}"


def _status(value: str, seen: Seen) -> str | None:
    return None if seen.status == value else f"expected {value}, but the session is {seen.status}{_why(seen)}"


def _silent(value: bool, seen: Seen) -> str | None:
    spoke = bool(seen.replies) or seen.pending
    if value == (not spoke):
        return None
    if not value:
        return f"expected a reply, but nothing was sent{_why(seen)}"
    said = "a model would have answered" if seen.pending else f"was sent: {_quoted(seen)}"
    return f"expected silence, but {said} (bot '{seen.bots[-1]}')"


def _contains(value: list[str], seen: Seen) -> str | None:
    text = bare(seen.text)
    lacking = [each for each in value if bare(each) not in text]
    return f"{_listed(lacking)} not in the reply: {_quoted(seen)}" if lacking else None


def _excludes(value: list[str], seen: Seen) -> str | None:
    text = bare(seen.text)
    there = [each for each in value if bare(each) in text]
    return f"{_listed(there)} in the reply: {_quoted(seen)}" if there else None


def _matches(value: str, seen: Seen) -> str | None:
    return None if finds(value, seen.text) else f"/{value}/ is not found in the reply: {_quoted(seen)}"


def _calls(value: str, seen: Seen) -> str | None:
    if value in seen.calls:
        return None
    called = f"called {_listed(seen.calls)}" if seen.calls else "called no function"
    return f"expected a call of '{value}', but the model {called}"


def _unknown(value: bool, seen: Seen) -> str | None:
    if value == any(seen.unknown):
        return None
    if value:
        return f"expected the unknownMessage, but the reply is: {_quoted(seen)}"
    return f"the reply is the unknownMessage{_why(seen)}"


_RULES: Final[dict[str, Callable[[Any, Seen], str | None]]] = {
    "bot": _bot,
    "status": _status,
    "silent": _silent,
    "contains": _contains,
    "excludes": _excludes,
    "matches": _matches,
    "calls": _calls,
    "unknown": _unknown,
}
_OF_REPLY: Final = ("contains", "excludes", "matches", "calls", "unknown")


def _quoted(seen: Seen) -> str:
    text = seen.text
    return f'"{text[:_CUT]}{"…" if len(text) > _CUT else ""}"' if text else f"nothing was sent{_why(seen)}"


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _why(seen: Seen) -> str:
    said = list(dict.fromkeys(seen.reasons))
    return f" ({'; '.join(said)})" if said else ""


def _asked(seen: Seen) -> str:
    return f" (asked in this order: {', '.join(seen.asked)})" if seen.asked else ""
