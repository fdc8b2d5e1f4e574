"""Small pieces of a review's Markdown: lines of anybody's text, places, signs of how grave a finding is.

Before them findings; after them `markdown` and its parts. All text of anybody goes through `neutral`, so a prompt can
show nothing but itself.
"""

from __future__ import annotations

from typing import Final

from reconciler.model import Place
from reconciler.plan.neutral import neutral

CELL: Final = 300  # characters of anybody's text in a line
GAP: Final = "\u200b"  # between a sign of Markdown and what it is about, so that it works inside words too


def mark(level: str) -> str:
    """The sign of a level."""
    return {"broken": "✘ ", "human": "⚠ ", "note": ""}[level]


def at(place: Place | None) -> str:
    """A place behind a line; nothing where there is none."""
    return f" · {line(f'{place.path}:{place.line}')}" if place is not None else ""


def line(text: str) -> str:
    """Text of anybody in a line or a cell, shortened."""
    return neutral(f"{text[:CELL]}…" if len(text) > CELL else text)


def many(number: int, noun: str) -> str:
    """`1 bot`, `2 bots`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
