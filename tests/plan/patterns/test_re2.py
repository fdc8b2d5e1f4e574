"""RE2's syntax as trees: what is read means what RE2 makes of it, judged by RE2 itself and by the automaton."""

from __future__ import annotations

import random

import pytest
import re2

from reconciler.plan.patterns.re2 import parse
from reconciler.plan.patterns.tree import Beyond, Chars, to_re2
from reconciler.plan.routes.automata import Pattern
from reconciler.talk.match import check_regex, finds
from tests.conftest import many

PIECES = [
    "a", "b", "A", "é", "K", "s", "ß", "😀", ".", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\b", "\\B", "^", "$",
    "\\A", "\\z", "|", "(", ")", "(?:", "(?P<n>", "(?<m>", "(?i)", "(?s)", "(?m)", "(?-i)", "(?i:", "(?is-m:",
    "(?U)", "[", "[^", "]", "-", "*", "+", "?", "{2}", "{1,}", "{0,2}", "{,2}", "{", "}", "\\pL", "\\p{Lu}",
    "\\P{Greek}", "\\PN", "[[:alpha:]]", "[[:^digit:]]", "[\\d\\pL]", "[a-z]", "[^a-zé]", "[^\\W]", "[\\-k]",
    "[é-ö]", "[]a]", "[^]a]", "[\\x41-\\x43]", "\\x41", "\\x{e9}", "\\101", "\\n", "\\t", "\\.", "\\Qa.b\\E",
    "\\Q", "\\E", "\\Q\\E", "\\a", "\\f", "\\v", "\\r", "\\C", " ", "\n", "_", "1", "\\0", "\\*",
    "(?m)a$", "(?m)^b", "[\\p{Lu}a]", "[^\\pN]", "(a|b)", "(?i:a)b",
]  # fmt: skip
TEXTS = [
    "a", "b", "ab", "A", "é", "É", "k", "K", "\u212a", "ſ", "S", "ss", "ß", "ẞ", "😀", "a b", "a\nb", "\n", "aa",
    "aab", "1", "a1_", "_", "-", "]", "a.b", "{,2}", "{", "}", "ö", "Ω", " ", "\t", "*", "\x00", "\x07", "z", "Z",
    "ab1", "b a", "é1",
]  # fmt: skip


def automaton(pattern: str, text: str) -> bool:
    test = Pattern(parse(pattern), 0)
    state = test.start
    for char in text:
        before = test.fate(state)
        state = test.step(state, char)
        if before is not None:
            assert test.fate(state) is before
    if (fate := test.fate(state)) is not None:
        assert test.accepts(state) is fate
    return test.accepts(state)


def test_patterns_mean_what_re2_makes_of_them() -> None:
    dice = random.Random(2)
    made = ["".join(dice.choices(PIECES, k=dice.randint(1, 6))) for _ in range(many(400))]
    patterns = [one for one in (*PIECES, *made) if check_regex(one) is None]
    assert len(patterns) > many(160)
    beyond = []
    for pattern in patterns:
        try:
            tree = parse(pattern)
        except Beyond:
            beyond.append(pattern)
            continue
        again = re2.compile(to_re2(tree))
        for text in TEXTS:
            # RE2 is given the texts as they stand here: what a matcher trims is no matter of syntax.
            wanted = re2.search(pattern, text) is not None
            assert (again.search(text) is not None) is wanted, (pattern, text)
            assert automaton(pattern, text) is wanted, (pattern, text)
    assert all("\\C" in pattern for pattern in beyond), beyond


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("\\C", "an escape"),
        ("(" * 101 + ")" * 101, "groups are more than"),
        ("(?^a)", "a group that begins with"),
        ("(a", "parenthesis"),
        ("a)", "parenthesis"),
        ("[a", "ends too early"),
        ("(?P<n", "no > follows"),
        ("[a-\\d]", "a range up to a class"),
        ("\\p{Nope}", "a class such as"),
    ],
)
def test_what_is_not_understood_is_said(pattern: str, reason: str) -> None:
    with pytest.raises(Beyond, match=reason):
        parse(pattern)


def test_a_pattern_that_is_too_large_is_beyond() -> None:
    with pytest.raises(Beyond, match="too large"):
        Pattern(parse("(abcd){900}"), 0)


def test_folding_is_re2s_own() -> None:
    assert parse("(?i)é") == parse("[éÉ]")
    assert parse("(?i)k") == Chars(((0x4B, 0x4B), (0x6B, 0x6B), (0x212A, 0x212A)))
    assert finds("(?i)ß", "ẞ")
    assert automaton("(?i)ß", "ẞ")
