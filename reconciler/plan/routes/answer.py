"""What `prove` is asked and what it answers. Before it come the specs of one instance's bots; after it `review` and
`why` say it to people.

A claim is either proven for every message or not made: what could not be shown stands in `not_proven` with its reason.
Every example message was put to the target's own matcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from reconciler.model import Desired

Semantics = Literal["runtime", "evolution"]


class Fleet(msgspec.Struct, frozen=True):
    """The bots of one instance: their specs (as in `model.Object.spec`) by name, in the order in which the target has
    them (oldest first), and the name of its fallback bot."""

    specs: Mapping[str, Mapping[str, Any]]
    fallback: str | None = None


class Unreachable(msgspec.Struct, frozen=True):
    """An enabled bot that never answers.

    `why`: `shadowed`: all messages that its trigger takes start `by` before it is asked. `no trigger`: it is `none`
    and nobody's fallback. `nothing`: its trigger takes no message at all. `dropped`: the server drops all messages
    before it is asked, for it cannot read the pattern of `by`. `refused`: its own pattern is one that the target
    cannot read.
    `message` is one that its trigger takes and that `by[0]` answers (None where there is none). `before`: it never
    answered before the change either.
    """

    bot: str
    why: Literal["shadowed", "no trigger", "nothing", "dropped", "refused"]
    by: tuple[str, ...] = ()
    message: str | None = None
    before: bool = False


class Reached(msgspec.Struct, frozen=True):
    """A bot that never answered before the change and does now, with a message that it answers (None: one without
    text, such as a picture)."""

    bot: str
    message: str | None


class Moved(msgspec.Struct, frozen=True):
    """Messages that `before` answered and `after` answers now (None: nobody), with one of them.

    A message of None is one without text, such as a picture or a sticker.
    """

    before: str | None
    after: str | None
    message: str | None


class Overlap(msgspec.Struct, frozen=True):
    """A message that both bots' triggers take; `first` is asked first."""

    first: str
    second: str
    message: str


class NotProven(msgspec.Struct, frozen=True):
    """A question about bots that has no proven answer: `question` as `whether …`, `reason` why not."""

    question: str
    bots: tuple[str, ...]
    reason: str


class Routes(msgspec.Struct, frozen=True):
    """What a change does to who answers what.

    `moved` holds one example for each pair of bots, `more` says that there are pairs beyond those listed. `states` is
    how many states of automata were looked at.
    """

    unreachable: tuple[Unreachable, ...] = ()
    reached: tuple[Reached, ...] = ()
    moved: tuple[Moved, ...] = ()
    more: bool = False
    overlaps: tuple[Overlap, ...] = ()
    not_proven: tuple[NotProven, ...] = ()
    states: int = 0


def fleet_of(desired: Desired, instance: str) -> Fleet:
    """The bots that a desired state declares for an instance (YAML name), in the order in which they are made."""
    own = [one for one in desired.objects if one.ref.instance == instance]
    fallback = next((one.spec["fallbackBot"] for one in own if one.ref.kind == "Settings"), None)
    return Fleet({one.ref.name: one.spec for one in own if one.ref.kind == "Bot"}, fallback)
