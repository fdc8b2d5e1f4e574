"""Reading commit after commit gives what a first reading of each gives: the same state, or the same problems."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired import again as module
from reconciler.desired import check, config
from reconciler.desired.again import Again
from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config
from reconciler.desired.files import Lack, MoreFiles
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots
from reconciler.model import Config, Desired, Target
from tests.conftest import Repo, many

HEAD = "apiVersion: reconciler/v1\n"
CONFIG = HEAD + "kind: Config\nsource: {path: bots}\ntargets:\n  local: {type: runtime, overlay: over/local}\n"
INSTANCES = ("bistro", "clinic", "docs")


def at(repo: Repo) -> tuple[Repository, str, Config, Target]:
    repository = Repository.discover(repo.root)
    commit = repository.resolve("HEAD")
    config = read_config(repository, commit)
    return repository, commit, config, config.targets[0]


def first(repo: Repo) -> Desired | tuple[Any, ...]:
    repository, commit, config, target = at(repo)
    try:
        return read_desired(repository, commit, config, target, None)
    except InvalidBots as error:
        return error.problems


def again(repo: Repo, reading: Again) -> Desired | tuple[Any, ...]:
    _, commit, config, target = at(repo)
    try:
        return reading.read(commit, config, target)
    except InvalidBots as error:
        return error.problems


def bot(name: str, text: str = "Be kind.", more: str = "", meta: str = "") -> str:
    return (
        f"kind: Bot\nmetadata: {{name: {name}{meta}}}\nspec:\n  credentials: main\n  botType: chatCompletion\n"
        f"  model: gpt-4o\n  maxTokens: 5\n  triggerType: none\n  systemMessages: [{text}]\n{more}"
    )


def start() -> dict[str, str | None]:
    found: dict[str, str | None] = {
        "reconciler.yaml": CONFIG,
        "over/local/bistro/x.yaml": HEAD + "kind: Bot\nmetadata: {name: b1}\nspec: {maxTokens: 9}\n",
    }
    for name in INSTANCES:
        found[f"bots/{name}/i.yaml"] = (
            HEAD + f"kind: Instance\nmetadata: {{name: {name}}}\nspec: {{}}\n---\n"
            "kind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {env: KEY}}\n"
        )
        found[f"bots/{name}/b1.yaml"] = HEAD + bot("b1", "{file: p.md}")
        found[f"bots/{name}/p.md"] = "a prompt\n"
    return found


def edits(draw: random.Random) -> dict[str, str | None]:
    """Some files with another content, or gone; some of it nonsense."""
    found: dict[str, str | None] = {}
    for _ in range(draw.randint(1, 3)):
        name, number = draw.choice(INSTANCES), draw.randint(1, 3)
        other = draw.choice(INSTANCES)
        path = f"bots/{name}/b{number}.yaml"
        word = draw.choice(["one", "two", "three"])
        match draw.randint(0, 11):
            case 0 | 1:
                found[f"bots/{name}/p.md"] = f"{word}\n"
            case 2 | 3:
                found[path] = HEAD + bot(f"b{number}", word)
            case 4:
                found[path] = None
            case 5:  # a file that speaks of another folder's instance too
                elsewhere = bot("guest", word, meta=f", instance: {other}")
                found[path] = HEAD + bot(f"b{number}", word) + "---\n" + elsewhere
            case 6:
                found[f"bots/{name}/s.yaml"] = (
                    HEAD
                    + f"kind: Settings\nmetadata: {{name: s}}\nspec: {{credentials: main, keywordFinish: {word}}}\n"
                )
            case 7:  # taken by whoever has it already
                there = draw.choice([name, other])
                found[f"bots/{name}/i.yaml"] = (
                    HEAD + f"kind: Instance\nmetadata: {{name: {name}}}\nspec: {{instanceName: {there}}}\n---\n"
                    "kind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {env: KEY}}\n"
                )
            case 8:
                found[path] = draw.choice([HEAD + "kind: [", HEAD + bot("b9", "{file: missing.md}"), "nothing"])
            case 9:
                found["over/local/clinic/y.yaml"] = draw.choice(
                    [None, HEAD + f"kind: Bot\nmetadata: {{name: b1}}\nspec: {{keywordFinish: {word}}}\n"]
                )
            case 10:  # a warning
                found[path] = HEAD + bot(f"b{number}", word, "  keepOpen: true\n").replace(
                    "triggerType: none", "triggerType: all"
                )
            case _:
                found[f"bots/{name}/moved/b{number}.yaml"] = draw.choice([None, HEAD + bot(f"b{number}", word)])
    return found


class Nothing:
    """A repository without a file."""

    commit: str | None = None

    def below(self, folder: str) -> list[str]:
        return []

    def ids(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, Lack]]:
        return {}, dict.fromkeys(paths, "absent")

    def read(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, Lack]]:
        return {}, dict.fromkeys(paths, "absent")


class States:
    """What many commits hold, without git: it would take all of the test's time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: dict[str, str] = {}
        self.count = 0
        self._read: MoreFiles = MoreFiles(Nothing(), {})
        for each in (module, check, config):
            monkeypatch.setattr(each, "files_of", lambda *_: self._read)

    def commit(self, files: Mapping[str, str | None]) -> None:
        self.files = {path: text for path, text in {**self.files, **files}.items() if text is not None}
        self.count += 1
        self._read = MoreFiles(Nothing(), {path: text.encode() for path, text in self.files.items()})
        self._read.commit = f"{self.count:040}"

    def read(self, reading: Callable[[str, Config, Target], Desired]) -> Desired | tuple[Any, ...]:
        """A state, or the problems of it."""
        commit = f"{self.count:040}"
        settings = read_config(NO_GIT, commit)
        try:
            return reading(commit, settings, settings.targets[0])
        except InvalidBots as error:
            return error.problems


NO_GIT = Repository(Path("/nonexistent"), Path("/nonexistent"))


@pytest.mark.parametrize("seed", range(6))
def test_every_reading_is_as_if_it_were_the_first(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed == 3:
        monkeypatch.setattr(module, "_MANY", 1)
    states, again, draw = States(monkeypatch), Again(NO_GIT, None), random.Random(seed)

    def afresh(commit: str, config: Config, target: Target) -> Desired:
        return read_desired(NO_GIT, commit, config, target, None)

    states.commit(start())
    assert states.read(again.read) == states.read(afresh)
    sound = 0
    for _ in range(many(16)):
        states.commit(edits(draw))
        expected = states.read(afresh)
        assert states.read(again.read) == expected
        if isinstance(expected, tuple):  # mended, so that the next edits do not pile up on it
            states.commit({**dict.fromkeys(states.files), **start()})
            assert states.read(again.read) == states.read(afresh)
        else:
            sound += 1
    assert sound >= 3


def _commit(repo: Repo, files: dict[str, str | None]) -> None:
    for path, text in files.items():
        file = repo.root / path
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "--allow-empty", "--message", "edits")


def test_only_what_has_changed_is_resolved_again(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(start())
    reading = Again(Repository.discover(repo.root), None)
    before = again(repo, reading)
    looked: list[str] = []
    finish = module.finish

    def counting(documents: Any, drafts: Any, type: Any) -> Any:
        looked.extend(sorted({draft.ref.instance for draft in drafts}))
        return finish(documents, drafts, type)

    monkeypatch.setattr(module, "finish", counting)
    _commit(repo, {"bots/clinic/p.md": "another\n"})
    after = again(repo, reading)
    assert looked == ["clinic"]
    assert isinstance(before, Desired)
    assert isinstance(after, Desired)
    same = [a is b for a, b in zip(before.objects, after.objects, strict=True)]
    assert same == [one.ref.instance != "clinic" for one in after.objects]


def test_an_instance_of_an_earlier_commit_is_read_alone(repo: Repo) -> None:
    repo.commit(start())
    _, earlier, config, target = at(repo)
    _commit(repo, {"bots/clinic/p.md": "another\n", "bots/docs/b1.yaml": None})
    reading = Again(Repository.discover(repo.root), None)
    assert reading.part(earlier, config, target, {"clinic"}) is None  # there is nothing yet to tell the difference by
    _, commit, config, target = at(repo)
    now = reading.read(commit, config, target)
    then = read_desired(Repository.discover(repo.root), earlier, config, target, None)
    for names in ({"clinic"}, {"docs", "bistro"}, {"nosuch"}):
        part = reading.part(earlier, config, target, names)
        assert part is not None
        assert set(map(str, part)) == {str(one) for one in then.objects if one.ref.instance in names}
    other = module.Again(Repository.discover(repo.root), None)
    other._known = reading._known._replace(made=None) if reading._known else None
    assert other.part(earlier, config, target, {"clinic"}) is None
    assert reading.read(commit, config, target) == now


def test_without_any_file_nothing_is_declared(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"reconciler.yaml": CONFIG})
    reading = Again(Repository.discover(repo.root), tmp_path / "cache")
    for _ in range(2):
        found = again(repo, reading)
        assert isinstance(found, Desired)
        assert "holds no YAML files" in found.warnings[0].message
