"""Words that differ between two texts, for prompts: people change words, and a line of prose is long.

Before it a field's two values; after it the renderings, each with its own signs. Lines are compared first and words
only within the lines that differ, so that a long prompt costs little; parts too different to be read word by word, or
too long, are shown as whole lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple

Sign = Literal["same", "del", "ins"]

CONTEXT: Final = 1  # unchanged lines shown around a difference
_TOKEN: Final = re.compile(r"\w+|[^\w\s]|\s+")
_TOKENS: Final = 2_000  # of one place and side; above it whole lines are shown, for the comparison is quadratic
_ALIKE: Final = 0.35  # of a place's words that must be the same, else the old and the new are shown one after the other
_BRIDGE: Final = 3  # characters of what is the same between two differences that are joined with them: " ", ", "
_LINES: Final = 4_000  # of one side; above it only the first and last lines that differ bound one place


class Piece(NamedTuple):
    """A run of text with its sign; it may hold line ends."""

    sign: Sign
    text: str


class Hunk(NamedTuple):
    """One place that differs: `line` (from 1) where it begins in the new text, and its pieces in order."""

    line: int
    pieces: tuple[Piece, ...]


def hunks(before: str, after: str, context: int = CONTEXT) -> Iterator[Hunk]:
    """The places in which two texts differ, with `context` unchanged lines around each; none for equal texts."""
    old, new = before.splitlines(), after.splitlines()
    places = _places(old, new)
    if not places and before != after:  # line ends only
        yield Hunk(max(1, len(new)), (Piece("del", repr(before[-40:])), Piece("ins", repr(after[-40:]))))
    for group in _grouped(places, context):
        first, last = group[0], group[-1]
        start = max(0, first[2] - context)
        pieces: list[Piece] = []
        at = start
        for old_from, old_to, new_from, new_to in group:
            _add(pieces, "same", _joined(new[at:new_from]))
            pieces += _words(old[old_from:old_to], new[new_from:new_to])
            at = new_to
        _add(pieces, "same", _joined(new[at : last[3] + context]))
        yield Hunk(start + 1, _merged(pieces))


def counted(found: Sequence[Hunk]) -> tuple[int, int]:
    """How many words went and came."""
    pieces = [piece for hunk in found for piece in hunk.pieces]

    def count(sign: Sign) -> int:
        return sum(len(re.findall(r"\w+", piece.text)) for piece in pieces if piece.sign == sign)

    return count("del"), count("ins")


Span = tuple[int, int, int, int]  # lines: old from, old to, new from, new to


def _places(old: list[str], new: list[str]) -> list[Span]:
    if max(len(old), len(new)) > _LINES:
        return _ends(old, new)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def _ends(old: list[str], new: list[str]) -> list[Span]:
    """One place from the first line that differs to the last."""
    least = min(len(old), len(new))
    head = next((n for n in range(least) if old[n] != new[n]), least)
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    span = (head, len(old) - tail, head, len(new) - tail)
    return [span] if span[0] < span[1] or span[2] < span[3] else []


def _grouped(places: list[Span], context: int) -> Iterator[list[Span]]:
    """Places whose contexts touch are one."""
    group: list[Span] = []
    for place in places:
        if group and place[2] - group[-1][3] > 2 * context:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _words(old: list[str], new: list[str]) -> list[Piece]:
    """One place word by word, where enough of it is the same for that to be read; else the old, then the new."""
    before, after = _joined(old), _joined(new)
    left, right = _TOKEN.findall(before), _TOKEN.findall(after)
    whole = [Piece("del", before)] if before else []
    whole += [Piece("ins", after)] if after else []
    if not left or not right or max(len(left), len(right)) > _TOKENS:
        return whole
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    same = sum(
        len(left[n].strip()) for block in matcher.get_matching_blocks() for n in range(block.a, block.a + block.size)
    )
    if same < _ALIKE * max(sum(len(one.strip()) for one in side) for side in (left, right)):
        return whole
    pieces: list[Piece] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            _add(pieces, "same", "".join(left[a:b]))
        else:
            _add(pieces, "del", "".join(left[a:b]))
            _add(pieces, "ins", "".join(right[c:d]))
    return _bridged(pieces)


def _bridged(pieces: list[Piece]) -> list[Piece]:
    """Differences with only a blank or a comma between them as one, so that words are not shown in shreds."""
    out: list[Piece] = []
    gone, come = "", ""
    for number, (sign, text) in enumerate(pieces):
        inner = 0 < number < len(pieces) - 1 and len(text) <= _BRIDGE and not any(c.isalnum() for c in text)
        if sign == "del":
            gone += text
        elif sign == "ins":
            come += text
        elif inner and "\n" not in text:
            gone, come = gone + text, come + text
        else:
            _flush(out, gone, come)
            gone = come = ""
            _add(out, "same", text)
    _flush(out, gone, come)
    return out


def _flush(out: list[Piece], gone: str, come: str) -> None:
    """Adds a difference; what both sides begin or end with (blanks that a bridge took along) stays outside of it."""
    head = len(gone) - len(gone.lstrip()) if gone and come else 0
    while head and gone[:head] != come[:head]:
        head -= 1
    _add(out, "same", gone[:head])
    gone, come = gone[head:], come[head:]
    tail = len(gone) - len(gone.rstrip()) if gone and come else 0
    while tail and gone[-tail:] != come[-tail:]:
        tail -= 1
    kept = gone[len(gone) - tail :] if tail else ""
    _add(out, "del", gone[: len(gone) - tail])
    _add(out, "ins", come[: len(come) - tail])
    _add(out, "same", kept)


def _add(pieces: list[Piece], sign: Sign, text: str) -> None:
    if text:
        pieces.append(Piece(sign, text))


def _merged(pieces: list[Piece]) -> tuple[Piece, ...]:
    out: list[Piece] = []
    for piece in pieces:
        if out and out[-1].sign == piece.sign:
            out[-1] = Piece(piece.sign, out[-1].text + piece.text)
        else:
            out.append(piece)
    return tuple(out)


def _joined(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
