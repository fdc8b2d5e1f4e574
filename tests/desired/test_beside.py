"""Many files parsed by two processes: the same as by one, whatever is in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reconciler.desired import beside
from reconciler.desired.check import read_desired
from reconciler.desired.documents import Documents
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Problem
from reconciler.model import Config, Desired, Target
from tests.conftest import Repo

TARGET = Target(name="local", overlay="over")
BOT = """\
apiVersion: reconciler/v1
kind: Bot
metadata: {{name: {name}}}
spec: {{botType: chatCompletion, credentials: main, model: gpt-4o, maxTokens: 5, systemMessages: [Zoë],
  triggerType: keyword, triggerOperator: equals, triggerValue: {name}}}
"""
PATCH = "apiVersion: reconciler/v1\nkind: Bot\nmetadata: {{name: {name}}}\nspec: {{maxTokens: 7}}\n"
KEY = """\
apiVersion: reconciler/v1
kind: Credentials
metadata: {name: main}
spec: {apiKey: {env: KEY}}
"""
FILES: dict[str, str | None] = {
    "bots/a/0.yaml": "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: a}\nspec: {}\n---\n" + KEY,
    **{f"bots/a/b{n}.yaml": BOT.format(name=f"b{n}") for n in range(8)},
    "bots/a/z.yaml": KEY.replace("main", "last"),
    **{f"over/a/b{n}.yaml": PATCH.format(name=f"b{n}") for n in range(8)},
}
WRONG: dict[str, str | None] = {
    "bots/a/b1.yaml": "kind: [\n",
    "bots/a/b6.yaml": BOT.format(name="b6") + "  surprise: 1\n",
    "bots/a/b7.yaml": BOT.format(name="b7").replace("gpt-4o", "gpt-9, gpt-8"),
    "bots/a/z.yaml": KEY + "# sk-proj-Ab12Cd34Ef56Gh78Ij90KlMn\n",
    "over/a/b7.yaml": "apiVersion: reconciler/v1\nkind: Nothing\n",
}


def reading(repo: Repo, cache: Path | None = None) -> Desired | tuple[Problem, ...]:
    repository = Repository.discover(repo.root)
    try:
        return read_desired(repository, repository.resolve("HEAD"), Config(targets=(TARGET,)), TARGET, cache)
    except InvalidBots as error:
        return error.problems


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that this process has parsed."""
    found: list[str] = []
    parse = Documents._parse

    def counted(self: Documents, path: str, content: bytes, patches: bool) -> object:
        found.append(path)
        return parse(self, path, content, patches)

    monkeypatch.setattr(Documents, "_parse", counted)
    monkeypatch.setattr(beside, "_cores", lambda: 2)
    return found


@pytest.mark.parametrize("more", [{}, WRONG], ids=["sound", "wrong"])
def test_two_processes_say_what_one_says(
    repo: Repo, tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch, more: dict[str, str | None]
) -> None:
    repo.commit(FILES | more)
    alone = reading(repo)
    assert isinstance(alone, Desired) is not bool(more)
    assert len(parsed) == len(FILES)
    monkeypatch.setattr(beside, "MANY", 4)
    parsed.clear()
    assert reading(repo, tmp_path / "cache") == alone
    assert len(parsed) == len(FILES) - 7 + (4 if more else 0)  # four of the seven are wrong: they are read again here
    if not more:
        parsed.clear()
        assert reading(repo, tmp_path / "cache") == alone
        assert parsed == []


@pytest.mark.parametrize("command", ["absent", "says nothing", "says nonsense"])
def test_what_the_second_process_does_not_bring_is_parsed_here(
    repo: Repo, tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    repo.commit(FILES)
    program = tmp_path / "python"
    if command != "absent":
        program.write_text(f"#!/bin/sh\n{'exit 0' if command == 'says nothing' else 'echo nonsense'}\n")
        program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(beside, "MANY", 4)
    assert isinstance(reading(repo), Desired)
    assert len(parsed) == len(FILES)


def test_nothing_of_the_folder_that_it_runs_in_is_run(
    repo: Repo, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = "raise SystemExit(open('sprung', 'w').write('x'))\n"
    repo.commit(FILES | {"reconciler/__init__.py": trap, "msgspec.py": trap})
    monkeypatch.chdir(repo.root)
    monkeypatch.setattr(beside, "MANY", 4)
    assert isinstance(reading(repo), Desired)
    assert len(parsed) == len(FILES) - 7
    assert not (repo.root / "sprung").exists()
