"""Whose is what: pairs declared objects with the live ones that carry their mark.

Before it come the desired state and a target's listing; after it `diff`, which compares each pair. Nothing but the
marks decides: bots, credentials and assistants are found by the name in their mark (or the name they had formerly),
instances by the target's own name of them, settings are one per instance. What has no mark becomes one's own only where
somebody says so, by its id: `metadata.adopts`, or an allowance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType
from typing import Any, Final

import msgspec

from reconciler.errors import Refusal
from reconciler.model import Desired, Kind, Live, LiveObject, Object, Ref

MARKED: Final = frozenset({"Credentials", "Assistant", "Bot"})  # kinds that carry a mark in their description
_NOTHING: Final[Mapping[Ref, str]] = MappingProxyType({})


class Pair(msgspec.Struct, frozen=True):
    """A declared object and the live one that is its own; `was` is the name in the live mark.

    `adopted`: the live one has no mark yet.
    """

    object: Object
    live: LiveObject | None
    was: str
    adopted: bool = False


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a target, sorted by whose it is.

    `pairs` are in the order of the desired state; `orphans` are owned but no longer declared; `foreign` are without
    a mark of this repository. `names` gives the target's instance name by the YAML name; `left` are the instances
    (by YAML name) that are no longer declared, `settings_left` those whose Settings are not declared; `settings` is
    what is set for an instance's bots, as declared, else as it is live.
    """

    pairs: tuple[Pair, ...]
    orphans: tuple[tuple[Ref, LiveObject], ...]
    foreign: tuple[LiveObject, ...]
    names: Mapping[str, str]
    left: Mapping[str, LiveObject]
    settings_left: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]
    faults: tuple[Refusal, ...]
    strangers: int


def instance_names(desired: Desired) -> dict[str, str]:
    """The target's own name of each declared instance, by its YAML name."""
    names = {o.ref.instance: o.ref.instance for o in desired.objects if o.ref.kind != "Conversation"}
    names.update((o.ref.instance, o.spec["instanceName"]) for o in desired.objects if o.ref.kind == "Instance")
    return names


def undeclared_marks(desired: Desired, live: Live) -> dict[str, tuple[str, ...]]:
    """Marked commits of each live instance that is not declared, by the target's instance name.

    Such an instance is still the repository's own if one of these commits declared it; who can read git says which.
    """
    declared = set(instance_names(desired).values())
    found: dict[str, set[str]] = {}
    for one in live.objects:
        if one.mark is not None and one.mark.source == desired.source and one.instance not in declared:
            found.setdefault(one.instance, set()).add(one.mark.commit)
    return {name: tuple(sorted(commits)) for name, commits in sorted(found.items())}


def own(desired: Desired, live: Live, former: Mapping[str, str], adopting: Mapping[Ref, str] = _NOTHING) -> Owned:
    """Sorts a target's objects by whose they are.

    `former` gives the YAML name of live instances that are no longer declared but were (by the target's name).
    `adopting` gives the id of the live object that a declared one takes over, besides what `metadata.adopts` says.
    """
    names = instance_names(desired)
    yaml_names = {**former, **{target: name for name, target in names.items()}}
    found: dict[Ref, list[LiveObject]] = {}
    foreign: list[LiveObject] = []
    single: dict[tuple[str, str], LiveObject] = {}
    strangers = 0
    for one in live.objects:
        instance = yaml_names.get(one.instance)
        if instance is None:
            strangers += one.kind == "Instance"
        elif one.kind not in MARKED:
            single[one.kind, instance] = one
        elif one.mark is None or one.mark.source != desired.source:
            foreign.append(one)
        else:
            found.setdefault(Ref(one.kind, instance, one.mark.name), []).append(one)

    unmarked = {(one.kind, yaml_names[one.instance], one.id): one for one in foreign}
    pairs = _pair(desired, found, single, unmarked, adopting)
    taken = {Ref(pair.object.ref.kind, pair.object.ref.instance, pair.was) for pair in pairs}
    adopted = {id(pair.live) for pair in pairs if pair.adopted}
    foreign = [one for one in foreign if id(one) not in adopted]
    with_settings = {o.ref.instance for o in desired.objects if o.ref.kind == "Settings"}
    return Owned(
        pairs=pairs,
        orphans=tuple(sorted(_left(found, taken), key=lambda orphan: orphan[0])),
        foreign=tuple(sorted(foreign, key=lambda one: (one.instance, one.kind, one.label, one.id))),
        names={**{name: target for target, name in former.items()}, **names},
        left={i: one for (kind, i), one in sorted(single.items()) if kind == "Instance" and i not in names},
        settings_left=tuple(
            one.instance for (kind, i), one in sorted(single.items()) if kind == "Settings" and i not in with_settings
        ),
        settings={
            **{instance: one.spec for (kind, instance), one in single.items() if kind == "Settings"},
            **{o.ref.instance: o.spec for o in desired.objects if o.ref.kind == "Settings"},
        },
        faults=(
            *(_doubled(ref, lives) for ref, lives in sorted(one for one in found.items() if len(one[1]) > 1)),
            *_others(pairs, unmarked),
        ),
        strangers=strangers,
    )


def _left(found: Mapping[Ref, list[LiveObject]], taken: Set[Ref]) -> Iterator[tuple[Ref, LiveObject]]:
    """The live objects that no declared one is paired with."""
    for ref, lives in found.items():
        if ref not in taken:
            yield from ((ref, one) for one in lives)


def _pair(
    desired: Desired,
    found: Mapping[Ref, list[LiveObject]],
    single: Mapping[tuple[str, str], LiveObject],
    unmarked: Mapping[tuple[Kind, str, str], LiveObject],
    adopting: Mapping[Ref, str],
) -> tuple[Pair, ...]:
    declared = {one.ref for one in desired.objects}
    by_id = {(ref.kind, ref.instance, one.id): ref for ref, lives in found.items() for one in lives}
    claimed: set[Ref] = set()
    pairs = []
    for one in desired.objects:
        ref = one.ref
        if ref.kind == "Conversation":
            continue
        if ref.kind not in MARKED:
            pairs.append(Pair(one, single.get((ref.kind, ref.instance)), ref.name))
            continue
        key = (ref.kind, ref.instance, adopting.get(ref) or one.adopts or "")
        # Who renames what was adopted keeps it too: its id says what is meant.
        before = Ref(ref.kind, ref.instance, one.formerly) if one.formerly else by_id.get(key, ref)
        if ref in found:
            pairs.append(Pair(one, found[ref][0], ref.name))
        elif before in found and before not in declared and before not in claimed:
            claimed.add(before)
            pairs.append(Pair(one, found[before][0], before.name))
        elif (other := unmarked.get(key)) is not None and other.mark is None:
            pairs.append(Pair(one, other, ref.name, adopted=True))
        else:
            pairs.append(Pair(one, None, ref.name))
    return tuple(pairs)


def _others(pairs: tuple[Pair, ...], unmarked: Mapping[tuple[Kind, str, str], LiveObject]) -> Iterator[Refusal]:
    """What was to be adopted, but is somebody's."""
    for pair in pairs:
        ref = pair.object.ref
        other = unmarked.get((ref.kind, ref.instance, pair.object.adopts or ""))
        if pair.live is None and other is not None:
            yield Refusal(
                reason=f"{ref} adopts {other.label!r} (id {other.id}), which carries the mark {other.mark}",
                remedy="take `adopts` out; whoever that repository belongs to gives it up by removing it there",
            )


def _doubled(ref: Ref, lives: list[LiveObject]) -> Refusal:
    shown = " and ".join(f"{one.label!r} (id {one.id})" for one in lives)
    return Refusal(
        reason=f"{len(lives)} objects of {lives[0].instance} carry the mark of {ref}: {shown}",
        remedy="one of them is a copy: delete it, or take the mark [gitops …] out of its description",
    )
