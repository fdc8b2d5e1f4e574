"""Whether a Conversation that a model answers fails because of the change, or because models differ from run to run.

Before it its runs with the bots of both sides; after it the verdict. A change is blamed only where the baseline, run
again, holds in at least 70% of its runs, the drop is at least 30 points, and Fisher's exact test gives chance less than
5% (one-sided; R. A. Fisher, Statistical Methods for Research Workers, 1934, § 21.02).
"""

from __future__ import annotations

from math import comb
from typing import Final, Literal

SOLID: Final = 0.70  # of the baseline's runs must pass for it to be one
DROP: Final = 0.30  # of the runs that must be lost
CHANCE: Final = 0.05
ROUNDS: Final = (1, 4, 8)  # runs of each side: first once; after a failure four; where that is open eight

Blame = Literal["no", "open", "yes"]


def fisher(passes_before: int, runs_before: int, passes_after: int, runs_after: int) -> float:
    """The chance of so few passes after, or fewer, if nothing but luck told both sides apart (one-sided p)."""
    passes, runs = passes_before + passes_after, runs_before + runs_after
    least = max(0, passes - runs_before)
    ways = sum(comb(runs_after, k) * comb(runs_before, passes - k) for k in range(least, passes_after + 1))
    return ways / comb(runs, passes)


def blame(passes_before: int, runs_before: int, passes_after: int, runs_after: int) -> Blame:
    """Whether the change is to blame: `open` says that more runs could still tell."""
    if passes_after == runs_after:
        return "no"
    rate_before, rate_after = passes_before / runs_before, passes_after / runs_after
    if rate_before < SOLID:
        return "no"
    if rate_before - rate_after >= DROP and fisher(passes_before, runs_before, passes_after, runs_after) < CHANCE:
        return "yes"
    return "open"
