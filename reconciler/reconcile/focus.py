"""Which instances have to be compared: those of which either side is another since nothing differed between them.

Before it a pass has what is declared and what is live; after it `once.make_plan` plans for the rest alone. So a change
costs its own instance, however many there are beside it. What is compared here are whole objects, not tags or commits:
an instance is left out only if both its sides are what they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reconciler.model import Absent, Desired, Live, LiveObject, Object, Plan
from reconciler.plan.own import instance_names

_Sides = tuple[tuple[Object, ...], tuple[LiveObject, ...]]


class Focus:
    """The instances, by their names on the target, between whose sides nothing differed."""

    def __init__(self) -> None:
        self._settled: dict[str, _Sides] = {}
        self._absent: dict[str, tuple[Absent, ...]] = {}  # of those instances
        self._source: str | None = None

    def narrow(self, desired: Desired, live: Live) -> tuple[Desired, Live]:
        """Both without the instances that are settled; something declared is left, if there is anything."""
        if desired.source != self._source:  # every mark means something else
            self._source, self._settled = desired.source, {}
        sides = _by_instance(desired, live)
        settled = {name for name, both in self._settled.items() if sides.get(name) == both}
        self._settled = {name: self._settled[name] for name in settled}
        names = instance_names(desired)
        open_ = {one.ref.instance for one in desired.objects if names.get(one.ref.instance) not in settled}
        if settled and not open_:
            first = min(name for name, target in names.items() if target in settled)
            open_.add(first)
            settled.discard(names[first])
        return (
            msgspec.structs.replace(desired, objects=tuple(o for o in desired.objects if o.ref.instance in open_)),
            msgspec.structs.replace(live, objects=tuple(o for o in live.objects if o.instance not in settled)),
        )

    def settle(self, desired: Desired, live: Live, plan: Plan) -> Plan:
        """Remembers the instances of which a plan for these two has nothing to say; gives the plan with what is known
        of missing keys of all instances."""
        names = instance_names(desired)
        absent: dict[str, list[Absent]] = {}
        for each in plan.absent:
            absent.setdefault(names[each.ref.instance], []).append(each)
        rest = [one for name, found in self._absent.items() if name in self._settled for one in found]
        whole = msgspec.structs.replace(plan, absent=tuple(sorted({*plan.absent, *rest}, key=lambda one: one.ref)))
        if plan.faults:
            return whole
        busy = {change.instance_name for change in plan.changes} | {one.instance for one in plan.foreign}
        for name, (wanted, found) in _by_instance(desired, live).items():
            kinds = {one.ref.kind for one in wanted}
            unsaid = any(one.kind == "Settings" for one in found) and "Settings" not in kinds  # each plan notes them
            if name in names.values() and name not in busy and not unsaid:
                self._settled[name] = wanted, found
                self._absent[name] = tuple(absent.get(name, ()))
        return whole


def _by_instance(desired: Desired, live: Live) -> Mapping[str, _Sides]:
    names = instance_names(desired)
    sides: dict[str, tuple[list[Any], list[Any]]] = {}
    for one in desired.objects:
        if one.ref.kind != "Conversation":
            sides.setdefault(names[one.ref.instance], ([], []))[0].append(one)
    for each in live.objects:
        sides.setdefault(each.instance, ([], []))[1].append(each)
    return {name: (tuple(wanted), tuple(found)) for name, (wanted, found) in sides.items()}
