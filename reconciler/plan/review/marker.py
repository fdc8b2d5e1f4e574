"""The hidden first line of a comment: what it is, which head it is of, which plans it showed.

Before it a review, or the outcome of a pass; after it the forge, where the line finds the one living comment again, and
the pass after the merge, which compares what was shown with what it applied. It holds hashes and names only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from reconciler.model import Plan
from reconciler.plan.review.digest import digest, prints

REVIEW: Final = "<!-- reconciler:review"  # by which the one living comment of a pull request is found
_PRINTS: Final = 300  # of changes that are written out, for all targets; a larger plan is compared as a whole
_LINE: Final = re.compile(rf"{re.escape(REVIEW)} plan=(?P<plans>[0-9a-z:,;.-]*) head=(?P<head>[0-9a-f]{{0,64}}) -->")
_PLAN: Final = re.compile(r"([a-z0-9-]{1,63}):([0-9a-f]{16})((?:\.[0-9a-f]{8})*)")


class Shown(msgspec.Struct, frozen=True):
    """A plan that was shown: its digest, and a print of each change where they were written out."""

    digest: str
    prints: tuple[str, ...] | None = None


class Reviewed(msgspec.Struct, frozen=True):
    """What a review was of: the head commit, and the plan of each target."""

    head: str
    plans: Mapping[str, Shown] = {}


def reviewed(head: str, plans: Iterable[tuple[str, Plan]]) -> Reviewed:
    """What a review shows of each target (name, plan)."""
    rows = {target: (digest(plan), prints(plan)) for target, plan in plans}
    whole = sum(len(found) for _, found in rows.values()) <= _PRINTS
    return Reviewed(head, {name: Shown(total, found if whole else None) for name, (total, found) in rows.items()})


def line(found: Reviewed) -> str:
    """`<!-- reconciler:review plan=local:5e0c…  head=3f2a… -->`; nothing in it can end the HTML comment early."""
    plans = ";".join(f"{name}:{one.digest}{_written(one.prints)}" for name, one in sorted(found.plans.items()))
    return f"{REVIEW} plan={plans} head={found.head} -->"


def read(body: str) -> Reviewed | None:
    """What the first line of a comment says; None where it is not one of ours."""
    if (found := _LINE.match(body)) is None:
        return None
    plans = {}
    for one in filter(None, found["plans"].split(";")):
        if (plan := _PLAN.fullmatch(one)) is None:
            return None
        name, total, rest = plan.groups()
        plans[name] = Shown(total, tuple(rest.split(".")[1:]) if rest else None)
    return Reviewed(found["head"], plans)


def _written(found: tuple[str, ...] | None) -> str:
    return "".join(f".{one}" for one in found or ())
