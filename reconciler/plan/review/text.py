"""A review as lines for a terminal or a pipe. Before it a `Review`; after it only printing.

Each line is runs of text with a tone. What differs stands in `[-…-]` and `{+…+}`, as `git diff --word-diff` writes it,
so that it is seen without colours too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from reconciler.model import Place
from reconciler.plan.render import count
from reconciler.plan.review.entries import Entry, Field, chapters
from reconciler.plan.review.findings import Cost, Divergence, Level, Part, Replay, Review, Side, Verdict
from reconciler.plan.review.markdown import commands
from reconciler.plan.review.together import together
from reconciler.plan.review.verdict import verdict
from reconciler.plan.review.words import Hunk

Tone = Literal["plain", "create", "update", "delete", "dim", "bold", "note", "human", "broken", "fine"]
Run = tuple[Tone, str]

_TITLES: Final[dict[Verdict, str]] = {"fine": "fine to merge", "human": "needs a human", "broken": "broken"}
_SIGNS: Final = {"create": "+", "update": "~", "delete": "-"}
_SAME: Final = 90  # characters kept at each side of a long run that is the same
_ROWS: Final = 60  # lines of one field's text


def lines(review: Review) -> Iterator[tuple[Run, ...]]:
    """The review as lines of runs, ready for a terminal or a pipe; control characters are taken out."""
    for line in _lines(review):
        yield tuple((tone, _clean(text)) for tone, text in line)


def text(review: Review) -> str:
    """The review as plain text."""
    return "\n".join("".join(part for _, part in line) for line in lines(review))


def _lines(review: Review) -> Iterator[tuple[Run, ...]]:
    decided, reasons = verdict(review)
    yield ((decided, _TITLES[decided]), ("dim", f"  {review.base[:8]} → {review.head[:8]}"))
    for reason in reasons:
        yield ((reason.level, f"  {reason.text}"),)
    for problem in review.problems:
        yield (
            ("bold", f"  {problem.path}:{problem.line}:{problem.column}: "),
            ("plain", _said(problem.pointer, problem.message, problem.hint)),
        )
    for problem in review.base_problems:
        yield (
            ("bold", f"  base: {problem.path}:{problem.line}:{problem.column}: "),
            ("plain", _said(problem.pointer, problem.message, problem.hint)),
        )
    for part in review.parts:
        yield ()
        yield from _part(part, review.currency)
    if review.replay is not None:
        yield from _replay(review.replay)
    for warning in review.warnings:
        yield (("dim", f"warning: {warning}"),)
    notes = [*review.notes]
    if review.behind:
        many = "1 commit of {} is" if review.behind == 1 else f"{review.behind:,} commits of {{}} are"
        notes.append(f"{many.format(review.base_ref)} not in this branch: after a rebase this may differ")
    for note in notes:
        yield (("dim", f"note: {note}"),)
    yield ()
    for command in commands(review):
        yield (("dim", f"next: {command}"),)


def _said(pointer: str, message: str, hint: str) -> str:
    return f"{pointer + ': ' if pointer else ''}{message}{f' ({hint})' if hint else ''}"


def _part(part: Part, currency: str) -> Iterator[tuple[Run, ...]]:
    found = count(part.plan)
    counts = f"{found['create']} to create, {found['update']} to update, {found['delete']} to delete"
    yield (("bold", f"{', '.join(part.targets)}: {counts}"),)
    for refusal in part.refused:
        yield (("broken", f"refused: {refusal.reason}"),)
        if refusal.remedy:
            yield (("dim", f"         {refusal.remedy}"),)
    for risk in together(part.risks):
        yield ((risk.level, f"risk: {risk.message}"), ("dim", _at(risk.at)))
    for route in together(part.routes):
        yield ((route.level, f"route: {route.instance}: {route.message}"), ("dim", _at(route.at)))
        if route.example is not None:
            went = f": {route.before or 'nobody'} → {route.after or 'nobody'}" if route.before is not None else ""
            yield (("dim", f"       for example “{route.example}”{went}"),)
    if part.routed:
        yield (("dim", f"routes: {part.routed}"),)
    for talk in part.talks:
        tone: Level | Literal["fine"] = "fine" if talk.level == "note" and talk.after.result == "passed" else talk.level
        yield ((tone, f"conversation {talk.ref.instance}/{talk.ref.name}: {talk.outcome}"), ("dim", _at(talk.at)))
        if talk.after.result in ("failed", "flaky"):
            for reason in talk.after.why:
                yield (("plain", f"    {reason}"),)
    for cost in part.costs:
        yield (("dim", f"cost: {_cost(cost, currency)}"),)
    for chapter in chapters(part.plan):
        yield ()
        yield (("bold", chapter.instance),)
        for entry in chapter.entries:
            yield from _entry(entry)
    for note in (*part.plan.notes, part.live):
        if note:
            yield (("dim", f"note: {note}"),)


def _entry(one: Entry) -> Iterator[tuple[Run, ...]]:
    said = f" ({one.said})" if one.said else ""
    yield ((one.action, f"{_SIGNS[one.action]} {one.kind} {one.name}{said}"),)
    for field in one.fields:
        yield from _field(field)
    if one.bots:
        yield (("dim", f"    {', '.join(one.bots)}"),)


def _field(one: Field) -> Iterator[tuple[Run, ...]]:
    if one.hunks:
        yield (("plain", f"    {one.name}: {one.said}"),)
        for hunk in one.hunks:
            yield from _hunk(hunk)
    elif one.text:
        rows = one.text.splitlines()
        yield (("plain", f"    {one.name}: {len(rows)} lines, {len(one.text)} characters"),)
        for row in rows[:3]:
            yield (("create", f"      {row[:100]}"),)
    else:
        shown = f"{one.before} → {one.after}" if one.before else one.after
        yield (("plain", f"    {one.name}: {shown}"),)


def _hunk(hunk: Hunk) -> Iterator[tuple[Run, ...]]:
    yield (("dim", f"      line {hunk.line}:"),)
    row: list[Run] = [("plain", "      ")]
    rows = 0
    for sign, piece in hunk.pieces:
        for number, part in enumerate(piece.split("\n")):
            if number:
                yield tuple(row)
                row, rows = [("plain", "      ")], rows + 1
                if rows == _ROWS:
                    yield (("dim", "      …"),)
                    return
            if not part:
                continue
            if sign == "same":
                row.append(("plain", f"{part[:_SAME]}…{part[-_SAME:]}" if len(part) > 2 * _SAME + 20 else part))
            else:
                row.append(("delete", f"[-{part}-]") if sign == "del" else ("create", f"{{+{part}+}}"))
    if len(row) > 1:
        yield tuple(row)


def _replay(found: Replay) -> Iterator[tuple[Run, ...]]:
    yield ()
    yield (("bold", f"{found.file}: {found.chats} chats, {found.turns} turns, {len(found.moved)} differ"),)
    for one in found.divergences:
        yield from _divergence(one)
    for reason in found.skipped:
        yield (("dim", f"    {reason}"),)


def _divergence(one: Divergence) -> Iterator[tuple[Run, ...]]:
    yield (("human" if one.what != ("words",) else "note", f"{one.instance} {one.chat}, turn {one.turn}: {one.said}"),)
    yield (("delete", f"    before  {_side(one.before)}"),)
    yield (("create", f"    after   {_side(one.after)}"),)


def _side(side: Side) -> str:
    said = f"  {' / '.join(side.replies)}" if side.replies else ""
    return f"{', '.join(side.bots) or 'nobody'} ({side.status}){said}"


def _cost(one: Cost, currency: str) -> str:
    before, after = one.input_before, one.input_after
    shown = f"{_arrow(before, after)} input tokens"
    if one.output_before != one.output_after and before is not None and after is not None:
        shown += f", replies of at most {_arrow(one.output_before, one.output_after)}"
    money = [f"{span[0]:,.2f}–{span[1]:,.2f}" if span else "–" for span in (one.money_before, one.money_after)]
    priced = f", {money[0]} → {money[1]} {currency}" if one.money_before or one.money_after else ""
    return f"1,000 turns of {one.ref.instance}/{one.ref.name}: {shown}{priced}"


def _arrow(before: int | None, after: int | None) -> str:
    shown = ["–" if one is None else f"{one:,}" for one in (before, after)]
    return shown[0] if before == after else " → ".join(shown)


def _at(place: Place | None) -> str:
    return f"  {place.path}:{place.line}" if place is not None else ""


def _clean(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line)
