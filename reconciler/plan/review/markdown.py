"""A review as Markdown, for a comment on GitHub, GitLab or Gitea, within their bounds.

Before it a `Review` with its verdict; after it the forge, or a file. In the order in which it is read: verdict,
summary, risks, routes, conversations, plan, what to do next, totals. All text of anybody goes through `neutral`, so a
prompt can show nothing but itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconciler.errors import Problem, Refusal
from reconciler.model import Place
from reconciler.plan.neutral import fenced, neutral
from reconciler.plan.render import count
from reconciler.plan.review.cost import total
from reconciler.plan.review.entries import Chapter, Entry, Field, chapters
from reconciler.plan.review.findings import Cost, Divergence, Part, Replay, Review, Risk, Route, Side, Talk, Verdict
from reconciler.plan.review.marker import line, reviewed
from reconciler.plan.review.sections import Group, Section, fit, size
from reconciler.plan.review.verdict import verdict
from reconciler.plan.review.words import Hunk, Sign

LIMIT: Final = 65_536  # characters of a comment on GitHub, the strictest of the forges

_FOLD: Final = 12  # lines from which an instance's changes are folded away
_CELL: Final = 300  # characters of anybody's text in a line
_TEXT: Final = 3_000  # characters of one field's text
_SAME: Final = 70  # characters kept at each side of a long run that is the same
_REASONS: Final = 12  # shown at the top
_FILES: Final = 10  # of which problems are shown in the head, before the sections
_REST: Final = "The whole is in the job's output: `reconciler review --format text`."
_GAP: Final = "\u200b"  # between a sign of Markdown and what it is about, so that it works inside words too

_TITLES: Final[dict[Verdict, str]] = {
    "fine": "✔ Fine to merge",
    "human": "⚠ Needs a human",
    "broken": "✘ Broken",
}


def markdown(review: Review, limit: int = LIMIT) -> str:
    """The review as Markdown of at most `limit` UTF-16 units."""
    head, foot = "".join(_head(review)), "".join(_foot(review))
    return head + fit(tuple(_sections(review)), limit - size(head) - size(foot), _REST) + foot


def marker(review: Review) -> str:
    """The hidden first line: by it the comment is found again, and its plans compared with what was applied."""
    return line(reviewed(review.head, ((name, part.plan) for part in review.parts for name in part.targets)))


# --- head and foot -------------------------------------------------------------------------------------------


def _head(review: Review) -> Iterator[str]:
    decided, reasons = verdict(review)
    yield f"{marker(review)}\n## {_TITLES[decided]}\n\n"
    yield f"`{review.base[:8]}` → `{review.head[:8]}`, {_touched(review)}.\n\n"
    for reason in reasons[:_REASONS]:
        yield f"- {_mark(reason.level)}{_line(reason.text)}\n"
    if (more := len(reasons) - _REASONS) > 0:
        yield f"- and {more:,} more\n"
    if reasons:
        yield "\n"
    if review.parts:
        yield from _table(review)


def _touched(review: Review) -> str:
    if review.problems:
        return "which is not a desired state"
    bots = {change.ref for part in review.parts for change in part.plan.changes if change.ref.kind == "Bot"}
    others = {change.ref for part in review.parts for change in part.plan.changes} - bots
    if not bots and not others:
        return "nothing changes on any target"
    said = [f"{_many(len(bots), 'bot')} change{'s' if len(bots) == 1 else ''}"] if bots else []
    if others:
        said.append(f"{_many(len(others), 'other object')}")
    return " and ".join(said)


def _table(review: Review) -> Iterator[str]:
    rows: list[tuple[str, list[str]]] = [
        ("bots", [_bots(part) for part in review.parts]),
        ("plan", [_counts(part) for part in review.parts]),
        ("risks", [_risk_counts(part) for part in review.parts]),
        ("routes", [_route_counts(part) for part in review.parts]),
        ("conversations", [_talk_counts(part.talks) for part in review.parts]),
        ("1,000 turns", [_cost_total(part, review.currency) for part in review.parts]),
    ]
    if any(part.drift is not None for part in review.parts):
        rows.append(("live", [_drift(part) for part in review.parts]))
    if review.replay is not None:
        found = review.replay
        said = f"{_many(found.chats, 'recorded chat')}, {_many(len(found.moved), 'turn')} differ"
        rows.append(("replay", [said, *[""] * (len(review.parts) - 1)]))
    yield f"| | {' | '.join(_cell(_named(part)) for part in review.parts)} |\n"
    yield f"|---|{'---|' * len(review.parts)}\n"
    for name, cells in rows:
        yield f"| {name} | {' | '.join(cells)} |\n"
    yield "\n"


def _foot(review: Review) -> Iterator[str]:
    notes = [*review.notes, *(note for part in review.parts for note in (*part.plan.notes, part.live) if note)]
    if review.behind:
        missing = f"{_many(review.behind, 'commit')} of {review.base_ref} {'is' if review.behind == 1 else 'are'}"
        notes.append(f"{missing} not in this branch: after a rebase this may differ")
    for note in dict.fromkeys(notes[:_REASONS]):
        yield f"- {_line(note)}\n"
    if notes:
        yield "\n"
    rows = "\n".join(f"$ {command}" for command in commands(review))
    yield f"### Next\n\n{fenced(rows, 'console')}\n\n"
    yield f"<sub>{_totals(review)}</sub>\n"


def commands(review: Review) -> tuple[str, ...]:
    """What to do next, as commands."""
    refs = f"--base {shlex.quote(review.base_ref)} --head {shlex.quote(review.head_ref)}"
    if review.problems:
        return ("reconciler validate", f"reconciler review {refs}")
    found = [f"reconciler review {refs}"]
    at = f"--ref {shlex.quote(review.head_ref)}"
    results = {talk.after.result for part in review.parts for talk in part.talks}
    if "failed" in results:
        found.append(f"reconciler test {at}")
    if results & {"flaky", "not run"}:
        found.append(f"reconciler test {at} --model live")
    routes = (one for part in review.parts for one in part.routes if one.level != "note" and one.example)
    if (shown := next(routes, None)) is not None and shown.example is not None and shown.example.isprintable():
        found.append(f"reconciler route {shlex.quote(shown.instance)} {shlex.quote(shown.example)} {at}")
    refused = [one for part in review.parts for one in part.refused]
    if refused and "Reconciler-Allow" in (remedy := refused[0].remedy):
        found.append(f"git commit --amend   # with the trailer {remedy.partition('`')[2].rstrip('`')}")
    return tuple(found)


def _totals(review: Review) -> str:
    talks = [talk for part in review.parts for talk in part.talks]
    routed = "; ".join(dict.fromkeys(part.routed for part in review.parts if part.routed))
    said = [
        f"{_many(sum(len(part.plan.changes) for part in review.parts), 'change')}",
        f"{_many(sum(len(part.risks) for part in review.parts), 'risk')}",
        f"{_many(sum(len(part.routes) for part in review.parts), 'route finding')}",
        f"{_many(len(talks), 'Conversation')}",
        f"{_many(len(review.warnings), 'warning')} of validate",
    ]
    return f"{', '.join(said)}. {_line(routed[:1].upper() + routed[1:])}".rstrip()


# --- sections ------------------------------------------------------------------------------------------------


def _sections(review: Review) -> Iterator[Section]:
    if review.problems:
        yield _section("Problems", _plain(map(_problem, review.problems)), 0.9, "problem")
    if review.base_problems:
        yield _section("Problems of the base", _plain(map(_problem, review.base_problems)), 0.9, "problem")
    many = len(review.parts) > 1
    for part in review.parts:
        risks = _plain((*map(_refused, part.refused), *map(_risk, part.risks)))
        yield _section(_titled("Risks", part, many), risks, 0.2 / len(review.parts), "risk")
    for part in review.parts:
        items = _plain(map(_route, part.routes))
        yield _section(_titled("Routes", part, many), items, 0.2 / len(review.parts), "route")
    for part in review.parts:
        shown = _plain(_talk(one) for one in part.talks if one.level != "note" or one.outcome != "passes as before")
        yield _section(_titled("Conversations", part, many), shown, 0.15 / len(review.parts), "Conversation")
    if review.replay is not None:
        yield _section("Recorded chats", _replay(review.replay), 0.1, "turn")
    for part in review.parts:
        costs = _costs(part.costs, review.currency)
        yield _section(_titled("Cost", part, many), costs, 0.05 / len(review.parts), "bot")
    for part in review.parts:
        groups = [_chapter(one) for one in chapters(part.plan)]
        yield _section(_titled("Plan", part, many), groups, 0.3 / len(review.parts), "change")
    if review.warnings:
        yield _section("Warnings", _plain(map(_problem, review.warnings)), 0.05, "warning")


def _section(title: str, groups: Sequence[Group], share: float, noun: str) -> Section:
    return Section(heading=f"### {title}\n\n", groups=tuple(g for g in groups if g.items), share=share, noun=noun)


def _plain(items: Iterable[str]) -> list[Group]:
    return [Group(tuple(items), closing="\n")]


def _titled(title: str, part: Part, many: bool) -> str:
    return f"{title}: {_cell(_named(part))}" if many else title


def _problem(one: Problem) -> str:
    where = f"{one.path}:{one.line}:{one.column}" if one.line else one.path
    pointer = f" {_line(one.pointer)}:" if one.pointer else ""
    hint = f" ({_line(one.hint)})" if one.hint else ""
    return f"- **{_line(where)}**{pointer} {_line(one.message)}{hint}\n"


def _refused(one: Refusal) -> str:
    return f"- {_mark('broken')}{_line(one.reason)}{f': {_line(one.remedy)}' if one.remedy else ''}\n"


def _risk(one: Risk) -> str:
    return f"- {_mark(one.level)}{_line(one.message)}{_at(one.at)}\n"


def _route(one: Route) -> str:
    shown = f"- {_mark(one.level)}**{_line(one.instance)}**: {_line(one.message)}{_at(one.at)}\n"
    if one.example is not None:
        went = f": {_who(one.before)} → {_who(one.after)}" if one.before is not None and one.after is not None else ""
        shown += f"  - for example “{_line(one.example)}”{went}\n"
    return shown


def _who(bot: str | None) -> str:
    return f"**{_line(bot)}**" if bot else "nobody"


def _talk(one: Talk) -> str:
    named = f"{one.ref.instance}/{one.ref.name}"
    changed = "" if one.change == "same" else f" ({one.change})"
    shown = f"- {_mark(one.level)}**{_line(named)}**{changed} {_line(one.outcome)}{_at(one.at)}\n"
    if one.after.result in ("failed", "flaky"):
        for reason, place in zip(one.after.why[:3], (*one.after.places, *[None] * 3), strict=False):
            shown += f"  - {_line(reason)}{_at(place)}\n"
    return shown


def _replay(found: Replay) -> list[Group]:
    rows = tuple(_divergence(one) for one in found.divergences)
    said = "| chat | the customer writes | before | after |\n|---|---|---|---|\n"
    skipped = "".join(f"- {_line(one)}\n" for one in found.skipped[:5])
    return [Group(rows, opening=said, closing=f"\n{skipped}\n" if skipped else "\n")]


def _divergence(one: Divergence) -> str:
    where = f"{one.instance} {one.chat}, turn {one.turn}"
    return f"| {_cell(where)} | {_cell(one.said)} | {_side(one.before)} | {_side(one.after)} |\n"


def _side(side: Side) -> str:
    bots = " ".join(f"**{_cell(bot)}**" for bot in side.bots) or "nobody"
    status = "" if side.status == "opened" else f" ({side.status})"
    said = "<br>".join(_cell(reply) for reply in side.replies[:3])
    calls = f"<br>calls {_cell(', '.join(side.calls))}" if side.calls else ""
    return f"{bots}{status}{'<br>' + said if said else ''}{calls}"


def _costs(costs: Sequence[Cost], currency: str) -> list[Group]:
    priced = any(one.money_before or one.money_after for one in costs)
    heading = f"| bot | model | input tokens | longest reply |{f' {currency} |' if priced else ''}\n"
    rule = f"|---|---|---|---|{'---|' if priced else ''}\n"
    rows = tuple(_cost(one, priced) for one in costs)
    opening = f"<details><summary>What 1,000 turns take, as estimated</summary>\n\n{heading}{rule}"
    return [Group(rows, opening=opening, closing="\n</details>\n\n")]


def _cost(one: Cost, priced: bool) -> str:
    def arrow(before: object, after: object) -> str:
        shown = [
            "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
            for value in (before, after)
        ]
        return shown[0] if shown[0] == shown[1] else " → ".join(shown)

    cells = [
        _cell(f"{one.ref.instance}/{one.ref.name}"),
        _cell(arrow(one.model_before, one.model_after)),
        arrow(one.input_before, one.input_after),
        arrow(one.output_before, one.output_after),
    ]
    if priced:
        cells.append(arrow(_money(one.money_before), _money(one.money_after)))
    return f"| {' | '.join(cells)} |\n"


def _money(span: tuple[float, float] | None) -> str | None:
    return None if span is None else f"{span[0]:,.2f}–{span[1]:,.2f}"


# --- the plan ------------------------------------------------------------------------------------------------


def _chapter(one: Chapter) -> Group:
    items = tuple(_entry(entry) for entry in one.entries)
    counts = one.counts
    said = f"{_line(one.instance)}: +{counts['create']} ~{_GAP}{counts['update']} −{counts['delete']}"
    if sum(item.count("\n") for item in items) > _FOLD:
        return Group(items, opening=f"<details><summary><b>{said}</b></summary>\n\n", closing="\n</details>\n\n")
    return Group(items, opening=f"**{said}**\n\n", closing="\n")


def _entry(one: Entry) -> str:
    said = f" ({_line(one.said)})" if one.said else ""
    rows = [f"- {one.action} {one.kind} **{_line(one.name)}**{said}\n"]
    for field in one.fields:
        rows += _field(field)
    if one.bots:
        more = f" and {len(one.bots) - 20:,} more" if len(one.bots) > 20 else ""
        rows.append(f"  - {_line(', '.join(one.bots[:20]))}{more}\n")
    return "".join(rows)


def _field(one: Field) -> Iterator[str]:
    name = _line(one.name)
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
        yield f"  - {name}: {_line(one.before)} → {_line(one.after)}\n"
    else:
        yield f"  - {name}: {_line(one.after)}\n"


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
    return _edged(text, f"{marks}{_GAP}{neutral(text)}{_GAP}{marks}")


def _edged(text: str, shown: str) -> str:
    """With the blanks at its ends, which `neutral` takes off."""
    return f"{' ' if text[:1].isspace() else ''}{shown}{' ' if text[-1:].isspace() else ''}"


# --- cells ---------------------------------------------------------------------------------------------------


def _named(part: Part) -> str:
    return ", ".join(part.targets)


def _bots(part: Part) -> str:
    before, after = part.bots
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _counts(part: Part) -> str:
    found = count(part.plan)
    if not part.plan.changes:
        return "no changes"
    return f"+{found['create']:,} ~{_GAP}{found['update']:,} −{found['delete']:,}"


def _risk_counts(part: Part) -> str:
    graves = sum(one.level != "note" for one in part.risks) + len(part.refused)
    notes = len(part.risks) + len(part.refused) - graves
    return _listed((graves, "to look at"), (notes, "of note"))


def _route_counts(part: Part) -> str:
    graves = sum(one.level != "note" for one in part.routes)
    return _listed((graves, "to look at"), (len(part.routes) - graves, "of note"))


def _talk_counts(talks: Sequence[Talk]) -> str:
    results: list[str] = [one.after.result for one in talks]
    names = ("passed", "failed", "flaky", "not run")
    return _listed(*((results.count(name), name) for name in names))


def _listed(*counts: tuple[int, str]) -> str:
    return ", ".join(f"{number:,} {name}" for number, name in counts if number) or "none"


def _cost_total(part: Part, currency: str) -> str:
    if not part.costs:
        return "as before"
    if (found := total(part.costs)) is not None:
        return f"at most {found[0]:,.2f} → {found[1]:,.2f} {currency}"
    before = sum(one.input_before or 0 for one in part.costs)
    after = sum(one.input_after or 0 for one in part.costs)
    return f"{before:,} → {after:,} input tokens"


def _drift(part: Part) -> str:
    if part.drift is None:
        return ""
    drifted = count(part.drift)["drift"]
    return f"{_many(drifted, 'object')} drifted" if drifted else "as the base says"


def _mark(level: str) -> str:
    return {"broken": "✘ ", "human": "⚠ ", "note": ""}[level]


def _at(place: Place | None) -> str:
    return f" · {_line(f'{place.path}:{place.line}')}" if place is not None else ""


def _line(text: str) -> str:
    return neutral(f"{text[:_CELL]}…" if len(text) > _CELL else text)


def _cell(text: str) -> str:
    return _line(text)


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
