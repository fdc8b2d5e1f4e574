"""The digest of a plan: what a review showed, to be told from what was applied after the merge.

Before it a plan, between two commits or against a target; after it the review's hidden marker, and the comment after
the merge. Only what git wants counts: the actions and the values that are to be, not those that were there before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from reconciler.model import Change, Plan
from reconciler.plan.values import shown, shown_spec

_DIGITS = 16  # hex digits: 64 bits tell a few plans of one pull request apart


def digest(plan: Plan) -> str:
    """A plan's digest in hex; the same for plans that make the same of the same objects, whatever was there before.

    What is only put back (drift) and what is held counts nothing, nor does any key.
    """
    rows = sorted(_row(change) for change in plan.changes if not change.held and _wanted(change))
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()[:_DIGITS]


def printed(plan: Plan) -> dict[str, Change]:
    """A print (8 hex digits) of each change that `digest` counts, by which plans that differ are told apart."""
    found = ((_row(change), change) for change in plan.changes if not change.held and _wanted(change))
    return {hashlib.sha256(msgspec.json.encode(row)).hexdigest()[:8]: change for row, change in found}


def prints(plan: Plan) -> tuple[str, ...]:
    """The prints of a plan's changes, sorted."""
    return tuple(sorted(printed(plan)))


def digest_of(plans: Iterable[Plan]) -> str:
    """The digest of several targets' plans."""
    found = sorted({digest(plan) for plan in plans})
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()[:_DIGITS]


def _wanted(change: Change) -> bool:
    return change.action != "update" or any(one.origin != "drift" for one in change.fields)


def _row(change: Change) -> tuple[str, str, str]:
    if change.action == "create":
        values = shown_spec(change.spec or {})
    else:
        values = {one.field: shown(one.field, one.after) for one in change.fields if one.origin != "drift"}
    values = {field: value for field, value in values.items() if field != "whenMissing"}
    return change.action, str(change.ref), msgspec.json.encode(values, order="sorted").decode()
