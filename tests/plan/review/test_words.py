"""Word differences: what is shown as gone and come, and that nothing of either text is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.plan.review.words import Hunk, Piece, counted, hunks

LONG = [f"line number {n} of a long text" for n in range(5000)]


def shown(before: str, after: str) -> str:
    marks = {"same": "{}", "del": "[-{}-]", "ins": "{{+{}+}}"}
    found = list(hunks(before, after))
    return "\n@@\n".join("".join(marks[p.sign].format(p.text) for p in hunk.pieces) for hunk in found)


CASES = [
    ("equal", "We open at eight.", "We open at eight.", ""),
    ("a word", "We open at eight.", "We open at nine.", "We open at [-eight-]{+nine+}.\n"),
    ("words that belong together", "a b c d e f", "a x y d e f", "a [-b c-]{+x y+} d e f\n"),
    ("only new words", "Be polite.", "Be polite and short.", "Be polite{+ and short+}.\n"),
    ("only words that go", "Be polite and short.", "Be polite.", "Be polite[- and short-].\n"),
    ("nothing alike", "We open at eight.", "Tyres cost money", "[-We open at eight.\n-]{+Tyres cost money\n+}"),
    ("a new line with its neighbours", "a\nb\nc\nd", "a\nb\nx\nc\nd", "b\n{+x\n+}c\n"),
    ("a line that goes", "a\nb\nc", "a\nc", "a\n[-b\n-]c\n"),
    ("two places", "a\n1\n2\n3\n4\n5\nb", "x\n1\n2\n3\n4\n5\ny", "[-a\n-]{+x\n+}1\n\n@@\n5\n[-b\n-]{+y\n+}"),
    ("from nothing", "", "new text", "{+new text\n+}"),
    ("to nothing", "old text", "", "[-old text\n-]"),
    ("line ends only", "a", "a\n", "[-'a'-]{+'a\\n'+}"),
    ("blanks only", "a  b c", "a b c", "a [- -]b c\n"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_what_is_shown(before: str, after: str, expected: str) -> None:
    assert shown(before, after) == expected


def test_the_place_is_that_of_the_new_text_with_its_context() -> None:
    (hunk,) = hunks("a\nb\nc\nd\ne", "a\nb\nc\nD\ne")
    assert hunk.line == 3
    assert next(iter(hunks("a", "b"))).line == 1


def test_words_are_counted() -> None:
    assert counted(list(hunks("one two three four", "one 2 three four five six"))) == (1, 3)


def test_a_very_long_place_is_shown_by_lines() -> None:
    before = " ".join(f"w{n}" for n in range(1500))
    (hunk,) = hunks(before, before.replace("w7 ", "x7 "))
    assert [piece.sign for piece in hunk.pieces] == ["del", "ins"]


def test_a_very_long_text_is_bounded_by_what_is_the_same_at_both_ends() -> None:
    text = "\n".join(LONG)
    (hunk,) = hunks(text, text.replace("number 2500", "number x"))
    assert hunk.line == 2500
    assert Piece("del", "2500") in hunk.pieces
    assert list(hunks(text, text)) == []
    (more,) = hunks(text, text + "\nlast")
    assert more.pieces[-1] == Piece("ins", "last\n")


texts = st.text(alphabet="ab .,\nñ", max_size=60)


@given(texts, texts)
def test_both_texts_can_be_read_from_the_difference(before: str, after: str) -> None:
    found = list(hunks(before, after, context=100))
    if before.splitlines() == after.splitlines():
        assert len(found) == (before != after)
        return
    assert len(found) == 1

    def side(drop: str) -> list[str]:
        return "".join(piece.text for piece in found[0].pieces if piece.sign != drop).splitlines()

    assert side("ins") == before.splitlines()
    assert side("del") == after.splitlines()
    assert all(piece.text for piece in found[0].pieces)
    assert isinstance(found[0], Hunk)
