"""Triggers as an Evolution API server matches them: tables, recorded chats, and JavaScript itself as the judge."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.model import Bot, Line
from reconciler.plan.evolution import match as evolution
from reconciler.plan.evolution.match import check_regex, explain, finds, holds, judge, ranked, terms
from reconciler.plan.patterns.tree import Beyond, Refused
from tests.conftest import many
from tests.talk.rows import bot, line


def asked(on: Line, text: str | None) -> list[str]:
    return [f"{'+' if one.matched else '-'}{one.bot.id} {one.by}" for one in explain(on, text)]


def keyword(name: str, operator: str, value: str, **more: Any) -> Bot:
    return bot(name, trigger_type="keyword", trigger_operator=operator, trigger_value=value, **more)


# What a server of 2.3.x answered: the bots of one instance, and who took which message.
RECORDED = (
    keyword("contains", "contains", "pizza"),
    keyword("ends", "endsWith", "please"),
    keyword("starts", "startsWith", "order"),
    keyword("regex", "regex", r"^ord.*\d+"),
    keyword("equals", "equals", "order 2 pizza please"),
    bot("advanced", trigger_type="advanced", trigger_value="contains:pizza,vegan notContains:meat"),
)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("a pizza", "contains"),
        ("a pizza please", "ends"),
        ("order a pizza please", "starts"),
        ("order 2 pizzas please", "regex"),
        ("order 2 pizza please", "equals"),
        ("order 2 VEGAN pizza please", "advanced"),
        ("order 2 vegan meat pizza please", "regex"),
        ("Pizza", None),
        ("nothing", None),
    ],
)
def test_the_order_of_asking_is_the_recorded_one(text: str, answers: str | None) -> None:
    found = judge(line(*RECORDED), text)
    assert (found.bot.id if found.bot else None, found.why, found.known) == (answers, "", True)


def test_everyone_asked_is_named_in_order() -> None:
    assert asked(line(*RECORDED), "a pizza please") == [
        "-advanced advanced", "-equals equals", "-regex regex", "-starts startsWith", "+ends endsWith",
    ]  # fmt: skip


def test_a_case_that_differs_is_another_text() -> None:
    on = line(keyword("start", "equals", "start"))
    assert judge(on, "START").bot is None
    assert judge(on, " start").bot is None
    assert asked(on, "start") == ["+start equals"]


def test_all_and_none_answer_before_everybody_the_first_row_wins() -> None:
    first, second = bot("quiet", trigger_type="none"), bot("every", trigger_type="all")
    word = keyword("word", "equals", "menu")
    assert asked(line(word, first, second), "menu") == ["+quiet none"]
    assert asked(line(word, second, first), "menu") == ["+every all"]


def test_the_first_row_wins_within_a_rank_whatever_its_length() -> None:
    assert asked(line(keyword("short", "contains", "a"), keyword("long", "contains", "pizza")), "pizza") == [
        "+short contains"
    ]


def test_disabled_bots_are_not_asked_but_answer_as_fallback() -> None:
    off = keyword("off", "equals", "menu", enabled=False)
    on = line(off, fallback="off")
    assert ranked(on.bots) == []
    assert asked(on, "menu") == ["+off fallback"]
    assert asked(line(off, fallback="gone"), "menu") == []


def test_a_message_without_text_is_the_word_unknown() -> None:
    on = line(keyword("start", "equals", "start"), keyword("lost", "equals", "unknown"))
    assert asked(on, None) == ["-start equals", "+lost equals"]


def test_a_pattern_that_javascript_refuses_silences_all_that_come_after_it_and_the_fallback() -> None:
    on = line(keyword("broken", "regex", "(["), keyword("pizza", "contains", "pizza"), fallback="pizza")
    found = judge(on, "pizza")
    assert (found.bot, found.known, [one.bot.id for one in found.asked]) == (None, True, ["broken"])
    assert found.why.startswith("JavaScript refuses the pattern of broken (unterminated character class), so the")
    assert check_regex("([") == "JavaScript refuses this pattern: unterminated character class"
    assert check_regex("a|b") is None


def test_what_is_not_known_is_said() -> None:
    found = judge(line(keyword("ahead", "regex", "(?=a)b"), keyword("pizza", "contains", "pizza")), "pizza")
    assert (found.bot, found.known) == (None, False)
    assert found.why == "not known whether ahead takes it: it looks ahead or behind"
    before = judge(line(keyword("pizza", "equals", "pizza"), keyword("ahead", "regex", "(?=a)b")), "pizza")
    assert before.bot is not None


def test_bots_without_a_value_are_not_asked() -> None:
    assert ranked([keyword("empty", "contains", ""), bot("odd", trigger_type="advanced", trigger_value=None)]) == []


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("contains:pizza", "uma PÍZZA", True),
        ("contains:pizza,vegan", "pizza", False),
        ("contains:pizza contains:pasta", "pasta", True),
        ("contains:pizza Contains:pasta", "pasta", False),  # two operators to the server
        ("contains:pizza  contains:pasta", "pasta", False),  # the empty term between holds never
        ("contains:a:b", "a:b", True),
        ("contains", "anything", True),  # an empty value
        ("notcontains:meat", "fish", True),
        ("startswith:ola endswith:pizza", "Olá, pizza", True),
        ("exact:ola", "OLÁ", True),
        ("exact:ola", "olá ", False),
        ("near:ola", "ola", False),
    ],
)
def test_advanced_rules(rule: str, text: str, expected: bool) -> None:
    assert holds(terms(rule), text) is expected


def test_an_operator_that_every_object_has_is_not_known() -> None:
    with pytest.raises(Beyond, match="a word of JavaScript's own"):
        terms("constructor:x")


BEYOND = [
    "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"(a)\1", r"(?<x>a)\k<x>", "(?i:a)", "a{1001}", "a{9999999999}",
    "(" * 101 + ")" * 101, "(?<é>a)", "(?<a>x)|(?<a>y)", "(?:a{900}){900}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", BEYOND)
def test_patterns_that_are_beyond_say_so(pattern: str) -> None:
    with pytest.raises(Beyond):
        finds(pattern, "a")


# --- JavaScript itself ---------------------------------------------------------------------------------------

PIECES = [
    "a", "b", "A", "é", "😀", ".", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\b", "\\B", "^", "$", "|", "(", ")",
    "(?:", "(?<n>", "[", "[^", "]", "-", "*", "+", "?", "{2}", "{1,}", "{,2}", "{2,1}", "{0,2}", "\\1", "\\8",
    "\\0", "\\07", "\\377", "\\400", "\\x41", "\\x4", "\\u0041", "\\u00e9", "\\cA",
    "\\c", "\\c1", "\\k", "\\p", "\\-", "\\]",
    "\\ud83d", " ", "0", "1", "_", "\n", "\u2028", "(?i)", "(?P<n>", "(?", "{", "}", ",", "/",
    "\\n", "\\t", "\\\\", "\\v",
    "[a-z]", "[\\d-z]", "[\\b]", "[z-a]", "[]", "[^]", "\\",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "A", "é", "😀", "a😀b", "a b", "aa", "aab", "\n", "a\nb", "1", "a1_", "\x01", "\\c", "c", "k",
    "p",
    "-", "]", "\x08", "\u2028", "\xa0", "{,2}", "n", "8", "\x07", "ÿ", " 0", "a-z", "u", "x4", "\ufeff", "/", "\x00",
    "}", ",",
]  # fmt: skip

SCRIPT = """
const [patterns, texts] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(patterns.map(source => {
  let made; try { made = new RegExp(source) } catch (error) { return null }
  return texts.map(text => made.test(text)) })));
"""


@pytest.fixture(scope="module")
def node() -> Path:
    """The JavaScript engine that comes with the browser driver."""
    playwright = pytest.importorskip("playwright")
    found = Path(playwright.__file__).parent / "driver" / "node"
    if not found.exists():
        pytest.skip("no JavaScript engine at hand")
    return found


def test_patterns_mean_what_javascript_makes_of_them(node: Path) -> None:
    dice = random.Random(20260)
    patterns = ["".join(dice.choices(PIECES, k=dice.randint(1, 6))) for _ in range(many(1500))] + PIECES
    given = json.dumps([patterns, TEXTS])
    ran = subprocess.run([node, "-e", SCRIPT], input=given, capture_output=True, text=True, check=True, timeout=60)
    beyond = 0
    for pattern, wanted in zip(patterns, json.loads(ran.stdout), strict=True):
        found: list[bool] | None
        try:
            found = [finds(pattern, text) for text in TEXTS]
        except Refused:
            found = None
        except Beyond:
            beyond += 1
            continue
        assert found == wanted, pattern
    assert beyond < len(patterns) / 10


def test_a_class_may_hold_one_letter_a_range_or_whatever_an_escape_names() -> None:
    assert [text for text in ("a", "-", "7", "z", "\\") if finds(r"^[\d-a\\]$", text)] == ["a", "-", "7", "\\"]
    with pytest.raises(Refused, match="invalid escape"):
        finds(r"(?<n>[\k])", "k")
    with pytest.raises(Refused, match="invalid capture group name"):
        finds("(?<1>a)", "a")


def test_a_verdict_is_data() -> None:
    found = judge(line(*RECORDED), "a pizza")
    assert msgspec.structs.replace(found, why="x") != found
    assert evolution.NO_TEXT == "unknown"
