"""What to do with an event of a chat: `decide(line, session, event, now) -> (session, actions)`.

Before it comes the store with the chat's newest session; after it the turn engine, which does what the actions say.
Pure: the clock and the id of a session that may begin are arguments.

A session is one of four things when a message is heard: absent, `opened`, `paused` (a human has taken over) or
`closed` (it ended and was kept). `_ended` first looks whether it is over (expired, its bot gone); `_BY_STATUS` then
says who takes the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, assert_never

import msgspec

from reconciler.model import Bot, Heard, Line, Session, Status
from reconciler.talk.effective import Effective, effective, ignores
from reconciler.talk.match import fold, match

# --- events --------------------------------------------------------------------------------------------------


class MessageHeard(msgspec.Struct, frozen=True):
    """A new message of the chat. `first_at` is when the first message that already waits for a turn was heard.

    `fresh` is the id of a session that the message may start; `echo` says that the message is our own, come back.
    """

    message: Heard
    fresh: str
    first_at: float | None = None
    echo: bool = False


class TurnDue(msgspec.Struct, frozen=True):
    """The messages that waited are to be answered now."""


class StatusChanged(msgspec.Struct, frozen=True):
    """Somebody switched the chat; `delete` ends its session without a trace."""

    to: Status | Literal["delete"]


Event = MessageHeard | TurnDue | StatusChanged

# --- actions -------------------------------------------------------------------------------------------------

Why = Literal[
    "ignored chat", "our own echo", "said by the business", "paused", "closed", "nobody answers it", "bot ignores chat"
]


class Ignore(msgspec.Struct, frozen=True):
    """Nothing happens with the message; it stays in the transcript."""

    why: Why


class End(msgspec.Struct, frozen=True):
    """A session is over: kept as closed, or deleted. What it still had to say is not said."""

    session_id: str
    keep: bool
    why: Literal["expired", "bot gone", "finished", "switched"]


class Start(msgspec.Struct, frozen=True):
    """A session begins."""

    session: Session


class Discard(msgspec.Struct, frozen=True):
    """Messages that wait for a turn get none."""


class Collect(msgspec.Struct, frozen=True):
    """The message waits for a turn, which is to start at `due` (seconds since the epoch)."""

    due: float


class Answer(msgspec.Struct, frozen=True):
    """The bot answers what has waited."""

    bot: Bot


class Rehear(msgspec.Struct, frozen=True):
    """The session went before its turn came: what has waited is to be heard as new."""


# Which bot of a line a first message starts; the runtime's own is `match`.
Starts = Callable[[Line, str | None], Bot | None]

Action = Ignore | End | Start | Discard | Collect | Answer | Rehear
Decision = tuple[Session | None, tuple[Action, ...]]


def decide(line: Line, session: Session | None, event: Event, now: float, starts: Starts = match) -> Decision:
    """The session after the event (None: there is none) and what is to be done, in order.

    `session` is the newest of the chat; `now` is seconds since the epoch. `starts` is another server's matcher, for
    who rehearses what would happen there.
    """
    match event:
        case MessageHeard():
            return _hear(line, session, event, now, starts)
        case TurnDue():
            return _turn(line, session)
        case StatusChanged():
            return switch(session, event.to, now)
        case _:
            assert_never(event)


def switch(session: Session | None, to: Status | Literal["delete"], now: float) -> Decision:
    """`changeStatus`: needs no line, for it asks no bot. A session that is opened counts as active now."""
    if session is None:
        return None, ()
    if to == "delete":
        return None, (End(session.id, keep=False, why="switched"), Discard())
    if to == "opened":
        return msgspec.structs.replace(session, status="opened", active_at=now), ()
    return msgspec.structs.replace(session, status=to), (Discard(),)


def turn_due(first_at: float, last_at: float, debounce_ms: int) -> float:
    """When a turn starts: `debounce_ms` after its last message, but at the latest ten times that or 30 s after its
    first, whichever is less, though never sooner than `debounce_ms`. Times in seconds since the epoch.
    """
    wait = debounce_ms / 1000
    return min(last_at + wait, first_at + max(wait, min(10 * wait, 30.0)))


# --- a message -----------------------------------------------------------------------------------------------


def _hear(line: Line, session: Session | None, event: MessageHeard, now: float, starts: Starts) -> Decision:
    message = event.message
    if ignores(effective(None, line.settings).ignore_jids, message.jid):
        return session, (Ignore("ignored chat"),)
    ended: tuple[Action, ...] = ()
    if session is not None:
        bot = _bot(line, session)
        own = effective(bot, line.settings)
        if bot is not None and bot.enabled and ignores(own.ignore_jids, message.jid):
            return session, (Ignore("bot ignores chat"),)
        if event.echo:
            return session, (Ignore("our own echo"),)
        if (over := _ended(bot, own, session, now)) is not None:
            ended = (over,) if session.status != "closed" else ()
            session = None
        else:
            return _in_session(_Scene(line, session, own, event, now, starts))
    elif event.echo:
        return None, (Ignore("our own echo"),)
    found, actions = _first(line, starts(line, message.text), event, now)
    discard: tuple[Action, ...] = (Discard(),) if ended else ()
    return found, (*ended, *discard, *actions)


def _ended(bot: Bot | None, own: Effective, session: Session, now: float) -> End | None:
    """Whether the session was over before this message: its bot is gone, or nobody wrote for `expire` seconds."""
    if bot is None:
        return End(session.id, keep=False, why="bot gone")
    if not bot.enabled:
        return End(session.id, keep=own.keep_open, why="bot gone")
    if own.expire and now - session.active_at > own.expire:
        return End(session.id, keep=own.keep_open, why="expired")
    return None


class _Scene(msgspec.Struct, frozen=True):
    """A message within a session that goes on."""

    line: Line
    session: Session
    own: Effective
    event: MessageHeard
    now: float
    starts: Starts


def _in_session(scene: _Scene) -> Decision:
    session, own = scene.session, scene.own
    if scene.event.message.from_me:
        if own.stop_bot_from_me:
            paused = msgspec.structs.replace(session, status="paused", active_at=scene.now)
            return paused, (Discard(), Ignore("said by the business"))
        if not own.listening_from_me:
            return _touched(session, scene.now), (Ignore("said by the business"),)
    return _BY_STATUS[session.status](scene)


def _opened(scene: _Scene) -> Decision:
    session, own, message, now = scene.session, scene.own, scene.event.message, scene.now
    if own.keyword_finish and message.text is not None and fold(message.text) == fold(own.keyword_finish):
        end = End(session.id, keep=own.keep_open, why="finished")
        closed = msgspec.structs.replace(session, status="closed", active_at=now, await_user=False)
        return (closed if own.keep_open else None), (Discard(), end)
    name = _name(message) or session.push_name
    heard = msgspec.structs.replace(session, active_at=now, await_user=False, push_name=name)
    return heard, (_collect(own, scene.event),)


def _paused(scene: _Scene) -> Decision:
    return _touched(scene.session, scene.now), (Ignore("paused"),)


def _closed(scene: _Scene) -> Decision:
    """Only a keyword or an advanced trigger starts anew; neither `all` nor the fallback does."""
    bot = scene.starts(msgspec.structs.replace(scene.line, settings=None), scene.event.message.text)
    if bot is None or bot.trigger_type in ("all", "none"):
        return scene.session, (Ignore("closed"),)
    found, actions = _first(scene.line, bot, scene.event, scene.now)
    return found or scene.session, actions


_BY_STATUS: Final[dict[Status, Callable[[_Scene], Decision]]] = {
    "opened": _opened,
    "paused": _paused,
    "closed": _closed,
}


def _first(line: Line, bot: Bot | None, event: MessageHeard, now: float) -> Decision:
    """A first message: it starts a session with the bot that it found, if any."""
    message = event.message
    if bot is None:
        return None, (Ignore("said by the business" if message.from_me else "nobody answers it"),)
    own = effective(bot, line.settings)
    if ignores(own.ignore_jids, message.jid):
        return None, (Ignore("bot ignores chat"),)
    if message.from_me and not own.listening_from_me:
        return None, (Ignore("said by the business"),)
    session = Session(
        id=event.fresh,
        instance_id=line.instance.id,
        jid=message.jid,
        bot_id=bot.id,
        status="opened",
        push_name=_name(message),
        created_at=now,
        active_at=now,
    )
    return session, (Start(session), _collect(own, msgspec.structs.replace(event, first_at=None)))


def _collect(own: Effective, event: MessageHeard) -> Collect:
    at = event.message.at
    return Collect(turn_due(at if event.first_at is None else event.first_at, at, own.debounce_time))


def _touched(session: Session, now: float) -> Session:
    """A message either way keeps an opened or paused session alive; a closed one runs out."""
    return session if session.status == "closed" else msgspec.structs.replace(session, active_at=now)


def _name(message: Heard) -> str | None:
    return None if message.from_me else message.push_name


def _bot(line: Line, session: Session) -> Bot | None:
    return next((bot for bot in line.bots if bot.id == session.bot_id), None)


# --- a turn --------------------------------------------------------------------------------------------------


def _turn(line: Line, session: Session | None) -> Decision:
    if session is None:
        return None, (Rehear(),)
    if session.status != "opened":
        return session, (Discard(),)
    bot = _bot(line, session)
    own = effective(bot, line.settings)
    if bot is None or not bot.enabled:
        return None, (End(session.id, keep=bot is not None and own.keep_open, why="bot gone"), Rehear())
    return session, (Answer(bot),)
