"""The transitions of a chat's session as a Mermaid diagram, found by asking `decide` itself. PURE.

Before it comes `decide`; after it `script/docs.py`, which puts the diagram into docs/conversation.md and checks that
it is still what the code does. Every status meets every event of a small domain that has an example of each rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final, Literal

from reconciler.model import Bot, Heard, Instance, Line, Session, Status
from reconciler.talk.decide import End, Event, MessageHeard, StatusChanged, TurnDue, decide

NOW: Final = 1_000_000.0
NONE: Final = "[*]"

_STATUSES: Final[tuple[Status, ...]] = ("opened", "paused", "closed")
_SWITCHES: Final[tuple[Status | Literal["delete"], ...]] = ("opened", "paused", "closed", "delete")


def transitions() -> dict[tuple[str, str], tuple[str, ...]]:
    """What leads from a status (`[*]`: no session) to another, in words; a status that stays is left out."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for before, words, after in _all():
        if before != after:
            found.setdefault((before, after), {})[words] = None
    return {move: tuple(_merged(words)) for move, words in found.items()}


def mermaid() -> str:
    """The diagram as the text of a Mermaid block."""
    rows = [f"    {before} --> {after}: {', '.join(words)}" for (before, after), words in transitions().items()]
    return "\n".join(["stateDiagram-v2", *rows])


def _all() -> Iterator[tuple[str, str, str]]:
    """(before, what happens, after), for every status, with and without `keepOpen` and a bot for `all`."""
    for before, keep, everyone in product((None, *_STATUSES), (False, True), (False, True)):
        line = _line(keep, everyone)

        def after(event: Event, line: Line = line, before: Status | None = before) -> str:
            now = event.message.at if isinstance(event, MessageHeard) else NOW
            found, actions = decide(line, None if before is None else _session(before), event, now)
            kept = any(isinstance(action, End) and action.keep for action in actions)
            return found.status if found else "closed" if kept else NONE

        kept = " with keepOpen" if keep else ""
        start = before or NONE
        yield (
            start,
            "any message (a bot with all, or the fallback)" if everyone else "a message",
            after(_heard("hello")),
        )
        yield start, "a keyword or advanced trigger", after(_heard("start"))
        yield start, f"keywordFinish{kept}", after(_heard("stop")) if not everyone or before else start
        yield start, "a human writes (stopBotFromMe)", after(_heard("hello", from_me=True))
        yield start, "a turn is due", after(TurnDue())
        if not everyone:
            yield start, f"expire{kept}", after(_heard("hello", at=NOW + 7200))
        for to in _SWITCHES:
            yield start, f"changeStatus {to}", after(StatusChanged(to))


def _merged(words: dict[str, None]) -> Iterator[str]:
    """The words of one arrow: what holds with and without `keepOpen` is said once."""
    for each in words:
        if not (each.endswith(" with keepOpen") and each.removesuffix(" with keepOpen") in words):
            yield each


def _heard(text: str, at: float = NOW, from_me: bool = False) -> MessageHeard:
    message = Heard(id="m", instance_id="i", jid="c", from_me=from_me, push_name=None, kind="c", text=text, at=at)
    return MessageHeard(message, "fresh")


def _session(status: Status) -> Session:
    return Session(
        id="s", instance_id="i", jid="c", bot_id="keyword", status=status, created_at=NOW - 60, active_at=NOW - 60
    )


def _line(keep: bool, everyone: bool) -> Line:
    row: dict[str, Any] = {"created_at": "", "updated_at": "", "instance_id": "i"}
    bot = Bot(
        id="keyword", enabled=True, bot_type="chatCompletion", openai_creds_id="c", trigger_type="keyword",
        trigger_operator="equals", trigger_value="start", keyword_finish="stop", keep_open=keep, expire=3600,
        stop_bot_from_me=True, **row,
    )  # fmt: skip
    rest = Bot(id="all", enabled=True, bot_type="chatCompletion", openai_creds_id="c", trigger_type="all", **row)
    instance = Instance(id="i", name="i", created_at="", updated_at="")
    return Line(instance=instance, settings=None, bots=(bot, rest) if everyone else (bot,), accounts={}, assistants={})
