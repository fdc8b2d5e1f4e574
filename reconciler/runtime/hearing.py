"""One look at a claimed chat: its new messages are heard in order, and its turn is answered if it is due.

Before it comes a `Claim` with the chat's session and open messages; after it `Chats.settle` with what came of them,
and for a due turn the model. Pure: it folds `talk.decide.decide` over the messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from reconciler.model import Bot, Heard, Line, Session
from reconciler.store.chats_tables import DONE, NEW, WAITING
from reconciler.store.leases import Claim, Inbound, Settling
from reconciler.store.outbox import ECHO
from reconciler.talk.decide import (
    Action,
    Answer,
    Collect,
    Discard,
    End,
    Ignore,
    MessageHeard,
    Rehear,
    Start,
    TurnDue,
    decide,
)

_LOOK_AGAIN: Final = 0.25  # seconds between looks at a message that may be our own


class Turn(msgspec.Struct, frozen=True):
    """A turn to answer: the session as it is, who answers, what was written (at least one message)."""

    session: Session
    bot: Bot
    messages: tuple[Inbound, ...]

    @property
    def heard(self) -> tuple[Heard, ...]:
        return tuple(one.heard for one in self.messages)


class Look(msgspec.Struct, frozen=True):
    """What a look came to; `settling` is None where nothing changed and the turn can start at once."""

    settling: Settling | None
    turn: Turn | None


def look(line: Line, claim: Claim, now: float, fresh: Callable[[], str]) -> Look:
    """Hears what is new in a chat. Expiry is reckoned at the time of each message, not of the look: a runtime that was
    down for an hour must not end the sessions of those who wrote in the meantime.
    """
    hearing = _Hearing(claim)
    again_at: float | None = None
    for one in claim.inbox:
        if one.seq in hearing.waiting:
            continue
        heard = one.heard
        foreign = heard.from_me and not heard.send
        echo = foreign and claim.echoes(heard)
        if foreign and not echo and claim.in_flight and now < heard.at + ECHO:
            # It may be what is on its way just now, in other words and under an id that is not known yet.
            again_at = min(now + _LOOK_AGAIN, heard.at + ECHO)
            break
        event = MessageHeard(heard, fresh(), hearing.first_at, echo)
        hearing.states[one.seq] = DONE
        hearing.session, actions = decide(line, hearing.session, event, heard.at)
        for action in actions:
            hearing.obey(action, one)
        hearing.keep()
    turn = None
    if again_at is None and hearing.waiting and (hearing.turn_at is None or hearing.turn_at <= now):
        hearing.session, actions = decide(line, hearing.session, TurnDue(), now)
        for action in actions:
            if isinstance(action, Answer):
                assert hearing.session is not None
                turn = Turn(hearing.session, action.bot, tuple(hearing.waiting.values()))
            else:
                hearing.obey(action, None)
    return Look(hearing.settling(turn is not None, now, again_at), turn)


class _Hearing:
    """What has come of a look so far."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.session = claim.session
        # Without a session what waited waits for a bot that was deleted: it is heard anew.
        self.waiting = {one.seq: one for one in claim.inbox if one.state == WAITING} if claim.session else {}
        self.first_at = claim.first_at if self.waiting else None
        self.turn_at = claim.turn_at if self.waiting else None
        self.states: dict[int, int] = {}
        self.ends: dict[str, bool] = {}
        self.starts: dict[str, Session] = {}

    def obey(self, action: Action, one: Inbound | None) -> None:
        match action:
            case Ignore() | Answer():
                pass
            case Start(session):
                self.starts[session.id] = session
            case End(session_id, keep):
                if session_id not in self.starts:
                    self.ends[session_id] = keep
                elif keep:
                    self.starts[session_id] = msgspec.structs.replace(self.starts[session_id], status="closed")
                else:
                    del self.starts[session_id]
            case Discard():
                self._clear(DONE)
            case Rehear():
                self._clear(NEW)
            case Collect(due):
                assert one is not None
                self.waiting[one.seq] = one
                self.states[one.seq] = WAITING
                self.first_at = one.heard.at if self.first_at is None else self.first_at
                self.turn_at = due
            case _:
                assert_never(action)

    def keep(self) -> None:
        """A session that began in this look is written as it is at its end."""
        if self.session is not None and self.session.id in self.starts:
            self.starts[self.session.id] = self.session

    def settling(self, hold: bool, now: float, again_at: float | None) -> Settling | None:
        claim, session = self.claim, self.session
        if hold and not self.states and not self.ends and session == claim.session and self.turn_at is not None:
            return None
        goes_on = session is not None and claim.session is not None and session.id == claim.session.id
        return Settling(
            claim=claim,
            session=session if goes_on and session != claim.session else None,
            starts=tuple(self.starts.values()),
            ends=self.ends,
            states=self.states,
            first_at=self.first_at,
            turn_at=now if hold and self.turn_at is None else self.turn_at,
            hold=hold,
            again_at=again_at or 0.0,
        )

    def _clear(self, state: int) -> None:
        self.states.update(dict.fromkeys(self.waiting, state))
        self.waiting, self.first_at, self.turn_at = {}, None, None
