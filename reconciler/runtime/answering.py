"""A due turn becomes a reply: its messages are read, the model is asked, its answer cut into messages, the session
remembers both.

Before it comes `runtime/hearing.py` with the turn; after it `Chats.finish`. What fails is recorded on the session for
the operator; the customer gets the bot's `unknownMessage`, or nothing where it has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from reconciler.llm.answer import Answer, ModelFailed, Usage
from reconciler.model import Account, Line, Media, Session, Spoken
from reconciler.runtime.hearing import Turn
from reconciler.runtime.reading import BYTES, Reads, read, with_files
from reconciler.store.outbox import Saying
from reconciler.store.usage import Outcome, Record
from reconciler.talk.effective import effective
from reconciler.talk.prompt import HISTORY, Content, Request, compose, parts

_NO_USAGE: Final = Usage()


class Answers(Reads, Protocol):
    """Asks a model; raises ModelFailed."""

    async def answer(self, account: Account, request: Request) -> Answer: ...


class Kept(Protocol):
    """Where the files of messages are, and where what was heard in them is kept: the chats' store."""

    async def media(self, seqs: Sequence[int], most: int) -> dict[int, Media]: ...

    async def read_out(self, texts: Mapping[int, str]) -> None: ...


class Reply(msgspec.Struct, frozen=True):
    """What a turn came to: the session with what it remembers now, what is to be said, what it took."""

    session: Session
    sayings: tuple[Saying, ...]
    record: Record


async def answer(
    models: Answers, kept: Kept, line: Line, turn: Turn, clock: Callable[[], float], fresh: Callable[[], str]
) -> Reply:
    """Answers a turn. A model that fails is a reply too; any other exception is a bug and goes on."""
    start = time.monotonic()
    account = line.accounts.get(turn.bot.openai_creds_id)
    files = await kept.media(seqs, BYTES) if (seqs := with_files(turn.messages)) else {}
    listen = bool(line.settings and line.settings.speech_to_text)
    reading = await read(models, account, turn.messages, files, listen)
    if reading.heard:
        await kept.read_out(reading.heard)
    if reading.nothing:
        return unanswered(line, turn, reading.failure or turn.session.failure, fresh, Record(outcome="unread"))
    asked, request = reading.content, compose(line, turn.bot, turn.session, turn.heard, reading.content)
    took = _Took(request.model, start)
    if account is None:
        return _failed(line, turn, asked, took.record("failed", "the bot's credentials are not there any more"), fresh)
    try:
        found = await models.answer(account, request)
    except ModelFailed as error:
        return _failed(line, turn, asked, took.record("failed", str(error), error.usage), fresh)
    history = (*_asked(turn, asked), Spoken("assistant", found.text, clock()))[-HISTORY:]
    session = msgspec.structs.replace(turn.session, history=history, failure=None, await_user=True)
    outcome: Outcome = "truncated" if found.truncated else "answered"
    record = took.record(outcome, reading.failure, found.usage, len(found.calls))
    return Reply(session, _sayings(line, turn, found.text, fresh), record)


def unanswered(
    line: Line, turn: Turn, failure: str | None, fresh: Callable[[], str], record: Record | None = None
) -> Reply:
    """The reply to what could not be read, or not be answered: `unknownMessage`, which no history remembers.

    Without a `record` the turn failed.
    """
    text = effective(turn.bot, line.settings).unknown_message
    session = msgspec.structs.replace(turn.session, failure=failure, await_user=True)
    record = msgspec.structs.replace(record or Record(outcome="failed"), failure=failure)
    return Reply(session, _sayings(line, turn, text, fresh) if text else (), record)


class _Took(msgspec.Struct, frozen=True):
    """What is known of a turn's cost before it ends; `start` of time.monotonic."""

    model: str | None
    start: float

    def record(
        self,
        outcome: Outcome,
        failure: str | None,
        usage: Usage = _NO_USAGE,
        calls: int = 0,
    ) -> Record:
        return Record(
            outcome=outcome,
            failure=failure,
            model=self.model,
            input=usage.input,
            output=usage.output,
            cached=usage.cached,
            calls=calls,
            seconds=round(time.monotonic() - self.start, 3),
        )


def _failed(line: Line, turn: Turn, asked: Content, record: Record, fresh: Callable[[], str]) -> Reply:
    """What the customer wrote is remembered all the same, so that the next answer knows of it."""
    reply = unanswered(line, turn, record.failure, fresh, record)
    session = msgspec.structs.replace(reply.session, history=_asked(turn, asked))
    return msgspec.structs.replace(reply, session=session)


def _asked(turn: Turn, content: Content) -> tuple[Spoken, ...]:
    asked = Spoken("user", content.remembered, turn.heard[-1].at)
    return (*turn.session.history, asked)[-HISTORY:]


def _sayings(line: Line, turn: Turn, text: str, fresh: Callable[[], str]) -> tuple[Saying, ...]:
    own = effective(turn.bot, line.settings)
    return tuple(Saying(fresh(), part.text, part.delay, part.media_url) for part in parts(text, own))
