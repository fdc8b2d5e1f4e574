"""Which maxTokens each bot of an instance gets on an Evolution API server: it takes a model and maxTokens once. PURE.

Before it `lower` has the bots' other fields; after it the plan compares. The declared number is kept where it
can be, else the next free one is taken; a bot that has a fitting one live keeps it, so that a new bot moves no others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from reconciler.model import LiveObject, Object, Ref
from reconciler.plan.slots import triggers_of

Pair = tuple[str, int]  # a model and maxTokens
_MOST: Final = 2**31 - 1
_FAR: Final = 10_000  # above the declared number; beyond it numbers below are taken


def tokens_of(bots: list[Object], live: Iterable[LiveObject], source: str) -> dict[Ref, int]:
    """The maxTokens of one instance's bots, whose triggers are lowered; `live` are the instance's bots there."""
    own, taken = _pairs(bots, live, source)
    wanted: dict[Ref, Pair] = {one.ref: (str(one.spec["model"]), int(one.spec["maxTokens"])) for one in bots}
    crowd = {pair: sum(other == pair for other in wanted.values()) for pair in wanted.values()}
    given: dict[Ref, int] = {}
    by_name = sorted(wanted)
    for exact in (True, False):
        for ref in by_name:
            now, (model, tokens) = own.get(ref.name), wanted[ref]
            if ref in given or now is None or now in taken or now[0] != model:
                continue
            fits = now[1] == tokens if exact else (model, tokens) in taken
            if fits and 0 <= now[1] - tokens < crowd[model, tokens]:
                given[ref] = now[1]
                taken.add(now)
    for ref in by_name:
        if ref not in given:
            model, tokens = wanted[ref]
            free = itertools.chain(range(tokens, min(tokens + _FAR, _MOST)), range(tokens, 0, -1))
            given[ref] = next(each for each in free if (model, each) not in taken)
            taken.add((model, given[ref]))
    return given


def _pairs(bots: list[Object], live: Iterable[LiveObject], source: str) -> tuple[dict[str, Pair], set[Pair]]:
    """The live pairs: of the declared bots by name, and of all bots that are not ours.

    A bot that has a declared one's trigger is that one without its mark, or stands in its way anyhow.
    """
    own: dict[str, Pair] = {}
    others: set[Pair] = set()
    adopted = {one.adopts for one in bots}
    triggers = {slot for one in bots for slot in triggers_of(one.spec)}
    for one in live:
        pair = (str(one.spec["model"]), int(one.spec["maxTokens"] or 0))
        if one.mark is not None and one.mark.source == source:
            own[one.mark.name] = pair
        elif (
            one.spec["botType"] == "chatCompletion"
            and one.id not in adopted
            and triggers.isdisjoint(triggers_of(one.spec))
        ):
            others.add(pair)
    return own, others
