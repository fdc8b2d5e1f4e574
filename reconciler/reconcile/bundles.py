"""Which steps go to the target together: those of one instance, in bounded parts, where the target takes many at once.

Before it `plan/order.py` made the steps; after it `apply`, which performs bundle after bundle. An instance's own
creation and deletion are calls of their own, and so is each step of a target that takes one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from reconciler.model import Secret
from reconciler.plan.order import Step

MOST: Final = 500  # steps of a bundle
LARGEST: Final = 4 << 20  # bytes of its values; one step is at most one of the target's bodies, 1 MiB, more


class Bundle(msgspec.Struct, frozen=True):
    """Steps that are sent as one; `after` are the places of the bundles that must have ended before."""

    steps: tuple[Step, ...]
    after: frozenset[int]
    together: bool


def bundles(steps: Sequence[Step], *, together: bool) -> tuple[Bundle, ...]:
    """All steps in bundles, each after those it needs. The parts of one instance keep the order of its steps.

    Order makes any beginning of an instance's steps sound, so a part can be judged as a whole by the target.
    """
    parts: list[list[Step]] = []
    joint: list[bool] = []
    whole: dict[str, list[Step]] = {}
    alone = _alone(steps) if together else {step.index for step in steps}
    for step in steps:
        if step.index in alone:
            parts.append([step])
            joint.append(False)
        else:
            whole.setdefault(step.instance_name, []).append(step)
    for of_one in whole.values():
        for part in _parts(of_one):
            parts.append(part)
            joint.append(True)
    place = {step.index: at for at, part in enumerate(parts) for step in part}
    before: dict[str, int] = {}
    found = []
    for at, part in enumerate(parts):
        after = {place[need] for step in part for need in step.needs} - {at}
        if joint[at]:
            name = part[0].instance_name
            after |= {before[name]} if name in before else set()
            before[name] = at
        found.append(Bundle(tuple(part), frozenset(after), joint[at]))
    return tuple(found)


def _alone(steps: Sequence[Step]) -> set[int]:
    """The steps that are calls of their own: an instance's creation and deletion, and whatever hangs together with
    more than its own instance."""
    own = {step.index for step in steps if step.ref.kind == "Instance" and step.action != "update"}
    names = {step.index: step.instance_name for step in steps}
    mixed = {
        name
        for step in steps
        for need in step.needs
        if need not in own and names[need] != step.instance_name
        for name in (names[need], step.instance_name)
    }
    return own | {step.index for step in steps if step.instance_name in mixed}


def _parts(steps: Sequence[Step]) -> Iterator[list[Step]]:
    part: list[Step] = []
    size = 0
    for step in steps:
        weight = len(msgspec.json.encode(step.values, enc_hook=_shown)) + 500
        if part and (len(part) >= MOST or size + weight > LARGEST):
            yield part
            part, size = [], 0
        part.append(step)
        size += weight
    yield part


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return "x" * len(value.value)
    raise TypeError(f"{type(value).__name__} in a step")
