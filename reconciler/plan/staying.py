"""What a plan leaves as it is keeps what it holds and what it uses: nothing else can have that, and it stays.

Before it `diff` holds some changes, or `narrow` leaves some out; after it `gate` refuses, or the delete waits. Else a
plan would look well, and the target would refuse a part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from reconciler.errors import Refusal
from reconciler.model import Change, LiveObject, TargetType
from reconciler.plan.slots import contested, slots_of

ELSEWHERE = "it is not in this part of the plan"


def blocked(type: TargetType, applied: Iterable[Change], staying: Iterable[Change]) -> Iterator[Refusal]:
    """What is applied but needs a trigger, a name or whatever else only one may hold, which something staying has."""
    held = {
        slot: change
        for change in staying
        if change.live is not None
        for slot in slots_of(type, change.ref.kind, change.instance_name, change.live.spec, change.live.label)
    }
    for change in applied if held else ():
        if change.spec is None:
            continue
        slot = contested(type, change.ref, change.instance_name, change.spec, change.live, held)
        if slot is not None:
            other = held[slot]
            yield Refusal(
                reason=f"{change.ref} needs what {other.ref} holds ({' '.join(slot[2:])}), "
                f"which stays as it is: {other.held or ELSEWHERE}",
                remedy=f"let {other.ref.name} be changed too, or change one of them",
            )


def waiting(changes: Iterable[Change], staying: Iterable[LiveObject]) -> Iterator[Change]:
    """The changes, with deletes held of what something staying still uses."""
    users: dict[tuple[str, str, str], LiveObject] = {}
    for one in staying:
        if one.kind in ("Bot", "Settings"):
            for kind, field in (("Credentials", "credentials"), ("row", "credentialsId"), ("Assistant", "assistantId")):
                users.setdefault((kind, "" if kind == "row" else one.instance, str(one.spec.get(field))), one)
    for change in changes:
        user = _user(change, users)
        if user is not None:
            held = f"{user.kind} {user.label!r} of {user.instance}, which stays as it is, still uses it"
            change = msgspec.structs.replace(change, held=held)
        yield change


def _user(change: Change, users: Mapping[tuple[str, str, str], LiveObject]) -> LiveObject | None:
    gone, kind = change.live, change.ref.kind
    if change.action != "delete" or change.held or gone is None:
        return None
    if kind == "Credentials":
        return users.get((kind, gone.instance, change.ref.name)) or users.get(("row", "", gone.id))
    return users.get((kind, gone.instance, gone.spec["assistantId"])) if kind == "Assistant" else None
