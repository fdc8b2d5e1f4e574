"""Findings of one line that many instances share, told once: a base's document is every instance's.

Before it findings; after it text, Markdown and annotations. JSON keeps each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

import msgspec

from reconciler.plan.review.findings import Risk, Route
from reconciler.plan.review.shown import many

Finding = TypeVar("Finding", Risk, Route)


def together(found: Iterable[Finding]) -> list[Finding]:
    """The findings in their order; of those that say the same of one line the first, with how many instances more."""
    groups: dict[Hashable, list[Finding]] = {}
    for number, one in enumerate(found):
        groups.setdefault(number if one.at is None else _same(one), []).append(one)
    return [_told(first, {_instance(one) for one in more} - {_instance(first)}) for first, *more in groups.values()]


def _told(first: Finding, others: set[str]) -> Finding:
    if not others:
        return first
    return msgspec.structs.replace(first, message=f"{first.message} (and so in {many(len(others), 'more instance')})")


def _instance(one: Risk | Route) -> str:
    return one.ref.instance if isinstance(one, Risk) else one.instance


def _same(one: Risk | Route) -> Hashable:
    """What two findings have in common that differ in their instance alone."""
    message = one.message.replace(f"{_instance(one)}/", "/")
    return type(one), one.rule, one.level, message, str(one.at)
