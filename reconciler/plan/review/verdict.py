"""Fine, needs a human, or broken, and why. Before it all findings of a review; after it renderings and exit code.

Nothing is weighed: the gravest finding decides, and all that asks for attention is a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.plan.review.findings import Level, Part, Reason, Review, Risk, Verdict

_REFUSALS: Final = 3  # of a target that are reasons of their own
EXIT_CODES: Final[dict[Verdict, int]] = {"fine": 0, "broken": 1, "human": 3}

# What a kind of risk is called where there are many of it: one, more.
_CALLED: Final = {
    "delete": ("an object is deleted", "{} objects are deleted"),
    "disabled": ("a bot is disabled", "{} bots are disabled"),
    "open-chats": ("a changed bot has open chats", "{} changed bots have open chats"),
    "widened-trigger": ("a trigger reaches more messages", "{} triggers reach more messages"),
    "max-tokens": ("a reply may be longer and dearer", "{} bots may answer longer and dearer"),
    "new-host": ("something is sent to a new host", "{} addresses have a new host"),
    "secret": ("an address carries a secret", "{} addresses carry a secret"),
    "retiring-model": ("a chosen model is about to go", "{} chosen models are about to go"),
    "key-source": ("a key comes from elsewhere", "{} keys come from elsewhere"),
    "fallback": ("a fallback changes", "{} fallbacks change"),
    "conflict": ("what was changed on the target is overwritten", "{} fields changed on the target are overwritten"),
}

_ROUTES: Final = {
    "unanswered": "messages are answered by nobody any more",
    "never answers": "a bot never answers",
    "moved": "messages go to other bots",
    "not proven": "not proven: what some triggers take",
}


def verdict(review: Review) -> tuple[Verdict, tuple[Reason, ...]]:
    """The verdict, and what asks for attention, the gravest first, each kind once."""
    found = dict.fromkeys(_reasons(review))
    broken = tuple(one for one in found if one.level == "broken")
    human = tuple(one for one in found if one.level == "human")
    return "broken" if broken else "human" if human else "fine", (*broken, *human)


def _reasons(review: Review) -> Iterator[Reason]:
    if review.problems:
        count = len(review.problems)
        yield Reason("broken", f"the head commit is not valid: {_many(count, 'problem')}")
    if review.base_problems:
        yield Reason("human", "the base commit is not valid, so what changes cannot be told")
    for part in review.parts:
        yield from _of_part(part)
    for said in review.configured:
        yield Reason("human", said)
    if review.replay is not None and (moved := review.replay.moved):
        yield Reason("human", f"{_many(len(moved), 'turn')} of recorded chats {_go(len(moved))} another way")


def _of_part(part: Part) -> Iterator[Reason]:
    for refusal in part.refused[:_REFUSALS]:
        yield Reason("broken", f"a gate would refuse to apply it: {refusal.reason}")
    if (more := len(part.refused) - _REFUSALS) > 0:
        yield Reason("broken", f"a gate would refuse to apply it for {_many(more, 'more reason')}")
    talks = [one for one in part.talks if one.level == "broken"]
    if talks:
        yield Reason("broken", f"{_many(len(talks), 'Conversation')} fail{'s' if len(talks) == 1 else ''}")
    yield from _risks(part.risks)
    if human := [one for one in part.talks if one.level == "human"]:
        yield Reason("human", f"{_many(len(human), 'Conversation')} should be looked at")
    levels: tuple[Level, ...] = ("broken", "human")
    for level in levels:
        routes = [one for one in part.routes if one.level == level]
        for rule in dict.fromkeys(one.rule for one in routes):
            count = sum(one.rule == rule for one in routes)
            said = _ROUTES.get(rule, rule)
            yield Reason(level, f"{said} ({count:,} times)" if count > 1 else said)


def _risks(risks: tuple[Risk, ...]) -> Iterator[Reason]:
    for level in ("broken", "human"):
        graves = [one for one in risks if one.level == level]
        for rule in dict.fromkeys(one.rule for one in graves):
            count = sum(one.rule == rule for one in graves)
            one, more = _CALLED.get(rule, (rule, f"{{}} × {rule}"))
            yield Reason("broken" if level == "broken" else "human", one if count == 1 else more.format(f"{count:,}"))


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _go(count: int) -> str:
    return "goes" if count == 1 else "go"
