"""Each risk of a change, and that what is no risk is none."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from reconciler.catalog import catalog
from reconciler.model import Change, FieldChange, LiveObject, Object, Plan, Ref
from reconciler.plan.review.addresses import hidden, host, secret_in
from reconciler.plan.review.compare import compare
from reconciler.plan.review.findings import Risk
from reconciler.plan.review.risks import drifted, risks
from tests.plan.fleet import OLD, bistro, bot, declared, desired, keyword, main

TODAY = date(2026, 11, 23)
KEY = main(apiKey={"env": "KEY"})


def found(before: tuple[Object, ...], after: tuple[Object, ...], **more: Any) -> list[Risk]:
    base, head = desired(bistro(), KEY, *before, commit=OLD), desired(bistro(), KEY, *after)
    return list(risks(base, head, compare(base, head, "local"), today=TODAY, known=catalog(), **more))


def trigger(operator: str, value: str) -> dict[str, Any]:
    return {"triggerType": "keyword", "triggerOperator": operator, "triggerValue": value}


ALL = {"triggerType": "all"}
LUNA = {"model": "gpt-5.6-luna"}
ASKS = bot("a", botType="assistant", assistantId="concierge", model=None)
FUNCTION = {"type": "function", "name": "book"}


def one(**more: Any) -> tuple[Object, ...]:
    return (bot("a", **{**LUNA, **more}),)


CASES: list[tuple[str, tuple[Object, ...], tuple[Object, ...], list[str]]] = [
    ("nothing", one(), one(description="new"), []),
    ("a new bot", (), one(**keyword("start")), []),
    ("deleted", one(), (), ["human delete: the bot bistro/a is deleted"]),
    ("a disabled one deleted", one(enabled=False), (),
     ["human delete: the bot bistro/a is deleted (it was not enabled)"]),
    ("an assistant deleted", (declared("Assistant", "x"),), (), ["human delete: Assistant bistro/x is deleted"]),
    ("disabled", one(), one(enabled=False),
     ["human disabled: the bot bistro/a is no longer enabled, so it answers nobody"]),
    ("enabled", one(enabled=False), one(), []),
    ("made disabled", (), one(enabled=False), []),
    ("all", one(**keyword("a")), one(**ALL), ["human widened-trigger: the trigger of bistro/a was equals 'a', now all: "
     "it answers everything that no other bot does"]),
    ("all, new", (), one(**ALL), ["human widened-trigger: the trigger of bistro/a is new: all: it answers everything "
     "that no other bot does"]),
    ("all, renamed", (bot("b", **LUNA, **ALL),), (bot("a", **LUNA, **ALL, formerly="b"),), []),
    ("a short contains", one(**keyword("hi there")), one(**trigger("contains", " Hi")),
     ["human widened-trigger: the trigger of bistro/a was equals 'hi there', now contains 'hi': so short a text is "
      "part of many words"]),
    ("equals to contains", one(**trigger("equals", "winter sale")), one(**trigger("contains", "sale")),
     ["human widened-trigger: the trigger of bistro/a was equals 'winter sale', now contains 'sale': it answers all "
      "that it did, and more"]),
    ("a shorter start", one(**trigger("startsWith", "order now")), one(**trigger("startsWith", "order")),
     ["human widened-trigger: the trigger of bistro/a was startsWith 'order now', now startsWith 'order': it answers "
      "all that it did, and more"]),
    ("a shorter end", one(**trigger("equals", "order now")), one(**trigger("endsWith", "now please")), []),
    ("to its own end", one(**trigger("equals", "order now")), one(**trigger("endsWith", "now")),
     ["human widened-trigger: the trigger of bistro/a was equals 'order now', now endsWith 'now': it answers all that "
      "it did, and more"]),
    ("a longer start", one(**trigger("startsWith", "order")), one(**trigger("startsWith", "order now")), []),
    ("another word", one(**trigger("equals", "order")), one(**trigger("equals", "orders")), []),
    ("a keyword to advanced", one(**keyword("order")),
     one(triggerType="advanced", triggerValue="contains:order"), []),
    ("advanced to a keyword", one(triggerType="advanced", triggerValue="contains:order"), one(**keyword("order")), []),
    ("the same but for case", one(**trigger("contains", "Sale")), one(**trigger("contains", "sale")), []),
    ("no trigger any more", one(**keyword("order")), one(), []),
    ("larger replies", one(maxTokens=10), one(maxTokens=2000),
     ["human max-tokens: maxTokens of bistro/a grows from 10 to 2,000"]),
    ("replies without a bound", one(maxTokens=10), one(maxTokens=None),
     ["human max-tokens: maxTokens of bistro/a grows from 10 to no bound"]),
    ("replies with a bound at last", one(maxTokens=None), one(maxTokens=10), []),
    ("smaller replies", one(maxTokens=10), one(maxTokens=5), []),
    ("unprotected", (bot("a", **LUNA, protect=True),), (bot("a", **LUNA),),
     ["note unprotected: Bot bistro/a is no longer protected against being deleted"]),
    ("a new function", one(), one(tools=[FUNCTION], functionUrl=None),
     ["note new-function: bistro/a may now call book"]),
    ("a function as before", one(tools=[FUNCTION]), one(tools=[FUNCTION], maxTokens=1), []),
    ("a new host", one(functionUrl="https://a.example/x"), one(functionUrl="https://b.example/x"),
     ["human new-host: functionUrl of bistro/a sends what the model passes to functions, with each customer's number, "
      "to b.example (was a.example)"]),
    ("another path", one(functionUrl="https://a.example/x"), one(functionUrl="https://A.example/y"), []),
    ("a first host", one(), one(functionUrl="https://b.example/x"),
     ["human new-host: functionUrl of bistro/a sends what the model passes to functions, with each customer's number, "
      "to b.example (there was none)"]),
    ("a new bot's host", (), one(functionUrl="https://b.example/x"),
     ["human new-host: functionUrl of bistro/a sends what the model passes to functions, with each customer's number, "
      "to b.example (it is new)"]),
    ("no host any more", one(functionUrl="https://b.example/x"), one(), []),
    ("a secret in an address", one(functionUrl="https://b.example/x"),
     one(functionUrl="https://b.example/x?a=1&api_key=0123456789"),
     ["human secret: functionUrl of bistro/a carries what looks like a secret in its address (api_key=…): whoever "
      "reads the repository has it"]),
    ("a fallback", (declared("Settings", "s", fallbackBot="a"), *one()), (declared("Settings", "s"), *one()),
     ["human fallback: what no trigger of bistro takes is answered by nobody"]),
    ("another fallback", (declared("Settings", "s"), *one()), (declared("Settings", "s", fallbackBot="a"), *one()),
     ["human fallback: what no trigger of bistro takes goes to a"]),
    ("new Settings", one(), (declared("Settings", "s", fallbackBot="a"), *one()), []),
    ("a model that goes", one(), one(model="gpt-4o"), ["human retiring-model: bistro/a: the model gpt-4o goes on "
     "2027-01-14, in 52 days: gpt-6-luna replaces it"]),
    ("a model that goes anyway", one(model="gpt-4o"), one(model="gpt-4o", maxTokens=1),
     ["note retiring-model: bistro/a: the model gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it"]),
    ("an assistant's model that goes",
     (declared("Assistant", "x", model="gpt-5.6-luna"), ASKS), (declared("Assistant", "x", model="gpt-4o"), ASKS),
     ["human retiring-model: bistro/a: the model gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it"]),
    ("an assistant's words",
     (declared("Assistant", "x", model="gpt-4o"), ASKS),
     (declared("Assistant", "x", model="gpt-4o", instructions="new"), ASKS), []),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_risk(before: tuple[Object, ...], after: tuple[Object, ...], expected: list[str]) -> None:
    assert [f"{risk.level} {risk.rule}: {risk.message}" for risk in found(before, after)] == expected


CHATS = {Ref("Bot", "bistro", "a"): 2, Ref("Bot", "bistro", "b"): 1}
OPEN = [
    ("changed", one(maxTokens=9), "2 open chats of bistro/a go on with the changed bot"),
    (
        "disabled",
        one(maxTokens=10, enabled=False),
        "the bot bistro/a is no longer enabled, so it answers nobody; 2 open chats of it end",
    ),
    ("deleted", (), "the bot bistro/a is deleted; 2 open chats of it end"),
]


@pytest.mark.parametrize(("after", "said"), [case[1:] for case in OPEN], ids=[case[0] for case in OPEN])
def test_open_chats(after: tuple[Object, ...], said: str) -> None:
    assert [risk.message for risk in found(one(maxTokens=10), after, chats=CHATS)] == [said]


def test_one_open_chat() -> None:
    before, after = (bot("b", **LUNA, maxTokens=9),), (bot("b", **LUNA, maxTokens=8),)
    assert found(before, after, chats=CHATS)[0].message == "1 open chat of bistro/b goes on with the changed bot"
    assert found(before, (), chats=CHATS)[0].message.endswith("1 open chat of it ends")


def test_keys_and_addresses_of_credentials_and_lines() -> None:
    base = desired(bistro(webhook="https://a.example/in"), KEY, commit=OLD)
    changed = main(apiKey={"file": "keys/main"}, baseUrl="https://llm.example:8443/v1")
    head = desired(bistro(webhook="https://b.example/in"), changed)
    said = [risk.message for risk in risks(base, head, compare(base, head, "local"), today=TODAY, known=catalog())]
    assert said == [
        "the key of bistro/main is now taken from the file keys/main, no longer from the variable KEY",
        "baseUrl of bistro/main sends prompts, chats and the key to llm.example:8443 (there was none)",
        "webhook of bistro sends every message of the line to b.example (was a.example)",
    ]
    demo = desired(bistro(), main(apiKey={"env": "KEY"}, baseUrl="builtin:demo"))
    base = desired(bistro(), KEY, commit=OLD)
    assert risks(base, demo, compare(base, demo, "local"), today=TODAY, known=catalog()) == ()
    new = desired(bistro(), commit=OLD)
    assert risks(new, base, compare(new, base, "local"), today=TODAY, known=catalog()) == ()


def test_the_gravest_comes_first_and_each_has_its_field_and_place() -> None:
    before = (bot("a", model="gpt-4o", protect=True), bot("b", **LUNA))
    after = (bot("a", model="gpt-4o", maxTokens=2000), bot("b", **LUNA, enabled=False))
    shown = [(risk.level, risk.rule, risk.field, str(risk.at)) for risk in found(before, after)]
    at = "bots/bistro/bots.yaml:1:1"
    assert shown == [
        ("human", "max-tokens", "maxTokens", at),
        ("human", "disabled", "enabled", at),
        ("note", "retiring-model", "model", at),
        ("note", "unprotected", "", at),
    ]
    (gone,) = found(one(), ())
    assert gone.at is None


def test_drift_of_what_the_change_touches() -> None:
    live = LiveObject(kind="Bot", instance="Bistro_01", id="1", spec={}, mark=None, label="a")
    fields = tuple(
        FieldChange(field=name, before=1, after=2, origin=origin)  # type: ignore[arg-type]
        for name, origin in (("maxTokens", "drift"), ("model", "conflict"), ("expire", "pending"))
    )
    change = Change(action="update", ref=Ref("Bot", "bistro", "a"), instance_name="Bistro_01", fields=fields, live=live)
    plan = Plan(target="local", commit=None, source="", version="", changes=(change,))
    assert [(one.level, one.rule, one.message) for one in drifted(plan)] == [
        ("note", "drift", "maxTokens of bistro/a was changed on the target, which is put back"),
        ("human", "conflict", "model of bistro/a was changed on the target, which is overwritten"),
    ]
    assert drifted(None) == ()
    assert drifted(msgspec.structs.replace(plan, changes=())) == ()


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("https://a.example/x?token=0123456789&b=1", "token", "https://a.example/x?token=…&b=1"),
        ("https://a.example/x?b=1&X-Api-Key=0123456789", "X-Api-Key", "https://a.example/x?b=1&X-Api-Key=…"),
        ("https://a.example/x?token=short", "", "https://a.example/x?token=short"),
        ("https://a.example/tokens/0123456789", "", "https://a.example/tokens/0123456789"),
        ("https://a.example/#access_token=0123456789", "access_token", "https://a.example/#access_token=…"),
    ],
)
def test_secrets_in_addresses(url: str, name: str, shown: str) -> None:
    assert (secret_in(url), hidden(url)) == (name, shown)
    assert host(url) == "a.example"
