"""What 1,000 turns take: which texts count, what they cost, and only where something differs."""

from __future__ import annotations

from typing import Any

from reconciler.model import Catalog, KnownModel, Object, Price
from reconciler.plan.review.compare import compare
from reconciler.plan.review.cost import MESSAGE, UNBOUNDED, costs, total
from reconciler.plan.review.findings import Cost
from reconciler.talk.prompt import tokens
from tests.plan.fleet import OLD, bistro, bot, declared, desired

PRICES = {"m": Price(input=2, cached=0.5, output=10)}
TEXT = "x" * 300


def found(before: tuple[Object, ...], after: tuple[Object, ...], **more: Any) -> tuple[Cost, ...]:
    base, head = desired(bistro(), *before, commit=OLD), desired(bistro(), *after)
    return costs(base, head, compare(base, head, "local"), more.get("prices", PRICES))


def test_a_longer_prompt() -> None:
    (cost,) = found((bot("a", model="m", maxTokens=100),), (bot("a", model="m", maxTokens=100, systemMessages=[TEXT]),))
    assert (cost.input_before, cost.input_after) == (1000 * MESSAGE, 1000 * (MESSAGE + tokens(TEXT)))
    assert (cost.output_before, cost.output_after) == (100_000, 100_000)
    assert cost.money_before == (1000 * (20 * 2 + 100 * 10) / 1e6, 1000 * (20 * 2 + 100 * 10) / 1e6)
    assert cost.money_after == (1000 * (124 * 2 + 100 * 10) / 1e6, 1000 * (124 * 2 + 100 * 10) / 1e6)
    assert total((cost,)) == (cost.money_before[1], cost.money_after[1])


def test_a_long_prompt_may_come_from_the_cache_and_a_reply_may_be_short() -> None:
    (cost,) = found((), (bot("a", model="m", maxTokens=None, systemMessages=["x" * 6000]),))
    assert cost.money_before is None
    assert cost.output_after == 1000 * UNBOUNDED
    assert cost.money_after == (
        1000 * (2004 * 0.5 + 20 * 2 + 150 * 10) / 1e6,
        1000 * (2024 * 2 + UNBOUNDED * 10) / 1e6,
    )


def test_an_assistant_and_its_tools() -> None:
    call = {"type": "function", "name": "book", "parameters": {}}
    runs = declared("Assistant", "x", instructions=TEXT, model="m", tools=[call, {"type": "web_search"}])
    asks = bot("a", botType="assistant", assistantId="concierge", model=None, systemMessages=[TEXT], tools=[call])
    (cost,) = found((runs,), (runs, asks))
    sent = tokens(f"{TEXT}\n\n{TEXT}") + tokens('{"type":"function","name":"book","parameters":{}}')
    assert cost.input_after == 1000 * (sent + tokens('{"type":"web_search"}') + MESSAGE)
    assert (cost.model_before, cost.model_after) == (None, "m")
    bare = bot("a", botType="assistant", assistantId="gone", model="m")
    (cost,) = found((), (bare,))
    assert cost.input_after == 1000 * (tokens("") + MESSAGE)


def test_examples_that_a_chat_begins_with_count() -> None:
    (cost,) = found((bot("a", model="m"),), (bot("a", model="m", assistantMessages=["Hi"], userMessages=["Yo"]),))
    assert cost.input_after == 1000 * (tokens("Hi") + tokens("Yo") + MESSAGE)


def test_what_answers_nobody_costs_nothing_and_a_rename_is_no_difference() -> None:
    assert found((bot("a", model="m"),), (bot("b", model="m", formerly="a"),)) == ()
    (cost,) = found((bot("a", model="m"),), (bot("a", model="m", enabled=False),))
    assert (cost.input_after, cost.model_after, cost.money_after) == (None, None, None)
    assert found((bot("a", model="m"),), (bot("a", model="m", description="x"),)) == ()


def test_models_without_a_price_have_no_money() -> None:
    (cost,) = found((bot("a", model="m"),), (bot("a", model="n"),))
    assert cost.money_after is None
    assert total((cost,)) == (cost.money_before[1], 0) if cost.money_before else None
    (cost,) = found((bot("a", model="m"),), (bot("a", model="n"),), prices={})
    assert total((cost,)) is None


def test_the_largest_difference_comes_first() -> None:
    after = (bot("a", model="m", systemMessages=["x" * 30]), bot("b", model="m", systemMessages=[TEXT]))
    assert [cost.ref.name for cost in found((bot("a", model="m"), bot("b", model="m")), after)] == ["b", "a"]


def test_what_the_maker_asks_counts_at_its_own_address_where_nothing_else_is_said() -> None:
    known = Catalog(
        as_of="2026-11-27",
        currency="USD",
        sources=(),
        models={"m": KnownModel(input=1, output=4), "free": KnownModel(ends="2027-01-01")},
    )
    longer = {"maxTokens": 100, "systemMessages": [TEXT]}
    rented = declared("Credentials", "else", baseUrl="https://llm.example/v1")
    openai = declared("Credentials", "main", baseUrl=None)

    def after(prices: dict[str, Price], **spec: Any) -> tuple[float, float] | None:
        base, head = desired(bistro(), openai, rented, commit=OLD), desired(bistro(), openai, rented, bot("a", **spec))
        (cost,) = costs(base, head, compare(base, head, "local"), prices, known)
        return cost.money_after

    assert after({}, model="m", credentials="main", **longer) == (1000 * (124 + 400) / 1e6, 1000 * (124 + 400) / 1e6)
    assert after({}, model="m-2026-01-31", credentials="main", **longer) is not None
    assert after({}, model="m", credentials="else", **longer) is None
    assert after(PRICES, model="m", credentials="else", **longer) == (1000 * (248 + 1000) / 1e6,) * 2
    assert after({}, model="free", credentials="main", **longer) is None
    assert after({}, model="unknown", credentials="main", **longer) is None
