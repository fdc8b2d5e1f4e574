"""When a live value is the wanted one: what a target adds, leaves out or writes in another form is no difference.

Before it `own` pairs objects; `diff` asks here for each field. A difference that is found is one that an update takes
away: what is treated as equal here must stay so after the rest of the plan is applied, and what is not must become so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from reconciler.model import DEFAULTS, Ref, TargetType, unmanaged
from reconciler.plan.own import Owned, Pair

# Fields that name another object of the instance, and the kind they name.
REFERENCES: Final[Mapping[str, str]] = {"credentials": "Credentials", "fallbackBot": "Bot"}

# What a field comes to that nothing sets: on the runtime the built-in default, on an Evolution API server nothing.
UNSET: Final[Mapping[TargetType, Mapping[str, Any]]] = {
    "runtime": {**DEFAULTS, "speechToText": False},
    "evolution": {
        "expire": 0, "delayMessage": 0, "debounceTime": 0, "timePerChar": 0, "listeningFromMe": False,
        "stopBotFromMe": False, "keepOpen": False, "splitMessages": False, "speechToText": False,
    },
}  # fmt: skip

Renames = Mapping[tuple[str, str, str], str]  # (kind, instance, name on the target) -> name now


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What a value means depends on it: names that references had before, the Settings that bots inherit from.

    `settings` and `declared` (those that this repository declares) by the YAML name of the instance; `unset` is what a
    field comes to that nothing sets.
    """

    renames: Renames
    settings: Mapping[str, Mapping[str, Any]]
    declared: Mapping[str, Mapping[str, Any]]
    unset: Mapping[str, Any]


def around(owned: Owned, type: TargetType) -> Around:
    """What the values of a target's objects are seen with."""
    renames: dict[tuple[str, str, str], str] = {}
    for pair in owned.pairs:
        ref = pair.object.ref
        if pair.live is not None and (was := _called(pair)) != ref.name:
            renames[ref.kind, ref.instance, was] = ref.name
    declared = [pair.object for pair in owned.pairs if pair.object.ref.kind == "Settings"]
    return Around(
        renames=renames,
        settings=owned.settings,
        declared={one.ref.instance: one.spec for one in declared},
        unset=UNSET[type],
    )


def plain(value: Any) -> Any:
    """A value as it is compared: tuples are lists, and what is empty is unset."""
    if isinstance(value, tuple):
        value = list(value)
    return None if value in ("", [], {}) else value


def form(field: str, value: Any) -> Any:
    """`plain`, and without what is said twice or behind the end.

    A description loses the blanks at its end, which the mark behind it hides. Chats to leave alone are a set.
    """
    if field == "description" and isinstance(value, str):
        value = value.rstrip()
    if field == "ignoreJids" and isinstance(value, list | tuple):
        value = sorted(set(value))
    return plain(value)


def compared(ref: Ref, field: str, live: Any, wanted: Any, seen: Around) -> tuple[Any, Any]:
    """A field's live and wanted value in one form; they are equal where nothing is to be done."""
    now, then = current(ref, field, live, seen), form(field, wanted)
    if now == then and not (live is None and wanted is not None):
        return now, then
    if ref.kind == "Settings" and live is None:
        now = form(field, seen.unset.get(field))
    elif ref.kind == "Bot" and field == "ignoreJids":
        # The union of the bot's and the Settings' is what holds. Settings of others may go at any time.
        both = {*(live or ()), *(seen.declared.get(ref.instance, {}).get(field) or ())}
        now = then if sorted(both) == (then or []) else now
    elif ref.kind == "Bot" and field in DEFAULTS and live is None and wanted is not None:
        inherited = form(field, _inherited(ref, field, seen))
        now = inherited if inherited == then or then is None else now
    return now, then


def current(ref: Ref, field: str, value: Any, seen: Around) -> Any:
    """`form`, and references by the names that their objects have now."""
    value = form(field, value)
    kind = REFERENCES.get(field)
    return seen.renames.get((kind, ref.instance, value), value) if kind and isinstance(value, str) else value


def _inherited(ref: Ref, field: str, seen: Around) -> Any:
    """What a bot that leaves a field unset does: as its instance's Settings say, else as if nothing were set."""
    value = seen.settings.get(ref.instance, {}).get(field)
    return seen.unset.get(field) if value is None else value


def _called(pair: Pair) -> str:
    """What references to an object call it on the target: the name in its mark, or what an unmarked one goes by."""
    if not pair.adopted or pair.live is None:
        return pair.was
    return unmanaged(pair.live.label if pair.live.kind == "Credentials" else pair.live.id)
