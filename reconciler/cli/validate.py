"""`validate`: every problem of the bots' files at once."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, put_json, say, show_problem
from reconciler.cli.progress import Progress
from reconciler.errors import InvalidBots, Misuse, Problem

if TYPE_CHECKING:
    from reconciler.desired.git import Repository
    from reconciler.model import Config, Desired


class Report(StrEnum):
    """Text for people, JSON for programs, annotations for GitHub's pull requests."""

    text = "text"
    json = "json"
    github = "github"


def validate(
    path: Annotated[
        Path | None, typer.Argument(help="A folder or file: its repository is read, its own problems are shown.")
    ] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Read this commit, branch or tag in place of the working tree.")
    ] = None,
    format_: Annotated[Report, typer.Option("--format", help="How to print problems.")] = Report.text,
) -> None:
    """Check all YAML files: schemas, the rules between files, and each target's overlay. Every problem at once.

    Reads the working tree as it is saved, committed or not, and needs no key and no server; keys that are not set here
    are a warning.

    Examples:

        reconciler validate
        reconciler validate bots/bistro
        reconciler validate --ref main --format json
        reconciler validate --format github
    """
    from reconciler.desired.check import read_targets
    from reconciler.desired.config import empty_overlays, read_config
    from reconciler.desired.git import Repository
    from reconciler.desired.secrets import keys_not_here
    from reconciler.model import Config

    if path is not None and not path.exists():
        raise Misuse(f"{path} is not there")
    repository = context.repository if path is None else Repository.discover(path)
    commit = None if ref is None else repository.resolve(ref)
    desired: Desired | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    try:
        config = read_config(repository, commit)
    except InvalidBots as error:
        config, problems = Config(), error.problems  # the bots' own problems are shown all the same
    try:
        with Progress("reading the files"):
            read = read_targets(repository, commit, config, config.targets, documents_cache(repository))
        problems += _of_targets(config, read)
        if not problems:
            desired = next(iter(read.values()))
            warnings = tuple(dict.fromkeys(warning for one in read.values() for warning in one.warnings))
            warnings += empty_overlays(repository, commit, config)
            if format_ is not Report.github:  # a pull request's job has no keys
                variables = context.environment.variables
                absent = (keys_not_here(one, variables, repository.root) for one in read.values())
                warnings += tuple(dict.fromkeys(chain.from_iterable(absent)))
    except InvalidBots as error:
        problems += error.problems
    below = "" if path is None else path.resolve().relative_to(repository.root.resolve()).as_posix()
    problems, warnings = _within(problems, below), _within(warnings, below)
    match format_:
        case Report.json:
            put_json(_json(desired, commit, problems, warnings))
        case Report.github:
            for kind, found in (("error", problems), ("warning", warnings)):
                for problem in found:
                    put(_annotation(kind, problem))
        case Report.text:
            _show(desired, problems, warnings)
    if problems:
        raise typer.Exit(1)


def _of_targets(config: Config, read: Mapping[str, Desired]) -> tuple[Problem, ...]:
    """What targets would refuse by rules of their own, as far as the files alone show it."""
    from reconciler.plan.profiles import profile_of

    others = (target for target in config.targets if target.type != "runtime")
    found = (problem for one in others for problem in profile_of(one.type).lower(read[one.name], None).problems)
    return tuple(dict.fromkeys(found))


def documents_cache(repository: Repository) -> Path | None:
    """The file of documents parsed before, in the repository's data folder; None where none can be kept."""
    from reconciler.settings import DataFolder

    chosen = context.environment.data
    if chosen is None and repository.bare:
        return None
    try:
        return DataFolder(chosen or repository.root / ".reconciler").make().documents
    except Misuse:
        return None  # a read-only checkout is validated all the same


def _within(problems: tuple[Problem, ...], below: str) -> tuple[Problem, ...]:
    if below in ("", "."):
        return problems
    return tuple(one for one in problems if one.path == below or one.path.startswith(f"{below}/"))


def _counts(desired: Desired) -> dict[str, int]:
    kinds = [object_.ref.kind for object_ in desired.objects]
    return {"bots": kinds.count("Bot"), "instances": kinds.count("Instance")}


def _show(desired: Desired | None, problems: tuple[Problem, ...], warnings: tuple[Problem, ...]) -> None:
    for problem in problems:
        show_problem(problem)
    for warning in warnings:
        show_problem(msgspec.structs.replace(warning, message=f"warning: {warning.message}"))
    if problems:
        say(_plural(len(problems), "problem"))
    elif desired is None:
        put("no problems here, but elsewhere in the repository: run `reconciler validate` without a path")
    else:
        counts = _counts(desired)
        ended = f", {_plural(len(warnings), 'warning')}" if warnings else ""
        bots, instances = _plural(counts["bots"], "bot"), _plural(counts["instances"], "instance")
        put(f"{bots}, {instances}: no problems{ended}")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _json(
    desired: Desired | None, commit: str | None, problems: tuple[Problem, ...], warnings: tuple[Problem, ...]
) -> dict[str, object]:
    return {
        "commit": commit,
        "valid": not problems,
        **(_counts(desired) if desired is not None else {}),
        "problems": [msgspec.structs.asdict(problem) for problem in problems],
        "warnings": [msgspec.structs.asdict(warning) for warning in warnings],
    }


def _annotation(kind: str, problem: Problem) -> str:
    """A workflow command of GitHub Actions: docs.github.com, "Workflow commands for GitHub Actions"."""
    fields = {"file": problem.path, "line": problem.line, "col": problem.column, "title": problem.pointer}
    said = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in fields.items() if value)
    message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    return f"::{kind} {said}::{_escaped(message, '')}"


def _escaped(text: str, more: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{more}" else c for c in text)
