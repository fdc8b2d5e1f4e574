"""What a model is asked, and how its answer is said.

Before it comes `decide` with a turn to answer; after it `llm` with the request, and the outbox with the parts.
`Request` knows no provider: both of OpenAI's APIs and the demo model read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from reconciler.model import Bot, Heard, Line, Session
from reconciler.talk.attach import pieces
from reconciler.talk.effective import Effective

HISTORY: Final = 20  # messages of the session that the model sees again
HISTORY_TOKENS: Final = 8_000  # and how many tokens of them, as estimated by `tokens`
IMAGE: Final = "[image]"  # what the history keeps of one
TYPING_CAP: Final = 20.0  # seconds that "typing" of one message takes at the most


class Utterance(msgspec.Struct, frozen=True):
    """One message of a request; `images` are URLs, of http or of the data itself (RFC 2397)."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[str, ...] = ()


class Content(msgspec.Struct, frozen=True):
    """What a turn's messages say: `text` for the model, `images` as for `Utterance`.

    `remembered` is what the session's history keeps of it, with a word in the place of each image.
    """

    text: str
    images: tuple[str, ...] = ()

    @property
    def remembered(self) -> str:
        return "\n".join([*(IMAGE for _ in self.images), *([self.text] if self.text else [])])


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One turn's question to a model.

    `api`: `chat` (chat completions) or `responses`; `instructions` are used by the latter. `key` names the turn, the
    same each time it is tried, be it with messages that came meanwhile; `jid` and `push_name` are told to the functions
    at `function_url`. Of `messages` the last is the turn, and the `history` before it are the session's, which `fitted`
    may shorten.
    """

    api: Literal["chat", "responses"]
    model: str | None
    instructions: str | None
    messages: tuple[Utterance, ...]
    max_tokens: int | None
    temperature: float | None
    reasoning_effort: str | None
    tools: tuple[dict[str, Any], ...]
    function_url: str | None
    key: str
    jid: str
    push_name: str | None
    metadata: Mapping[str, str] = {}
    history: int = 0

    @property
    def estimate(self) -> int:
        """Its tokens as `tokens` estimates them; images count nothing."""
        tools = (str(msgspec.json.encode(tool)) for tool in self.tools)
        return sum(map(tokens, (self.instructions or "", *tools, *(each.text for each in self.messages))))


class Part(msgspec.Struct, frozen=True):
    """One message of a reply; `delay` is how many seconds after the one before it (or the turn's end) it is sent.
    With `media_url` it is that file, and the text its caption.
    """

    text: str
    delay: float
    media_url: str | None = None


def tokens(text: str) -> int:
    """A cautious estimate: a token for each three bytes, and four for the message around them."""
    return len(text.encode("utf-8", "replace")) // 3 + 4


def turn_text(messages: Iterable[Heard]) -> str:
    """The readable messages of a turn in the order in which they came, joined by newlines; "" if there are none."""
    return "\n".join(message.text for message in messages if message.text is not None and message.text.strip())


def fitted(request: Request, ratio: float = 1.0) -> Request:
    """The request with as much of its history as fits into 8,000 tokens: the newest, in order.

    `ratio` is how many tokens of the model one of `tokens` has come to so far.
    """
    start, left = len(request.messages) - 1, HISTORY_TOKENS / ratio
    first = start - request.history
    while start > first and (left := left - tokens(request.messages[start - 1].text)) >= 0:
        start -= 1
    if start == first:
        return request
    shorter = (*request.messages[:first], *request.messages[start:])
    return msgspec.structs.replace(request, messages=shorter, history=len(request.messages) - 1 - start)


def compose(
    line: Line, bot: Bot, session: Session, messages: Sequence[Heard], content: Content | None = None
) -> Request:
    """The request for a turn that says `content` (None: what its messages have as text).

    An assistant's instructions, model and tools are those declared under its `assistantId`; the bot's systemMessages
    are added to them, its model and tools win.
    """
    assistant = line.assistants.get(bot.assistant_id or "") if bot.bot_type == "assistant" else None
    system, history = bot.system_messages or (), session.history[-HISTORY:]
    turn = content or Content(turn_text(messages))
    if bot.bot_type == "assistant":
        first = (assistant.instructions or "",) if assistant else ()
        instructions: str | None = "\n\n".join(text for text in (*first, *system) if text) or None
        lead: tuple[Utterance, ...] = ()
    else:
        instructions = None
        lead = (
            *(Utterance("system", text) for text in system),
            *(Utterance("assistant", text) for text in bot.assistant_messages or ()),
            *(Utterance("user", text) for text in bot.user_messages or ()),
        )
    return Request(
        api="responses" if bot.bot_type == "assistant" else "chat",
        model=bot.model or (assistant.model if assistant else None),
        instructions=instructions,
        messages=(
            *lead,
            *(Utterance(entry.role, entry.text) for entry in history),
            Utterance("user", turn.text, turn.images),
        ),
        max_tokens=bot.max_tokens,
        temperature=_first(bot.temperature, assistant and assistant.temperature),
        reasoning_effort=_first(bot.reasoning_effort, assistant and assistant.reasoning_effort),
        tools=_tools(bot.tools or (), (assistant.tools or ()) if assistant else ()),
        function_url=bot.function_url,
        key=f"{session.id}:{messages[0].id}",
        jid=session.jid,
        push_name=session.push_name,
        metadata=(assistant.metadata or {}) if assistant else {},
        history=len(history),
    )


def parts(text: str, own: Effective) -> tuple[Part, ...]:
    """A reply as the messages in which it is said, with their delays."""
    texts = split(text) if own.split_messages else [text]
    found = [piece for each in texts for piece in pieces(each)]
    return tuple(Part(piece.text, delay(piece.text, own), piece.media_url) for piece in found)


def delay(text: str, own: Effective) -> float:
    """Seconds before a message is sent: `delayMessage`, and `timePerChar` for each character, 20 s at the most."""
    return own.delay_message / 1000 + min(own.time_per_char * len(text) / 1000, TYPING_CAP)


_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")


def split(text: str) -> list[str]:
    """The parts of a text between its blank lines; blank lines within a code fence do not count (CommonMark 4.5)."""
    pieces: list[list[str]] = [[]]
    fence = ""
    for row in text.splitlines():
        mark = _FENCE.match(row)
        if fence:
            if mark and mark[1].startswith(fence) and not row.strip(" `~"):
                fence = ""
        elif mark:
            fence = mark[1]
        elif not row.strip():
            pieces.append([])
            continue
        pieces[-1].append(row)
    return [piece for rows in pieces if (piece := "\n".join(rows).strip("\n"))]


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _tools(own: Sequence[dict[str, Any]], inherited: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The bot's tools and the assistant's; of two functions of one name the bot's."""
    names = {tool.get("name") for tool in own if tool.get("type") == "function"}
    return (*own, *(tool for tool in inherited if tool.get("type") != "function" or tool.get("name") not in names))
