"""A plan's changes as a reader wants them: by instance, short values in a line, texts word by word.

Before it `compare`; after it `markdown` and `text`, which give these their signs. What many bots inherit from their
instance's Settings is one entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from reconciler.model import DEFAULTS, Action, Change, FieldChange, Plan
from reconciler.plan.diff import SECRET_FIELDS, SENSITIVE
from reconciler.plan.render import Group, grouped
from reconciler.plan.review.addresses import masked
from reconciler.plan.review.words import Hunk, counted, hunks
from reconciler.plan.values import is_long, short, shown_spec, whole


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of an entry: two short values, or the places in which two texts differ, or (`text`) a new text."""

    name: str
    before: str = ""
    after: str = ""
    hunks: tuple[Hunk, ...] = ()
    text: str = ""
    said: str = ""  # "3 words out, 5 in"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change: what it does to what, its fields, and the bots that inherit it."""

    action: Action
    kind: str
    name: str
    said: str = ""
    fields: tuple[Field, ...] = ()
    bots: tuple[str, ...] = ()


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of one instance, and how many there are of each action."""

    instance: str
    entries: tuple[Entry, ...]

    @property
    def counts(self) -> dict[Literal["create", "update", "delete"], int]:
        found: dict[Literal["create", "update", "delete"], int] = {"create": 0, "update": 0, "delete": 0}
        for one in self.entries:
            found[one.action] += 1
        return found


def chapters(plan: Plan) -> tuple[Chapter, ...]:
    """The instances of a plan in order, each with its entries: Settings first, what is deleted last."""
    groups, rest = grouped(masked(plan))
    found: dict[str, list[Entry]] = {}
    for group in groups:
        found.setdefault(group.instance, []).append(_inherited(group))
    for change in rest:
        found.setdefault(change.ref.instance, []).append(_entry(change))
    return tuple(Chapter(instance=name, entries=tuple(found[name])) for name in sorted(found))


def _inherited(group: Group) -> Entry:
    said = f"{len(group.bots)} bots inherit it"
    return Entry(
        action="update",
        kind="Settings",
        name=group.instance,
        said=said,
        fields=(_field(group.field),),
        bots=group.bots,
    )


def _entry(change: Change) -> Entry:
    said = [f"was {change.renamed_from}"] if change.renamed_from else []
    if change.held:
        said.append(f"not applied: {change.held}")
    fields = tuple(_created(change)) if change.action == "create" else tuple(_field(one) for one in change.fields)
    return Entry(action=change.action, kind=change.ref.kind, name=change.ref.name, said=", ".join(said), fields=fields)


def _created(change: Change) -> Iterator[Field]:
    for name, value in shown_spec(change.spec or {}).items():
        if name not in change.inherited and not _usual(name, value):
            text = whole(value)
            yield Field(name=name, text=text) if is_long(text) else Field(name=name, after=short(name, value))


def _usual(name: str, value: Any) -> bool:
    """Whether a value is what it would be if nobody had written it."""
    return value is True if name == "enabled" else name in DEFAULTS and value == DEFAULTS[name]


def _field(one: FieldChange) -> Field:
    if one.field in SECRET_FIELDS:
        return Field(name=one.field, before=_source(one.before), after=_source(one.after))
    before, after = whole(one.before), whole(one.after)
    if not is_long(before) and not is_long(after):
        return Field(name=one.field, before=short(one.field, one.before), after=short(one.field, one.after))
    found = tuple(hunks(before, after))
    gone, came = counted(found)
    return Field(name=one.field, hunks=found, said=f"{_many(gone)} out, {came:,} in")


def _source(value: Any) -> str:
    """Where a key comes from; the key itself never."""
    if isinstance(value, dict):
        return f"the variable {value['env']}" if "env" in value else f"the file {value.get('file')}"
    return SENSITIVE


def _many(count: int) -> str:
    return f"{count:,} word{'' if count == 1 else 's'}"
