"""Commands in a checkout whose reconciler.yaml names a remote: they read what was pushed, fetched by themselves."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from reconciler.desired.remote import Clone, Remote
from reconciler.settings import DataFolder
from tests.cli.test_plan import Cli
from tests.cli.test_plan import cli as cli
from tests.clock import until
from tests.conftest import Repo
from tests.githttp import silent_server
from tests.reconcile.conftest import bot_file, fleet


@pytest.fixture
def remote(repo: Repo, tmp_path: Path) -> Repo:
    """A bare repository that the checkout follows."""
    bare = tmp_path / "remote"
    bare.mkdir()
    made = Repo(bare)
    text = f"apiVersion: reconciler/v1\nkind: Config\nsource: {{url: '{bare}', ref: main}}\n"
    commit = repo.commit({**fleet(a=bot_file("a", 1), b=bot_file("b", 1)), "reconciler.yaml": text})
    made.git("config", "receive.denyCurrentBranch", "ignore")
    repo.git("push", "--quiet", str(bare), f"{commit}:refs/heads/main")
    return made


def test_what_is_pushed_is_desired_and_what_is_only_committed_is_not(cli: Cli, repo: Repo, remote: Repo) -> None:
    pushed = repo.git("rev-parse", "HEAD")
    repo.commit(fleet(a=bot_file("a", 2)))
    assert cli("apply", "--auto-approve")[0] == 0
    (one,) = json.loads(cli("status", "--format", "json")[1])
    assert (one["applied"], one["wanted"], one["sync"]) == (pushed, pushed, "Synced")
    assert (one["source"]["url"], one["source"]["ref"]) == (str(remote.root), "main")
    assert "No changes" in cli("plan")[1]
    assert "maxTokens: 1 → 2" in cli("plan", "--worktree")[1]
    assert "maxTokens: 1" in cli("render")[1]
    assert "maxTokens: 2" in cli("render", "--worktree")[1]
    repo.git("push", "--quiet", str(remote.root), "HEAD:refs/heads/main")
    assert "maxTokens: 1 → 2" in cli("plan")[1]
    assert cli("why", "a")[1].startswith("not applied")
    remote.root.rename(remote.root.with_name("moved"))
    code, out, err = cli("plan")
    assert (code, "going on with" in err, "maxTokens: 1 → 2" in out) == (0, True, True), err
    repo.commit({"reconciler.yaml": (repo.root / "reconciler.yaml").read_text().replace("remote", "gone")})
    assert cli("plan")[0] == 4  # what was fetched from another address is not desired


def test_a_remote_that_was_never_there(cli: Cli, repo: Repo, remote: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_REPO", str(remote.root / "nope"))
    code, _, err = cli("plan")
    assert (code, "git fetch of" in err) == (4, True)
    monkeypatch.setenv("RECONCILER_REPO", "https://me:secret@example.com/a.git")
    code, _, err = cli("plan")
    assert (code, "no git repository's address" in err, "secret" in err) == (64, True, False)


async def test_run_waits_for_a_remote_to_begin_with(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reconciler.cli.run import _first_fetch

    data = DataFolder(tmp_path / "data").make()
    clone = Clone(data.path / "source.git", tmp_path, Remote(url=str(repo.root), ref=None, variables=dict(os.environ)))
    with silent_server() as (url, asked):
        hanging = Clone(data.path / "other.git", tmp_path, Remote(url=url, ref=None, variables=dict(os.environ)))
        stop = asyncio.Event()
        waiting = asyncio.create_task(_first_fetch(hanging, data, stop))
        await until(asked)
        stop.set()
        await asyncio.wait_for(waiting, 120)
    stop = asyncio.Event()
    waiting = asyncio.create_task(_first_fetch(clone, data, stop))
    said = list[str]()
    await until(
        lambda: any("no commit yet); it is tried again" in one for one in said),
        lambda: said.append(capsys.readouterr().err),
    )
    stop.set()
    await asyncio.wait_for(waiting, 120)
    commit = repo.commit({"a.txt": "1"})
    await asyncio.wait_for(_first_fetch(clone, data, asyncio.Event()), 120)
    assert clone.commit == commit


@pytest.mark.parametrize("listen", ["8090", "localhost", "127.0.0.1:x", "127.0.0.1:99999", ":8090"])
def test_an_address_to_listen_on(cli: Cli, listen: str) -> None:
    code, _, err = cli("run", "--listen", listen)
    assert (code, "write HOST:PORT" in err) == (64, True)


def test_listening_openly_needs_a_key_and_hooks_a_long_secret(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_HOOK_SECRET", "short")
    code, _, err = cli("run", "--listen", "127.0.0.1:0")
    assert (code, "shorter than 16 characters" in err) == (64, True)
    monkeypatch.delenv("RECONCILER_HOOK_SECRET")
    monkeypatch.delenv("RECONCILER_API_KEY")
    code, _, err = cli("run", "--listen", "0.0.0.0:0")
    assert (code, "needs a key of your own" in err) == (64, True)
