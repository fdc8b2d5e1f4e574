from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Live, Plan, Secret
from reconciler.plan.diff import Before, diff
from reconciler.plan.narrow import narrow
from reconciler.plan.render import count, document, headline, lines, markdown, text
from reconciler.plan.values import text_difference
from tests.plan.fleet import bistro, bot, declared, desired, foreign, keyword, main, running, with_objects

KEY = "sk-a-key-that-nobody-may-see"


def plan(*wanted: Any, live: Live | None = None, applied: tuple[Any, ...] = (), **options: Any) -> Plan:
    before = Before(objects={one.ref: one for one in applied})
    nothing = Live(objects=(), version="")
    return diff(
        desired(*wanted, commit=options.pop("commit", desired().commit)),
        live or nothing,
        before,
        target="local",
        **options,
    )


def test_nothing_to_do_is_said_in_one_line() -> None:
    fleet = (bistro(), main(), bot("x"))
    assert text(plan(*fleet, live=running(*fleet))) == (
        "No changes for local at 3f2a91c4: what is live is what is declared."
    )


def test_a_plan_as_text() -> None:
    wanted = (
        bistro(),
        main(apiKey=Secret(KEY)),
        bot("x", expire=7200, delayMessage=1500, debounceTime=2000, maxTokens=5, inherited=("keepOpen",)),
        bot(
            "fresh",
            systemMessages=["First line\nsecond line"],
            unknownMessage="y" * 90,
            inherited=("timePerChar",),
            **keyword("hi"),
        ),
        bot("renamed", formerly="old"),
    )
    live = with_objects(
        running(bistro(), main(), bot("x"), bot("gone"), bot("old")),
        foreign("Bot", "by\nhand"),
        foreign("Instance", "S", instance="S"),
    )
    found = plan(*wanted, live=live, applied=(bot("x", maxTokens=5), bot("gone"), bot("renamed"), main()))
    shown = text(found)
    assert shown == SHOWN, shown
    assert KEY not in shown


SHOWN = """\
~ Credentials bistro/main
    apiKey: (sensitive) changes
+ Bot bistro/fresh
    enabled: true
    botType: "chatCompletion"
    credentials: "main"
    model: "gpt-4o"
    systemMessages: First line … 2 lines, 22 characters
    maxTokens: 1000
    triggerType: "keyword"
    triggerOperator: "equals"
    triggerValue: "hi"
    expire: 0
    delayMessage: 1s
    unknownMessage: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy … 90 characters
    listeningFromMe: false
    stopBotFromMe: false
    keepOpen: false
    debounceTime: 1s
    splitMessages: false
~ Bot bistro/renamed (was old)
    name: "old" → "renamed"
~ Bot bistro/x (drift)
    maxTokens: 1000 → 5  (drift: changed on the target)
    expire: 0 → 2h
    delayMessage: 1s → 1500ms
    debounceTime: 1s → 2s
- Bot bistro/gone

1 foreign (without a mark of this repository; never changed):
    Bot by hand of Bistro_01
1 other instance of the target, not declared here
Plan for local at 3f2a91c4: 1 to create, 3 to update, 1 to delete (1 drifted)."""


def test_long_texts_are_shown_as_the_lines_that_differ() -> None:
    before, after = ["You are a waiter.\n" + "\n".join("abcdefgh")], ["You are a cook.\n" + "\n".join("abcdefgh")]
    found = plan(
        bistro(),
        main(),
        bot("x", systemMessages=after),
        live=running(bistro(), main(), bot("x", systemMessages=before)),
    )
    body = text(found).splitlines()
    assert "      -You are a waiter." in body
    assert "      +You are a cook." in body
    assert not any("      g" in line or line.strip() == "h" for line in body)
    tones = {line: tone for tone, line in lines(found)}
    assert tones["      -You are a waiter."] == "delete"


def test_texts_that_differ_in_line_ends_alone_are_shown_whole() -> None:
    assert text_difference("a\r\nb", "a\nb") == ["- 'a\\r\\nb'", "+ 'a\\nb'"]


def test_structures_are_compared_by_lines() -> None:
    tools = [{"type": "function", "name": "check_table", "description": "free tables at a time"}]
    found = plan(bistro(), main(), bot("x", tools=tools), live=running(bistro(), main(), bot("x")))
    assert any("check_table" in line for line in text(found).splitlines())


def inheriting(expire: int, **more: Any) -> tuple[Any, ...]:
    return (
        bistro(),
        main(),
        declared("Settings", "default", expire=expire, **more),
        *(bot(name, expire=expire, inherited=("expire", "unknownMessage"), **more) for name in ("a", "b", "c")),
    )


def test_what_many_bots_inherit_is_shown_once() -> None:
    applied = inheriting(3600)
    found = plan(*inheriting(7200), live=running(*applied), applied=applied)
    assert "~ Settings bistro: 3 bots inherit: expire 1h → 2h" in text(found)
    assert "    a, b, c" in text(found)
    assert "Bot bistro/a" not in text(found)
    assert "3 bots inherit" in markdown(found)
    before = inheriting(3600, unknownMessage="y" * 100)
    long = plan(*inheriting(3600, unknownMessage="z" * 100), live=running(*before), applied=before)
    assert "3 bots inherit unknownMessage" in text(long)
    emptied = plan(
        *applied,
        live=running(*inheriting(3600, unknownMessage="z" * 100)),
        applied=inheriting(3600, unknownMessage="z" * 100),
    )
    assert "3 bots inherit unknownMessage" in text(emptied)


def test_one_bot_that_inherits_stands_for_itself() -> None:
    applied = inheriting(3600)[:4]
    found = plan(*inheriting(7200)[:4], live=running(*applied), applied=applied)
    assert "~ Bot bistro/a" in text(found)


def test_durations_have_their_unit() -> None:
    wanted = (bistro(retention=90), main(), bot("x", expire=120, timePerChar=7))
    shown = text(plan(*wanted, live=running(bistro(retention=86400), main(), bot("x", expire=59))))
    assert "retention: 1d → 90s" in shown
    assert "expire: 59s → 2m" in shown
    assert "timePerChar: 0 → 7ms" in shown


def test_held_changes_and_refusals_are_shown() -> None:
    live = with_objects(running(bistro(), main(), bot("gone")), foreign("Bot", "copy", **keyword("hi")))
    found = plan(bistro(), main(), bot("x", **keyword("hi")), live=live, prune=False, commit=None)
    shown = text(found)
    assert "- Bot bistro/gone (not applied: pruning is off)" in shown
    assert "refused: mark lost" in shown
    assert shown.endswith(
        "Plan for local from the working tree: 1 to create, 0 to update, 0 to delete, 1 shown but not applied."
    )
    assert "> **Refused:** mark lost" in markdown(found)
    assert count(found) == {"create": 1, "update": 0, "delete": 0, "held": 1, "drift": 0}


def test_markdown_cannot_be_broken_out_of() -> None:
    nasty = "````\n</details><script>alert(1)</script>\n`````" + "x" * 90
    live = with_objects(running(bistro(), main(), bot("x")), foreign("Bot", "<b>*`@here`*</b>"))
    shown = markdown(plan(bistro(), main(), bot("x", unknownMessage=nasty), live=live))
    assert "``````diff\n" in shown
    assert "<b>" not in shown
    assert "@here" not in shown
    assert markdown(plan(bistro(), live=running(bistro(), main()))).count("&#8203;- Credentials bistro/main") == 1


def test_control_characters_reach_no_terminal() -> None:
    shown = text(plan(bistro(), main(), bot("x", systemMessages=["\x1b[2Jgone " + "y" * 90])))
    assert "\x1b" not in shown


def test_a_plan_as_json() -> None:
    live = with_objects(running(bistro(), main(), bot("gone")), foreign("Bot", "hand"))
    found = document(plan(bistro(), main(apiKey=Secret(KEY)), bot("x"), live=live), ["why"])
    json.dumps(found)
    assert found["format_version"] == "1.0"
    assert found["refused"] == ["why"]
    assert [(one["action"], one["name"], one["id"]) for one in found["changes"]] == [
        ("update", "main", "id-Credentials-main"),
        ("create", "x", None),
        ("delete", "gone", "id-Bot-gone"),
    ]
    assert found["changes"][0]["fields"] == [
        {"field": "apiKey", "before": "(sensitive)", "after": "(sensitive)", "origin": "pending"}
    ]
    assert found["changes"][1]["fields"][0] == {"field": "enabled", "before": None, "after": True, "origin": "pending"}
    assert found["foreign"] == [{"kind": "Bot", "instance": "Bistro_01", "id": "id-hand", "label": "hand"}]
    assert found["summary"] == {"create": 1, "update": 1, "delete": 1, "held": 0, "drift": 0}


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=16, max_size=40), st.booleans())
def test_no_rendered_plan_holds_a_secret(key: str, live: bool) -> None:
    secret = "sk-" + key
    found = plan(bistro(), main(apiKey=Secret(secret)), bot("x"), live=running(bistro(), main()) if live else None)
    for shown in (text(found), markdown(found), json.dumps(document(found)), repr(found)):
        assert secret not in shown


def test_headline_of_a_conflict() -> None:
    found = plan(
        bistro(), bot("x", expire=1), live=running(bistro(), bot("x", expire=2)), applied=(bot("x", expire=3),)
    )
    assert headline(found.changes[0]) == "~ Bot bistro/x (conflict)"


CLINIC = declared("Instance", "clinic", "clinic", instanceName="Clinic")
TEAM = {"team": "a"}
WIDE = (
    bistro(),
    main(),
    bot("x", labels=TEAM),
    CLINIC,
    declared("Credentials", "c", "clinic"),
    declared("Bot", "y", "clinic", credentials=None),
)


@pytest.mark.parametrize(
    ("instance", "labels", "kept"),
    [
        (None, {}, ["bistro", "main", "x", "clinic", "c", "y"]),
        ("clinic", {}, ["clinic", "c", "y"]),
        ("Clinic", {}, ["clinic", "c", "y"]),
        (None, TEAM, ["bistro", "main", "x"]),
        ("clinic", TEAM, []),
    ],
)
def test_a_part_of_a_plan_brings_what_it_needs(instance: str | None, labels: dict[str, str], kept: list[str]) -> None:
    found = narrow(plan(*WIDE), instance, labels)
    assert [change.ref.name for change in found.changes] == kept


def test_a_part_shows_its_own_foreign_objects() -> None:
    live = with_objects(running(bistro(), CLINIC), foreign("Bot", "b"), foreign("Bot", "c", instance="Clinic"))
    found = plan(*WIDE, live=live)
    assert [one.label for one in narrow(found, "clinic").foreign] == ["c"]
    assert [one.label for one in narrow(found, None, TEAM).foreign] == ["b", "c"]
