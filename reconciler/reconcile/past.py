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

from reconciler.desired.again import Again
from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse, Unavailable
from reconciler.model import Config, Desired, Kind, Object, Target
from reconciler.plan.diff import Before, Question
from reconciler.plan.own import instance_names
from reconciler.plan.profiles import profile_of

_COMMITS: Final = 200  # earlier commits read for one plan at the most; each costs a tree and its changed files
_STEPS_BACK: Final = 20  # changes of one file looked through for the last declaration of what is to be deleted

Key = tuple[str, str, str]  # kind, the target's instance name, name
# An earlier commit's objects; YAML names of instances by the target's.
Declared = tuple[Mapping[Key, Object], Mapping[str, str]]


class Past:
    """Earlier commits of a repository as desired states of one target."""

    def __init__(self, repository: Repository, target: Target, cache: Path | None, again: Again | None = None) -> None:
        self._repository = repository
        self._target = target
        self._cache = cache
        self._again = again
        self._read: dict[str, Declared | None] = {}
        self._parts: dict[str, Mapping[Key, Object]] = {}
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
        found, never = {}, set()
        instances = frozenset(question.ref.instance for question in asked)
        for question in asked:
            last = self._newest(question.commits)
            kind = question.ref.kind
            was = question.was.partition("~")[0]  # a row that another replaced is called by its name, `~` and its id
            key = (kind, question.instance_name, "" if kind in ("Instance", "Settings") else was)
            one = self._at(last, key, instances)
            if one is not None and last is not None:
                if one.protect and commit is not None:
                    one = self._last_declared(one, last, commit, key, instances)
                found[question.ref] = one
            elif last is not None and self._declared(last) is not None and self._all_declared(kind):
                never.add(question.ref)
        return Before(instances=former, objects=found, never=frozenset(never))

    def _all_declared(self, kind: Kind) -> bool:
        """Whether what carries a mark was declared: on an Evolution API server rows of credentials stand in for some,
        and which depends on what was live."""
        return kind == "Bot" or self._target.type == "runtime"

    def _newest(self, commits: tuple[str, ...]) -> str | None:
        """The newest of some commits, as far as this clone has them."""
        known = [full for short in commits if (full := self._full(short)) is not None]
        return self._repository.newest(known) if len(known) > 1 else next(iter(known), None)

    def _last_declared(self, one: Object, last: str, commit: str, key: Key, instances: frozenset[str]) -> Object:
        """A protected object as it was before it was removed: a commit may have lifted the protection in between,
        which changes nothing on the target and so leaves the mark as it was."""
        for later in self._repository.before_changes(one.at.path, last, commit, _STEPS_BACK):
            if (then := self._at(later, key, instances)) is not None:
                return msgspec.structs.replace(one, protect=then.protect)
        return one

    def _at(self, commit: str | None, key: Key, instances: frozenset[str]) -> Object | None:
        """An object as a commit declared it: looked for in `instances`, by their names now, then in the whole."""
        if commit is None:
            return None
        if commit not in self._parts:
            self._parts[commit] = self._part(commit, instances)
        if (one := self._parts[commit].get(key)) is not None:
            return one
        declared = self._declared(commit)
        return declared[0].get(key) if declared else None

    def _part(self, commit: str, instances: frozenset[str]) -> Mapping[Key, Object]:
        """What a commit declared in some instances, where that can be told without reading all of it."""
        if self._again is None:
            return {}
        try:
            found = self._again.part(commit, *self._made(commit), instances)
        except (InvalidBots, Misuse, Unavailable):
            return {}
        return _by_key(Desired(commit=commit, source="", objects=found or ()))

    def _declared(self, commit: str | None) -> Declared | None:
        """What a commit declared; None where it is not to be had or was no valid state."""
        if commit is None:
            return None
        if commit not in self._read:
            self._read[commit] = self._look(commit) if len(self._read) < _COMMITS else None
        return self._read[commit]

    def _look(self, commit: str) -> Declared | None:
        try:
            found = read_desired(self._repository, commit, *self._made(commit), self._cache)
        except (InvalidBots, Misuse, Unavailable):
            return None
        desired = profile_of(self._target.type).lower(found, None).desired
        return _by_key(desired), {target_name: name for name, target_name in instance_names(desired).items()}

    def _made(self, commit: str) -> tuple[Config, Target]:
        """The configuration of a commit, and the target in it."""
        config = read_config(self._repository, commit)
        try:
            return config, target_of(config, self._target.name)
        except Misuse:
            return config, self._target  # it was added later


def _by_key(desired: Desired) -> dict[Key, Object]:
    names = instance_names(desired)
    return {
        (one.ref.kind, names[one.ref.instance], "" if one.ref.kind in ("Instance", "Settings") else one.ref.name): one
        for one in desired.objects
        if one.ref.kind != "Conversation"
    }
