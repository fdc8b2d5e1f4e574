"""Rule 13, "a Markdown link or image to a media file is sent as that media"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.talk.attach import Piece, kind_of, pieces
from reconciler.talk.effective import effective
from reconciler.talk.prompt import parts

MENU = "https://example.com/menu.pdf"
PLATE = "https://example.com/plate.PNG?size=2"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("Hello", [Piece("Hello")]),
        (f"![A plate]({PLATE})", [Piece("A plate", PLATE)]),
        (f"![]({PLATE})", [Piece("", PLATE)]),
        (f"Here: [the menu]({MENU}) Enjoy!", [Piece("Here:"), Piece("the menu", MENU), Piece("Enjoy!")]),
        (f"![a]({PLATE})\n\n![b]({MENU})", [Piece("a", PLATE), Piece("b", MENU)]),
        ("[our site](https://example.com/menu)", [Piece("[our site](https://example.com/menu)")]),
        ("[our site](https://example.com)", [Piece("[our site](https://example.com)")]),
        ("[x](ftp://example.com/a.png)", [Piece("[x](ftp://example.com/a.png)")]),
        ("[x](https://[bad/a.png)", [Piece("[x](https://[bad/a.png)")]),
        (f"```\n![a]({PLATE})\n```", [Piece(f"```\n![a]({PLATE})\n```")]),
        (f"```\ncode\n```\n![a]({PLATE})", [Piece("```\ncode\n```"), Piece("a", PLATE)]),
    ],
)
def test_pieces(text: str, found: list[Piece]) -> None:
    assert pieces(text) == found


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (PLATE, "image"),
        ("https://x/a.mp4", "video"),
        ("https://x/a.ogg#t=1", "audio"),
        (MENU, "document"),
        ("https://x/a.html", None),
        ("https://x/png", None),
        ("https://x.png", None),
        ("https://[bad/a.png", None),
    ],
)
def test_kinds(url: str, kind: str | None) -> None:
    assert kind_of(url) == kind


@given(st.text(alphabet="ab \n`[]()!:/.png", max_size=80))
def test_no_text_is_lost(text: str) -> None:
    rest = "".join(piece.text for piece in pieces(text))
    assert set(rest) <= set(text)
    if not any(piece.media_url for piece in pieces(text)):
        assert rest == text.strip()


def test_each_piece_of_a_reply_is_a_message() -> None:
    own = effective(None, None)
    said = parts(f"Look:\n\n![plate]({PLATE})", own)
    assert [(part.text, part.media_url) for part in said] == [("Look:", None), ("plate", PLATE)]
