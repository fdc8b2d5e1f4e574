"""What differs from one type of target to another, as data and pure functions: the port that profiles fill.

Before it the desired state is read; after it `own`, `diff`, `gate` and `order` work on what is declared and what is
live in the target's own terms, whichever target it is. `plan`, `apply`, saved plans, the loop, `route` and reviews all
lower the desired state here.

A profile never converts back what it lowered: values are compared in the target's units, so that rounding cannot show
as a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from reconciler.errors import Problem, Refusal
from reconciler.model import Desired, Live, Plan, TargetType


class Lowered(msgspec.Struct, frozen=True):
    """A desired state in a target's units and abilities; its `notes` say what the target cannot follow.

    `faults` are what the target would refuse, or do otherwise than declared in a way that is not safe; `problems` are
    the same for whoever writes the files.
    """

    desired: Desired
    faults: tuple[Refusal, ...] = ()
    problems: tuple[Problem, ...] = ()


class Raised(msgspec.Struct, frozen=True):
    """What is live in the form and units of YAML; `left` says, by id, why something cannot come back as it is."""

    live: Live
    left: Mapping[str, str] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One type of target.

    `lower` gives the desired state in the target's terms; with what is live it keeps to choices made before. `fit`
    gives what is live as the lowered state would name it, `whole` the lowered state without what cannot be judged
    because the reading of it is not whole, and `settle` the plan with what only the whole plan shows.
    `units` name the units of fields where they are not those of YAML. `raised` is the way back, for `import`: what is
    live, as `fit` named it, in YAML's terms.
    """

    type: TargetType
    lower: Callable[[Desired, Live | None], Lowered]
    fit: Callable[[Desired, Live], Live]
    settle: Callable[[Plan, Desired, Live], Plan]
    whole: Callable[[Desired, Live], Desired]
    raised: Callable[[Live], Raised] = Raised
    units: Mapping[str, str] = {}
