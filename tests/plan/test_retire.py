"""Bots whose models go: which are spoken of, when, and with what in their place."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.catalog import FILE, catalog
from reconciler.model import DEMO, KnownModel, Ref
from reconciler.plan.retire import SOON, Use, announced, documents, notes, replacement, retiring, uses
from tests.plan.fleet import bistro, bot, declared, desired, main

TODAY = date(2026, 11, 23)
KNOWN = catalog()
EXAMPLES = Path(__file__).resolve().parents[2]
MADE_UP = {
    "old": KnownModel(ends="2026-12-01", replacement="newer"),
    "newer": KnownModel(ends="2026-12-02", replacement="newest"),
    "round": KnownModel(ends="2026-12-01", replacement="robin"),
    "robin": KnownModel(ends="2026-12-01", replacement="round"),
}


def use(model: str = "gpt-4o", name: str = "menu") -> Use:
    return Use(bot=Ref("Bot", "bistro", name), model=model, credentials="main")


def in_days(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()


LISTS: list[tuple[str, str, dict[str, str | None], str]] = [
    (
        "goes soon",
        "gpt-4o",
        {"gpt-4o": "2027-01-14", "gpt-6-luna": None},
        "gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it",
    ),
    (
        "what replaces it is not listed",
        "gpt-4o",
        {"gpt-4o": "2027-01-14"},
        "gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it, but its account does not list that",
    ),
    (
        "what replaces it has gone too, and what replaces that is listed",
        "old",
        {"old": "2026-12-01", "newer": "2026-12-02", "newest": None},
        "old goes on 2026-12-01, in 8 days: newest replaces it",
    ),
    (
        "replacements in a circle",
        "round",
        {"round": "2026-12-01"},
        "round goes on 2026-12-01, in 8 days: robin replaces it, but its account does not list that",
    ),
    ("just soon enough", "x", {"x": in_days(SOON)}, f"x goes on {in_days(SOON)}, in 60 days"),
    ("one day too far", "x", {"x": in_days(SOON + 1)}, ""),
    ("tomorrow", "x", {"x": in_days(1)}, f"x goes on {in_days(1)}, tomorrow"),
    ("today", "x", {"x": in_days(0)}, f"x goes on {in_days(0)}, today"),
    ("still listed after its day", "x", {"x": in_days(-1)}, f"x has gone, on {in_days(-1)}"),
    ("no day known", "gpt-4o", {"gpt-4o": None}, ""),
    ("a day that is none", "gpt-4o", {"gpt-4o": "soon"}, ""),
    ("a time of that day", "x", {"x": in_days(3) + "T00:00:00Z"}, f"x goes on {in_days(3)}, in 3 days"),
    (
        "gone, its day known",
        "gpt-4-0613",
        {"gpt-5.6-sol": None},
        "gpt-4-0613 has gone, on 2026-10-23: gpt-5.6-sol replaces it",
    ),
    (
        "gone before its day",
        "gpt-4o",
        {"y": None},
        "gpt-4o is not among the models of its account: gpt-6-luna replaces it, but its account does not list that",
    ),
    ("gone, nothing known", "mine", {"y": None}, "mine is not among the models of its account"),
    ("an empty list says nothing", "gpt-4o", {}, ""),
    ("listed with :latest", "llama4", {"llama4:latest": None}, ""),
    ("listed without what follows", "a/b:online", {"a/b": in_days(2)}, f"a/b:online goes on {in_days(2)}, in 2 days"),
    (
        "fine-tuned",
        "ft:gpt-4.1-2025-04-14:acme::x",
        {"ft:gpt-4.1-2025-04-14:acme::x": "2027-01-14", "gpt-6-luna": None},
        "ft:gpt-4.1-2025-04-14:acme::x goes on 2027-01-14, in 52 days: gpt-6-luna replaces it",
    ),
]


@pytest.mark.parametrize(("case", "model", "listed", "said"), LISTS, ids=[case for case, *_ in LISTS])
def test_what_is_said_of_a_model(case: str, model: str, listed: dict[str, str | None], said: str) -> None:
    known = msgspec.structs.replace(KNOWN, models={**KNOWN.models, **MADE_UP})
    found = retiring([use(model)], {("bistro", "main"): listed}, TODAY, known)
    assert [one.text for one in found] == ([said] if said else [])


def test_an_account_that_was_not_read_says_nothing() -> None:
    assert retiring([use()], {("clinic", "main"): {"x": None}}, TODAY, KNOWN) == ()


def test_the_soonest_come_first_and_bots_of_one_model_share_a_line() -> None:
    used = [use("gpt-4o", "b"), use("gpt-4o", "a"), use("gpt-5", "c"), use("lost", "d")]
    used += [use("many", f"m{n}") for n in range(7)]
    listed = {"gpt-4o": "2027-01-14", "gpt-5": "2026-12-11", "many": "2026-12-12"}
    listed |= dict.fromkeys(("gpt-6-luna", "gpt-6.1-sol"))
    found = retiring(used, {("bistro", "main"): listed}, TODAY, KNOWN)
    assert notes(found) == (
        "model lost is not among the models of its account (bistro/d)",
        "model gpt-5 goes on 2026-12-11, in 18 days: gpt-6.1-sol replaces it (bistro/c)",
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
        "replacement": "gpt-6.1-sol",
        "replacementListed": True,
        "text": "gpt-5 goes on 2026-12-11, in 18 days: gpt-6.1-sol replaces it",
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
    found = replacement(model, KNOWN)
    assert (found.replacement if found else None) == wanted


def test_what_was_announced_holds_at_openai_alone_and_takes_nothing_for_gone() -> None:
    elsewhere = declared("Credentials", "else", baseUrl="https://llm.example/v1")
    fleet = desired(bistro(), main(), elsewhere, bot("a"), bot("b", model="new"), bot("c", credentials="else"))
    used = uses(fleet)
    lists = announced(used, fleet, KNOWN)
    assert lists == {("bistro", "main"): {"gpt-4o": "2027-01-14", "new": None}}
    assert [one.bot.name for one in retiring(used, lists, TODAY, KNOWN)] == ["a"]


def test_the_table_of_models_is_young_and_names_what_it_knows() -> None:
    """Prices and ends move: look at the pages that the table names, and bring it and its date up to date."""
    assert (date.today() - date.fromisoformat(KNOWN.as_of)).days <= 120, f"{FILE} is of {KNOWN.as_of}"
    for name, one in KNOWN.models.items():
        assert one.ends is None or date.fromisoformat(one.ends), name
        assert one.replacement is None or (one.ends and one.replacement in KNOWN.models), name
        assert (one.input is None) == (one.output is None), name
        assert one.cached is None or one.input is None or one.cached <= one.input, name


def test_no_model_that_a_new_fleet_or_an_example_names_is_about_to_go() -> None:
    """The day after the first is no day to change models."""
    named = {
        (path.name, model)
        for path in [
            *EXAMPLES.glob("bots/**/*.yaml"),
            *EXAMPLES.glob("schemas/**/*.json"),
            EXAMPLES / "reconciler/cli/init.py",
        ]
        for model in re.findall(r"\bmodel\"?: \"?([a-z][\w.-]+)", path.read_text())
    }
    assert named
    assert [(file, model) for file, model in named if model not in KNOWN.models or KNOWN.models[model].ends] == []
