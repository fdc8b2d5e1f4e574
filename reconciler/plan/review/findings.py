"""The nouns of a review, as frozen structs. Before them the reading of two commits; after them the renderings."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from reconciler.errors import Problem, Refusal
from reconciler.model import Place, Plan, Ref

Level = Literal["note", "human", "broken"]
Verdict = Literal["fine", "human", "broken"]
Result = Literal["passed", "failed", "flaky", "not run", "absent"]

LEVELS: Final[tuple[Level, ...]] = ("broken", "human", "note")


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a person should know before merging.

    `rule` is its kind, a stable word for programs; `level` what it asks for: `note` nothing, `human` that somebody
    looks, `broken` that it is not merged. `at` is the line that causes it, where there is one: the one of `field`.
    """

    rule: str
    level: Level
    ref: Ref
    message: str
    at: Place | None = None
    field: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that changes in which bot answers what, in an instance; `example` is a message that shows it.

    `before` and `after` are the bots that answer it ("" nobody), where the finding is about a message.
    """

    rule: str
    level: Level
    instance: str
    message: str
    bot: str = ""
    example: str | None = None
    before: str | None = None
    after: str | None = None
    at: Place | None = None


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How a Conversation went on one side: `passes` of `runs`, and why not where it did not.

    `why` also says why it was not run. `places` are where the expectations stand that did not hold.
    """

    result: Result
    passes: int = 0
    runs: int = 0
    why: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """One Conversation, run with the bots of both sides; `outcome` in a word, `level` what it asks for.

    `change`: whether the Conversation itself is `same`, `new`, `changed` or `removed`.
    """

    ref: Ref
    at: Place
    change: Literal["same", "new", "changed", "removed"]
    before: Ran
    after: Ran
    outcome: str
    level: Level
    model: bool = False


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn of a recorded chat came to with the bots of one side."""

    bots: tuple[str, ...]
    status: str
    replies: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    asked: bool = False  # a model would have answered, and none was asked
    unknown: bool = False


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that the bots of both sides take differently. `turn` counts from 1; `said` is what was written."""

    instance: str
    chat: str
    turn: int
    said: str
    before: Side
    after: Side
    what: tuple[str, ...]  # bot, status, silence, call, unknown; words where only the reply's text differs


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded chats through the bots of both sides."""

    file: str
    chats: int
    turns: int
    divergences: tuple[Divergence, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[Divergence, ...]:
        """Those that are more than other words."""
        return tuple(one for one in self.divergences if one.what != ("words",))


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What 1,000 turns of a bot take, before and after; None where it is not there, or its model has no price.

    `input` are tokens as estimated; money is from the least (the fixed prompt is read from the server's cache) to the
    most (it is not, and each answer is as long as `maxTokens` lets it be).
    """

    ref: Ref
    model_before: str | None
    model_after: str | None
    input_before: int | None
    input_after: int | None
    output_before: int | None
    output_after: int | None
    money_before: tuple[float, float] | None = None
    money_after: tuple[float, float] | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The review for targets that the change is the same for; `refused` is what the gates say of the plan.

    `drift` is the plan against what is live, where that was read; `live` says why it was not.
    """

    targets: tuple[str, ...]
    plan: Plan
    bots: tuple[int, int] = (0, 0)  # declared before and after
    refused: tuple[Refusal, ...] = ()
    risks: tuple[Risk, ...] = ()
    routes: tuple[Route, ...] = ()
    routed: str = ""  # what was looked at and how far that is proven, in a sentence
    talks: tuple[Talk, ...] = ()
    costs: tuple[Cost, ...] = ()
    drift: Plan | None = None
    live: str = ""


class Reason(msgspec.Struct, frozen=True):
    """Why a verdict is not `fine`, in a line, with how grave it is."""

    level: Level
    text: str


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request's review: from the commit that both sides share (`base`) to `head`.

    `problems` are why head is no desired state, `base_problems` why base is none; then there are no parts. `behind`
    counts the commits of the base branch that head does not have. `configured` says what reconciler.yaml changes.
    """

    base: str
    head: str
    base_ref: str
    head_ref: str
    behind: int = 0
    parts: tuple[Part, ...] = ()
    problems: tuple[Problem, ...] = ()
    base_problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    configured: tuple[str, ...] = ()
    replay: Replay | None = None
    currency: str = ""
    notes: tuple[str, ...] = ()
