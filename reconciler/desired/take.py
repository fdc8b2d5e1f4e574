"""Live objects that nobody owns become files of the repository: from which instances, and which by name. PURE.

Before it come a target's listing and what the working tree declares; `taking` makes the documents of each instance;
after it the files are written, and `check` and `diff` say what they would do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from reconciler import shape
from reconciler.desired.taking import Into, Left, One, Taking
from reconciler.errors import Misuse
from reconciler.model import Desired, Live
from reconciler.plan.own import instance_names


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What importing makes: the contents of files by path, the objects in them, and those left out."""

    files: Mapping[str, str]
    objects: tuple[One, ...]
    left: tuple[Left, ...]


def take(desired: Desired, live: Live, into: Into, instance: str | None = None, bots: Collection[str] = ()) -> Taken:
    """The files for what nobody owns on a target: everything, one instance (YAML name or the target's), or some bots
    (ids, or descriptions) with what they need.

    Raises Misuse for an instance or bot that is not there, or not to be had.
    """
    names = {target: name for name, target in instance_names(desired).items()}
    found = [one.instance for one in live.objects if one.kind == "Instance"]
    wanted = [name for name in found if instance in (None, name, names.get(name))]
    if not wanted and instance is not None:
        raise Misuse(f"there is no instance '{instance}' on the target {shape.closest(instance, found)}".rstrip())
    objects: list[One] = []
    left: list[Left] = []
    files: dict[str, str] = {}
    used = set(names.values())
    for name in wanted:
        here = [one for one in live.objects if one.instance == name]
        if name not in names:
            others = sorted({f"{one.mark.source}:" if one.mark.source else "" for one in here if one.mark is not None})
            own = any(one.mark is not None and one.mark.source == desired.source for one in here)
            if own or (others and instance is None):
                reason = _belongs(own, others)
                if instance is not None:
                    raise Misuse(f"{name} {reason}")
                left.append(Left(kind="Instance", instance=name, label=name, id=here[0].id, reason=reason))
                continue
        taking = Taking(desired, here, name, names.get(name), used, into, files)
        taking.run(frozenset(bots))
        objects += taking.objects
        left += taking.left
    known = {one.id for one in objects} | {one.id for one in left} | _said(live, bots)
    if lost := set(bots) - known:
        raise Misuse(f"no bot that nobody owns is {' or '.join(sorted(lost))}: plan lists those there are")
    return Taken(files=files, objects=tuple(objects), left=tuple(left))


def _belongs(own: bool, others: list[str]) -> str:
    if own:
        return (
            "holds objects with marks of a repository that is named as this one: declare the instance where they come "
            "from, or give this repository a `source.name` of its own"
        )
    return f"holds objects of another repository ([gitops {others[0]}…]): name it with --instance to share it"


def _said(live: Live, bots: Collection[str]) -> set[str]:
    """Of the bots asked for those that are there by another name than their id."""
    return {one.label for one in live.objects if one.kind == "Bot" and one.mark is None and one.label in bots}
