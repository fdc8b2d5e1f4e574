"""Real git repositories of every kind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.desired.files import files_of
from reconciler.desired.git import BLOB_LIMIT, Repository
from reconciler.errors import Misuse, Unavailable
from tests.conftest import Repo


def test_discover_from_the_root_a_folder_and_a_file(repo: Repo) -> None:
    file = repo.write("a/b/c.txt", "x")
    for start in (repo.root, repo.root / "a", file, repo.root / "a/absent", repo.root / ".git"):
        found = Repository.discover(start)
        assert (found.root, found.git_dir, found.bare) == (repo.root.resolve(), repo.root.resolve() / ".git", False)


def test_discover_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(Misuse, match="git init"):
        Repository.discover(tmp_path)
    (tmp_path / ".git").write_bytes(b"\xff")
    with pytest.raises(Misuse, match="git init"):
        Repository.discover(tmp_path)


def test_resolve(repo: Repo) -> None:
    repository = Repository.discover(repo.root)
    with pytest.raises(Misuse, match="no commit yet"):
        repository.resolve("HEAD")
    first = repo.commit({"a": "1"})
    repo.git("tag", "v1")
    second = repo.commit({"a": "2"})
    assert repository.resolve("HEAD") == second
    assert repository.resolve("v1") == repository.resolve(first[:8]) == repository.resolve("HEAD~1") == first
    repo.git("checkout", "--quiet", "--detach", first)
    assert repository.resolve("HEAD") == first
    assert repository.resolve("main") == second
    for bad in ("absent", "", "--all", "a\0b", "v1:a", "main..HEAD"):
        with pytest.raises(Misuse, match="names no commit"):
            repository.resolve(bad)


def test_expand(repo: Repo) -> None:
    commit = repo.commit({"a": "1"})
    repo.git("branch", "deadbeef")
    repository = Repository.discover(repo.root)
    assert repository.expand(commit[:8]) == commit
    assert [repository.expand(other) for other in ("deadbeef", "main", "00000000", "HEAD", "", "--x")] == [None] * 6
    blob = repo.git("rev-parse", "HEAD:a")
    assert repository.expand(blob[:8]) is None


def test_tree_and_blobs_with_odd_names_modes_and_contents(repo: Repo, tmp_path: Path) -> None:
    contents = {"a b.txt": b"", "n\newline": b"\n\n", "\xe9": "é".encode(), 'q"uote': b"\0\xff\n"}
    for name, content in contents.items():
        (repo.root / name).write_bytes(content)
    (repo.root / os.fsdecode(b"latin-\xe9.yaml")).write_bytes(b"x")
    (repo.root / "link.yaml").symlink_to("a b.txt")
    other = Repo(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert other is not None
    other.commit({"x.yaml": "1"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "sub")
    repository = Repository.discover(repo.root)
    tree = repository.tree(repo.commit())
    assert sorted(tree) == sorted([*contents, ".gitmodules", "link.yaml", os.fsdecode(b"latin-\xe9.yaml")])
    assert tree["link.yaml"].mode == "120000"
    blobs = repository.blobs([tree[name].blob for name in contents])
    assert {name: blobs[tree[name].blob] for name in contents} == contents
    assert repository.blobs([]) == {}
    assert Repository.discover(repo.root / "sub").root == (repo.root / "sub").resolve()


def test_large_and_missing_blobs(repo: Repo) -> None:
    (repo.root / "large").write_bytes(b"x" * (BLOB_LIMIT + 1))
    repository = Repository.discover(repo.root)
    entry = repository.tree(repo.commit({"small": "1"}))["large"]
    assert repository.blobs([entry.blob]) == {}
    with pytest.raises(Unavailable, match="git fetch"):
        repository.blobs(["0" * 40])
    with pytest.raises(Unavailable, match="ls-tree failed"):
        repository.tree("0" * 40)


def test_bare_shallow_and_linked(repo: Repo, tmp_path: Path) -> None:
    first = repo.commit({"bots/a.yaml": "a"})
    second = repo.commit({"bots/a.yaml": "b"})
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(repo.root), str(bare)], check=True)
    found = Repository.discover(bare)
    assert (found.bare, found.resolve("main"), list(found.tree(second))) == (True, second, ["bots/a.yaml"])
    with pytest.raises(Misuse, match="bare"):
        files_of(found, None)

    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{repo.root}", str(shallow)], check=True)
    found = Repository.discover(shallow)
    assert (found.shallow, found.expand(second[:8]), found.expand(first[:8])) == (True, second, None)
    with pytest.raises(Misuse, match="shallow"):
        found.resolve(first)

    linked = tmp_path / "linked"
    repo.git("worktree", "add", "--quiet", "-b", "topic", str(linked))
    found = Repository.discover(linked)
    assert (found.root, found.common_dir) == (linked.resolve(), (repo.root / ".git").resolve())
    assert found.git_dir != found.common_dir
    assert found.resolve("topic") == second


def test_a_hooks_variables_lead_nowhere_else(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repo.commit({"a": "1"})
    (tmp_path / "other").mkdir()
    other = Repo(tmp_path / "other")
    other.commit({"b": "2"})
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", "nonsense")
    repository = Repository.discover(repo.root)
    assert repository.resolve("HEAD") == commit
    assert list(repository.tree(commit)) == ["a"]


def test_git_gone_and_repository_gone(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit({"a": "1"})
    repository = Repository.discover(repo.root)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        with pytest.raises(Misuse, match="install git"):
            repository.resolve("HEAD")
    (repo.root / ".git").rename(repo.root / "gone")
    with pytest.raises(Misuse, match="is gone"):
        repository.resolve("HEAD")


def test_commit_and_working_tree_read_alike(repo: Repo, tmp_path: Path) -> None:
    for path in ("bots/b.yaml", "bots/x/a.yml", "bots/x/note.md", "c.yaml", "botsy/d.yaml"):
        repo.write(path, path)
    (repo.root / "bots/link.yaml").symlink_to("b.yaml")
    (repo.root / "outside").symlink_to(tmp_path)
    (repo.root / "bots/out").symlink_to("x")
    (repo.root / "bots/large.yaml").write_bytes(b"#" * (BLOB_LIMIT + 1))
    repository = Repository.discover(repo.root)
    asked = ["bots/b.yaml", "bots/link.yaml", "bots/out/a.yml", "bots/absent", "bots", "bots/b.yaml/x", "a\0b"]
    seen = []
    for commit in (repo.commit(), None):
        files = files_of(repository, commit)
        assert files.below("bots") == ["bots/b.yaml", "bots/large.yaml", "bots/link.yaml", "bots/x/a.yml"]
        assert files.below("absent") == []
        assert files.below("outside") == []
        assert "c.yaml" in files.below(".")
        assert files.read(["bots/large.yaml"])[1] == {"bots/large.yaml": "large"}
        seen.append((files.ids(asked), files.read(asked)))
    assert seen[0] == seen[1]
    assert seen[0][1][0] == {"bots/b.yaml": b"bots/b.yaml"}
    assert seen[0][0][1] == {
        "bots/link.yaml": "link",
        "bots/out/a.yml": "link",
        "bots/absent": "absent",
        "bots": "absent",
        "bots/b.yaml/x": "absent",
        "a\0b": "absent",
    }


def test_a_pipe_in_the_working_tree_is_not_waited_for(repo: Repo) -> None:
    repo.write("bots/a.yaml", "x")
    os.mkfifo(repo.root / "bots/pipe.yaml")
    files = files_of(Repository.discover(repo.root), None)
    assert files.read(["bots/pipe.yaml"])[1] == {"bots/pipe.yaml": "absent"}
