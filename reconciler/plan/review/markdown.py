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
from reconciler.plan.neutral import fenced
from reconciler.plan.review.changes import changes
from reconciler.plan.review.entries import chapters
from reconciler.plan.review.findings import Cost, Divergence, Part, Replay, Review, Risk, Route, Side, Talk, Verdict
from reconciler.plan.review.marker import line as hidden
from reconciler.plan.review.marker import reviewed
from reconciler.plan.review.sections import Group, Section, fit, size
from reconciler.plan.review.shown import at, line, many, mark
from reconciler.plan.review.table import named, table
from reconciler.plan.review.together import together
from reconciler.plan.review.verdict import verdict

LIMIT: Final = 65_536  # characters of a comment on GitHub, the strictest of the forges

_REASONS: Final = 12  # shown at the top
_COMMAND: Final = 1_000  # characters of a command that is shown
_REST: Final = "The whole is in the job's output: `reconciler review --format text`."

_TITLES: Final[dict[Verdict, str]] = {
    "fine": "✔ Fine to merge",
    "human": "⚠ Needs a human",
    "broken": "✘ Broken",
}


def markdown(review: Review, limit: int = LIMIT) -> str:
    """The review as Markdown of at most `limit` UTF-16 units."""
    head, foot = "".join(_head(review, limit // 4)), "".join(_foot(review, limit // 8))
    return head + fit(tuple(_sections(review)), limit - size(head) - size(foot), _REST) + foot


def marker(review: Review) -> str:
    """The hidden first line: by it the comment is found again, and its plans compared with what was applied."""
    return hidden(reviewed(review.head, ((name, part.plan) for part in review.parts for name in part.targets)))


# --- head and foot -------------------------------------------------------------------------------------------


def _head(review: Review, room: int) -> Iterator[str]:
    decided, reasons = verdict(review)
    yield f"{marker(review)}\n## {_TITLES[decided]}\n\n"
    yield f"`{review.base[:8]}` → `{review.head[:8]}`, {_touched(review)}.\n\n"
    rows = [*_fitting((f"- {mark(one.level)}{line(one.text)}\n" for one in reasons[:_REASONS]), room)]
    yield from rows
    if (more := len(reasons) - len(rows)) > 0:
        yield f"- and {more:,} more\n"
    if reasons:
        yield "\n"
    if review.parts:
        yield from table(review)


def _fitting(rows: Iterable[str], room: int) -> Iterator[str]:
    """The first rows that fit: what anybody wrote is longer once nothing in it does anything."""
    for row in rows:
        room -= size(row)
        if room < 0:
            return
        yield row


def _touched(review: Review) -> str:
    if review.problems:
        return "which is not a desired state"
    bots = {change.ref for part in review.parts for change in part.plan.changes if change.ref.kind == "Bot"}
    others = {change.ref for part in review.parts for change in part.plan.changes} - bots
    if not bots and not others:
        return "nothing changes on any target"
    said = [f"{many(len(bots), 'bot')} change{'s' if len(bots) == 1 else ''}"] if bots else []
    if others:
        said.append(f"{many(len(others), 'other object')}")
    return " and ".join(said)


def _foot(review: Review, room: int) -> Iterator[str]:
    notes = [*review.notes, *(note for part in review.parts for note in (*part.plan.notes, part.live) if note)]
    if review.behind:
        missing = f"{many(review.behind, 'commit')} of {review.base_ref} {'is' if review.behind == 1 else 'are'}"
        notes.append(f"{missing} not in this branch: after a rebase this may differ")
    yield from _fitting((f"- {line(note)}\n" for note in dict.fromkeys(notes[:_REASONS])), room)
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
    return tuple(command for command in found if len(command) <= _COMMAND)


def _totals(review: Review) -> str:
    talks = [talk for part in review.parts for talk in part.talks]
    routed = "; ".join(dict.fromkeys(part.routed for part in review.parts if part.routed))
    said = [
        f"{many(sum(len(part.plan.changes) for part in review.parts), 'change')}",
        f"{many(sum(len(part.risks) for part in review.parts), 'risk')}",
        f"{many(sum(len(part.routes) for part in review.parts), 'route finding')}",
        f"{many(len(talks), 'Conversation')}",
        f"{many(len(review.warnings), 'warning')} of validate",
    ]
    return f"{', '.join(said)}. {line(routed[:1].upper() + routed[1:])}".rstrip()


# --- sections ------------------------------------------------------------------------------------------------


def _sections(review: Review) -> Iterator[Section]:
    if review.problems:
        yield _section("Problems", _plain(map(_problem, review.problems)), 0.9, "problem")
    if review.base_problems:
        yield _section("Problems of the base", _plain(map(_problem, review.base_problems)), 0.9, "problem")
    several = len(review.parts) > 1
    for part in review.parts:
        risks = _plain((*map(_refused, part.refused), *map(_risk, together(part.risks))))
        yield _section(_titled("Risks", part, several), risks, 0.2 / len(review.parts), "risk")
    for part in review.parts:
        items = _plain(map(_route, together(part.routes)))
        yield _section(_titled("Routes", part, several), items, 0.2 / len(review.parts), "route")
    for part in review.parts:
        shown = _plain(_talk(one) for one in part.talks if one.level != "note" or one.outcome != "passes as before")
        yield _section(_titled("Conversations", part, several), shown, 0.15 / len(review.parts), "Conversation")
    if review.replay is not None:
        yield _section("Recorded chats", _replay(review.replay), 0.1, "turn")
    for part in review.parts:
        costs = _costs(part.costs, review.currency)
        yield _section(_titled("Cost", part, several), costs, 0.05 / len(review.parts), "bot")
    for part in review.parts:
        groups = [changes(one) for one in chapters(part.plan)]
        yield _section(_titled("Plan", part, several), groups, 0.3 / len(review.parts), "change")
    if review.warnings:
        yield _section("Warnings", _plain(map(_problem, review.warnings)), 0.05, "warning")


def _section(title: str, groups: Sequence[Group], share: float, noun: str) -> Section:
    return Section(heading=f"### {title}\n\n", groups=tuple(g for g in groups if g.items), share=share, noun=noun)


def _plain(items: Iterable[str]) -> list[Group]:
    return [Group(tuple(items), closing="\n")]


def _titled(title: str, part: Part, several: bool) -> str:
    return f"{title}: {line(named(part))}" if several else title


def _problem(one: Problem) -> str:
    where = f"{one.path}:{one.line}:{one.column}" if one.line else one.path
    pointer = f" {line(one.pointer)}:" if one.pointer else ""
    hint = f" ({line(one.hint)})" if one.hint else ""
    return f"- **{line(where)}**{pointer} {line(one.message)}{hint}\n"


def _refused(one: Refusal) -> str:
    return f"- {mark('broken')}{line(one.reason)}{f': {line(one.remedy)}' if one.remedy else ''}\n"


def _risk(one: Risk) -> str:
    return f"- {mark(one.level)}{line(one.message)}{at(one.at)}\n"


def _route(one: Route) -> str:
    shown = f"- {mark(one.level)}**{line(one.instance)}**: {line(one.message)}{at(one.at)}\n"
    if one.example is not None:
        went = f": {_who(one.before)} → {_who(one.after)}" if one.before is not None and one.after is not None else ""
        shown += f"  - for example “{line(one.example)}”{went}\n"
    return shown


def _who(bot: str | None) -> str:
    return f"**{line(bot)}**" if bot else "nobody"


def _talk(one: Talk) -> str:
    named = f"{one.ref.instance}/{one.ref.name}"
    changed = "" if one.change == "same" else f" ({one.change})"
    shown = f"- {mark(one.level)}**{line(named)}**{changed} {line(one.outcome)}{at(one.at)}\n"
    if one.after.result in ("failed", "flaky"):
        for reason, place in zip(one.after.why[:3], (*one.after.places, *[None] * 3), strict=False):
            shown += f"  - {line(reason)}{at(place)}\n"
    return shown


def _replay(found: Replay) -> list[Group]:
    rows = tuple(_divergence(one) for one in found.divergences)
    said = "| chat | the customer writes | before | after |\n|---|---|---|---|\n"
    skipped = "".join(f"- {line(one)}\n" for one in found.skipped[:5])
    return [Group(rows, opening=said, closing=f"\n{skipped}\n" if skipped else "\n")]


def _divergence(one: Divergence) -> str:
    where = f"{one.instance} {one.chat}, turn {one.turn}"
    return f"| {line(where)} | {line(one.said)} | {_side(one.before)} | {_side(one.after)} |\n"


def _side(side: Side) -> str:
    bots = " ".join(f"**{line(bot)}**" for bot in side.bots) or "nobody"
    status = "" if side.status == "opened" else f" ({side.status})"
    said = "<br>".join(line(reply) for reply in side.replies[:3])
    calls = f"<br>calls {line(', '.join(side.calls))}" if side.calls else ""
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
        line(f"{one.ref.instance}/{one.ref.name}"),
        line(arrow(one.model_before, one.model_after)),
        arrow(one.input_before, one.input_after),
        arrow(one.output_before, one.output_after),
    ]
    if priced:
        cells.append(arrow(_money(one.money_before), _money(one.money_after)))
    return f"| {' | '.join(cells)} |\n"


def _money(span: tuple[float, float] | None) -> str | None:
    return None if span is None else f"{span[0]:,.2f}–{span[1]:,.2f}"
