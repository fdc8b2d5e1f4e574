"""Recorded chats with the bots of both sides of a change: which turns would have gone another way.

Before it a file that `reconciler sessions export` wrote and `gather` with both desired states; after it the review.
What customers wrote is played as it came, with the pauses in between; a human's own messages too. The recorded replies
are not used: both sides are played anew, so nothing but the change tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from reconciler.desired.text import text_of
from reconciler.errors import Misuse
from reconciler.model import Desired, Line, TargetType
from reconciler.plan.review.findings import Divergence, Replay, Side
from reconciler.reconcile.expect import Seen
from reconciler.reconcile.rehearse import Chat, line_of
from reconciler.reconcile.review.voices import Voices
from reconciler.reconcile.starts import as_there

CHATS: Final = 2_000  # of a file that are played
TURNS: Final = 200  # of one chat
SHOWN: Final = 200  # divergences that are kept
_LINE: Final = 4 << 20  # bytes of one chat
_TOGETHER: Final = 5.0  # seconds within which messages are one turn, as a customer who writes in several goes means it
_LONGEST: Final = 31 * 86_400.0  # seconds of a pause


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recorded message: who wrote it, what, and how many seconds after the chat's first."""

    by: Literal["customer", "human", "bot"]
    text: str
    at: float = 0.0
    bot: str | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded chat, a line of the file; `instance` is the YAML name or the target's own."""

    instance: str
    chat: str
    messages: tuple[Message, ...]
    format_version: Literal["1.0"] = "1.0"


def recorded(path: Path) -> Iterator[Recorded]:
    """The chats of a file, one at a time. Raises Misuse for a line that is none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LINE + 1), b""), 1):
                if len(line) > _LINE:
                    raise Misuse(f"{path}:{number}: a chat is larger than {_LINE >> 20} MiB")
                if (said := text_of(path, line) if number == 1 else line).strip():
                    try:
                        yield msgspec.json.decode(said, type=Recorded)
                    except (msgspec.DecodeError, UnicodeDecodeError) as error:
                        raise Misuse(f"{path}:{number}: this is no recorded chat: {error}") from error
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror}") from error


async def replay(path: Path, base: Desired, head: Desired, voices: Voices, type: TargetType = "runtime") -> Replay:
    """Plays a file's chats on both sides, those of instances that both have, as a target of `type` starts them."""
    names = [_names(side) for side in (base, head)]
    lines: dict[str, tuple[Line, Line]] = {}
    found: list[Divergence] = []
    chats = turns = more = 0
    skipped: dict[str, int] = {}
    for one in recorded(path):
        instance = names[1].get(one.instance) or names[0].get(one.instance)
        if chats == CHATS:
            skipped[f"only the first {CHATS:,} chats are played"] = 0
            break
        if instance is None or instance not in names[0].values() or instance not in names[1].values():
            reason = f"of {one.instance}, which is not declared {'here' if instance is None else 'on both sides'}"
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        chats += 1
        if instance not in lines:
            old, new = (as_there(line_of(side, instance), side, type) for side in (base, head))
            lines[instance] = old, new
        played = await _played(one, instance, lines[instance], voices, type)
        turns += played.turns
        kept = played.moved[: SHOWN - len(found)]
        found += kept
        more += len(played.moved) - len(kept)
        if played.untold:
            skipped[played.untold] = skipped.get(played.untold, 0) + 1
    if more:
        skipped[f"{more:,} more turns differ"] = 0
    return Replay(
        file=path.name,
        chats=chats,
        turns=turns,
        divergences=tuple(found),
        skipped=tuple(f"{count:,} chats {why}" if count else why for why, count in skipped.items()),
    )


class _Played(NamedTuple):
    """A chat's turns that differ, how many turns were played, and why no more were."""

    moved: list[Divergence]
    turns: int
    untold: str = ""


async def _played(one: Recorded, instance: str, lines: tuple[Line, Line], voices: Voices, type: TargetType) -> _Played:
    """Plays a chat on both sides. What follows a difference is played too: it is shown where it differs again."""
    ask = voices.ask(0, [])
    sides = [Chat(line, ask, type) for line in lines]
    moved: list[Divergence] = []
    number = 0
    for pause, texts, human in islice(_turns(one.messages), TURNS):
        seen = []
        for chat in sides:
            chat.now += pause
            seen.append(await chat.play(texts, from_me=human))
        if untold := seen[0].untold or seen[1].untold:
            return _Played(moved, number, f"of which the end is {untold}")
        number += 1
        before, after = map(_side, seen)
        if what := _differs(before, after):
            moved.append(
                Divergence(
                    instance=instance,
                    chat=one.chat,
                    turn=number,
                    said=" / ".join(texts),
                    before=before,
                    after=after,
                    what=what,
                )
            )
    return _Played(moved, number)


def _turns(messages: tuple[Message, ...]) -> Iterator[tuple[float, list[str], bool]]:
    """Turns of a chat: the pause before each in seconds, the messages written in quick succession, whether by a human
    of the business."""
    texts: list[str] = []
    human, began, last, heard = False, 0.0, 0.0, 0.0
    for one in messages:
        if one.by == "bot":
            if texts:
                yield began - last, texts, human
                texts, last = [], heard
            continue
        by_human = one.by == "human"
        if texts and (by_human != human or not 0 <= one.at - heard <= _TOGETHER):
            yield began - last, texts, human
            texts, last = [], heard
        if not texts:
            began = min(max(one.at, last), last + _LONGEST)
        texts.append(one.text)
        human, heard = by_human, max(one.at, began)
    if texts:
        yield began - last, texts, human


def _side(seen: Seen) -> Side:
    return Side(
        bots=tuple(dict.fromkeys(seen.bots)),
        status=seen.status,
        replies=tuple(seen.replies),
        calls=tuple(seen.calls),
        asked=seen.pending,
        unknown=any(seen.unknown),
    )


def _differs(before: Side, after: Side) -> tuple[str, ...]:
    """In what two sides of a turn differ; only `words` where nothing but the reply's text does."""
    spoke = [bool(side.replies) or side.asked for side in (before, after)]
    pairs: Mapping[str, tuple[object, object]] = {
        "bot": (before.bots, after.bots),
        "status": (before.status, after.status),
        "silence": (spoke[0], spoke[1]),
        "call": (before.calls, after.calls),
        "unknown": (before.unknown, after.unknown),
    }
    found = tuple(name for name, (old, new) in pairs.items() if old != new)
    return found or (("words",) if before.replies != after.replies else ())


def _names(desired: Desired) -> dict[str, str]:
    """YAML names of instances by themselves and by the target's own names."""
    found = {one.spec["instanceName"]: one.ref.name for one in desired.objects if one.ref.kind == "Instance"}
    return {**found, **{name: name for name in found.values()}}
