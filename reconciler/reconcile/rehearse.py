"""Rehearses Conversations: what the desired bots would do with each message, on a simulated clock, without a runtime.

Before it comes a desired state, from a commit or the working tree; after it `reconciler test`, which prints what was
not as expected. It runs the same pure engine as the runtime (`talk.decide`, `talk.prompt`), with the matcher of the
target (`starts`); a model is asked through `Ask`, and what only a model could tell is `incomplete` where there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from reconciler.desired.secrets import missing_keys, with_keys
from reconciler.errors import InvalidBots
from reconciler.llm.answer import Answer, ModelFailed
from reconciler.model import (
    DEMO,
    Account,
    Assistant,
    Bot,
    Desired,
    Heard,
    Instance,
    Line,
    Object,
    Place,
    Ref,
    Secret,
    Session,
    Settings,
    Spoken,
    TargetType,
)
from reconciler.reconcile.expect import Fault, Seen, judge
from reconciler.reconcile.starts import as_there, first
from reconciler.talk import decide as talk
from reconciler.talk.decide import Decision, MessageHeard, TurnDue, decide
from reconciler.talk.effective import effective
from reconciler.talk.prompt import HISTORY, Request, compose, parts, turn_text

APART: Final = 0.1  # seconds between messages written in quick succession
_BEGIN: Final = 1_767_225_600.0  # when each rehearsal begins: 2026-01-01, so that every run is the same

Ask = Callable[[Account, Request], Awaitable[Answer | None]]
Where = Callable[[Object, tuple[str | int, ...]], Place]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation that did not hold, or (`incomplete`) that only a model could tell."""

    at: Place
    turn: int
    expectation: str
    message: str
    incomplete: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a Conversation came to: `turns` how many there were, `expectations` how many were looked at."""

    ref: Ref
    at: Place
    turns: int
    expectations: int
    failures: tuple[Failure, ...]

    @property
    def verdict(self) -> Literal["passed", "failed", "incomplete"]:
        if any(not one.incomplete for one in self.failures):
            return "failed"
        return "incomplete" if self.failures else "passed"


async def rehearse(
    desired: Desired, conversation: Object, ask: Ask, where: Where, type: TargetType = "runtime"
) -> Outcome:
    """Plays one Conversation of a desired state; a target of `type` says whom first messages start.

    `ask` gives a model's answer, or None where none is to be asked; `where` finds an expectation in its file.
    """
    chat = Chat(as_there(line_of(desired, conversation.ref.instance), desired, type), ask, type)
    failures: list[Failure] = []
    looked = 0
    turns: Sequence[Mapping[str, Any]] = conversation.spec["turns"]
    for number, turn in enumerate(turns):
        chat.now += turn.get("after", 0) / 1000
        said = turn.get("user", turn.get("human"))
        seen = await chat.play([said] if isinstance(said, str) else said, from_me="human" in turn)
        expected: Mapping[str, Any] = turn.get("expect", {})
        looked += len(expected)
        failures += [_failure(conversation, number, fault, where) for fault in judge(expected, seen)]
    return Outcome(
        ref=conversation.ref, at=conversation.at, turns=len(turns), expectations=looked, failures=tuple(failures)
    )


def with_models(
    desired: Desired, mode: Literal["none", "demo", "live"], variables: Mapping[str, str], root: Path
) -> Desired:
    """A desired state whose Credentials are as a rehearsal may use them.

    `none`: without keys, so that only Credentials that name the demo model answer. `demo`: the demo model answers for
    all. `live`: with the keys that are there; where one is missing, nobody answers, whatever `whenMissing` says.
    Raises InvalidBots for keys that are missing without a `whenMissing`.
    """
    if mode == "live":
        found = with_keys(desired, variables, root)
        if problems := missing_keys(found):
            raise InvalidBots(problems)
        return found
    if mode == "none":
        return desired
    objects = (
        msgspec.structs.replace(one, spec={**one.spec, "baseUrl": DEMO}) if one.ref.kind == "Credentials" else one
        for one in desired.objects
    )
    return msgspec.structs.replace(desired, objects=tuple(objects))


def asking(answer: Callable[[Account, Request], Awaitable[Answer]]) -> Ask:
    """Asks for accounts that have a key or are the demo model; None for all others."""

    async def ask(account: Account, request: Request) -> Answer | None:
        return await answer(account, request) if account.base_url == DEMO or account.api_key.value else None

    return ask


def line_of(desired: Desired, instance: str) -> Line:
    """An instance of a desired state as answering its chats needs it; names stand in for ids.

    Bots count as created in the order in which `apply` makes them.
    """
    of: dict[str, list[Object]] = {}
    for one in desired.objects:
        if one.ref.instance == instance:
            of.setdefault(one.ref.kind, []).append(one)
    (own,) = of["Instance"]
    settings = of.get("Settings", ())
    return Line(
        instance=_row(Instance, own, name=own.spec["instanceName"]),
        settings=_row(Settings, settings[0], openaiIdFallback=settings[0].spec["fallbackBot"]) if settings else None,
        bots=tuple(
            _row(Bot, bot, openaiCredsId=bot.spec["credentials"], createdAt=f"{number:06}")
            for number, bot in enumerate(of.get("Bot", ()))
        ),
        accounts={one.ref.name: _account(one) for one in of.get("Credentials", ())},
        assistants={row.assistant_id: row for row in (_row(Assistant, one) for one in of.get("Assistant", ()))},
    )


def _row(kind: type[Any], one: Object, **more: Any) -> Any:
    row = {"id": one.ref.name, "instanceId": one.ref.instance, "createdAt": "", "updatedAt": "", **one.spec, **more}
    return msgspec.convert(row, kind)


def _account(one: Object) -> Account:
    key, spec = one.spec["apiKey"], one.spec
    return Account(
        id=one.ref.name,
        name=one.ref.name,
        api_key=key if isinstance(key, Secret) else Secret(""),
        base_url=spec.get("baseUrl"),
        organization=spec.get("organization"),
        project=spec.get("project"),
    )


def _failure(conversation: Object, number: int, fault: Fault, where: Where) -> Failure:
    return Failure(
        at=where(conversation, ("spec", "turns", number, "expect", fault.expectation)),
        turn=number + 1,
        expectation=fault.expectation,
        message=fault.message,
        incomplete=fault.incomplete,
    )


class Chat:
    """One customer's chat: the session, what waits for a turn, and the clock in seconds since the epoch."""

    def __init__(self, line: Line, ask: Ask, type: TargetType = "runtime") -> None:
        self.now = _BEGIN
        self._type: TargetType = type
        self._line, self._ask = line, ask
        phone = line.instance.integration != "WEB"
        self._jid = "15550100@s.whatsapp.net" if phone else "rehearsal"
        self._session: Session | None = None
        self._began = False
        self._waiting: list[Heard] = []
        self._first_at = self._due = 0.0
        self._number = 0
        self._untold = ""
        self._seen = Seen()

    async def play(self, texts: Iterable[str], *, from_me: bool) -> Seen:
        """Hears messages written in quick succession, and lets the turns that follow from them end."""
        self._seen = Seen(untold=self._untold)
        for position, text in enumerate(texts):
            if position:
                await self._until(self.now + APART)
            self._hear(text, from_me)
        await self._until(None)
        self._seen.status = self._session.status if self._session else "ended" if self._began else "none"
        return self._seen

    async def _until(self, end: float | None) -> None:
        """Moves the clock to a time (None: until nothing waits), taking the turns that are due on the way."""
        while self._waiting and (end is None or self._due <= end):
            self.now = max(self.now, self._due)
            self._seen.delay = 0.0
            self._obey(decide(self._line, self._session, TurnDue(), self.now), None)
            if self._seen.answering is not None:
                await self._answer(self._seen.answering)
            if end is None:  # the reply is said before the next turn of the Conversation begins
                self.now += self._seen.delay
        self.now = self.now if end is None else max(self.now, end)

    def _hear(self, text: str, from_me: bool) -> None:
        self._number += 1
        name = None if from_me else "Ana"
        heard = Heard(
            id=f"m{self._number}",
            instance_id=self._line.instance.id,
            jid=self._jid,
            from_me=from_me,
            push_name=name,
            kind="conversation",
            text=text,
            at=self.now,
        )
        if self._session is None and not from_me:
            self._seen.asked = tuple(f"{one.bot.id} ({one.by})" for one in first(self._line, text, self._type).asked)
        first_at = self._first_at if self._waiting else None
        event = MessageHeard(heard, f"s{self._number}", first_at)
        self._obey(decide(self._line, self._session, event, self.now, self._starts), heard)

    def _starts(self, line: Line, text: str | None) -> Bot | None:
        found = first(line, text, self._type)
        if not found.known:
            self._untold = self._seen.untold = found.why
        return found.bot

    def _obey(self, decision: Decision, heard: Heard | None) -> None:
        self._session, actions = decision
        self._seen.answering = None
        for action in actions:
            match action:
                case talk.Ignore(why):
                    self._seen.reasons.append(why)
                case talk.End(why=why):
                    self._seen.reasons.append(f"the session ended: {why}")
                    self._seen.unsaid()
                case talk.Start():
                    self._began = True
                case talk.Discard() | talk.Rehear():  # the bots stay as they are, so nothing is heard anew
                    self._waiting = []
                case talk.Collect(due):
                    assert heard is not None
                    self._first_at = self._first_at if self._waiting else heard.at
                    self._waiting.append(heard)
                    self._due = due
                case talk.Answer(bot):
                    self._seen.answering = bot

    async def _answer(self, bot: Bot) -> None:
        assert self._session is not None
        messages, self._waiting = tuple(self._waiting), []
        own = effective(bot, self._line.settings)
        seen = self._seen
        seen.bots.append(bot.id)
        account = self._line.accounts.get(bot.openai_creds_id)
        found: Answer | None = None
        history = (*self._session.history, Spoken("user", turn_text(messages), self.now))
        seen.demo = account is not None and account.base_url == DEMO
        if account is not None:
            request = compose(self._line, bot, self._session, messages)
            try:
                found = await self._ask(account, request)
                text = None if found is None else found.text
                failed = False
            except ModelFailed as error:
                text, failed = own.unknown_message or "", True
                seen.reasons.append(f"the model failed: {error}")
        else:
            text, failed = own.unknown_message or "", True
        if text is None:
            seen.pending = True
            seen.delay = own.delay_message / 1000
        else:
            said = parts(text, own)
            seen.replies += [part.text or part.media_url or "" for part in said]
            seen.unknown.append(failed)
            seen.delay = sum(part.delay for part in said)
        if found is not None:
            seen.calls += [call.name for call in found.calls]
            history = (*history, Spoken("assistant", found.text, self.now))
        said_at = self.now + seen.delay if seen.replies or seen.pending else self.now
        self._session = msgspec.structs.replace(
            self._session, history=history[-HISTORY:], await_user=True, active_at=said_at
        )
