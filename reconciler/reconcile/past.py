"""What earlier commits declared: the last-applied side of a plan, read from git only for objects that differ.

Before it `plan.diff.questions` names objects and the commits of their marks; after it `plan.diff.diff` tells pending
changes from drift.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse, Unavailable
from reconciler.model import Object, Target
from reconciler.plan.diff import Before, Question
from reconciler.plan.own import instance_names
from reconciler.plan.profile import profile_of

_COMMITS: Final = 200  # earlier commits read for one plan at the most; each costs a tree and its changed files
_STEPS_BACK: Final = 20  # changes of one file looked through for the last declaration of what is to be deleted

# An earlier commit's objects by kind, the target's instance name and name; YAML names of instances by the target's.
Declared = tuple[Mapping[tuple[str, str, str], Object], Mapping[str, str]]


class Past:
    """Earlier commits of a repository as desired states of one target."""

    def __init__(self, repository: Repository, target: Target, cache: Path | None) -> None:
        self._repository = repository
        self._target = target
        self._cache = cache
        self._read: dict[str, Declared | None] = {}
        self._full = lru_cache(maxsize=None)(repository.expand)

    def instances(self, marks: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        """YAML names of live instances that are not declared any more, by the target's name of them.

        `marks` gives each one's marked commits; one that none of them declared was never this repository's.
        """
        found = {}
        for instance_name, commits in marks.items():
            for commit in commits:
                declared = self._declared(self._full(commit))
                if declared is not None and instance_name in declared[1]:
                    found[instance_name] = declared[1][instance_name]
                    break
        return found

    def objects(self, asked: Collection[Question], former: Mapping[str, str], commit: str | None) -> Before:
        """How each object asked for was last applied. `commit` is the desired one: what it no longer declares was
        last declared somewhere between the mark and it."""
        found = {}
        for question in asked:
            last = self._newest(question.commits)
            declared = self._declared(last)
            if declared is None or last is None:
                continue
            kind = question.ref.kind
            name = "" if kind in ("Instance", "Settings") else question.was
            one = declared[0].get((kind, question.instance_name, name))
            if one is not None:
                if one.protect and commit is not None:
                    one = self._last_declared(one, last, commit, question.instance_name)
                found[question.ref] = one
        return Before(instances=former, objects=found)

    def _newest(self, commits: tuple[str, ...]) -> str | None:
        """The newest of some commits, as far as this clone has them."""
        known = [full for short in commits if (full := self._full(short)) is not None]
        return self._repository.newest(known) if len(known) > 1 else next(iter(known), None)

    def _last_declared(self, one: Object, last: str, commit: str, instance_name: str) -> Object:
        """A protected object as it was before it was removed: a commit may have lifted the protection in between,
        which changes nothing on the target and so leaves the mark as it was."""
        key = (one.ref.kind, instance_name, one.ref.name)
        for later in self._repository.before_changes(one.at.path, last, commit, _STEPS_BACK):
            declared = self._declared(later)
            if declared is not None and key in declared[0]:
                return msgspec.structs.replace(one, protect=declared[0][key].protect)
        return one

    def _declared(self, commit: str | None) -> Declared | None:
        """What a commit declared; None where it is not to be had or was no valid state."""
        if commit is None:
            return None
        if commit not in self._read:
            self._read[commit] = self._look(commit) if len(self._read) < _COMMITS else None
        return self._read[commit]

    def _look(self, commit: str) -> Declared | None:
        try:
            config = read_config(self._repository, commit)
            try:
                target = target_of(config, self._target.name)
            except Misuse:
                target = self._target  # it was added later
            found = read_desired(self._repository, commit, config, target, self._cache)
        except (InvalidBots, Misuse, Unavailable):
            return None
        desired = profile_of(self._target.type).lower(found, None).desired
        names = instance_names(desired)
        objects: dict[tuple[str, str, str], Object] = {
            (
                one.ref.kind,
                names[one.ref.instance],
                "" if one.ref.kind in ("Instance", "Settings") else one.ref.name,
            ): one
            for one in desired.objects
            if one.ref.kind != "Conversation"
        }
        return objects, {target_name: name for name, target_name in names.items()}
