"""What 1,000 turns of the bots that change take, before and after: tokens by an estimate, money where prices are known.

Prices are those of `reconciler.yaml`, else the catalog's for accounts at OpenAI's own address. The estimate counts what
each turn of a bot carries: its prompt and tools by `talk.prompt.tokens`, and a message of 20 tokens; what a chat's
history adds depends on the chats, and is the same on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from reconciler.model import Catalog, Desired, Object, Plan, Price, Ref
from reconciler.plan.retire import elsewhere, price
from reconciler.plan.review.findings import Cost
from reconciler.talk.prompt import tokens

TURNS: Final = 1_000
MESSAGE: Final = 20  # tokens of what a customer writes
REPLY: Final = 150  # tokens of a reply that nothing cuts off
UNBOUNDED: Final = 1_000  # tokens that the longest reply is taken for where a bot has no maxTokens
_CACHED_FROM: Final = 1_024  # tokens of a prompt from which OpenAI's servers cache it

Assistants = Mapping[tuple[str, str], Object]


class Take(msgspec.Struct, frozen=True):
    """What one turn takes: the fixed prompt's tokens, the longest reply's, the model, what its maker asks for it."""

    prompt: int
    reply: int
    model: str | None
    price: Price | None


def costs(
    base: Desired, head: Desired, plan: Plan, prices: Mapping[str, Price], known: Catalog | None = None
) -> tuple[Cost, ...]:
    """The bots for which a turn takes more or less than before, those with the largest difference first.

    `prices` are the operator's, `known` the makers' in the same currency (None: they are in another).
    """
    instances = {change.ref.instance for change in plan.changes}
    renamed = {change.renamed_from: change.ref for change in plan.changes if change.renamed_from}
    old = {
        Ref("Bot", ref.instance, renamed[ref.name].name) if ref.name in renamed else ref: take
        for ref, take in _takes(base, instances, known).items()
    }
    new = _takes(head, instances, known)
    found = [
        _cost(ref, old.get(ref), new.get(ref), prices)
        for ref in sorted(old.keys() | new.keys())
        if old.get(ref) != new.get(ref)
    ]
    return tuple(sorted(found, key=lambda one: (-abs((one.input_after or 0) - (one.input_before or 0)), one.ref)))


def total(found: tuple[Cost, ...]) -> tuple[float, float] | None:
    """By how much the dearest case of 1,000 turns of every priced bot moves: (before, after); None without prices."""
    before = [one.money_before[1] for one in found if one.money_before]
    after = [one.money_after[1] for one in found if one.money_after]
    return (sum(before), sum(after)) if before or after else None


def _takes(desired: Desired, instances: set[str], known: Catalog | None) -> dict[Ref, Take]:
    chosen = [one for one in desired.objects if one.ref.instance in instances]
    assistants = {(one.ref.instance, one.spec["assistantId"]): one for one in chosen if one.ref.kind == "Assistant"}
    away = elsewhere(desired)
    return {
        one.ref: _take(one, assistants, None if (one.ref.instance, one.spec.get("credentials")) in away else known)
        for one in chosen
        if one.ref.kind == "Bot" and one.spec["enabled"]
    }


def _take(bot: Object, assistants: Assistants, known: Catalog | None) -> Take:
    spec = bot.spec
    runs: Mapping[str, Any] = {}
    system = tuple(spec["systemMessages"] or ())
    if spec["botType"] == "assistant":
        found = assistants.get((bot.ref.instance, spec["assistantId"] or ""))
        runs = found.spec if found is not None else {}
        texts: tuple[str, ...] = ("\n\n".join(text for text in (runs.get("instructions") or "", *system) if text),)
    else:
        texts = (*system, *(spec["assistantMessages"] or ()), *(spec["userMessages"] or ()))
    own = spec["tools"] or ()
    names = {tool.get("name") for tool in own}
    tools = (*own, *(tool for tool in runs.get("tools") or () if tool.get("name") is None or tool["name"] not in names))
    prompt = sum(map(tokens, texts)) + sum(tokens(msgspec.json.encode(tool).decode()) for tool in tools)
    model = spec["model"] or runs.get("model")
    return Take(prompt, spec["maxTokens"] or UNBOUNDED, model, price(model, known) if model and known else None)


def _cost(ref: Ref, old: Take | None, new: Take | None, prices: Mapping[str, Price]) -> Cost:
    return Cost(
        ref=ref,
        model_before=old.model if old else None,
        model_after=new.model if new else None,
        input_before=TURNS * (old.prompt + MESSAGE) if old else None,
        input_after=TURNS * (new.prompt + MESSAGE) if new else None,
        output_before=TURNS * old.reply if old else None,
        output_after=TURNS * new.reply if new else None,
        money_before=_money(old, prices),
        money_after=_money(new, prices),
    )


def _money(take: Take | None, prices: Mapping[str, Price]) -> tuple[float, float] | None:
    price = (prices.get(take.model or "") or take.price) if take is not None else None
    if take is None or price is None:
        return None
    kept = price.cached if take.prompt >= _CACHED_FROM else price.input
    least = take.prompt * kept + MESSAGE * price.input + min(REPLY, take.reply) * price.output
    most = (take.prompt + MESSAGE) * price.input + take.reply * price.output
    return TURNS * least / 1_000_000, TURNS * most / 1_000_000
