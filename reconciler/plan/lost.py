"""Foreign objects in the place of declared ones: most likely those very objects, their marks edited away.

Before it `own` sorts a target's objects; `diff` refuses a plan that meets one, or adopts it where a person permits it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from reconciler.errors import Refusal
from reconciler.model import LiveObject, Ref, TargetType
from reconciler.plan.own import Owned, Pair
from reconciler.plan.slots import contested, slots_of

ADOPT: Final = "adopt:"  # of an allowance: the id of a live object that lost its mark
_SLOTS: Final = {"Bot": "the trigger", "Credentials": "the name", "Assistant": "the assistantId"}


def marks_lost(owned: Owned, type: TargetType) -> Iterator[Refusal]:
    """Foreign objects that hold what a declared one needs: most likely that very object, its mark edited away."""
    for pair, other in _holding(owned, type):
        one, instance = pair.object, owned.names[pair.object.ref.instance]
        holder = f"{other.kind} {other.label!r} of {instance} (id {other.id})"
        if other.mark is not None:
            reason = f"{holder}, which carries the mark {other.mark}, has {_SLOTS[one.ref.kind]} of {one.ref}"
            remedy = f"change {one.ref.name}, or have the repository of that mark give it up"
        else:
            reason = f"mark lost: {holder} has no mark of this repository but has {_SLOTS[one.ref.kind]} of {one.ref}"
            remedy = f"{one.ref.name} is there with its mark, so this is another one: delete it, or change either"
            if pair.live is None:
                allow = f"{ADOPT}{other.id}"
                remedy = (
                    f"if it is {one.ref.name}, adopt it: reconciler apply --allow {allow} (for the loop: a commit with "
                    f"the trailer `Reconciler-Allow: {allow}`); if it is a copy, delete it"
                )
        yield Refusal(reason=reason, remedy=remedy)


def adopting(owned: Owned, allow: Collection[str], type: TargetType) -> dict[Ref, str]:
    """What a person permitted to adopt: the ids of objects that lost their marks, by what they are declared as."""
    ids = {word.removeprefix(ADOPT) for word in allow if word.startswith(ADOPT)}
    if not ids:
        return {}
    return {
        pair.object.ref: other.id
        for pair, other in _holding(owned, type)
        if other.id in ids and other.mark is None and pair.live is None
    }


def _holding(owned: Owned, type: TargetType) -> Iterator[tuple[Pair, LiveObject]]:
    """Declared objects, each with the foreign one that holds what it needs."""
    held = {slot: one for one in owned.foreign for slot in slots_of(type, one.kind, one.instance, one.spec, one.label)}
    for pair in owned.pairs:
        one = pair.object
        slot = contested(type, one.ref, owned.names[one.ref.instance], one.spec, pair.live, held)
        if slot is not None:
            yield pair, held[slot]
