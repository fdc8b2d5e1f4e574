"""What is made beside something much like it that goes: the pair is named, with the line to add."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.model import Live, LiveObject, Object, Ref
from reconciler.plan.diff import Before, diff
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main, running, with_objects

MENU: dict[str, Any] = {"systemMessages": ["You know the menu"], **keyword("menu"), "maxTokens": 500}


def said(live: Live, *objects: Object, **more: Any) -> list[str]:
    plan = diff(desired(bistro(), main(), *objects), live, target="t", **more)
    return [note for note in plan.notes if "much like" in note]


CASES: list[tuple[str, Object, Object, bool]] = [
    ("another name alone", bot("menu", **MENU), bot("food", **MENU), True),
    ("and a little more", bot("menu", **MENU), bot("food", **{**MENU, "maxTokens": 400}), True),
    (
        "the same trigger, all else another",
        bot("menu", **MENU),
        bot("food", **keyword("menu"), maxTokens=1, model="x"),
        False,
    ),
    ("nothing telling in common", bot("menu", maxTokens=1), bot("food", maxTokens=1), False),
    ("nothing in common", bot("menu", **MENU), bot("food", **keyword("hi"), model="x", maxTokens=2), False),
    (
        "an assistant's instructions",
        declared("Assistant", "menu", instructions="Be kind", model="m"),
        declared("Assistant", "food", instructions="Be kind", model="m"),
        True,
    ),
    (
        "another kind",
        declared("Assistant", "menu", instructions="Be kind", model="m"),
        bot("food", systemMessages=["Be kind"]),
        False,
    ),
    ("said already", bot("menu", **MENU), msgspec.structs.replace(bot("food", **MENU), formerly="else"), False),
]


@pytest.mark.parametrize(("case", "was", "now", "alike"), CASES, ids=[case for case, *_ in CASES])
def test_what_is_much_like_what_goes(case: str, was: Object, now: Object, alike: bool) -> None:
    found = said(running(bistro(), main(), was), now)
    expected = (
        f"{now.ref} (bots/bistro/bots.yaml:1) is much like {was.ref}, which would be deleted: if it is the same under "
        f"another name, write `formerly: {was.ref.name}` into its metadata, and it is kept with its chats"
    )
    assert found == ([expected] if alike else [])


def test_each_is_named_once_with_what_it_is_most_like() -> None:
    live = running(bistro(), main(), bot("one", **MENU), bot("two", **{**MENU, "maxTokens": 9}))
    found = said(live, bot("uno", **MENU), bot("due", **{**MENU, "maxTokens": 9}))
    assert {(note.split()[1], note.split("like Bot ")[1].split(",")[0]) for note in found} == {
        ("bistro/uno", "bistro/one"),
        ("bistro/due", "bistro/two"),
    }
    assert len(said(live, bot("uno", **MENU), bot("due", **MENU), bot("tre", **MENU))) == 2


def test_a_bot_that_moves_to_another_instance() -> None:
    other = declared("Instance", "clinic", "clinic", instanceName="clinic")
    moved = msgspec.structs.replace(bot("menu", **MENU), ref=Ref("Bot", "clinic", "menu"))
    wanted = desired(bistro(), main(), other, moved)
    plan = diff(wanted, running(bistro(), main(), bot("menu", **MENU)), Before(), target="t")
    (note,) = (note for note in plan.notes if "much like" in note)
    assert note.startswith(
        "Bot clinic/menu (bots/bistro/bots.yaml:1) is much like Bot bistro/menu, which would be deleted"
    )
    assert note.endswith("to another instance, so it is made anew there, and its chats stay behind")


def test_what_stays_is_no_pair() -> None:
    live = running(bistro(), main(), bot("menu", **MENU))
    assert said(live, bot("menu", **MENU), bot("food", **MENU)) == []
    assert said(live, bot("food", **MENU), prune=False) == [], "it is not deleted"


def test_a_live_value_that_names_what_is_not_managed_is_nothing_in_common() -> None:
    live = running(bistro(), main(), bot("menu", **{**MENU, "functionUrl": "x (not managed)"}))
    assert len(said(live, bot("food", **MENU))) == 1
    stranger = LiveObject(kind="Bot", instance="Bistro_01", id="z", spec={}, mark=None, label="z")
    assert len(said(with_objects(live, stranger), bot("food", **MENU))) == 1
