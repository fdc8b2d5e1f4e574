"""Which bot a first message starts (docs/conversation.md, "Which bot answers")."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.talk.match import (
    bare,
    check_advanced,
    check_regex,
    clean,
    explain,
    fold,
    match,
    ranked,
    readable,
    trigger_key,
)
from tests.talk.rows import advanced, bot, everyone, keyword, line

HOLDS = [
    ("equals: case is ignored", keyword("equals", "Start"), "START", True),
    ("equals: trimmed on both sides", keyword("equals", " start "), "\n start\t", True),
    ("equals: not a part", keyword("equals", "start"), "start now", False),
    ("equals: composed and decomposed are one", keyword("equals", "olá"), "ola\u0301", True),
    ("equals: accents count", keyword("equals", "olá"), "ola", False),
    ("equals: full case folding", keyword("equals", "straße"), "STRASSE", True),
    ("equals: NFC again after folding", keyword("equals", "\u0390"), "\u03b9\u0308\u0301", True),
    ("startsWith", keyword("startsWith", "book"), "Book a table", True),
    ("startsWith: not inside", keyword("startsWith", "book"), "I book", False),
    ("endsWith", keyword("endsWith", "please"), "a table, PLEASE ", True),
    ("endsWith: not at the start", keyword("endsWith", "please"), "please come", False),
    ("contains", keyword("contains", "table"), "a Table for two", True),
    ("contains: absent", keyword("contains", "table"), "a chair", False),
    ("regex: searched anywhere", keyword("regex", "tab+le"), "a table", True),
    ("regex: keeps case", keyword("regex", "table"), "TABLE", False),
    ("regex: (?i)", keyword("regex", "(?i)^olá"), "OLÁ!", True),
    ("regex: trimmed text", keyword("regex", "^a$"), "  a\n", True),
    ("regex: NFC text", keyword("regex", "^ol.$"), "ola\u0301", True),
    ("regex: NFC pattern", keyword("regex", "^ola\u0301$"), "olá", True),
    ("regex: half a surrogate is no error", keyword("regex", "^a.b$"), "a\ud800b", True),
    ("regex: a refused pattern never matches", keyword("regex", "("), "(", False),
    ("advanced: contains", advanced("contains:pizza"), "one PIZZA", True),
    ("advanced: accents ignored", advanced("contains:açúcar"), "sem ACUCAR", True),
    ("advanced: all terms must hold", advanced("contains:a startswith:b"), "a", False),
    ("advanced: all terms hold", advanced("contains:a startswith:b"), "b a", True),
    ("advanced: same operator twice is an or", advanced("contains:a contains:b"), "only b", True),
    ("advanced: values in a term are an and", advanced("contains:a,b"), "only b", False),
    ("advanced: values in a term all hold", advanced("contains:x,b"), "b and x", True),
    ("advanced: notcontains", advanced("contains:menu notcontains:kids"), "menu for kids", False),
    ("advanced: notcontains holds", advanced("contains:menu notcontains:kids"), "menu", True),
    ("advanced: endswith", advanced("endswith:?"), "is it open?", True),
    ("advanced: exact", advanced("exact:menu"), " MENU ", True),
    ("advanced: exact is the whole", advanced("exact:menu"), "menu a", False),
    ("advanced: operator in any case, colon in value", advanced("EXACT:at:8"), "at:8", True),
    ("advanced: a broken rule never matches", advanced("like:a"), "a", False),
    ("all: any text", everyone(), "whatever", True),
    ("all: no readable text", everyone(), None, True),
    ("no readable text: not contains", keyword("contains", "a"), None, False),
    ("no readable text: blank is as none", keyword("regex", ".*"), "  ", False),
    ("none: never by itself", bot(trigger_type="none"), "start", False),
    ("disabled: never", everyone(enabled=False), "start", False),
    ("blank value never matches", keyword("contains", " "), "a b", False),
    ("keyword without operator never matches", bot(trigger_operator=None), "start", False),
    ("keyword without value never matches", bot(trigger_value=None), "start", False),
]


@pytest.mark.parametrize(("case", "one", "text", "expected"), HOLDS, ids=[case[0] for case in HOLDS])
def test_one_trigger(case, one, text, expected):
    assert (match([one], text) is one) is expected


def test_ranks_are_asked_most_specific_first():
    bots = [
        everyone("7"),
        advanced("contains:start", "6"),
        keyword("contains", "start", "5"),
        keyword("endsWith", "start", "4"),
        keyword("startsWith", "start", "3"),
        keyword("regex", "start", "2"),
        keyword("equals", "start", "1"),
    ]
    assert [one.id for _, one in ranked(bots)] == ["1", "2", "3", "4", "5", "6", "7"]
    while bots:
        found = match(bots, "start")
        assert found is bots[-1]
        bots.pop()


def test_within_a_rank_the_longer_value_then_the_older_bot():
    short = keyword("contains", "a", "short", created_at="2020")
    young = keyword("contains", "ab", "young", created_at="2023")
    old = keyword("contains", "ba", "old", created_at="2021")
    twin = keyword("contains", "ca", "twin", created_at="2023")
    assert [one.id for _, one in ranked([short, young, twin, old])] == ["old", "twin", "young", "short"]
    assert match([short, young, old], "aba") is old


def test_fallback_answers_where_no_trigger_does():
    reserve = bot("reserve", trigger_type="none")
    greets = keyword("equals", "hi", "greets")
    assert match(line(greets, reserve, fallback="reserve"), "hello") is reserve
    assert match(line(greets, reserve, fallback="reserve"), None) is reserve
    assert match(line(greets, reserve, fallback="reserve"), "hi") is greets
    assert match(line(greets, reserve), "hello") is None
    assert match(line(greets, fallback="gone"), "hello") is None
    assert match(line(greets, bot("reserve", enabled=False), fallback="reserve"), "hello") is None


def test_explanation_names_everyone_asked_in_order():
    greets, every, reserve = keyword("equals", "hi", "greets"), everyone(), bot("reserve", trigger_type="none")
    both = line(every, greets, reserve, fallback="reserve")
    assert [(a.bot.id, a.by, a.matched) for a in explain(both, "yo")] == [
        ("greets", "equals", False),
        ("all", "all", True),
    ]
    assert [(a.bot.id, a.by, a.matched) for a in explain(line(greets, reserve, fallback="reserve"), "yo")] == [
        ("greets", "equals", False),
        ("reserve", "fallback", True),
    ]
    assert [a.matched for a in explain(line(greets), "yo")] == [False]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("^a+$", None),
        ("(?i)ol[aá]", None),
        ("(", "missing )"),
        ("(?=a)", "invalid perl operator"),
        ("\\p{L}{999}{9}", "RE2 refuses"),
        ("\ud800", "half of a surrogate"),
    ],
)
def test_check_regex(pattern, said):
    found = check_regex(pattern)
    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("contains:a,b notcontains:c", None),
        ("EXACT:a", None),
        ("  ", "the rule is empty"),
        ("pizza", "write operator:value, such as contains:pizza"),
        ("like:a", "'like' is not one of contains"),
        ("contains:", "empty value"),
        ("contains:a,,b", "empty value"),
    ],
)
def test_check_advanced(rule, said):
    found = check_advanced(rule)
    assert found is None if said is None else said in (found or "")


KEYS = [
    ("equals: case and space", ("keyword", "equals", " Start"), ("keyword", "equals", "start"), True),
    ("operators differ", ("keyword", "equals", "a"), ("keyword", "contains", "a"), False),
    ("regex keeps case", ("keyword", "regex", "A"), ("keyword", "regex", "a"), False),
    ("regex: NFC", ("keyword", "regex", "á"), ("keyword", "regex", "a\u0301"), True),
    ("one all", ("all", None, None), ("all", "equals", "x"), True),
    ("all and keyword", ("all", None, None), ("keyword", "equals", "all"), False),
    (
        "advanced: order",
        ("advanced", None, "contains:b,a exact:x"),
        ("advanced", None, "EXACT:X contains:a,b"),
        True,
    ),
    ("advanced: or is not and", ("advanced", None, "contains:a contains:b"), ("advanced", None, "contains:a,b"), False),
    ("advanced: broken", ("advanced", None, "Pizza"), ("advanced", None, "pizza"), True),
]


@pytest.mark.parametrize(("case", "one", "other", "same"), KEYS, ids=[case[0] for case in KEYS])
def test_trigger_key(case, one, other, same):
    assert (trigger_key(*one) == trigger_key(*other)) is same


@pytest.mark.parametrize(
    "incomplete",
    [("none", None, None), ("keyword", None, "a"), ("keyword", "equals", None), ("advanced", None, None)],
)
def test_no_key_where_triggers_can_stand_beside_each_other(incomplete):
    assert trigger_key(*incomplete) is None


@given(st.text())
def test_fold_is_stable_and_normal(text):
    once = fold(text)
    assert unicodedata.is_normalized("NFC", once)
    assert fold(unicodedata.normalize("NFD", text)) == once
    assert bare(bare(text)) == bare(text)


texts = st.text("aAbá ", min_size=1, max_size=3)
some_bots = st.lists(
    st.one_of(
        st.builds(keyword, st.sampled_from(["equals", "regex", "startsWith", "endsWith", "contains"]), texts),
        st.builds(lambda value: advanced(f"contains:{value.replace(' ', '')}"), texts),
        st.builds(everyone),
    ),
    max_size=5,
)


@given(some_bots, texts, st.randoms())
def test_the_order_of_input_is_irrelevant(bots, text, random):
    import msgspec

    bots = [msgspec.structs.replace(one, id=str(n), created_at=str(n)) for n, one in enumerate(bots)]
    found = match(bots, text)
    shuffled = list(bots)
    random.shuffle(shuffled)
    assert match(shuffled, text) == found


def unseen() -> list[tuple[str, str]]:
    rows = (Path(__file__).parent / "data" / "unseen.tsv").read_text().splitlines()[1:]
    pairs = [(trigger, message) for trigger, message in (row.split("\t") for row in rows)]
    assert pairs[-1][0] == "“menu”", "quotes around a word are part of it, of which `validate` warns"
    return pairs[:-1]


SAME = [
    *unseen(),
    ("1", "1\ufe0f\u20e3"),
    ("1", "\uff11"),
    ("menu", "\uff2d\uff25\uff2e\uff35"),
    ("👍", "👍🏽"),
    ("don't", "don\u2019t"),
    ('"menu"', "\u201cmenu\u201d"),
    ("e-mail", "e\u2011mail"),
    ("quero menu", "quero\t menu"),
    ("quero menu", "\u3000quero\u2003menu\u200f"),
    ("one\ntwo", "one \r\n\r\n two"),
    ("é", "e\u200b\u0301"),
    ("me\u200cnu", "menu"),
]


@pytest.mark.parametrize(("trigger", "message"), SAME)
@pytest.mark.parametrize("operator", ["equals", "contains", "startsWith", "endsWith"])
def test_what_nobody_sees_makes_no_difference(operator: str, trigger: str, message: str) -> None:
    bots = [keyword(operator, trigger)]
    assert match(bots, message) is not None
    assert trigger_key("keyword", operator, trigger) == trigger_key("keyword", operator, message)


@pytest.mark.parametrize(
    ("rule", "message"),
    [("exact:menu", "me\u200bnu"), ("contains:menu contains:hoje", "MENU\u00a0de\u2060 hoje"), ("exact:1", "１")],
)
def test_nor_to_rules(rule: str, message: str) -> None:
    assert match([advanced(rule)], message) is not None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("^menu$", "menu\u200e"),
        ("^quero menu$", "quero\u00a0 menu"),
        ("❤️", "❤"),
        ("❤", "❤️"),
        (r"^\d$", "1️⃣"),
        (r"^\d$", "\uff12"),
        ("a\u00a0b", "a b"),
        ("(?m)^two$", "one\r\n\r\ntwo"),
    ],
)
def test_nor_to_patterns(pattern: str, message: str) -> None:
    assert match([keyword("regex", pattern)], message) is not None


def test_a_pattern_keeps_case_and_quotes() -> None:
    assert match([keyword("regex", "^don't$")], "don\u2019t") is None
    assert match([keyword("regex", "^menu$")], "Menu") is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_what_is_clean_stays_so(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert fold(clean(text)) == fold(text) == fold(fold(text))
    assert readable(clean(text)) == readable(text)
