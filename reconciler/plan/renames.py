"""Objects that would be made anew and deleted where their author likely meant a rename, or a move. PURE.

A live bot carries its chats: who renames it in YAML without `formerly` deletes it, and them. So a plan that makes one
thing and deletes another much like it names the pair, and the line to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler.model import DEFAULTS, Change, LiveObject, Object, Ref, unmanaged
from reconciler.plan.own import MARKED, Pair
from reconciler.plan.same import plain

ALIKE: Final = 0.6  # of the fields that either has set, those that are the same
_TELLING: Final = ("systemMessages", "instructions", "triggerValue", "assistantMessages", "userMessages", "description")
_ASIDE: Final = frozenset({*DEFAULTS, "enabled", "botType", "credentials", "credentialsId", "apiKey", "whenMissing"})


def likely_renames(
    pairs: Iterable[Pair], orphans: Iterable[tuple[Ref, LiveObject]], deletes: Iterable[Change]
) -> Iterator[str]:
    """A note for each object that is made beside one that goes and is much like it; the likest pairs first."""
    going = {change.ref for change in deletes if not change.held}
    gone = [(ref, live) for ref, live in orphans if ref in going]
    made = [pair.object for pair in pairs if pair.live is None and pair.object.ref.kind in MARKED]
    if not gone or not made:
        return
    found = [(score, one, ref) for one in made for ref, live in gone if (score := _alike(one, ref, live)) >= ALIKE]
    used: set[Ref] = set()
    for _, one, ref in sorted(
        found, key=lambda each: (-each[0], each[2].instance != each[1].ref.instance, each[1].ref)
    ):
        if one.ref not in used and ref not in used and one.formerly is None:
            used |= {one.ref, ref}
            yield _note(one, ref)


def _note(one: Object, ref: Ref) -> str:
    where = f"{one.at.path}:{one.at.line}"
    if one.ref.instance != ref.instance:
        return (
            f"{one.ref} ({where}) is much like {ref}, which would be deleted: nothing can be moved to another "
            "instance, so it is made anew there, and its chats stay behind"
        )
    return (
        f"{one.ref} ({where}) is much like {ref}, which would be deleted: if it is the same under another name, write "
        f"`formerly: {ref.name}` into its metadata, and it is kept with its chats"
    )


def _alike(one: Object, ref: Ref, live: LiveObject) -> float:
    """From 0 to 1, how much of two objects of a kind is the same; 0 where nothing telling is."""
    if one.ref.kind != ref.kind:
        return 0.0
    if one.ref.name == ref.name:  # another instance's
        return 1.0
    wanted, has = _set(one.spec), _set(live.spec)
    telling = [field for field in _TELLING if field in wanted and wanted[field] == has.get(field)]
    fields = wanted.keys() | has.keys()
    if not telling or not fields:
        return 0.0
    same = [field for field in fields if wanted.get(field) == has.get(field)]
    return len(same) / len(fields)


def _set(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are set, without those that many objects have alike."""
    return {
        field: _listed(value)
        for field, value in spec.items()
        if field not in _ASIDE and plain(value) is not None and not _foreign(value)
    }


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _foreign(value: Any) -> bool:
    return isinstance(value, str) and value.endswith(unmanaged(""))
