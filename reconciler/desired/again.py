"""One target's desired state, read commit after commit: only the instances whose files have changed are read again.

Before it the loop, which stays; after it the same steps as `check`, on part of the files. Rules between objects stay
within an instance, but for the names and numbers of instances, which are looked at as a whole. Where anything is wrong
the whole is read, so that problems are those of a first reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from reconciler.desired.assemble import Draft, identified
from reconciler.desired.cache import Cache
from reconciler.desired.check import desired_of, drafts_of, finish, no_collecting, paths_of, texts_named
from reconciler.desired.common import layers
from reconciler.desired.documents import Documents
from reconciler.desired.files import Files, files_of
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Problem
from reconciler.model import Config, Desired, Object, Target

_MANY: Final = 1000  # changed files from which on the whole is read, with the cache that knows some of them

Role = Literal["base", "over"]
File = tuple[Role, str]  # as what a YAML file is read, and its path
_ORDER: Final = {"Instance": 0, "Credentials": 1, "Assistant": 2, "Settings": 3, "Bot": 4, "Conversation": 5}


class _Part(NamedTuple):
    """What an instance (by its YAML name) came to, and the texts that it names, by path, with their blobs."""

    objects: tuple[Object, ...]
    said: tuple[Problem, ...]
    texts: Mapping[str, str | None]


class _Known(NamedTuple):
    """A reading: how it was made, each YAML file's blob and the instances that it speaks of, each instance's part."""

    made: Any
    blobs: Mapping[File, str]
    speaks: Mapping[File, frozenset[str]]
    parts: Mapping[str, _Part]


class Again:
    """Readings of one target from one repository; `cache` is the file of documents that any reading shares."""

    def __init__(self, repository: Repository, cache: Path | None) -> None:
        self._repository = repository
        self._cache = cache
        self._known: _Known | None = None

    def read(self, commit: str, config: Config, target: Target) -> Desired:
        """What `check.read_desired` gives and raises, without warnings of how files are written."""
        files = files_of(self._repository, commit)
        with no_collecting():
            known = self._changed(files, config, target, None) or self._whole(files, config, target)
            parts = known.parts.values()
            objects = sorted((one for part in parts for one in part.objects), key=_place)
        self._known = known
        said = (problem for part in parts for problem in part.said)
        return desired_of(commit, config, tuple(objects), said, nothing=not known.blobs)

    def part(
        self, commit: str, config: Config, target: Target, instances: Collection[str]
    ) -> tuple[Object, ...] | None:
        """What another commit declared in some instances (by their YAML names), judged by themselves; None where the
        commit is too different from the last reading, or no sound state."""
        files = files_of(self._repository, commit)
        with no_collecting():
            known = self._changed(files, config, target, frozenset(instances))
        if known is None:
            return None
        return tuple(one for name in sorted(instances) if name in known.parts for one in known.parts[name].objects)

    def _whole(self, files: Files, config: Config, target: Target) -> _Known:
        cache = Cache(self._cache)
        documents = Documents(files, cache)
        base, over = paths_of(files, config, target)
        drafts = drafts_of(documents, config, target, base, over)
        try:
            parts = _parts(documents, drafts, target)
        finally:
            cache.save()
        speaks: dict[File, set[str]] = {file: set() for file in _files(base, over)}
        for draft in drafts:
            for layer in draft.layers:
                for role in ("base", "over"):
                    if (role, layer.path) in speaks:
                        speaks[role, layer.path].add(draft.ref.instance)
        frozen = {file: frozenset(names) for file, names in speaks.items()}
        return _Known(_made(config, target), _blobs(files, base, over), frozen, parts)

    def _changed(self, files: Files, config: Config, target: Target, only: frozenset[str] | None) -> _Known | None:
        """The last reading with what is another in these files; None where the whole must be read.

        `only`: the parts of these instances alone, whatever else has changed.
        """
        last = self._known
        if last is None or last.made != _made(config, target):
            return None
        base, over = paths_of(files, config, target)
        if any(layers(base, config.path)[1:]):  # a document there is a part of many instances
            return None
        blobs = _blobs(files, base, over)
        changed = [file for file in _files(base, over) if file not in blobs or last.blobs.get(file) != blobs[file]]
        if len(changed) > _MANY or len(blobs) < len(base) + len(over):
            return None
        speaks = {file: names for file, names in last.speaks.items() if file in blobs}
        speaks |= dict.fromkeys(changed, frozenset[str]())
        documents = Documents(files, Cache(None))
        for role, folder in (("base", config.path), ("over", target.overlay or config.path)):
            paths = [path for of, path in changed if of == role]
            found = identified(documents, documents.load(paths, patches=role == "over"), folder)
            for draft in found.values():
                file: File = (role, draft.layers[0].path)  # type: ignore[assignment]
                speaks[file] |= {draft.ref.instance}
        if documents.problems:
            return None
        if only is None:
            names = {name for file in changed for name in (*last.speaks.get(file, ()), *speaks[file])}
            names |= {name for file, of in last.speaks.items() if file not in blobs for name in of}
            names |= _other_texts(files, last.parts)
        else:
            names = set(only)
        documents = Documents(files, Cache(None))
        mine = [file for file in _files(base, over) if not names.isdisjoint(speaks[file])]
        drafts = drafts_of(documents, config, target, _of("base", mine), _of("over", mine))
        try:
            fresh = _parts(documents, [draft for draft in drafts if draft.ref.instance in names], target)
        except InvalidBots:
            return None
        kept = {name: part for name, part in last.parts.items() if name not in names}
        parts = fresh if only is not None else {**kept, **fresh}
        if only is None and not _distinct(parts):
            return None
        return _Known(last.made, blobs, speaks, parts)


def _place(one: Object) -> tuple[int, str, str]:
    return _ORDER[one.ref.kind], one.ref.instance, one.ref.name


def _parts(documents: Documents, drafts: list[Draft], target: Target) -> dict[str, _Part]:
    """The parts of the instances that some objects belong to. Raises InvalidBots."""
    objects, said = finish(documents, drafts, target.type)
    paths: dict[str, dict[str, None]] = {}
    found: dict[str, list[Object]] = {}
    for draft, one in zip(drafts, objects, strict=True):
        found.setdefault(one.ref.instance, []).append(one)
        paths.setdefault(one.ref.instance, {}).update(dict.fromkeys(texts_named(draft, documents.source)))
    warned: dict[str, list[Problem]] = {}
    for draft, problem in said:
        warned.setdefault(draft.ref.instance, []).append(problem)
    ids = documents.files.ids([path for named in paths.values() for path in named])[0]
    return {
        name: _Part(tuple(own), tuple(warned.get(name, ())), {path: ids.get(path) for path in paths[name]})
        for name, own in found.items()
    }


def _other_texts(files: Files, parts: Mapping[str, _Part]) -> set[str]:
    """The instances that name a text which is another by now."""
    ids = files.ids({path for part in parts.values() for path in part.texts})[0]
    return {name for name, part in parts.items() if any(ids.get(path) != blob for path, blob in part.texts.items())}


def _distinct(parts: Mapping[str, _Part]) -> bool:
    """Whether no two instances share a name on the target, or a number."""
    own = [one.spec for part in parts.values() for one in part.objects if one.ref.kind == "Instance"]
    names = [spec["instanceName"] for spec in own]
    numbers = [spec["number"] for spec in own if spec["number"] is not None]
    return len(names) == len(set(names)) and len(numbers) == len(set(numbers))


def _made(config: Config, target: Target) -> Any:
    """What of the configuration decides which files are read, and as what."""
    return config.path, config.name, tuple(one.overlay for one in config.targets), target.overlay, target.type


def _files(base: Iterable[str], over: Iterable[str]) -> list[File]:
    return [*(("base", path) for path in base), *(("over", path) for path in over)]


def _blobs(files: Files, base: list[str], over: list[str]) -> dict[File, str]:
    ids = files.ids([*base, *over])[0]
    return {file: ids[file[1]] for file in _files(base, over) if file[1] in ids}


def _of(role: Role, files: Iterable[File]) -> list[str]:
    return [path for of, path in files if of == role]
