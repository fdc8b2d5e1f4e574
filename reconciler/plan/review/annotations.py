"""Findings as annotations on the lines of a pull request: workflow commands of GitHub Actions.

Before it a `Review` or the problems of `validate`; after it standard output, which the runner reads
(docs.github.com, "Workflow commands for GitHub Actions"; it shows ten errors and ten warnings of a step).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.plan.review.findings import LEVELS, Level, Review
from reconciler.plan.review.together import together

_KINDS: Final[dict[Level, str]] = {"broken": "error", "human": "warning", "note": "notice"}


def workflow_commands(review: Review) -> Iterator[str]:
    """Each finding that has a line, the gravest first, as a workflow command."""
    found: list[tuple[Level, str, int, int, str, str]] = []
    for kind, problems in (("broken", review.problems), ("note", review.warnings)):
        for problem in problems:
            said = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
            level: Level = "broken" if kind == "broken" else "note"
            found.append((level, problem.path, problem.line, problem.column, problem.pointer, said))
    for part in review.parts:
        found += [
            (risk.level, risk.at.path, risk.at.line, risk.at.column, risk.rule, risk.message)
            for risk in together(part.risks)
            if risk.at is not None
        ]
        for route in together(part.routes):
            if route.at is not None:
                shown = f" (for example “{route.example}”)" if route.example is not None else ""
                place = route.at
                found.append((route.level, place.path, place.line, place.column, route.rule, route.message + shown))
        for talk in part.talks:
            if talk.level == "note":
                continue
            places = talk.after.places or (talk.at,)
            reasons = talk.after.why or (talk.outcome,)
            for place, reason in zip(places, reasons, strict=False):
                named = f"{talk.ref.instance}/{talk.ref.name}: {reason}"
                found.append((talk.level, place.path, place.line, place.column, "conversation", named))
    for level in LEVELS:
        for one in dict.fromkeys(found):
            if one[0] == level:
                yield annotation(_KINDS[level], *one[1:])


def annotation(kind: str, path: str, line: int, column: int, title: str, message: str) -> str:
    """One workflow command; `line` and `column` 0 are left out."""
    fields = {"file": path, "line": line, "col": column, "title": title}
    said = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in fields.items() if value)
    return f"::{kind} {said}::{_escaped(message, '')}"


def _escaped(text: str, more: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{more}" else c for c in text)
