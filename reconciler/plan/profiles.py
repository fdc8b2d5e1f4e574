"""Which profile a type of target has. Before it the configuration; after it whoever reads, plans or applies there."""

from __future__ import annotations

from typing import Final

from reconciler.model import TargetType
from reconciler.plan.profile import Lowered, Profile

RUNTIME: Final = Profile(
    type="runtime",
    lower=lambda desired, _: Lowered(desired),
    fit=lambda _, live: live,
    settle=lambda plan, _, __: plan,
    whole=lambda desired, _: desired,
)


def profile_of(type: TargetType) -> Profile:
    """The profile of a type of target."""
    if type == "runtime":
        return RUNTIME
    from reconciler.plan.evolution.profile import EVOLUTION  # only who has such a target pays for it

    return EVOLUTION
