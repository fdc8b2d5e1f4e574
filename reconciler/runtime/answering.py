"""A due turn becomes a reply: the model is asked, its answer cut into messages, the session remembers both.

Before it comes `runtime/hearing.py` with the turn; after it `Chats.finish`. What fails is recorded on the session for
the operator; the customer gets the bot's `unknownMessage`, or nothing where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from reconciler.llm.answer import Answer, ModelFailed
from reconciler.model import Account, Line, Session, Spoken
from reconciler.runtime.hearing import Turn
from reconciler.store.outbox import Saying
from reconciler.talk.effective import effective
from reconciler.talk.prompt import HISTORY, Request, compose, parts, turn_text


class Answers(Protocol):
    """Asks a model; raises ModelFailed."""

    async def answer(self, account: Account, request: Request) -> Answer: ...


class Reply(msgspec.Struct, frozen=True):
    """What a turn came to: the session with what it remembers now, and what is to be said."""

    session: Session
    sayings: tuple[Saying, ...]


async def answer(
    models: Answers, line: Line, turn: Turn, clock: Callable[[], float], fresh: Callable[[], str]
) -> Reply:
    """Answers a turn. A model that fails is a reply too; any other exception is a bug and goes on."""
    if not turn_text(turn.heard):
        return unanswered(line, turn, turn.session.failure, fresh)
    account = line.accounts.get(turn.bot.openai_creds_id)
    if account is None:
        return _failed(line, turn, "the bot's credentials are not there any more", fresh)
    try:
        found = await models.answer(account, compose(line, turn.bot, turn.session, turn.heard))
    except ModelFailed as error:
        return _failed(line, turn, str(error), fresh)
    history = (*_asked(turn), Spoken("assistant", found.text, clock()))[-HISTORY:]
    session = msgspec.structs.replace(turn.session, history=history, failure=None, await_user=True)
    return Reply(session, _sayings(line, turn, found.text, fresh))


def unanswered(line: Line, turn: Turn, failure: str | None, fresh: Callable[[], str]) -> Reply:
    """The reply to what could not be read, or not be answered: `unknownMessage`, which no history remembers."""
    text = effective(turn.bot, line.settings).unknown_message
    session = msgspec.structs.replace(turn.session, failure=failure, await_user=True)
    return Reply(session, _sayings(line, turn, text, fresh) if text else ())


def _failed(line: Line, turn: Turn, failure: str, fresh: Callable[[], str]) -> Reply:
    """What the customer wrote is remembered all the same, so that the next answer knows of it."""
    reply = unanswered(line, turn, failure, fresh)
    return msgspec.structs.replace(reply, session=msgspec.structs.replace(reply.session, history=_asked(turn)))


def _asked(turn: Turn) -> tuple[Spoken, ...]:
    asked = Spoken("user", turn_text(turn.heard), turn.heard[-1].at)
    return (*turn.session.history, asked)[-HISTORY:]


def _sayings(line: Line, turn: Turn, text: str, fresh: Callable[[], str]) -> tuple[Saying, ...]:
    own = effective(turn.bot, line.settings)
    return tuple(Saying(fresh(), part.text, part.delay) for part in parts(text, own))
