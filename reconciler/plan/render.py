"""A plan for people and programs: lines for a terminal, Markdown for a review, JSON for machines. Secrets never.

Before it `diff` makes the plan, and `values` shows each value; after it only printing. A change that many bots inherit
from their instance's Settings is shown once, under those Settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from reconciler.model import LIVE_KINDS, Change, FieldChange, Plan, Ref
from reconciler.plan.diff import SECRET_FIELDS, SENSITIVE
from reconciler.plan.keys import notes
from reconciler.plan.neutral import fenced, neutral
from reconciler.plan.values import LONG, is_long, short, shown, shown_spec, text_difference, whole

FORMAT_VERSION: Final = "1.0"

# What a line means, for a terminal's colours.
Tone = Literal["plain", "create", "update", "delete", "drift", "dim", "bold"]
Line = tuple[Tone, str]

_SIGNS: Final[Mapping[str, str]] = {"create": "+", "update": "~", "delete": "-"}


class Group(msgspec.Struct, frozen=True):
    """One change that `bots` inherit from the Settings of `instance`."""

    instance: str
    field: FieldChange
    bots: tuple[str, ...]


# --- text ----------------------------------------------------------------------------------------------------


def lines(plan: Plan, *, defaults: bool = False) -> Iterator[Line]:
    """The plan as lines with a tone each, ready for a terminal or a pipe; control characters are taken out.

    What is created is shown as its author wrote it; with `defaults` also what it inherits and what is built in.
    """
    for tone, line in _lines(plan, defaults):
        yield tone, _clean(line)


def _lines(plan: Plan, defaults: bool) -> Iterator[Line]:
    groups, rest = grouped(plan)
    for change in rest:
        yield from _change_lines(change, defaults)
    for group in groups:
        yield "update", f"~ Settings {group.instance}: {_inherit(group)}"
        yield from field_lines(group.field)
        yield "dim", f"    {', '.join(group.bots)}"
    if plan.changes:
        yield "plain", ""
    if plan.foreign:
        yield "dim", f"{len(plan.foreign)} foreign (without a mark of this repository; never changed):"
        for one in plan.foreign:
            yield "dim", f"    {one.kind} {_one_line(one.label)} of {one.instance}"
    if plan.strangers:
        yield "dim", f"{_count(plan.strangers, 'other instance')} of the target, not declared here"
    for note in notes(plan):
        yield "dim", f"note: {note}"
    for fault in plan.faults:
        yield "delete", f"refused: {fault.reason}"
        yield "dim", f"         {fault.remedy}"
    yield "bold", summary(plan)


def text(plan: Plan, *, defaults: bool = False) -> str:
    """The plan as plain text."""
    return "\n".join(line for _, line in lines(plan, defaults=defaults))


def summary(plan: Plan) -> str:
    """`Plan: 1 to create, 2 to update, 0 to delete at 3f2a91c4 for local (1 drifted).`"""
    where = f"for {plan.target}" + (f" at {plan.commit[:8]}" if plan.commit else " from the working tree")
    counts = count(plan)
    if not plan.changes:
        return f"No changes {where}: what is live is what is declared."
    drifted = f" ({counts['drift']} drifted)" if counts["drift"] else ""
    held = f", {counts['held']} shown but not applied" if counts["held"] else ""
    return (
        f"Plan {where}: {counts['create']} to create, {counts['update']} to update, "
        f"{counts['delete']} to delete{drifted}{held}."
    )


def count(plan: Plan) -> dict[str, int]:
    """How many changes of each action are applied, are held, and have live values that moved."""
    found = {"create": 0, "update": 0, "delete": 0, "held": 0, "drift": 0}
    for change in plan.changes:
        found["held" if change.held else change.action] += 1
        found["drift"] += change.origin in ("drift", "conflict")
    return found


def headline(change: Change) -> str:
    """One change in a line: `~ Bot bistro/restaurant (drift)`."""
    said = [f"was {change.renamed_from}"] if change.renamed_from else ["adopted"] if change.adopted else []
    if change.action == "update" and change.origin != "pending" and not change.adopted:
        said.append(change.origin)
    if change.held:
        said.append(f"not applied: {change.held}")
    return f"{_SIGNS[change.action]} {change.ref}" + (f" ({', '.join(said)})" if said else "")


def _change_lines(change: Change, defaults: bool = False) -> Iterator[Line]:
    yield change.action, headline(change)
    if change.action == "create":
        for field, value in shown_spec(change.spec or {}).items():
            if defaults or field not in (*change.inherited, *change.implied):
                yield from _value_lines(field, value, change.units.get(field, ""))
    for one in change.fields:
        yield from field_lines(one)


def _value_lines(field: str, value: Any, unit: str) -> Iterator[Line]:
    said = whole(value)
    if is_long(said):
        first, *more = said.splitlines()
        rest = f" … {len(more) + 1} lines, {len(said)} characters" if more else f" … {len(said)} characters"
        yield "create", f"    {field}: {first[:LONG]}{rest}"
    else:
        yield "create", f"    {field}: {short(field, value, unit)}"


def field_lines(one: FieldChange) -> Iterator[Line]:
    """One field's change: both values in a line, or the lines that differ of long texts."""
    tone: Tone = "plain" if one.origin == "pending" else "drift"
    said = "" if one.origin == "pending" else f"  ({_ORIGINS[one.origin]})"
    before, after = whole(one.before), whole(one.after)
    if one.field in SECRET_FIELDS:
        yield tone, f"    {one.field}: {SENSITIVE} changes{said}"
    elif is_long(before) or is_long(after):
        yield tone, f"    {one.field}:{said}"
        for line in text_difference(before, after):
            yield ("create" if line[0] == "+" else "delete" if line[0] == "-" else "dim"), f"      {line}"
    else:
        before, after = short(one.field, one.before, one.unit), short(one.field, one.after, one.unit)
        yield tone, f"    {one.field}: {before} → {after}{said}"


_ORIGINS: Final[Mapping[str, str]] = {
    "drift": "drift: changed on the target",
    "conflict": "conflict: changed on the target and in git",
    "unknown": "origin unknown",
}


# --- Markdown ------------------------------------------------------------------------------------------------


def markdown(plan: Plan) -> str:
    """The plan as Markdown: a summary, then a fold with its differences for each change."""
    groups, rest = grouped(plan)
    out = [f"**{neutral(summary(plan))}**", ""]
    for fault in plan.faults:
        out += [f"> **Refused:** {neutral(fault.reason)}  ", f"> {neutral(fault.remedy)}", ""]
    for change in rest:
        out += _fold(headline(change), [line for _, line in list(_change_lines(change))[1:]])
    for group in groups:
        body = [line for _, line in field_lines(group.field)] + [f"    {', '.join(group.bots)}"]
        out += _fold(f"~ Settings {group.instance}: {_inherit(group)}", body)
    if plan.foreign:
        out += [f"{_count(len(plan.foreign), 'foreign object')}, never changed:", ""]
        out += [f"- {neutral(f'{one.kind} {one.label} of {one.instance}')}" for one in plan.foreign] + [""]
    out += [f"- {neutral(note)}" for note in notes(plan)]
    return "\n".join(out).rstrip() + "\n"


def _fold(title: str, body: Sequence[str]) -> list[str]:
    if not body:
        return [f"- {neutral(title)}", ""]
    shown = "\n".join(map(_diff_line, body))
    return [f"<details><summary>{neutral(title)}</summary>", "", fenced(shown, "diff"), "", "</details>", ""]


def _diff_line(line: str) -> str:
    """A line of the text form with its sign in the first column, where Markdown's `diff` looks for it."""
    inner = line[6:] if line.startswith("      ") else ""
    return inner if inner[:1] in ("+", "-", "@") else f" {line}"


# --- JSON ----------------------------------------------------------------------------------------------------


def document(plan: Plan, refused: Sequence[str] = ()) -> dict[str, Any]:
    """The plan for programs: the skeleton of OpenTofu's plan (format_version, changes, notes, summary)."""
    return {
        "format_version": FORMAT_VERSION,
        "target": plan.target,
        "commit": plan.commit,
        "changes": [_change_document(change) for change in plan.changes],
        "foreign": [
            {"kind": one.kind, "instance": one.instance, "id": one.id, "label": one.label} for one in plan.foreign
        ],
        "other_instances": plan.strangers,
        "refused": [*(str(fault) for fault in plan.faults), *refused],
        "notes": list(notes(plan)),
        "summary": count(plan),
    }


def _change_document(change: Change) -> dict[str, Any]:
    if change.action == "create":
        created = shown_spec(change.spec or {}).items()
        fields = [
            field_document(FieldChange(field=f, before=None, after=v, origin="pending", unit=change.units.get(f, "")))
            for f, v in created
        ]
    else:
        fields = [field_document(one) for one in change.fields]
    return {
        "action": change.action,
        "kind": change.ref.kind,
        "instance": change.ref.instance,
        "name": change.ref.name,
        "formerly": change.renamed_from,
        "adopted": change.adopted,
        "id": change.live.id if change.live else None,
        "origin": change.origin,
        "inherited": list(change.inherited),
        "implied": list(change.implied),
        "held": change.held or None,
        "fields": fields,
    }


def field_document(one: FieldChange) -> dict[str, Any]:
    """One field's change for programs."""
    before, after = shown(one.field, one.before), shown(one.field, one.after)
    found = {"field": one.field, "before": before, "after": after, "origin": one.origin}
    return {**found, "unit": one.unit} if one.unit else found


# --- changes that many inherit ------------------------------------------------------------------------------


def grouped(plan: Plan) -> tuple[list[Group], list[Change]]:
    """Changes that two or more bots of an instance inherit alike, and the other changes without those fields.

    A bot whose only changes are inherited ones is in groups alone. Groups come by instance and field.
    """
    found: dict[tuple[str, str, str], list[tuple[Ref, FieldChange]]] = {}
    for change in plan.changes:
        if change.ref.kind == "Bot" and change.action == "update" and not change.held:
            for one in change.fields:
                if one.field in change.inherited and one.origin == "pending":
                    same = json.dumps([one.before, one.after], sort_keys=True)
                    found.setdefault((change.ref.instance, one.field, same), []).append((change.ref, one))
    shared = {key: bots for key, bots in found.items() if len(bots) > 1}
    hidden = {(ref, one.field) for bots in shared.values() for ref, one in bots}
    groups = [
        Group(instance, bots[0][1], tuple(sorted(ref.name for ref, _ in bots)))
        for (instance, _, _), bots in sorted(shared.items())
    ]
    rest = []
    for change in sorted(plan.changes, key=_place):
        fields = tuple(one for one in change.fields if (change.ref, one.field) not in hidden)
        if fields or not change.fields:
            rest.append(msgspec.structs.replace(change, fields=fields))
    return groups, rest


def _place(change: Change) -> tuple[bool, str, int, str]:
    return change.action == "delete", change.ref.instance, LIVE_KINDS.index(change.ref.kind), change.ref.name


def _inherit(group: Group) -> str:
    one = group.field
    if is_long(whole(one.before)) or is_long(whole(one.after)):
        return f"{len(group.bots)} bots inherit {one.field}"
    before, after = short(one.field, one.before, one.unit), short(one.field, one.after, one.unit)
    return f"{len(group.bots)} bots inherit: {one.field} {before} → {after}"


def _one_line(value: str) -> str:
    return _clean(" ".join(value.split()))


def _clean(line: str) -> str:
    """Without control characters, which could move a terminal's cursor or hide text."""
    return line if line.isprintable() else "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
