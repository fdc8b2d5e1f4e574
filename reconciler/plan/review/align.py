"""Both sides of a change as one target has them one after the other: who is who, and who was there first. PURE.

Before it two desired states; after it whoever asks which bot answers what on both sides. A bot that is renamed stays
the same bot, and bots that are new stand behind those that were there, for a target asks the older of two first.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.model import Desired, Object, Ref


def aligned(base: Desired, head: Desired) -> tuple[Desired, Desired]:
    """The base with its bots under the names that they have in the head, and the head in the order in which applying
    it leaves its objects: those of the base, then the new ones."""
    names = _renamed(base, head)
    before = tuple(_under(one, names) for one in base.objects)
    place = {one.ref: at for at, one in enumerate(before)}
    after = sorted(head.objects, key=lambda one: place.get(one.ref, len(before)))
    return msgspec.structs.replace(base, objects=before), msgspec.structs.replace(head, objects=tuple(after))


def _renamed(base: Desired, head: Desired) -> Mapping[Ref, str]:
    """New names by the bots that had another one."""
    there = {one.ref for one in base.objects if one.ref.kind == "Bot"}

    found = {}
    for one in head.objects:
        former = Ref("Bot", one.ref.instance, one.formerly or "")
        if one.ref.kind == "Bot" and former in there and one.ref not in there:
            found[former] = one.ref.name
    return found


def _under(one: Object, names: Mapping[Ref, str]) -> Object:
    """An object with the new names: its own, and that of the fallback bot which it names."""
    if one.ref.kind == "Bot" and one.ref in names:
        return msgspec.structs.replace(one, ref=Ref("Bot", one.ref.instance, names[one.ref]))
    if one.ref.kind == "Settings" and (fallback := one.spec.get("fallbackBot")):
        new = names.get(Ref("Bot", one.ref.instance, fallback), fallback)
        return msgspec.structs.replace(one, spec={**one.spec, "fallbackBot": new})
    return one
