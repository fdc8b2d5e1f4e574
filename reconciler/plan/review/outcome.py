"""What became of a merged commit on one target, as a comment on its pull request: applied, refused, rolled back, …

Before it a pass of the loop, whose facts are kept in its database; after it the forge. What was applied is compared
with what the review showed: by its digest, and by the prints of single changes where both sides have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from reconciler.model import Plan
from reconciler.plan.neutral import neutral
from reconciler.plan.render import headline
from reconciler.plan.review.digest import digest, printed
from reconciler.plan.review.marker import Shown

Outcome = Literal["applied", "unchanged", "refused", "invalid", "partial", "failed", "rolled-back", "pending"]

MARKER: Final = "<!-- reconciler:apply target="  # then the target's name: one comment of each target lives
_PRINTS: Final = 300  # changes of which the print is kept
_LINES: Final = 20  # of a message, of changes, that are shown
_LONG: Final = 500  # characters of such a line
_TITLES: Final[Mapping[Outcome, str]] = {
    "applied": "✅ Applied to",
    "unchanged": "✅ Nothing to do on",
    "refused": "⛔ Refused for",
    "invalid": "❌ Not a desired state for",
    "partial": "⚠️ Applied in part to",
    "failed": "❌ Failed on",
    "rolled-back": "↩️ Rolled back on",
    "pending": "⏳ Waits for",
}
_NEXT: Final[Mapping[Outcome, str]] = {
    "refused": "Nothing was changed. Do what is said there, or commit something else.",
    "invalid": "Nothing was changed. `reconciler validate` shows each place; the target keeps its last good commit.",
    "partial": "The loop tries again; `reconciler status` says how it stands, `reconciler rollback` goes back.",
    "failed": "The loop tries again; `reconciler status` says how it stands.",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an outcome. `counts` are steps done by action, `failed` what was not done and why.

    `prints` has a line for each print of the plan (None: too many); `good` is the commit that stands instead.
    """

    message: str = ""
    number: int | None = None
    counts: Mapping[str, int] = {}
    failed: tuple[str, ...] = ()
    digest: str = ""
    prints: Mapping[str, str] | None = None
    good: str = ""


def facts_of(plan: Plan | None) -> Facts:
    """What is kept of a plan that was to be applied."""
    if plan is None:
        return Facts()
    if len(plan.changes) > _PRINTS:
        return Facts(digest=digest(plan))
    return Facts(digest=digest(plan), prints={key: headline(one) for key, one in sorted(printed(plan).items())})


def comment(
    target: str, commit: str, outcome: Outcome, facts: Facts, shown: Shown | None = None, *, alone: bool = True
) -> str:
    """The comment. `shown` is the plan that the review showed; `alone`: nothing else was applied in the same pass."""
    rows = [f"{MARKER}{target} commit={commit} -->", f"### {_TITLES[outcome]} {neutral(target)}", ""]
    rows += [_first(commit, outcome, facts), ""]
    rows += [f"- {neutral(line[:_LONG])}" for line in _some(facts.message.splitlines())]
    rows += [f"- {neutral(line[:_LONG])}" for line in _some(facts.failed)]
    if facts.message or facts.failed:
        rows.append("")
    if outcome in ("applied", "unchanged", "partial"):
        rows += [*_compared(facts, shown, alone=alone), ""]
    if outcome in _NEXT:
        rows += [_NEXT[outcome], ""]
    return "\n".join(rows).rstrip() + "\n"


def described(target: str, outcome: Outcome, facts: Facts) -> str:
    """The outcome in a line, for a commit status."""
    said = facts.message.splitlines()[0] if facts.message else ""
    match outcome:
        case "applied" | "unchanged" | "partial":
            return f"{_word(outcome)} {target}: {_counts(facts)}"
        case "rolled-back":
            return f"rolled back on {target}: {facts.good[:8]} stands in its place"
        case _:
            return f"{_word(outcome)} {target}{f': {said}' if said else ''}"


def different(facts: Facts, shown: Shown, *, alone: bool) -> tuple[bool, tuple[str, ...], int]:
    """Whether what was to be applied differs from what was shown; the changes more, and how many were left out.

    What others' commits brought in the same pass (not `alone`) is no difference.
    """
    if facts.digest == shown.digest:
        return False, (), 0
    if facts.prints is None or shown.prints is None:
        return alone, (), 0
    more = tuple(line for key, line in facts.prints.items() if key not in shown.prints) if alone else ()
    fewer = sum(key not in facts.prints for key in shown.prints)
    return bool(more or fewer), more, fewer


def _first(commit: str, outcome: Outcome, facts: Facts) -> str:
    where = f" (pass {facts.number})" if facts.number is not None else ""
    if outcome == "rolled-back":
        return f"`{commit[:8]}` was taken back: `{facts.good[:8]}` stands in its place{where}."
    if outcome in ("applied", "unchanged", "partial"):
        return f"`{commit[:8]}`: {_counts(facts)}{where}."
    return f"`{commit[:8]}`{where}:"


def _counts(facts: Facts) -> str:
    words = {"create": "created", "update": "updated", "delete": "deleted"}
    said = [f"{facts.counts[action]:,} {word}" for action, word in words.items() if facts.counts.get(action)]
    if facts.failed:
        said.append(f"{len(facts.failed):,} not done")
    return ", ".join(said) or "all was as declared"


def _compared(facts: Facts, shown: Shown | None, *, alone: bool) -> Iterator[str]:
    if shown is None:
        yield "No review of this pull request is known here to compare it with."
        return
    differs, more, fewer = different(facts, shown, alone=alone)
    if not differs:
        yield "The plan was the one that the review showed." if alone else "All that the review showed is in it."
        return
    said = [f"{len(more):,} more"] if more else []
    said += [f"{fewer:,} of those shown not in it"] if fewer else []
    where = ", ".join(said)
    yield f"**The plan was not the one that the review showed**{f': {where}' if where else ''}."
    if more:
        yield ""
    yield from (f"- {neutral(line[:_LONG])}" for line in _some(more))


def _some(lines: tuple[str, ...] | list[str]) -> list[str]:
    found = [line for line in lines if line.strip()]
    return found if len(found) <= _LINES else [*found[:_LINES], f"and {len(found) - _LINES:,} more"]


def _word(outcome: Outcome) -> str:
    return _TITLES[outcome].partition(" ")[2].lower()
