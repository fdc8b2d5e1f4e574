"""What git repositories are like in the world: each gives the right plan, or says clearly what is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired import git as git_module
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse
from reconciler.model import Plan
from reconciler.plan.render import text
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Site, make_plan, read_wanted
from reconciler.reconcile.passes import Ask, Memory, run_pass
from tests.conftest import Repo
from tests.live.served import InMemory
from tests.plan.target import Model
from tests.reconcile.conftest import bot_file, fleet


class World:
    """A repository, the target it is applied to, and what a plan says."""

    def __init__(self, repo: Repo, history: History) -> None:
        self.repo, self.history, self.reach = repo, history, InMemory(Model())

    def site(self, root: Path | None = None) -> Site:
        return Site(Repository.discover(root or self.repo.root), {"KEY": "sk-0123456789abcdef"}, None)

    async def apply(self, files: dict[str, str | None] | None = None) -> str:
        commit = self.repo.commit(files) if files is not None else self.repo.git("rev-parse", "HEAD")
        ended = await run_pass(self.site(), self.history, "local", self.reach, Memory(), Ask(trigger="sync"))
        assert ended.outcome in ("applied", "unchanged"), ended.message
        return commit

    def plan(self, root: Path | None = None, **how: Any) -> Plan:
        wanted = read_wanted(self.site(root), None, **how)
        return make_plan(self.site(root), wanted, wanted.desired, self.reach.model.live())

    def origins(self, root: Path | None = None) -> dict[str, str]:
        return {change.ref.name: change.origin for change in self.plan(root).changes}

    def tokens(self, name: str, value: int) -> None:
        """Somebody changes a bot on the target."""
        for row in self.reach.model.rows.values():
            if row["label"] == name:
                row["spec"]["maxTokens"] = value
        self.reach.model.version += 1


@pytest.fixture
def world(repo: Repo, history: History) -> World:
    return World(repo, history)


def run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


# --- histories -----------------------------------------------------------------------------------------------


async def test_over_a_merge_each_marks_own_commit_is_the_last_applied(world: World) -> None:
    """Two branches change a bot each; one was applied from its branch, then both are merged."""
    repo = world.repo
    await world.apply(fleet(a=bot_file("a", 1), b=bot_file("b", 1)))
    repo.git("checkout", "--quiet", "-b", "topic")
    topic = await world.apply({"bots/bistro/a.yaml": bot_file("a", 2)})
    repo.git("checkout", "--quiet", "main")
    repo.commit({"bots/bistro/b.yaml": bot_file("b", 2)})
    repo.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    assert world.origins() == {"b": "pending"}
    world.tokens("a", 9)
    assert world.origins() == {"a": "drift", "b": "pending"}
    await world.apply()
    marks = {one.mark.name: one.mark.commit for one in world.reach.model.live().objects if one.mark}
    assert marks["a"] == repo.git("rev-parse", "HEAD")[:8] != topic[:8]
    assert world.plan().changes == ()


async def test_a_merge_that_keeps_both_sides_of_a_conflict_is_an_error_that_says_so(world: World) -> None:
    repo = world.repo
    repo.commit(fleet(a=bot_file("a", 1)))
    repo.git("checkout", "--quiet", "-b", "topic")
    repo.commit({"bots/bistro/a.yaml": bot_file("a", 2)})
    repo.git("checkout", "--quiet", "main")
    repo.commit({"bots/bistro/a.yaml": bot_file("a", 3)})
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "--quiet", "topic")
    repo.commit()
    with pytest.raises(InvalidBots) as raised:
        world.plan()
    assert str(raised.value.problems[0]).startswith("bots/bistro/a.yaml: the file holds marks of a merge conflict")


async def test_after_a_force_push_what_the_lost_commit_said_is_still_known_where_it_is_still_there(
    world: World, tmp_path: Path
) -> None:
    repo = world.repo
    first = repo.commit(fleet(a=bot_file("a", 1), b=bot_file("b", 1)))
    await world.apply({"bots/bistro/a.yaml": bot_file("a", 2), "bots/bistro/b.yaml": bot_file("b", 2)})
    world.tokens("b", 9)
    repo.git("reset", "--quiet", "--hard", first)
    repo.commit({"bots/bistro/a.yaml": bot_file("a", 3), "bots/bistro/b.yaml": bot_file("b", 2)})
    assert world.origins() == {"a": "pending", "b": "drift"}
    # A fresh clone does not have it: what moved is not guessed at, and that is said.
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", "--no-local", str(repo.root), str(clone))
    found = world.plan(clone)
    assert {change.ref.name: change.origin for change in found.changes} == {"a": "unknown", "b": "unknown"}
    assert "the origin of 2 changes is unknown: this clone cannot read how they were declared at" in text(found)
    assert found.faults == ()


async def test_an_object_whose_commit_is_gone_is_still_ones_own_and_deleted_with_its_file(world: World) -> None:
    repo = world.repo
    first = repo.commit(fleet())
    await world.apply(fleet(a=bot_file("a")))
    repo.git("reset", "--quiet", "--hard", first)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    found = world.plan()
    assert [(one.action, one.ref.name) for one in found.changes] == [("delete", "a")]
    assert "whether 1 object to be deleted was protected is unknown" in text(found)


async def test_a_shallow_clone_says_that_it_is_one_and_what_to_do(world: World, tmp_path: Path) -> None:
    repo = world.repo
    await world.apply(fleet(a=bot_file("a", 1)))
    repo.commit({"bots/bistro/a.yaml": bot_file("a", 2)})
    shallow = tmp_path / "shallow"
    run("git", "clone", "--quiet", "--depth=1", f"file://{repo.root}", str(shallow))
    found = world.plan(shallow)
    assert found.changes[0].origin == "unknown"
    assert "git fetch --unshallow" in found.notes[0]
    run("git", "-C", str(shallow), "fetch", "--quiet", "--unshallow")
    assert world.origins(shallow) == {"a": "pending"}


async def test_a_blobless_clone_reads_what_it_lacks_or_says_what_to_fetch(world: World, tmp_path: Path) -> None:
    repo = world.repo
    repo.commit(fleet(a=bot_file("a", 1)))
    repo.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    run("git", "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repo.root}", str(partial))
    assert [change.action for change in world.plan(partial).changes] == ["create"] * 3


def test_an_empty_repository_has_nothing_to_plan(world: World) -> None:
    with pytest.raises(Misuse, match="has no commit yet: make one with `git add` and `git commit`"):
        world.plan()
    assert world.plan(worktree=True).changes == ()


def test_a_commit_without_files_declares_nothing_and_says_so(world: World) -> None:
    world.repo.commit()
    wanted = read_wanted(world.site(), None)
    assert [str(one) for one in wanted.desired.warnings] == ["bots: holds no YAML files, so nothing is declared"]
    assert world.plan().changes == ()


def test_a_detached_head_is_the_commit_that_is_meant(world: World) -> None:
    repo = world.repo
    first = repo.commit(fleet(a=bot_file("a")))
    repo.commit(fleet(b=bot_file("b")))
    repo.git("checkout", "--quiet", "--detach", first)
    assert world.plan().commit == first
    assert {change.ref.name for change in world.plan().changes} == {"bistro", "main", "a"}
    assert world.plan(ref="main").commit == repo.git("rev-parse", "main")


@pytest.mark.parametrize("name", ["--all", "-x", "--output=x", "--exec=touch"])
def test_a_branch_named_like_an_option_is_a_name_and_never_an_option(world: World, name: str, tmp_path: Path) -> None:
    repo = world.repo
    first = repo.commit(fleet(a=bot_file("a")))
    second = repo.commit(fleet(b=bot_file("b")))
    file = repo.root / ".git/refs/heads" / name
    file.write_text(f"{first}\n")
    assert world.plan(ref=f"refs/heads/{name}").commit == first
    try:
        assert world.plan(ref=name).commit == first
    except Misuse as error:
        assert f"'{name}' names no commit" in str(error)  # noqa: PT017
    assert world.plan().commit == second
    assert not (repo.root / "x").exists()
    repo.write("reconciler.yaml", f"apiVersion: reconciler/v1\nkind: Config\nsource: {{ref: '{name}'}}\n")
    repo.commit()
    with pytest.raises(InvalidBots, match=r"source\.ref"):
        world.plan()


def test_a_branch_and_a_tag_of_one_name_and_a_file_named_as_a_branch(world: World) -> None:
    repo = world.repo
    first = repo.commit(fleet(a=bot_file("a")))
    repo.git("tag", "release")
    repo.commit({**fleet(b=bot_file("b")), "release": "a file"})
    repo.git("branch", "release")
    assert world.plan(ref="refs/tags/release").commit == first
    assert world.plan(ref="refs/heads/release").commit == repo.git("rev-parse", "main")
    assert world.plan(ref="release").commit == first  # as git itself reads it: tags before branches


# --- files ---------------------------------------------------------------------------------------------------


async def test_what_is_in_a_submodule_is_no_part_of_the_repository(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Repo(tmp_path / "other")
    other.commit({"evil.yaml": bot_file("evil")})
    repo = world.repo
    repo.commit(fleet(a=bot_file("a")))
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "bots/bistro/sub")
    repo.commit()
    assert {change.ref.name for change in world.plan().changes} == {"bistro", "main", "a"}


async def test_a_file_whose_name_is_no_utf8_is_named_readably_and_others_than_bots_do_not_matter(world: World) -> None:
    repo = world.repo
    repo.commit(fleet(a=bot_file("a")))
    odd = os.fsdecode(b"caf\xe9")
    (repo.root / f"{odd}.txt").write_text("not read")
    (repo.root / f"bots/bistro/{odd}.md").write_text("not named")
    repo.commit()
    assert len(world.plan().changes) == 3
    (repo.root / f"bots/bistro/{odd}.yaml").write_text(bot_file("odd"))
    repo.commit()
    for worktree in (False, True):
        with pytest.raises(InvalidBots) as raised:
            world.plan(worktree=worktree)
        assert [str(one) for one in raised.value.problems] == [
            r"bots/bistro/caf\xe9.yaml: the file's name is not UTF-8 (rename it)"
        ]


async def test_names_of_files_that_only_look_alike_are_two(world: World) -> None:
    """`é` as one character and as two, and names that differ in case: git keeps both, and so does this."""
    repo = world.repo
    files = {
        f"bots/bistro/{name}.yaml": bot_file(f"b{number}") for number, name in enumerate(("é", "É", "e\u0301", "E"))
    }
    repo.commit({**fleet(), **files})
    assert len([one for one in world.plan().changes if one.ref.kind == "Bot"]) == 4


async def test_line_ends_of_windows_are_those_of_others(world: World) -> None:
    repo = world.repo
    prompt = bot_file("a", more="  systemMessages:\n    - file: prompts/a.md\n    - |\n      two\n      lines\n")
    await world.apply({**fleet(a=prompt), "bots/bistro/prompts/a.md": "First line.\nSecond line.\n"})
    # The same files checked in with CRLF are another commit and the same state.
    for name in ("a.yaml", "main.yaml", "instance.yaml", "prompts/a.md"):
        file = repo.root / "bots/bistro" / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    repo.commit()
    assert (
        b"\r\n" in Repository.discover(repo.root).blobs([repo.git("rev-parse", "HEAD:bots/bistro/a.yaml")]).popitem()[1]
    )
    assert world.plan().changes == ()


async def test_a_working_tree_with_autocrlf_reads_as_its_commit(world: World, tmp_path: Path) -> None:
    repo = world.repo
    prompt = bot_file("a", more="  systemMessages:\n    - file: prompts/a.md\n    - |\n      two\n      lines\n")
    await world.apply({**fleet(a=prompt), "bots/bistro/prompts/a.md": "First line.\nSecond line.\n"})
    clone = tmp_path / "windows"
    run("git", "clone", "--quiet", "-c", "core.autocrlf=true", str(repo.root), str(clone))
    assert b"\r\n" in (clone / "bots/bistro/prompts/a.md").read_bytes()
    assert world.plan(clone).changes == world.plan(clone, worktree=True).changes == ()


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"


@pytest.mark.parametrize("worktree", [False, True])
def test_a_pointer_of_git_lfs_is_no_prompt_and_no_bot(world: World, worktree: bool) -> None:
    prompt = bot_file("a", more="  systemMessages: [{file: prompts/a.md}]\n")
    world.repo.commit({**fleet(a=prompt, b=POINTER), "bots/bistro/prompts/a.md": POINTER})
    with pytest.raises(InvalidBots) as raised:
        world.plan(worktree=worktree)
    said = [str(one) for one in raised.value.problems]
    assert (
        "bots/bistro/a.yaml:10:27: spec.systemMessages[0].file: the file bots/bistro/prompts/a.md is a pointer of"
        in said[0]
    )
    assert "bots/bistro/b.yaml: the file is a pointer of Git LFS, whose contents git does not hold" in said[1]
    assert "git lfs untrack" in said[1]


def test_links_are_not_followed_wherever_they_lead(world: World, tmp_path: Path) -> None:
    repo = world.repo
    (tmp_path / "secret.md").write_text("a secret of this machine")
    prompt = bot_file("a", more="  systemMessages: [{file: prompts/a.md}, {file: out/secret.md}]\n")
    repo.commit({**fleet(a=prompt), "bots/bistro/prompts/b.md": "b"})
    (repo.root / "bots/bistro/prompts/a.md").symlink_to("b.md")
    (repo.root / "bots/bistro/out").symlink_to(tmp_path)
    (repo.root / "bots/bistro/c.yaml").symlink_to("a.yaml")
    repo.commit()
    for worktree in (False, True):
        with pytest.raises(InvalidBots) as raised:
            world.plan(worktree=worktree)
        said = "\n".join(map(str, raised.value.problems))
        assert "bots/bistro/c.yaml: the file is a link, which is not followed" in said
        assert "the file bots/bistro/prompts/a.md is a link" in said
        assert "the file bots/bistro/out/secret.md is a link" in said
        assert "a secret" not in said


def test_a_tree_of_any_size_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.repo.commit({**fleet(a=bot_file("a")), **{f"other/{number}.txt": "x" for number in range(300)}})
    assert len(world.plan().changes) == 3
    monkeypatch.setattr(git_module, "TREE_LIMIT", 10_000)
    with pytest.raises(Misuse, match=r"holds more files than are read from one commit .*keep the bots"):
        world.plan()


def test_a_large_file_beside_the_bots_costs_nothing_and_as_a_bot_is_an_error(world: World) -> None:
    repo = world.repo
    repo.commit(fleet(a=bot_file("a")))
    for name in ("bots/bistro/video.bin", "bots/bistro/b.yaml"):
        (repo.root / name).write_bytes(b"#" * ((8 << 20) + 1))
    repo.commit()
    with pytest.raises(InvalidBots) as raised:
        world.plan()
    assert [str(one) for one in raised.value.problems] == ["bots/bistro/b.yaml: the file is larger than 8 MiB"]


async def test_a_mark_that_is_a_branchs_name_or_short_for_two_commits_is_unknown(world: World) -> None:
    repo = world.repo
    await world.apply(fleet(a=bot_file("a", 1)))
    for row in world.reach.model.rows.values():
        if row["mark"] is not None:
            row["mark"] = type(row["mark"])("", row["mark"].name, "deadbeef")
    repo.git("branch", "deadbeef")
    repo.commit({"bots/bistro/a.yaml": bot_file("a", 2)})
    assert world.origins() == {"a": "unknown"}
