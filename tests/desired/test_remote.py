"""A remote repository followed from here: over HTTP with git's own server, over ssh, from a path."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.remote import Clone, Remote
from reconciler.errors import Misuse, Unavailable
from tests.conftest import Repo
from tests.githttp import git_server

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ456789"
CONFIG = "apiVersion: reconciler/v1\nkind: Config\n"


def clone(tmp_path: Path, url: str, ref: str | None = None, **variables: str) -> Clone:
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    return Clone(data / "source.git", tmp_path, Remote(url=url, ref=ref, variables={**os.environ, **variables}))


@pytest.fixture(params=["path", "file", "http"])
def url(request: pytest.FixtureRequest, repo: Repo) -> Any:
    if request.param != "http":
        yield str(repo.root) if request.param == "path" else f"file://{repo.root}"
        return
    with git_server(repo.root.parent) as server:
        yield f"{server.url}/repo/.git"


async def test_what_is_pushed_is_followed(repo: Repo, tmp_path: Path, url: str) -> None:
    found = clone(tmp_path, url)
    assert found.commit is None
    with pytest.raises(Unavailable, match="nothing was fetched yet"):
        found.repository.resolve("HEAD")
    first = repo.commit({"a.txt": "1"})
    assert await found.fetch() == first == found.commit
    second = repo.commit({"a.txt": "2"})
    assert await found.fetch() == second
    assert found.repository.resolve("HEAD~1") == first
    repo.git("reset", "-q", "--hard", first)
    third = repo.commit({"a.txt": "3"})  # a force-push
    assert await found.fetch() == third == found.commit
    assert found.repository.expand(second[:8]) == second  # marks may name what was there once
    assert await found.fetch() == third
    assert sorted(found.repository.tree(third)) == ["a.txt"]


async def test_only_the_wanted_ref_is_here(repo: Repo, tmp_path: Path) -> None:
    base = repo.commit({"a.txt": "1"})
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit({"a.txt": "side"})
    repo.git("tag", "-a", "v1", "-m", "a tag of its own", side)
    repo.git("checkout", "-q", "main")
    named = repo.commit({"reconciler.yaml": f"{CONFIG}source: {{ref: side}}\n"})
    (tmp_path / "1").mkdir()
    plain = clone(tmp_path / "1", str(repo.root), "refs/heads/main")
    assert (await plain.fetch(), plain.ref) == (named, "refs/heads/main")
    with pytest.raises(Misuse, match="names no commit"):
        plain.repository.resolve(side)
    (tmp_path / "2").mkdir()
    tagged = clone(tmp_path / "2", str(repo.root), "v1")
    assert await tagged.fetch() == side
    (tmp_path / "3").mkdir()
    told = clone(tmp_path / "3", str(repo.root))  # reconciler.yaml of its HEAD says which
    assert (await told.fetch(), told.ref, told.commit) == (side, "side", side)
    repo.commit({"reconciler.yaml": "nonsense: ["})
    assert (await told.fetch(), told.ref) == (repo.git("rev-parse", "HEAD"), "HEAD")
    (tmp_path / "4").mkdir()
    gone = clone(tmp_path / "4", str(repo.root), "nope")
    with pytest.raises(Unavailable, match="it has no such ref, or no commit yet"):
        await gone.fetch()
    assert base != side


async def test_another_address_or_ref_begins_anew(repo: Repo, tmp_path: Path) -> None:
    first = repo.commit({"a.txt": "1"})
    repo.git("branch", "side")
    one = clone(tmp_path, str(repo.root))
    one.claim()  # there is nothing yet
    assert await one.fetch() == first
    one.claim()
    assert one.commit == first
    other = clone(tmp_path, str(repo.root), "side")
    other.claim()
    assert other.commit is None
    with pytest.raises(Unavailable, match="nothing was fetched yet"):
        other.repository.resolve("HEAD")
    assert other.repository.expand(first[:8]) == first
    assert await other.fetch() == first
    elsewhere = clone(tmp_path, f"file://{repo.root}", "side")
    elsewhere.claim()
    assert elsewhere.commit is None


async def test_an_empty_remote_and_none_at_all(repo: Repo, tmp_path: Path) -> None:
    found = clone(tmp_path, str(repo.root))
    with pytest.raises(Unavailable, match="no commit yet"):
        await found.fetch()
    (tmp_path / "x").mkdir()
    with pytest.raises(Unavailable, match="git fetch of"):
        await clone(tmp_path / "x", str(tmp_path / "nothing")).fetch()


async def test_a_token_opens_and_is_never_told(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    commit = repo.commit({"a.txt": "1"})
    commands: list[tuple[str, ...]] = []
    real = asyncio.create_subprocess_exec

    async def watched(*words: str, **more: Any) -> Any:
        commands.append(words)
        return await real(*words, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    with git_server(repo.root.parent, TOKEN) as server:
        address = f"{server.url}/repo/.git"
        with pytest.raises(Unavailable, match="set RECONCILER_GIT_TOKEN"):
            await clone(tmp_path, address).fetch()
        wrong = clone(tmp_path, address, RECONCILER_GIT_TOKEN="x" + TOKEN)
        with pytest.raises(Unavailable, match="it refuses RECONCILER_GIT_TOKEN") as raised:
            await wrong.fetch()
        assert TOKEN not in str(raised.value)
        found = clone(tmp_path, address, RECONCILER_GIT_TOKEN=TOKEN, RECONCILER_GIT_USER="oauth2")
        assert await found.fetch() == commit
        assert ("oauth2" in {user for _, user in server.seen}, "@" in str(server.seen)) == (True, False)
        file = tmp_path / "token"
        file.write_text(TOKEN + "\n")
        second = repo.commit({"a.txt": "2"})
        server.seen.clear()
        assert await clone(tmp_path, address, RECONCILER_GIT_TOKEN_FILE=str(file)).fetch() == second
        assert {user for _, user in server.seen} == {None, "x-access-token"}
    assert TOKEN not in str(commands)
    assert not any(TOKEN.encode() in one.read_bytes() for one in (tmp_path / "data").rglob("*") if one.is_file())
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err


async def test_a_token_stays_with_its_host(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.txt": "1"})
    with git_server(repo.root.parent) as other, git_server(repo.root.parent) as server:
        other.password = "another"
        server.elsewhere = other.url
        with pytest.raises(Unavailable):
            await clone(tmp_path, f"{server.url}/repo/.git", RECONCILER_GIT_TOKEN=TOKEN).fetch()
        assert other.seen
        assert {user for _, user in other.seen} == {None}


@pytest.mark.parametrize(
    ("url", "variables", "said"),
    [
        ("http://git.example.com/a/b", {"RECONCILER_GIT_TOKEN": TOKEN}, "in clear: follow it by https"),
        ("https://git.example.com/a/b", {"RECONCILER_GIT_TOKEN": "a\nb"}, "line break"),
        ("https://git.example.com/a/b", {"RECONCILER_GIT_TOKEN_FILE": "/nonexistent/token"}, "cannot be read"),
    ],
)
async def test_credentials_that_cannot_be_used(tmp_path: Path, url: str, variables: dict[str, str], said: str) -> None:
    with pytest.raises(Misuse, match=said) as raised:
        await clone(tmp_path, url, **variables).fetch()
    assert TOKEN not in str(raised.value)


async def test_a_fetch_has_an_end(repo: Repo, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = clone(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/a.git")
        began = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer git within"):
            await found.fetch(0.5)
        assert time.monotonic() - began < 20


FAKE_SSH = """#!/bin/sh
printf '%s\\n' "$@" >> "$(dirname "$0")/said"
for last; do :; done
eval "exec $last"
"""


async def test_ssh_has_its_key_and_asks_nobody(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repo.commit({"a.txt": "1"})
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(FAKE_SSH)
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    settings = {
        "RECONCILER_GIT_SSH_KEY": "/keys/a deploy key",
        "RECONCILER_GIT_KNOWN_HOSTS": "/keys/known",
        "RECONCILER_GIT_TOKEN": TOKEN,
    }
    assert await clone(tmp_path, f"ssh://git@127.0.0.1{repo.root}", **settings).fetch() == commit
    said = (folder / "said").read_text()
    for wanted in (
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "/keys/a deploy key",
        "-oUserKnownHostsFile=/keys/known",
    ):
        assert wanted in said.splitlines()
    assert TOKEN not in said
    assert await clone(tmp_path, f"git@127.0.0.1:{repo.root}", **settings).fetch() == commit
