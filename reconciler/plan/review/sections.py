"""A long text within a bound: sections of groups of items, cut between items, what was cut said.

Before it `markdown` makes the items; after it one text. No item is ever cut in two, so no fence, fold or quote stays
open. Each section has a share of the room; what one does not use the others get, the first ones first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile

import msgspec


class Group(msgspec.Struct, frozen=True):
    """Items that stand together between an opening and a closing (both may be "")."""

    items: tuple[str, ...]
    opening: str = ""
    closing: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A heading and its groups; `share` of the room is its own, `noun` is what its items are."""

    heading: str
    groups: tuple[Group, ...]
    share: float
    noun: str


def size(text: str) -> int:
    """A text's length as the strictest forges count it: in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def fit(sections: Sequence[Section], room: int, rest: str) -> str:
    """The sections one after the other in `room` units; `rest` says where that which was cut is to be found."""
    wanted = [size(_written(one, _all(one), "")) if any(_all(one)) else 0 for one in sections]
    rooms = [int(room * one.share) for one in sections]
    spare = room - sum(min(need, own) for need, own in zip(wanted, rooms, strict=True))
    out = []
    for one, need, own in zip(sections, wanted, rooms, strict=True):
        if need > own:
            more = min(spare, need - own)
            spare -= more
            own += more
        out.append(_fitted(one, own, rest))
    return "".join(out)


def _fitted(section: Section, room: int, rest: str) -> str:
    most = sum(len(group.items) for group in section.groups)
    if not most:
        return ""
    whole = _written(section, _all(section), "")
    if size(whole) <= room:
        return whole
    left = room - size(section.heading) - size(_cut(most, section.noun, rest))
    numbers, costs = zip(*_costs(section), strict=True)
    fitting = takewhile(lambda pair: pair[1] <= left, zip(numbers, accumulate(costs), strict=True))
    kept = Counter(number for number, _ in fitting)
    counts = [kept[number] for number in range(len(section.groups))]
    return _written(section, counts, _cut(most - sum(counts), section.noun, rest))


def _costs(section: Section) -> Iterator[tuple[int, int]]:
    """Each item's group and what it takes; a group's first item with the opening and the closing."""
    for number, group in enumerate(section.groups):
        frame = size(group.opening) + size(group.closing)
        for at, item in enumerate(group.items):
            yield number, size(item) + (0 if at else frame)


def _written(section: Section, counts: Sequence[int], cut: str) -> str:
    """The section with the first so many items of each group; groups of which there is none are left out."""
    rows = [
        group.opening + "".join(group.items[:count]) + group.closing
        for group, count in zip(section.groups, counts, strict=True)
        if count
    ]
    return section.heading + "".join(rows) + cut


def _all(section: Section) -> list[int]:
    return [len(group.items) for group in section.groups]


def _cut(count: int, noun: str, rest: str) -> str:
    return f"\n*Cut here: {count:,} more {noun}{'' if count == 1 else 's'}. {rest}*\n\n"
