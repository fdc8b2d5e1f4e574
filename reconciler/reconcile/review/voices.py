"""Who answers in the bots' place while a change is reviewed, and what a model said to the same question before.

Before it `gather` with both desired states; after it `talks` and `replay`, which ask. A pull request may come from
anybody, so a key goes nowhere that the base commit did not send it: Credentials that the change adds or touches are
never asked with, and functions are never called.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from reconciler.desired.secrets import with_keys
from reconciler.llm.answer import AWAY, Answer, Call, ModelFailed
from reconciler.model import DEMO, Account, Desired, Object, Secret
from reconciler.reconcile.rehearse import Ask, with_models
from reconciler.talk.prompt import Request

Mode = Literal["live", "none", "demo"]

MOST_ASKED: Final = 400  # questions to real models in one review
_KEPT_DAYS: Final = 7  # for which an answer stands: models change
_KEPT: Final = 5_000  # answers
_BYTES: Final = 64 << 20  # of the file
_MODE: Final = 0o600


class Voices:
    """Both sides' models. `answer` asks a real one; `answers` are those given before.

    `told` hears what is done now, and how far it is: `told("conversations", 3, 12)`.
    """

    def __init__(
        self,
        mode: Mode,
        answer: Callable[[Account, Request], Awaitable[Answer]],
        answers: Answers | None = None,
        told: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self.told = told
        self._away: dict[str | None, str] = {}  # addresses that could not be reached, with what was said of them
        self.mode = mode
        self.asked = 0  # questions that really went to a model
        self.answers = answers or Answers(None)
        self._answer = answer

    def prepare(
        self, base: Desired, head: Desired, variables: Mapping[str, str], root: Path
    ) -> tuple[Desired, Desired, tuple[str, ...]]:
        """Both desired states as they are run, without functions; and the Credentials (`instance/name`) that changed
        and so are not asked with."""
        sides = [_without_functions(side) for side in (base, head)]
        if self.mode == "demo":
            old, new = (with_models(side, "demo", variables, root) for side in sides)
            return old, new, ()
        if self.mode == "none":
            return sides[0], sides[1], ()
        before = {one.ref: one for one in base.objects if one.ref.kind == "Credentials"}
        trusted = {
            one.ref: found
            for one in head.objects
            if one.ref.kind == "Credentials"
            and (was := before.get(one.ref)) is not None
            and was.spec == one.spec
            and (found := _resolved(one, variables, root)) is not None
        }
        changed = tuple(
            f"{one.ref.instance}/{one.ref.name}"
            for one in head.objects
            if one.ref.kind == "Credentials" and (one.ref not in before or before[one.ref].spec != one.spec)
        )
        keyed = [
            msgspec.structs.replace(side, objects=tuple(trusted.get(one.ref, one) for one in side.objects))
            for side in sides
        ]
        return keyed[0], keyed[1], changed

    def ask(self, repetition: int, heard: list[bool]) -> Ask:
        """Asks as `rehearse` wants it; `repetition` makes a new sample of the same question, `heard` notes that a real
        model was asked."""

        async def ask(account: Account, request: Request) -> Answer | None:
            if account.base_url == DEMO:
                return await self._answer(account, request)
            if not account.api_key.value:
                return None
            heard.append(True)
            key = question(account, request, repetition)
            if (known := self.answers.get(key)) is not None:
                return known
            if self.asked >= MOST_ASKED:
                raise ModelFailed(f"a review asks a model {MOST_ASKED} times at the most")
            if (why := self._away.get(account.base_url)) is not None:
                raise ModelFailed(why)
            self.asked += 1
            try:
                found = await self._answer(account, request)
            except ModelFailed as error:
                if str(error) == AWAY:  # each further question would wait as long
                    self._away[account.base_url] = AWAY
                raise
            self.answers.keep(key, found)
            return found

        return ask


def question(account: Account, request: Request, repetition: int) -> str:
    """A question by its content: the account's address, all that the model is sent, and which sample it is."""
    asked = msgspec.structs.replace(request, key="", jid="", push_name=None, function_url=None)
    return hashlib.sha256(msgspec.json.encode([account.base_url, asked, repetition], order="sorted")).hexdigest()


def _resolved(one: Object, variables: Mapping[str, str], root: Path) -> Object | None:
    """Credentials with their key; None where it is not at hand, whatever `whenMissing` says."""
    (found,) = with_keys(Desired(commit=None, source="", objects=(one,)), variables, root).objects
    return found if isinstance(found.spec["apiKey"], Secret) else None


def has_account(desired: Desired) -> bool:
    """Whether any Credentials have a key."""
    return any(one.ref.kind == "Credentials" and isinstance(one.spec["apiKey"], Secret) for one in desired.objects)


def _without_functions(desired: Desired) -> Desired:
    objects = (
        msgspec.structs.replace(one, spec={**one.spec, "functionUrl": None})
        if one.ref.kind == "Bot" and one.spec["functionUrl"]
        else one
        for one in desired.objects
    )
    return msgspec.structs.replace(desired, objects=tuple(objects))


# --- answers given before ------------------------------------------------------------------------------------


class Kept(msgspec.Struct, array_like=True):
    """An answer, and when it was given (seconds since the epoch)."""

    at: float
    text: str
    calls: list[tuple[str, bool]]


class Answers:
    """Answers by question, in one file that only its owner reads; `path` None keeps them for this process alone.

    A file with another mode or owner is not ours (a checkout could carry one) and counts as none.
    """

    def __init__(self, path: Path | None, now: float | None = None) -> None:
        self._path = path
        self._now = time.time() if now is None else now
        self._known = _load(path, self._now) if path is not None else {}
        self._learned = False

    def get(self, key: str) -> Answer | None:
        """The answer to a question, if there is one."""
        if (found := self._known.get(key)) is None:
            return None
        return Answer(found.text, calls=tuple(Call(name, failed) for name, failed in found.calls))

    def keep(self, key: str, answer: Answer) -> None:
        """Remembers an answer."""
        self._known[key] = Kept(self._now, answer.text, [(call.name, call.failed) for call in answer.calls])
        self._learned = True

    def save(self) -> None:
        """Writes the newest answers, if there are new ones. That they cannot be written harms nobody."""
        if self._path is None or not self._learned:
            return
        newest = dict(sorted(self._known.items(), key=lambda pair: -pair[1].at)[:_KEPT])
        beside = self._path.with_name(f".{self._path.name}-{os.getpid()}")
        with contextlib.suppress(OSError):
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.msgpack.encode(newest))
            os.replace(beside, self._path)


def _load(path: Path, now: float) -> dict[str, Kept]:
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if stat.S_IMODE(about.st_mode) != _MODE or about.st_uid != os.geteuid() or about.st_size > _BYTES:
                return {}
            found = msgspec.msgpack.decode(file.read(), type=dict[str, Kept])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return {key: kept for key, kept in found.items() if kept.at > now - _KEPT_DAYS * 86_400}
