"""`init`: files once, and a git repository whose top they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli.init import init
from reconciler.desired.git import Repository
from reconciler.errors import Misuse
from tests.conftest import Repo


def test_within_a_checkout_a_new_folder_becomes_a_repository_of_its_own(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repo.root)
    init(Path("my-bots"))
    assert Repository.discover(repo.root / "my-bots").root == repo.root / "my-bots"
    said = capsys.readouterr()
    assert "made a git repository in my-bots" in said.err
    assert "my-bots/reconciler.yaml" in said.out.splitlines()
    with pytest.raises(Misuse, match="is already there: nothing was written"):
        init(Path("my-bots"))


def test_the_top_of_a_repository_stays_one(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.root)
    init(Path("."))
    assert (repo.root / "reconciler.yaml").is_file()


def test_a_folder_that_is_another_repositorys_is_left_alone(repo: Repo) -> None:
    repo.write("docs/a.md", "mine")
    for folder in (repo.root / "docs", repo.root / ".git" / "objects"):
        with pytest.raises(Misuse, match="belongs to the git repository"):
            init(folder)
    assert [each.name for each in (repo.root / "docs").iterdir()] == ["a.md"]


def test_without_git_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Misuse, match="no git repository: install git"):
        init(tmp_path / "new")
