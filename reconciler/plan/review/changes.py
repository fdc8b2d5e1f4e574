"""A plan's changes as Markdown: by instance, long texts word by word as quotes.

Before it `entries`; after it the section `Plan` of `markdown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.plan.neutral import neutral
from reconciler.plan.review.entries import Chapter, Entry, Field
from reconciler.plan.review.sections import Group, size
from reconciler.plan.review.shown import GAP, line
from reconciler.plan.review.words import Hunk, Sign

_FOLD: Final = 12  # lines from which an instance's changes are folded away
_TEXT: Final = 3_000  # characters of one field's text
_SAME: Final = 70  # characters kept at each side of a long run that is the same


def changes(one: Chapter) -> Group:
    """The changes of an instance, folded where they are many."""
    items = tuple(_entry(entry) for entry in one.entries)
    counts = one.counts
    said = f"{line(one.instance)}: +{counts['create']} ~{GAP}{counts['update']} −{counts['delete']}"
    if sum(item.count("\n") for item in items) > _FOLD:
        return Group(items, opening=f"<details><summary><b>{said}</b></summary>\n\n", closing="\n</details>\n\n")
    return Group(items, opening=f"**{said}**\n\n", closing="\n")


def _entry(one: Entry) -> str:
    said = f" ({line(one.said)})" if one.said else ""
    rows = [f"- {one.action} {one.kind} **{line(one.name)}**{said}\n"]
    for field in one.fields:
        rows += _field(field)
    if one.bots:
        more = f" and {len(one.bots) - 20:,} more" if len(one.bots) > 20 else ""
        rows.append(f"  - {line(', '.join(one.bots[:20]))}{more}\n")
    return "".join(rows)


def _field(one: Field) -> Iterator[str]:
    name = line(one.name)
    if one.hunks:
        yield f"  - {name} ({one.said})\n\n"
        yield from _quoted(row for hunk in one.hunks for row in _hunk(hunk))
        yield "\n"
    elif one.text:
        text = one.text
        yield f"  - {name} ({len(text):,} characters)\n\n"
        yield from _quoted(neutral(row) for row in text.splitlines())
        yield "\n"
    elif one.before:
        yield f"  - {name}: {line(one.before)} → {line(one.after)}\n"
    else:
        yield f"  - {name}: {line(one.after)}\n"


def _quoted(rows: Iterable[str]) -> Iterator[str]:
    """Lines as a quote inside a list, as many as fit, each on a line of its own (CommonMark 6.7)."""
    left, held = _TEXT, ""
    for row in rows:
        left -= size(row) + 6
        if left < 0:
            row = "…"
        if held:
            yield f"    > {held}\\\n" if row else f"    > {held}\n"
        if not row:
            yield "    >\n"
        held = row
        if left < 0:
            break
    if held:
        yield f"    > {held}\n"


def _hunk(hunk: Hunk) -> Iterator[str]:
    """The lines of one place, differences struck through and bold."""
    yield f"*line {hunk.line}:*"
    row = ""
    last: Sign = "same"
    for piece in hunk.pieces:
        parts = piece.text.split("\n")
        if (last, piece.sign) == ("del", "ins") and row and not row.endswith(" "):
            row += " "  # struck through and bold words side by side are hard to tell apart
        last = piece.sign
        for number, part in enumerate(parts):
            if number:
                yield row
                row = ""
            row += _signed(piece.sign, part, first=not row)
    if row:
        yield row


def _signed(sign: str, text: str, *, first: bool) -> str:
    if not text:
        return ""
    if sign == "same":
        if len(text) > 2 * _SAME + 10:
            text = f"{text[:_SAME]}…{text[-_SAME:]}" if not first else f"…{text[-_SAME:]}"
        return _edged(text, neutral(text))
    if not text.strip():
        return " "
    marks = "~~" if sign == "del" else "**"
    return _edged(text, f"{marks}{GAP}{neutral(text)}{GAP}{marks}")


def _edged(text: str, shown: str) -> str:
    """With the blanks at its ends, which `neutral` takes off."""
    return f"{' ' if text[:1].isspace() else ''}{shown}{' ' if text[-1:].isspace() else ''}"
