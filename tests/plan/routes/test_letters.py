"""What is claimed letter by letter holds of the matchers' own views."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.letters import LETTERS, THIRD, cost, ordinary, silent, sources, spaces

BOTH: list[Semantics] = ["runtime", "evolution"]


@pytest.mark.parametrize("semantics", BOTH)
@given(
    text=st.text(
        st.characters(exclude_categories=["Cs", "Mn", "Mc", "Me"], exclude_characters="\u1160\u1161"), max_size=8
    )
)
def test_messages_without_marks_are_ordinary(semantics: Semantics, text: str) -> None:
    jamo = any("\u1100" <= char <= "\u11ff" for char in text)
    assert jamo or ordinary(text, semantics)


@pytest.mark.parametrize(
    ("text", "on_runtime", "on_evolution"),
    [
        ("menú", True, True),
        ("menu\u0301", True, True),
        ("नमस्ते", True, True),
        ("สวัสดี", True, True),
        ("مَرحَبًا", True, True),
        ("Tiếng Việt", True, True),
        ("안녕하세요", True, True),
        ("ΚΑΛΗΜΕΡΑΣ", True, True),
        ("İstanbul", True, True),
        ("👩\u200d👩\u200d👧 ❤\ufe0f", True, True),
        ("J\u030c", False, True),
        ("ß\u0301", False, True),
        ("İ\u0323", True, True),
        ("İ\u0316", False, True),
        ("a\u05b0\u0591", True, True),
        ("a\u0591\u05b0", True, False),
        ("\ud83d", False, False),
    ],
)
def test_which_messages_are_ordinary(text: str, on_runtime: bool, on_evolution: bool) -> None:
    assert (ordinary(text, "runtime"), ordinary(text, "evolution")) == (on_runtime, on_evolution)


@pytest.mark.parametrize("semantics", BOTH)
def test_every_character_that_a_view_changes_is_found_again(semantics: Semantics) -> None:
    second, third = sources(semantics)
    drops = {chr(code) for low, high in silent(semantics) for code in range(low, high + 1)}
    for char in map(chr, (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x1FFFF), *range(0x2F800, 0x2FA1E))):
        letter = LETTERS[semantics](char)
        if letter is None:
            continue
        assert (letter.views[THIRD] == "") is (char in drops), char
        for target in set(letter.views[THIRD]) - {char}:
            assert char in third[target], char
        if semantics == "runtime":
            assert all(char in second[target] for target in set(letter.views[1]) - {char}), char


def test_trimming_is_the_same_before_and_after_folding() -> None:
    taken = {chr(code) for low, high in spaces() for code in range(low, high + 1)}
    assert taken == {char for char in map(chr, range(0x110000)) if char.isspace()}
    for char in map(chr, range(0x3400)):
        letter = LETTERS["runtime"](char)
        if letter is not None and letter.views[THIRD]:
            assert char.isspace() == letter.views[1].isspace() == letter.views[THIRD].isspace()


def test_what_reads_easily_comes_first() -> None:
    chars = ["a", " ", "7", "A", "!", "é", "ш", "中", "€", "\u0301", "\x00", "\u0378"]
    assert sorted(chars, key=cost) == chars
    assert unicodedata.category("\u0378") == "Cn"
    assert cost("ß") < cost("Ж") < cost("ᠠ") < cost("中")
