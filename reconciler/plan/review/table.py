"""The table at the head of a review's Markdown: what there is of each kind, by target.

Before it a review's parts; after it `markdown`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.plan.render import count
from reconciler.plan.review.cost import total
from reconciler.plan.review.findings import Part, Review, Talk
from reconciler.plan.review.shown import GAP, line, many

_COLUMNS: Final = 8  # targets in the table


def table(review: Review) -> Iterator[str]:
    """The table, a piece at a time."""
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
        said = f"{many(found.chats, 'recorded chat')}, {many(len(found.moved), 'turn')} differ"
        rows.append(("replay", [said, *[""] * (len(review.parts) - 1)]))
    yield f"| | {' | '.join(line(named(part)) for part in review.parts[:_COLUMNS])} |\n"
    yield f"|---|{'---|' * len(review.parts[:_COLUMNS])}\n"
    for name, cells in rows:
        yield f"| {name} | {' | '.join(cells[:_COLUMNS])} |\n"
    yield "\n"
    if (more := len(review.parts) - _COLUMNS) > 0:
        yield f"{many(more, 'more target')}: see the sections below.\n\n"


def named(part: Part) -> str:
    """The targets that a part is for."""
    return ", ".join(part.targets)


def _bots(part: Part) -> str:
    before, after = part.bots
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _counts(part: Part) -> str:
    found = count(part.plan)
    if not part.plan.changes:
        return "no changes"
    return f"+{found['create']:,} ~{GAP}{found['update']:,} −{found['delete']:,}"


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
    return f"{many(drifted, 'object')} drifted" if drifted else "as the base says"
