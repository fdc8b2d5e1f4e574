"""A commit as desired state, or every problem at once: the steps of this package in their order.

`files` → `documents` (YAML, schemas, one document's rules) → `assemble` (overlays) → `links` (rules between objects)
→ `resolve` (effective values).
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from reconciler.desired.assemble import Draft, assemble
from reconciler.desired.cache import Cache
from reconciler.desired.common import BASE, layers
from reconciler.desired.documents import Documents, text_path
from reconciler.desired.files import Files, MoreFiles, files_of
from reconciler.desired.git import Repository
from reconciler.desired.links import Links, clashes, missing, patterns, warnings
from reconciler.desired.placeholders import placeholders, said
from reconciler.desired.places import place_flaw
from reconciler.desired.resolve import resolve
from reconciler.desired.text import Flaw, line_and_column, lines
from reconciler.errors import InvalidBots, Problem
from reconciler.model import Config, Desired, Object, Target, TargetType
from reconciler.shape import Fault


def read_desired(
    repository: Repository, commit: str | None, config: Config, target: Target, cache: Path | None
) -> Desired:
    """What a commit (its full hash; None: the working tree) declares for a target.

    `cache` is the file of documents parsed before (None: without). Secrets stay names. Raises InvalidBots with every
    problem of every file, Misuse for the working tree of a bare repository, Unavailable where git fails.
    """
    found = read_targets(repository, commit, config, (target,), cache)
    return found[target.name]


def read_targets(
    repository: Repository, commit: str | None, config: Config, targets: tuple[Target, ...], cache: Path | None
) -> dict[str, Desired]:
    """`read_desired` for several targets, by their names; raises InvalidBots with the problems of all of them."""
    kept = Cache(cache)
    try:
        return _read_targets(repository, commit, config, targets, kept)
    finally:
        kept.save()


def _read_targets(
    repository: Repository, commit: str | None, config: Config, targets: tuple[Target, ...], kept: Cache
) -> dict[str, Desired]:
    with no_collecting():
        files = files_of(repository, commit)
        found: dict[str, Desired] = {}
        kinds: dict[tuple[str | None, TargetType], Desired] = {}
        problems: dict[Problem, None] = {}
        for target in targets:
            kind = (target.overlay, target.type)
            if kind not in kinds:
                try:
                    kinds[kind] = _read(files, config, target, kept)
                except InvalidBots as error:
                    problems.update(dict.fromkeys(error.problems))
                    continue
            found[target.name] = kinds[kind]
    if problems:
        raise InvalidBots(_ordered(problems))
    return found


def read_with(
    repository: Repository, config: Config, target: Target, more: Mapping[str, bytes], cache: Path | None
) -> Desired:
    """What the working tree would declare for a target with `more` files in it (contents by path). Raises as
    `read_desired`."""
    with no_collecting():
        return _read(MoreFiles(files_of(repository, None), more), config, target, Cache(cache))


def _read(files: Files, config: Config, target: Target, cache: Cache) -> Desired:
    documents = Documents(files, cache)
    base, over = paths_of(files, config, target)
    drafts = drafts_of(documents, config, target, base, over)
    objects, said = finish(documents, drafts, target.type)
    warned = (*documents.warnings, *(problem for _, problem in said))
    return desired_of(files.commit, config, objects, warned, nothing=not base and not over)


def paths_of(files: Files, config: Config, target: Target) -> tuple[list[str], list[str]]:
    """The YAML files that declare a target's objects: those of the base, and those of its overlay."""
    others = tuple(f"{target.overlay}/" for target in config.targets if target.overlay)
    base = [path for path in files.below(config.path) if not path.startswith(others) and path != "reconciler.yaml"]
    return base, files.below(target.overlay) if target.overlay else []


def drafts_of(
    documents: Documents, config: Config, target: Target, base: Iterable[str], over: Iterable[str]
) -> list[Draft]:
    """The objects that these files declare; what is wrong goes to the problems."""
    documents.source = config.path
    own, common, within = layers(base, config.path)
    return assemble(
        documents,
        documents.load(own),
        config.path,
        documents.load(over, patches=True),
        target.overlay or config.path,
        base=documents.load(common),
        within=documents.load(within, patches=True),
    )


def finish(
    documents: Documents, drafts: list[Draft], type: TargetType
) -> tuple[tuple[Object, ...], list[tuple[Draft, Problem]]]:
    """The objects with their effective values, and the warnings of each. Raises InvalidBots with every problem."""
    links = Links(drafts)
    found = [*clashes(links), *patterns(links, type), *(missing(links) if documents.complete else ())]
    documents.problems += [draft.problem(documents, fault) for draft, fault in found]
    texts = _texts(documents, drafts)
    if documents.problems:
        raise InvalidBots(_ordered(dict.fromkeys(_once(documents))))

    def text(draft: Draft, value: Any, where: tuple[str | int, ...]) -> str:
        return value if isinstance(value, str) else texts[draft.layer(*where, "file").path, value["file"]]

    objects = tuple(resolve(links, draft, text) for draft in drafts)
    warned = [(draft, draft.problem(documents, fault)) for draft, fault in warnings(links)]
    return objects, [*warned, *_unfilled(documents, drafts, texts)]


def _once(documents: Documents) -> Iterator[Problem]:
    """The problems, those of a document that many instances have once for all of them."""
    base = BASE if documents.source in ("", ".") else f"{documents.source}/{BASE}"
    seen: dict[tuple[object, ...], list[Problem]] = {}
    for problem in documents.problems:
        if problem.path.startswith(base):
            key = problem.path, problem.line, problem.column, problem.pointer, problem.hint
            seen.setdefault(key, []).append(problem)
        else:
            yield problem
    for first, *more in seen.values():
        others = len({one.message for one in more} - {first.message})
        said = f"{first.message} (and so in {others} more instances)" if others else first.message
        yield msgspec.structs.replace(first, message=said)


def _unfilled(
    documents: Documents, drafts: list[Draft], texts: Mapping[tuple[str, str], str]
) -> Iterator[tuple[Draft, Problem]]:
    """Placeholders in the objects' texts, at their place; those of a text file in the file, once."""
    seen: set[str] = set()
    for draft in drafts:
        for where, value in _free_texts(draft):
            if isinstance(value, str):
                for _, found in placeholders(value):
                    yield draft, draft.problem(documents, Fault(where, *said(found)))
                continue
            named = (draft.layer(*where, "file").path, str(value["file"]))
            path = text_path(*named, documents.source)
            if isinstance(path, Fault) or path in seen:
                continue
            seen.add(path)
            for offset, found in placeholders(texts[named]):
                place = line_and_column(texts[named], offset)
                yield draft, place_flaw(path, lines(texts[named]), Flaw(*place, *said(found)))


def _free_texts(draft: Draft) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The texts of an object that a model or a customer reads: the text itself, or `{file: …}`."""
    spec = draft.spec
    for field in ("instructions", "unknownMessage"):
        if spec.get(field):
            yield ("spec", field), spec[field]
    for field in ("systemMessages", "assistantMessages", "userMessages"):
        for number, value in enumerate(spec.get(field) or ()):
            yield ("spec", field, number), value


def desired_of(
    commit: str | None, config: Config, objects: tuple[Object, ...], said: Iterable[Problem], *, nothing: bool
) -> Desired:
    """A desired state of its objects and warnings; `nothing`: there is no YAML file at all."""
    warned = dict.fromkeys(said)
    if nothing:
        warned[Problem(path=config.path, message="holds no YAML files, so nothing is declared")] = None
    return Desired(commit=commit, source=config.name, objects=objects, warnings=_ordered(warned))


def texts_named(draft: Draft, source: str) -> Iterator[str]:
    """The paths of the text files that an object names; `source` is where `_shared/` lies."""
    for where, named in _named(draft):
        path = text_path(draft.layer(*where).path, named, source)
        if isinstance(path, str):
            yield path


def _texts(documents: Documents, drafts: list[Draft]) -> dict[tuple[str, str], str]:
    """The texts that objects name, by (YAML file, name as written); what is wrong goes to the problems."""
    wanted: dict[tuple[str, str], list[tuple[Draft, tuple[str | int, ...]]]] = {}
    for draft in drafts:
        for where, named in _named(draft):
            wanted.setdefault((draft.layer(*where).path, named), []).append((draft, where))
    paths = {key: text_path(*key, documents.source) for key in wanted}
    texts, wrong = documents.texts(dict.fromkeys(path for path in paths.values() if isinstance(path, str)))
    found: dict[tuple[str, str], str] = {}
    for key, path in paths.items():
        if isinstance(path, str) and path in texts:
            found[key] = texts[path]
            continue
        for draft, where in wanted[key]:
            if isinstance(path, Fault):
                fault = Fault(where, path.message, path.hint)
            else:
                commit = documents.files.commit
                committed = commit is not None and wrong[path] == "is not there"
                hint = f"looked for it in commit {commit[:8]}; is it committed?" if commit and committed else ""
                fault = Fault(where, f"the file {path} {wrong[path]}", hint)
            documents.problems.append(draft.problem(documents, fault))
    return found


def _named(draft: Draft) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where an object names text files, and how."""
    if draft.ref.kind == "Assistant":
        yield from _one(draft.spec.get("instructions"), ("spec", "instructions"))
    elif draft.ref.kind == "Bot":
        for field in ("systemMessages", "assistantMessages", "userMessages"):
            values = draft.spec.get(field)
            if isinstance(values, list):
                for number, value in enumerate(values):
                    yield from _one(value, ("spec", field, number))


def _one(value: Any, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict) and isinstance(value.get("file"), str) and value["file"]:
        yield (*where, "file"), value["file"]


def _ordered(problems: dict[Problem, None]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda one: (one.path, one.line, one.column, one.pointer, one.message)))


@contextmanager
def no_collecting() -> Iterator[None]:
    """Reading makes a hundred objects for each bot and no cycles: looking for garbage meanwhile doubles its time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
