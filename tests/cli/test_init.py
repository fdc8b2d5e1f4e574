"""`init`: files once, and a git repository whose top they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli.init import init
from reconciler.cli.starters import CI, ci_files
from reconciler.desired.git import Repository
from reconciler.errors import Misuse
from tests.commands import command
from tests.conftest import Repo

ROOT = Path(__file__).parents[2]


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


def test_the_example_is_the_fleet_of_the_readme(tmp_path: Path) -> None:
    done = command("init", "shop", "--example", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    shop = tmp_path / "shop"
    assert not (shop / "bots/hello").exists()
    own = {file.name for file in (ROOT / "bots").rglob("*.yaml")}
    assert {file.name for file in (shop / "bots").rglob("*.yaml")} == own
    for file in (shop / "bots").rglob("*.yaml"):  # each says to editors where its schema is
        named = file.read_text().partition("\n")[0].partition("$schema=")[2]
        assert (file.parent / named).is_file(), file
    checked = command("validate", folder=shop)
    assert "no problems" in checked.stdout.splitlines()[-1], checked.stdout
    assert command("test", "--model", "demo", folder=shop).returncode == 0


@pytest.mark.parametrize("forge", list(CI))
def test_the_jobs_of_a_forge_are_its_templates(forge: CI, tmp_path: Path) -> None:
    done = command("init", "bots", "--ci", forge.value, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    written = ci_files(forge)
    for name, text in written.items():
        assert (tmp_path / "bots" / name).read_text() == text
        assert f"bots/{name}" in done.stdout.splitlines()
    texts = {file.read_text() for file in (ROOT / "templates").rglob("*.yml")}
    assert [text for text in written.values() if text not in texts] == (
        ["include: {local: reconciler.gitlab-ci.yml}\n"] if forge is CI.gitlab else []
    )


def test_every_template_is_written_for_some_forge() -> None:
    written = {text for forge in CI for text in ci_files(forge).values()}
    assert {file.read_text() for file in (ROOT / "templates").rglob("*.yml")} <= written


def test_a_fleet_gets_the_jobs_and_nothing_else(tmp_path: Path) -> None:
    command("init", folder=tmp_path)
    (tmp_path / "AGENTS.md").write_text("mine")
    (tmp_path / "reconciler.yaml").write_text("# mine\n")
    before = {file: file.read_bytes() for file in files(tmp_path)}
    done = command("init", "--ci", "github", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(ci_files(CI.github))
    assert {file: file.read_bytes() for file in files(tmp_path) if file in before} == before
    again = command("init", "--ci", "github", folder=tmp_path)
    assert again.returncode == 64
    assert "reconciler-review.yml is already there: nothing was written; move it away first" in again.stderr
    mixed = command("init", "--ci", "gitea", "--example", folder=tmp_path)
    assert mixed.returncode == 64
    assert not (tmp_path / ".gitea").exists()


def test_a_fleet_needs_no_reconciler_yaml(repo: Repo) -> None:
    repo.commit(
        {"bots/shop/line.yaml": "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: shop}\nspec: {}\n"}
    )
    assert command("init", "--ci", "gitea", folder=repo.root).returncode == 0
    assert repo.git("status", "--porcelain", "--untracked-files=all") == "?? .gitea/workflows/reconciler.yml"


@pytest.mark.parametrize("fleet", [True, False])
def test_gitlabs_one_file_for_all_jobs_stays_as_it_is(tmp_path: Path, fleet: bool) -> None:
    if fleet:
        command("init", folder=tmp_path)
    (tmp_path / ".gitlab-ci.yml").write_text("mine: {}\n")
    done = command("init", "--ci", "gitlab", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "it needs: include: {local: reconciler.gitlab-ci.yml}" in done.stderr
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "mine: {}\n"
    assert (tmp_path / "reconciler.gitlab-ci.yml").is_file()


def test_an_agents_file_of_ones_own_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("mine")
    done = command("init", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "AGENTS.md is already there and stays as it is" in done.stderr
    assert (tmp_path / "AGENTS.md").read_text() == "mine"
    assert (tmp_path / "reconciler.yaml").is_file()


def files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts]
