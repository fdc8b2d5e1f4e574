"""Fleets with known shadowing, and changes whose moved messages are known."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import Desired
from reconciler.plan.routes import answering
from reconciler.plan.routes.answer import Fleet, Moved, NotProven, Overlap, Reached, Routes, Semantics, fleet_of
from reconciler.plan.routes.prove import MOST_MOVED, MOST_OVERLAPS, prove, unreachable
from reconciler.plan.routes.say import what_moves, why_never
from reconciler.plan.routes.search import Budget
from reconciler.talk import match
from tests.plan import fleet as made

EVERY = {"triggerType": "all"}
NONE = {"triggerType": "none"}


def keyword(operator: str, value: str, **more: Any) -> dict[str, Any]:
    return {"triggerType": "keyword", "triggerOperator": operator, "triggerValue": value, **more}


def rule(value: str) -> dict[str, Any]:
    return {"triggerType": "advanced", "triggerValue": value}


def never(specs: dict[str, Any], semantics: Semantics, fallback: str | None = None) -> dict[str, tuple[Any, ...]]:
    found = unreachable(Fleet(specs, fallback), semantics)
    assert found.not_proven == ()
    return {one.bot: (one.why, one.by, one.message) for one in found.unreachable}


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({"a": keyword("equals", "menu"), "b": keyword("contains", "menu")}, {}),
        # by a pattern that comes earlier
        (
            {"part": keyword("contains", "menu"), "any": keyword("regex", "(?i)menu")},
            {"part": ("shadowed", ("any",), "menu")},
        ),
        ({"part": keyword("contains", "menu"), "any": keyword("regex", "menu")}, {}),  # "Menu" is left
        (
            {"word": keyword("startsWith", "order"), "any": keyword("regex", "(?i)^o")},
            {"word": ("shadowed", ("any",), "order")},
        ),
        # by several together
        (
            {"one": keyword("regex", "^[ab]$"), "a": keyword("equals", "a"), "b": keyword("equals", "B")},
            {"one": ("shadowed", ("a", "b"), "a")},
        ),
        (
            {"text": keyword("contains", "x"), "line": keyword("regex", "(?s)^.$"), "long": keyword("regex", "(?s)..")},
            {"text": ("shadowed", ("line", "long"), "x")},
        ),
        # a longer value is asked first, an older bot among equals
        ({"ab": keyword("startsWith", "ab"), "abc": keyword("startsWith", "abc")}, {}),
        (
            {"rule": rule("contains:pizza startswith:pizza"), "starts": keyword("startsWith", "Pizza")},
            {},  # "pízza" is left, for rules ignore accents
        ),
        (
            {"rule": rule("startswith:12 endswith:7"), "starts": keyword("startsWith", "12")},
            {},  # as above: digits carry marks too
        ),
        # accents and case count or not
        ({"rule": rule("contains:café"), "part": keyword("contains", "cafe")}, {}),
        # a rule that nothing fits
        ({"rule": rule("contains:a notcontains:a")}, {"rule": ("nothing", (), None)}),
        ({"rule": rule("exact:a exact:b startswith:c")}, {"rule": ("nothing", (), None)}),
        ({"nothing": keyword("regex", "a^")}, {"nothing": ("nothing", (), None)}),
        ({"folded": keyword("contains", "strasse"), "sharp": keyword("contains", "straße")}, {
            "sharp": ("shadowed", ("folded",), "straße"),
        }),  # the same trigger under two names; equally long, the older wins
        # `all` comes last, and pictures have no text: it always answers
        ({"all": EVERY, "any": keyword("regex", ".")}, {}),
        ({"idle": NONE, "off": keyword("equals", "x", enabled=False)}, {"idle": ("no trigger", (), None)}),
        ({"bad": keyword("regex", "("), "blank": keyword("contains", " ")}, {
            "bad": ("refused", (), None), "blank": ("refused", (), None),
        }),
        (
            {"emoji": keyword("contains", "👍"), "any": keyword("regex", "👍|👎")},
            {"emoji": ("shadowed", ("any",), "👍")},
        ),
    ],
)  # fmt: skip
def test_bots_that_never_answer_on_the_runtime(specs: dict[str, Any], expected: dict[str, Any]) -> None:
    assert never(specs, "runtime") == expected


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (
            {"word": keyword("equals", "menu"), "all": EVERY, "idle": NONE},
            {"word": ("shadowed", ("all",), "menu"), "idle": ("shadowed", ("all",), "hello")},
        ),
        ({"idle": NONE}, {}),  # it takes everything
        # a rule comes before the word, whose one text it takes
        ({"word": keyword("equals", "menu"), "rule": rule("contains:menu")}, {"word": ("shadowed", ("rule",), "menu")}),
        # the first row wins, also where its value is shorter
        (
            {"short": keyword("contains", "pi"), "long": keyword("contains", "pizza")},
            {"long": ("shadowed", ("short",), "pizza")},
        ),
        ({"small": keyword("contains", "menu"), "large": keyword("contains", "Menu")}, {}),
        # a pattern that JavaScript refuses
        (
            {"broken": keyword("regex", "(?i)a"), "word": keyword("equals", "a"), "part": keyword("contains", "a")},
            {"broken": ("refused", (), None), "part": ("dropped", ("broken",), "a")},
        ),
        (
            {"any": keyword("regex", "[Σσς]"), "part": keyword("contains", "Σ")},
            {"part": ("shadowed", ("any",), "Σ")},
        ),
        ({"rule": rule("contains:ΣΑΣ"), "word": keyword("equals", "σας")}, {"word": ("shadowed", ("rule",), "σας")}),
        (
            {"pair": keyword("contains", "😀"), "half": keyword("regex", "\\ud83d[\\ude00-\\ude0f]")},
            {"pair": ("shadowed", ("half",), "😀")},
        ),
        ({"odd": rule("near:x")}, {"odd": ("nothing", (), None)}),
    ],
)
def test_bots_that_never_answer_on_an_evolution_server(specs: dict[str, Any], expected: dict[str, Any]) -> None:
    assert never(specs, "evolution") == expected


def test_the_fallback_bot_answers_what_nobody_takes() -> None:
    assert never({"last": NONE}, "runtime", "last") == {}
    assert never({"last": NONE, "all": EVERY}, "runtime", "last") == {"last": ("shadowed", ("all",), None)}
    # without text there is no match for a pattern: the fallback bot has at least the pictures
    assert never({"last": NONE, "any": keyword("regex", "(?s).")}, "runtime", "last") == {}
    taken = {"last": keyword("contains", "x"), "any": keyword("regex", "(?i)x")}
    assert never(taken, "runtime") == {"last": ("shadowed", ("any",), "x")}
    assert never(taken, "runtime", "last") == {}
    assert never({**taken, "all": EVERY}, "runtime", "last") == {"last": ("shadowed", ("any",), "x")}
    assert never({"off": keyword("equals", "x", enabled=False)}, "evolution", "off") == {}


def test_only_one_bot_is_asked_about() -> None:
    fleet = Fleet({"one": NONE, "two": NONE})
    assert [one.bot for one in unreachable(fleet, "runtime", "two").unreachable] == ["two"]


def change(before: dict[str, Any], after: dict[str, Any], semantics: Semantics = "runtime", **more: Any) -> Routes:
    return prove(Fleet(before, more.get("was")), Fleet(after, more.get("now")), semantics)


def moved(found: Routes) -> set[tuple[str | None, str | None, str | None]]:
    assert found.not_proven == ()
    return {(one.before, one.after, one.message) for one in found.moved}


MENU = keyword("equals", "menu")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"menu": MENU}, {(None, "menu", "menu")}),
        ({"menu": MENU}, {}, {("menu", None, "menu")}),
        ({"menu": MENU}, {"menu": {**MENU, "enabled": False}}, {("menu", None, "menu")}),
        ({"menu": MENU}, {"carte": MENU}, {("menu", "carte", "menu")}),
        ({"menu": MENU}, {"menu": keyword("equals", "MENU")}, set()),
        ({"menu": MENU}, {"menu": keyword("contains", "menu")}, {(None, "menu", "menu please")}),
        (
            {"menu": MENU, "all": EVERY},
            {"menu": keyword("startsWith", "menu"), "all": EVERY},
            {("all", "menu", "menu please")},
        ),
        # narrowed by case
        ({"a": keyword("regex", "(?i)^a$")}, {"a": keyword("regex", "^a$")}, {("a", None, "A")}),
        # the same language in other words
        ({"a": keyword("regex", "(?i)^menus?$")}, {"a": keyword("regex", "(?i)\\Amenu(s|)\\z")}, set()),
        ({"a": keyword("regex", "a+")}, {"a": keyword("regex", "a")}, set()),
        # a new bot that is asked earlier
        (
            {"part": keyword("contains", "pizza")},
            {"part": keyword("contains", "pizza"), "many": keyword("regex", "\\d+ pizza")},
            {("part", "many", "0 pizza")},
        ),
    ],
)
def test_messages_that_move(before: dict[str, Any], after: dict[str, Any], expected: set[Any]) -> None:
    found = change(before, after)
    assert moved(found) == expected


def test_accents_count_or_not_as_the_operator_has_it() -> None:
    (one,) = change({"a": rule("exact:cafe")}, {"a": keyword("equals", "cafe")}).moved
    assert (one.before, one.after) == ("a", None)
    assert one.message is not None
    assert match.bare(one.message) == "cafe" != match.fold(one.message)


def test_who_is_asked_first_moves_messages_on_a_server_that_takes_the_first_row() -> None:
    one, two = keyword("contains", "a"), keyword("contains", "b")
    found = change({"one": one, "two": two}, {"two": two, "one": one}, "evolution")
    ((was, now, text),) = moved(found)
    assert (was, now) == ("one", "two")
    assert text is not None
    assert {"a", "b"} <= set(text)
    assert change({"one": one, "two": two}, {"two": two, "one": one}) != Routes()  # equally long: the older first
    longer = keyword("contains", "bb")
    assert change({"one": one, "two": longer}, {"two": longer, "one": one}) == Routes()


def test_another_fallback_bot_moves_what_nobody_takes() -> None:
    bots = {"menu": MENU, "old": NONE, "new": NONE}
    found = change(bots, bots, was="old", now="new")
    assert moved(found) == {("old", "new", "hello")}
    assert found.reached == (Reached("new", "hello"),)
    assert [(one.bot, one.why, one.before) for one in found.unreachable] == [("old", "no trigger", False)]


def test_messages_without_text_move_by_themselves() -> None:
    any_ = keyword("regex", "(?s).")
    found = change({"any": any_}, {"any": any_, "all": EVERY})
    assert found.moved == (Moved(None, "all", None),)
    assert what_moves(found.moved[0]) == "a message without text goes to all instead of nobody"
    assert what_moves(Moved("a", None, "x")) == "'x' goes to nobody instead of a"
    beyond = keyword("regex", "(?=a)")
    lost = change({"a": beyond}, {"a": beyond, "b": MENU}, "evolution")
    assert NotProven("whether messages without text move", (), lost.not_proven[-1].reason) == lost.not_proven[-1]


def test_overlaps_with_what_is_not_known_are_left_out() -> None:
    found = change({}, {"ahead": keyword("regex", "(?=a)a"), "b": keyword("startsWith", "b")}, "evolution")
    assert found.overlaps == ()


def test_words_that_share_nothing_are_told_apart() -> None:
    values = [("equals", "a"), ("equals", "ab"), ("startsWith", "a"), ("endsWith", "b"), ("endsWith", "a")]
    bots = {f"{operator}-{value}": keyword(operator, value) for operator, value in values}
    pairs = {(one.first, one.second) for one in change({}, bots).overlaps}
    assert pairs == {
        ("equals-ab", "startsWith-a"), ("equals-ab", "endsWith-b"), ("equals-a", "startsWith-a"),
        ("equals-a", "endsWith-a"), ("startsWith-a", "endsWith-b"), ("startsWith-a", "endsWith-a"),
    }  # fmt: skip


def test_bots_made_reachable_and_lost_before() -> None:
    part, any_ = keyword("contains", "menu"), keyword("regex", "(?i)menu")
    found = change({"part": part, "any": any_}, {"part": part, "any": keyword("regex", "(?i)menu$")})
    assert found.reached == (Reached("part", "menu please"),)
    found = change({"part": part, "any": any_}, {"part": part, "any": any_, "new": MENU})
    assert [(one.bot, one.before) for one in found.unreachable] == [("part", True)]
    found = change({"all": EVERY, "last": NONE}, {"last": NONE}, now="last")
    assert found.reached == (Reached("last", "hello"),)
    pictures = {"any": keyword("regex", "(?s)."), "last": NONE}
    assert change(pictures, pictures, now="last").reached == (Reached("last", None),)


def test_overlaps_are_told() -> None:
    found = change({}, {"a": keyword("contains", "pizza"), "b": keyword("contains", "menu"), "c": MENU, "d": EVERY})
    assert Overlap("a", "b", "pizza menu") in found.overlaps
    assert Overlap("c", "b", "menu") in found.overlaps
    assert {one.first for one in found.overlaps} | {one.second for one in found.overlaps} == {"a", "b", "c"}


def test_the_lists_are_bounded() -> None:
    bots = {f"b{number}": keyword("contains", f"word{number}") for number in range(60)}
    found = change(bots, {**bots, "new": keyword("contains", "a longer word")})
    assert (len(found.moved), found.more, len(found.overlaps)) == (MOST_MOVED, True, MOST_OVERLAPS)


def test_nothing_changes_nothing() -> None:
    bots = {"menu": MENU, "part": keyword("contains", "x"), "idle": NONE}
    assert change(bots, {**bots, "part": keyword("contains", "X", model="another")}) == Routes()


def test_beyond_the_bounds_it_says_not_proven() -> None:
    bots = {"one": keyword("regex", "^(a|b)*a(a|b){14}$"), "two": keyword("regex", "^(a|b)*b(a|b){14}$")}
    bots["part"] = keyword("contains", "cc")
    after = {**bots, "three": keyword("regex", "^(b|a)*a(a|b){13}$")}
    found = prove(Fleet(bots), Fleet(after), "runtime", budget=Budget(steps=20_000))
    assert {one.reason for one in found.not_proven} == {"the bound of an instance is reached (a second of work)"}
    assert "whether messages move between these bots" in {one.question for one in found.not_proven}
    found = prove(Fleet(bots), Fleet(after), "runtime", budget=Budget(most=20))
    assert {one.reason for one in found.not_proven} == {"the bound of a question is reached (20 states)"}
    assert found.states > 20


def test_what_is_not_understood_is_not_proven() -> None:
    bots = {"odd": keyword("regex", "(?:)\\C"), "part": keyword("contains", "a"), "all": EVERY}
    found = change(bots, {**bots, "menu": keyword("startsWith", "zzz")})
    reasons = {one.reason for one in found.not_proven}
    assert reasons == {"what odd takes is not known: an escape \\C"}
    ahead = {"odd": keyword("regex", "(?=a)a"), "rule": rule("__proto__:x"), "part": keyword("contains", "b")}
    found = change({}, ahead, "evolution")
    assert found.moved == ()
    assert {name for one in found.not_proven for name in one.bots} == {"odd", "rule", "part"}
    hangul = change({}, {"rule": rule("contains:가"), "word": keyword("equals", "나")}, "evolution")
    assert {one.reason for one in hangul.not_proven} == {
        "what rule takes is not known: the server compares Hangul in parts"
    }
    assert Moved(None, "word", "나") in hangul.moved


def test_a_pattern_that_is_too_large_is_not_proven() -> None:
    found = change({}, {"big": keyword("regex", "(abcd){900}"), "a": keyword("contains", "a")})
    assert {one.reason for one in found.not_proven} == {"it is too large"}


def test_messages_that_unicode_rearranges_are_not_claimed() -> None:
    # An e with an accent of its own is no NFC, so no message holds it; that is not told letter by letter.
    found = change({}, {"mark": keyword("regex", "e[\u0301]"), "menu": MENU})
    assert found.moved == (Moved(None, "menu", "menu"),)
    assert found.unreachable == ()
    assert {(one.bots, one.reason) for one in found.not_proven} == {
        (("mark",), "the messages in question hold marks that Unicode rearranges")
    }


def test_a_message_that_the_matcher_does_not_confirm_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering.Answering, "real", lambda _self, text: None if text else "x")
    found = change({}, {"menu": MENU})
    assert found.moved == ()
    assert "whether messages move between these bots" in {one.question for one in found.not_proven}


def test_fleets_come_from_desired_states() -> None:
    objects = (
        made.bistro(),
        made.declared("Settings", "default", fallbackBot="two"),
        made.bot("one", **made.keyword("menu")),
        made.bot("two"),
        made.declared("Bot", "else", instance="other"),
    )
    found = fleet_of(Desired(commit=None, source="", objects=objects), "bistro")
    assert (list(found.specs), found.fallback) == (["one", "two"], "two")
    assert fleet_of(Desired(commit=None, source="", objects=()), "bistro") == Fleet({})


def test_findings_are_said_in_sentences() -> None:
    specs = {
        "idle": NONE, "void": keyword("regex", "a^"), "bad": keyword("regex", "("),
        "part": keyword("contains", "x"), "one": keyword("regex", "(?s)^.$"), "two": keyword("regex", "(?s)^..$"),
        "more": keyword("regex", "(?s)^...$"), "rest": keyword("regex", "(?s)...."),
    }  # fmt: skip
    said = {one.bot: why_never(one) for one in unreachable(Fleet(specs), "runtime").unreachable}
    assert said == {
        "idle": "its trigger is `none`, and it is not the fallback bot of its instance's Settings",
        "void": "its trigger takes no message at all",
        "bad": "the target cannot read its pattern",
        "part": "one, two, more and 1 more together take all its messages and are asked before it: 'x' starts one",
    }
    (last,) = unreachable(Fleet({"last": NONE, "every": EVERY}, "last"), "runtime").unreachable
    assert why_never(last) == "every takes all its messages and is asked before it"
    (_, dropped) = unreachable(
        Fleet({"bad": keyword("regex", "("), "x": keyword("contains", "x")}), "evolution"
    ).unreachable
    assert why_never(dropped) == (
        "the target cannot read the pattern of bad, and drops every message before this bot is asked"
    )
    (one,) = unreachable(Fleet({"x": keyword("contains", "x"), "y": keyword("regex", "(?i)x")}), "runtime").unreachable
    assert why_never(one) == "y takes all its messages and is asked before it: 'x' starts y"


def test_whatever_the_bounds_no_claim_is_made_that_more_work_would_take_back() -> None:
    specs = {
        "part": keyword("contains", "x"), "one": keyword("regex", "(?s)^.$"), "two": keyword("regex", "(?s)^..$"),
        "rest": keyword("regex", "(?s)..."), "idle": NONE,
    }  # fmt: skip
    before = Fleet({"part": specs["part"], "idle": EVERY})
    whole = prove(before, Fleet(specs), "runtime")
    assert whole.not_proven == ()
    for steps in range(0, 12_000, 80):
        found = prove(before, Fleet(specs), "runtime", budget=Budget(steps=steps))
        assert {one.bot for one in found.unreachable} <= {one.bot for one in whole.unreachable}
        pairs = {(one.before, one.after) for one in whole.moved}
        assert {(one.before, one.after) for one in found.moved} <= pairs
        assert found.not_proven or (len(found.moved), len(found.unreachable)) == (len(pairs), len(whole.unreachable))


def test_that_a_trigger_became_narrower_is_proven_once_and_not_for_each_bot() -> None:
    others = {f"bot-{n}": keyword("contains", f"word {n}") for n in range(12)}
    before, after = (
        {**others, "one": keyword("regex", value)} for value in (r"(?i)\bbooks\b", r"(?i)please \bbooks\b")
    )
    found = change(before, after)
    assert found.not_proven == ()
    assert {(one.before, one.after) for one in found.moved} == {("one", name) for name in (None, *others)}
    assert found.states < 300  # each pair by itself: 1,337


def test_an_example_is_of_letters_that_people_write() -> None:
    found = change({"word": keyword("contains", "menu")}, {"one": keyword("regex", r"(?i)\bbooks\b.*3")})
    messages = {one.before: one.message for one in found.moved}
    assert messages == {None: "books 3", "word": "menu books 3"}  # not `bookſ3`, which is shorter and taken as well
