"""`plan --out` and `apply FILE`, on a real repository and the real runtime."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.live.runtime import Runtime
from tests.cli.test_asking import moved
from tests.cli.test_plan import Cli
from tests.cli.test_plan import cli as cli
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "a.plan")


def test_a_saved_plan_is_applied_as_it_is_and_only_once(cli: Cli, repo: Repo, file: str) -> None:
    code, out, _ = cli("plan", "--out", file)
    assert (code, "4 to create" in out) == (0, True)
    text = Path(file).read_text()
    assert "sk-0123" not in text
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert [one["kind"] for one in json.loads(text)["steps"]] == ["Instance", "Credentials", "Bot", "Bot"]
    assert cli("apply", file)[0] == 0
    code, _, err = cli("apply", file)
    assert (code, "stale: Bot bistro/a is as it should be by now, or gone" in err) == (3, True)
    assert cli("status")[0] == 0


def test_where_git_moved_it_is_stale(cli: Cli, repo: Repo, file: str) -> None:
    first = repo.git("rev-parse", "HEAD").strip()
    assert cli("plan", "--out", file)[0] == 0
    repo.commit(fleet(a=bot_file("a", 50)))
    code, _, err = cli("apply", file)
    assert (code, f"stale: git moved: it is of {first[:8]}, and what is desired is" in err) == (3, True)
    repo.git("branch", "feature", first)
    assert cli("plan", "--out", file, "--ref", "feature")[0] == 0
    assert cli("apply", file)[0] == 0  # of a branch that is where it was
    assert "maxTokens: 1 → 50" in cli("plan")[1]
    assert cli("plan", "--out", file, "--ref", "feature")[0] == 0
    repo.git("branch", "-D", "feature")
    code, _, err = cli("apply", file)
    assert (code, f"its commit {first[:8]} is gone: 'feature' names no commit" in err) == (3, True)


def test_what_moved_makes_it_stale_and_what_did_not_does_not(cli: Cli, repo: Repo, file: str) -> None:
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit(fleet(b=bot_file("b", 5)))
    assert cli("plan", "--out", file)[0] == 0
    moved(debounceTime=7)  # of bot a, which is not in the plan
    code, out, _ = cli("apply", file)
    assert (code, out.count("done")) == (0, 2), out
    assert "debounceTime" in cli("drift")[1]
    assert cli("apply", "--auto-approve")[0] == 0

    repo.commit(fleet(a=bot_file("a", 5)))
    assert cli("plan", "--out", file)[0] == 0
    moved(debounceTime=7)
    code, _, err = cli("apply", file)
    assert (code, "stale: Bot bistro/a was changed on the target" in err) == (3, True)
    found = json.loads(Path(file).read_text())
    found["commit"] = "0" * 40
    Path(file).write_text(json.dumps(found))
    code, _, err = cli("apply", file)
    assert (code, "its commit 00000000 is gone" in err) == (3, True)


def test_what_moves_between_the_last_look_and_the_change_is_never_overwritten(
    cli: Cli, repo: Repo, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit(fleet(a=bot_file("a", 5), c=bot_file("c")))
    assert cli("plan", "--out", file)[0] == 0
    together = Runtime.together

    async def too_late(reach: Runtime, steps: Any, ids: Any) -> dict[int, str]:
        await asyncio.to_thread(moved, debounceTime=7)
        return await together(reach, steps, ids)

    with monkeypatch.context() as patch:
        patch.setattr(Runtime, "together", too_late)
        code, out, _ = cli("apply", file)
    assert (code, "2 failed" in out, out.count("changed since it was read")) == (1, True, 2), out
    assert "debounceTime: 7ms → " in cli("plan")[1]


def test_files_that_are_no_plan_of_this_version(cli: Cli, tmp_path: Path, file: str) -> None:
    assert cli("plan", "--out", str(tmp_path / "no" / "folder"))[0] == 64
    assert cli("plan", "--out", file, "--worktree")[0] == 64
    assert cli("apply", file)[0] == 64
    Path(file).write_text("{}")
    assert "no saved plan" in cli("apply", file)[2]
    assert cli("plan", "--out", file)[0] == 0
    assert cli("apply", file, "--instance", "bistro")[0] == 64
    tampered = json.loads(Path(file).read_text())
    tampered["changes"][0]["name"] = "other"
    Path(file).write_text(json.dumps(tampered))
    assert cli("apply", file)[0] == 3
    wrong: tuple[dict[str, Any], ...] = ({"changes": [{}]}, {"steps": [{"kind": "Bot"}]}, {"commit": "HEAD"})
    for more in wrong:
        Path(file).write_text(json.dumps({**tampered, **more}))
        code, _, err = cli("apply", file)
        assert (code, "is no saved plan" in err) == (64, True), err
    Path(file).write_text(json.dumps({**tampered, "format_version": "9.9"}))
    assert "version 9.9" in cli("apply", file)[2]
