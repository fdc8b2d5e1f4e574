"""Bots whose models go: which are spoken of, when, and with what in their place."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from reconciler.model import DEMO, Ref
from reconciler.plan.retire import SOON, Use, announced, documents, notes, replacement, retiring, uses
from tests.plan.fleet import bistro, bot, declared, desired, main

TODAY = date(2026, 11, 23)


def use(model: str = "gpt-4o", name: str = "menu") -> Use:
    return Use(bot=Ref("Bot", "bistro", name), model=model, credentials="main")


def in_days(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()


LISTS: list[tuple[str, str, dict[str, str | None], str]] = [
    ("goes soon", "gpt-4o", {"gpt-4o": "2027-01-14"}, "gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it"),
    ("just soon enough", "x", {"x": in_days(SOON)}, f"x goes on {in_days(SOON)}, in 60 days"),
    ("one day too far", "x", {"x": in_days(SOON + 1)}, ""),
    ("tomorrow", "x", {"x": in_days(1)}, f"x goes on {in_days(1)}, tomorrow"),
    ("today", "x", {"x": in_days(0)}, f"x goes on {in_days(0)}, today"),
    ("still listed after its day", "x", {"x": in_days(-1)}, f"x has gone, on {in_days(-1)}"),
    ("no day known", "gpt-4o", {"gpt-4o": None}, ""),
    ("a day that is none", "gpt-4o", {"gpt-4o": "soon"}, ""),
    ("a time of that day", "x", {"x": in_days(3) + "T00:00:00Z"}, f"x goes on {in_days(3)}, in 3 days"),
    ("gone, its day known", "gpt-4-0613", {"y": None}, "gpt-4-0613 has gone, on 2026-10-23: gpt-5.6-sol replaces it"),
    (
        "gone before its day",
        "gpt-4o",
        {"y": None},
        "gpt-4o is not among the models of its account: gpt-6-luna replaces it",
    ),
    ("gone, nothing known", "mine", {"y": None}, "mine is not among the models of its account"),
    ("an empty list says nothing", "gpt-4o", {}, ""),
    ("listed with :latest", "llama4", {"llama4:latest": None}, ""),
    ("listed without what follows", "a/b:online", {"a/b": in_days(2)}, f"a/b:online goes on {in_days(2)}, in 2 days"),
    (
        "fine-tuned",
        "ft:gpt-4.1-2025-04-14:acme::x",
        {"ft:gpt-4.1-2025-04-14:acme::x": "2027-01-14"},
        "ft:gpt-4.1-2025-04-14:acme::x goes on 2027-01-14, in 52 days: gpt-6-luna replaces it",
    ),
]


@pytest.mark.parametrize(("case", "model", "listed", "said"), LISTS, ids=[case for case, *_ in LISTS])
def test_what_is_said_of_a_model(case: str, model: str, listed: dict[str, str | None], said: str) -> None:
    found = retiring([use(model)], {("bistro", "main"): listed}, TODAY)
    assert [one.text for one in found] == ([said] if said else [])


def test_an_account_that_was_not_read_says_nothing() -> None:
    assert retiring([use()], {("clinic", "main"): {"x": None}}, TODAY) == ()


def test_the_soonest_come_first_and_bots_of_one_model_share_a_line() -> None:
    used = [use("gpt-4o", "b"), use("gpt-4o", "a"), use("gpt-5", "c"), use("lost", "d")]
    used += [use("many", f"m{n}") for n in range(7)]
    listed = {"gpt-4o": "2027-01-14", "gpt-5": "2026-12-11", "many": "2026-12-12"}
    found = retiring(used, {("bistro", "main"): listed}, TODAY)
    assert notes(found) == (
        "model lost is not among the models of its account (bistro/d)",
        "model gpt-5 goes on 2026-12-11, in 18 days: gpt-5.6-sol replaces it (bistro/c)",
        "model many goes on 2026-12-12, in 19 days (bistro/m0, bistro/m1, bistro/m2, bistro/m3, bistro/m4 and 2 more)",
        "model gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it (bistro/a, bistro/b)",
    )
    assert documents(found)[1] == {
        "instance": "bistro",
        "bot": "c",
        "model": "gpt-5",
        "gone": False,
        "shutdownDate": "2026-12-11",
        "days": 18,
        "replacement": "gpt-5.6-sol",
        "text": "gpt-5 goes on 2026-12-11, in 18 days: gpt-5.6-sol replaces it",
    }


def test_the_model_is_that_which_a_turn_would_ask() -> None:
    assistant = declared("Assistant", "concierge", assistantId="asst_1", model="gpt-5")
    demo = declared("Credentials", "demo", baseUrl=DEMO)

    def runs(name: str, **more: Any) -> Any:
        return bot(name, botType="assistant", assistantId="asst_1", **more)

    found = uses(
        desired(
            bistro(), main(), demo, assistant, bot("chat"), runs("own", model="o3"), runs("its", model=None),
            bot("none", botType="assistant", assistantId="asst_9", model=None), bot("demo", credentials="demo"),
        )
    )  # fmt: skip
    assert [(one.bot.name, one.model) for one in found] == [("chat", "gpt-4o"), ("own", "o3"), ("its", "gpt-5")]


REPLACED = [
    ("gpt-4o", "gpt-6-luna"),
    ("gpt-4o-2024-08-06", "gpt-6-luna"),
    ("gpt-4o-2024-05-13", "gpt-5.6-sol"),
    ("gpt-4-0613", "gpt-5.6-sol"),
    ("ft:gpt-4.1-mini-2025-04-14:acme::x", "gpt-6-luna"),
    ("ft:x", None),
    ("gpt-6-luna", None),
]


@pytest.mark.parametrize(("model", "wanted"), REPLACED)
def test_replacements(model: str, wanted: str | None) -> None:
    found = replacement(model)
    assert (found[0] if found else None) == wanted


def test_what_was_announced_holds_at_openai_alone_and_takes_nothing_for_gone() -> None:
    elsewhere = declared("Credentials", "else", baseUrl="https://llm.example/v1")
    fleet = desired(bistro(), main(), elsewhere, bot("a"), bot("b", model="new"), bot("c", credentials="else"))
    used = uses(fleet)
    lists = announced(used, fleet)
    assert lists == {("bistro", "main"): {"gpt-4o": "2027-01-14", "new": None}}
    assert [one.bot.name for one in retiring(used, lists, TODAY)] == ["a"]
