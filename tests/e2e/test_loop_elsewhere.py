"""A loop alone that follows a remote and serves its own endpoints, asked by commands that have nothing but its URL."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler import shape
from tests.conftest import Repo
from tests.e2e.conftest import KEY, Up, until
from tests.githttp import git_server
from tests.live.served import runtime
from tests.reconcile.conftest import bot_file
from tests.reconcile.conftest import fleet as files

SECRET = "a-hook-secret-of-this-test"
TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ456789"
SLOW = "source: {interval: 1h}\nsync: {interval: 1h}\n"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; gives exit code, output and talk."""
    from reconciler.cli import drift, loops, main, plan, rollback, site
    from reconciler.cli.context import Context

    def run(*arguments: str) -> tuple[int, str, str]:
        fresh = Context()
        for module in (drift, loops, plan, rollback, site):
            monkeypatch.setattr(module, "context", fresh)
        with pytest.raises(SystemExit) as ended:
            main.run(list(arguments))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


class Elsewhere:
    """`reconciler run --repo URL --listen …` in an empty folder, and commands in another."""

    def __init__(self, tmp_path: Path, repository: str, target: str) -> None:
        self.home, self.desk = tmp_path / "home", tmp_path / "desk"
        self.home.mkdir()
        self.desk.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        variables = {
            "RECONCILER_API_KEY": KEY,
            "RECONCILER_GIT_TOKEN": TOKEN,
            "RECONCILER_HOOK_SECRET": SECRET,
            "KEY": "sk-0123456789abcdef",
            "THERE": "a-global-key-of-tests",
        }
        self.log = tmp_path / "run.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reconciler", "run", "--repo", repository, "--listen", self.url[7:]],
                cwd=self.home,
                env={**os.environ, **variables},
                stderr=log,
                stdout=log,
            )
        self.target = target

        self.run: Run = lambda *_: (0, "", "")

    def __call__(self, *arguments: str, code: int = 0) -> str:
        found, out, err = self.run(*arguments)
        assert found == code, out + err
        return out + err if code else out

    def document(self, schema: str, *arguments: str) -> Any:
        found = json.loads(self(*arguments, "--format", "json"))
        assert shape.faults(f"http/{schema}", found) == ()
        return found


@pytest.fixture
def elsewhere(tmp_path: Path, repo: Repo, command: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    with runtime(tmp_path) as url, git_server(repo.root.parent, TOKEN) as server:
        config = (
            f"apiVersion: reconciler/v1\nkind: Config\n{SLOW}"
            f"targets: {{far: {{type: runtime, url: '{url}', apiKey: {{env: THERE}}}}}}\n"
        )
        repo.commit({**files(a=bot_file("a", 1)), "reconciler.yaml": config})
        running = Elsewhere(tmp_path, f"{server.url}/repo/.git", url)
        running.run = command
        monkeypatch.chdir(running.desk)
        monkeypatch.setenv("RECONCILER_URL", running.url)
        monkeypatch.setenv("RECONCILER_API_KEY", KEY)
        try:
            yield running
        finally:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(30)


def test_all_of_it_through_its_url(elsewhere: Elsewhere, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    there = httpx.Client(base_url=elsewhere.url, headers={"apikey": KEY}, timeout=60)
    live = httpx.Client(base_url=elsewhere.target, headers={"apikey": "a-global-key-of-tests"}, timeout=60)

    def tokens() -> list[int]:
        answer = live.get("/openai/find/bistro")
        return [row["maxTokens"] for row in answer.json()] if answer.status_code == 200 else []

    def ready() -> bool:
        assert elsewhere.process.poll() is None, elsewhere.log.read_text()
        try:
            return there.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    until(ready, 30)
    until(lambda: tokens() == [1])
    first = repo.git("rev-parse", "HEAD")
    (one,) = elsewhere.document("reconciler-status", "status")
    assert (one["target"], one["sync"], one["health"], one["applied"]) == ("far", "Synced", "Healthy", first)
    assert (one["source"]["ref"], one["source"]["commit"], one["source"]["message"]) == ("HEAD", first, "")
    text = elsewhere("status")
    assert f"source    {one['source']['url']} (HEAD), fetched 20" in text

    bad = repo.commit(files(a=bot_file("a", 2)))
    body = json.dumps({"ref": "refs/heads/main", "repository": {"default_branch": "main"}}).encode()
    signed = {"X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}
    headers = {"X-GitHub-Event": "push", "Content-Type": "application/json"}
    assert httpx.post(f"{elsewhere.url}/reconciler/hook/github", content=body, headers=headers).status_code == 401

    def push() -> None:
        answer = httpx.post(f"{elsewhere.url}/reconciler/hook/github", content=body, headers={**headers, **signed})
        assert answer.json()["looks"]

    push()
    until(lambda: tokens() == [2])
    assert elsewhere("drift") == "no drift on far\n"

    held = elsewhere.document("reconciler-held", "suspend", "incident 12")
    assert held["suspended"]["reason"] == "incident 12"
    assert "far: Synced, Suspended" in elsewhere("status")
    row = live.get("/openai/find/bistro").json()[0]
    assert live.put(f"/openai/update/{row['id']}/bistro", json={"maxTokens": 7}).status_code == 200
    bad = repo.commit({"README.md": "a commit that changes no bot"})
    push()
    until(lambda: there.get("/reconciler/status").json()[0]["drift"])
    assert "Bot bistro/a: maxTokens, first seen 20" in elsewhere("drift", code=2)
    (seen,) = json.loads(elsewhere("drift", "--target", "far", "--format", "json", code=2).partition("]")[0] + "]")
    assert (seen["kind"], seen["field"]) == ("Bot", "maxTokens")
    assert elsewhere("drift", "--instance", "other") == "no drift on far\n"
    assert tokens() == [7]
    assert "is suspended: incident 13" in elsewhere("suspend", "incident 13", "--target", "far")
    assert elsewhere("resume") == "far is applied to again\n"
    until(lambda: tokens() == [2] and there.get("/reconciler/status").json()[0]["sync"] == "Synced")
    assert "is not suspended" in elsewhere("resume", code=64)
    assert "there are far" in elsewhere("suspend", "x", "--target", "nope", code=64)

    asked = elsewhere.document("reconciler-request", "sync")
    assert (asked["pass"]["outcome"], asked["pass"]["commit"]) == ("unchanged", bad)
    assert "unchanged" in elsewhere("sync")
    assert "--auto-approve" in elsewhere("rollback", code=64)
    back = json.loads(elsewhere("rollback", "--auto-approve", "--to", first, "--format", "json"))
    assert (back["outcome"], back["commit"], back["counts"]) == ("applied", first, {"done": 1})
    assert back["steps"][0]["name"] == "a"
    assert tokens() == [1]
    assert f"skipped   {bad[:8]}" in elsewhere("status")
    text = elsewhere("rollback", "--auto-approve", "--to", bad)
    assert "done    ~ Bot bistro/a" in text
    assert tokens() == [2]
    assert "names no commit" in elsewhere("rollback", "--auto-approve", "--to", "nope", code=3)

    rows = elsewhere.document("reconciler-passes", "history", "--limit", "3")
    assert "rollback" in [row["trigger"] for row in rows]
    assert elsewhere("history", "--before", str(rows[-1]["id"])).startswith(f"{rows[-1]['id'] - 1:>5}")
    done = next(row["id"] for row in there.get("/reconciler/passes").json() if row["outcome"] == "applied")
    shown = elsewhere.document("reconciler-pass", "show", str(done))
    assert shown["steps"][0]["fields"][0]["field"] == "maxTokens"
    assert "maxTokens: 1 → 2" in elsewhere("show", str(done))
    assert "there is no pass 999" in elsewhere("show", "999", code=64)

    monkeypatch.delenv("RECONCILER_URL")
    monkeypatch.chdir(elsewhere.home)  # its own folder, which is no repository
    (here,) = elsewhere.document("reconciler-status", "status")
    assert (here["wanted"], here["loopRuns"], here["source"]["message"]) == (bad, True, "")
    monkeypatch.setenv("THERE", "a-global-key-of-tests")
    assert "No changes" in elsewhere("plan")

    metrics = httpx.get(f"{elsewhere.url}/metrics").text
    for wanted in (
        'reconciler_synced{target="far"} 1.0',
        'reconciler_steps{action="update",outcome="done",target="far"}',
        "reconciler_source_fetched_timestamp_seconds 1",
        'reconciler_suspended{target="far"} 0.0',
    ):
        assert wanted in metrics
    said = elsewhere.log.read_text()
    for secret in (TOKEN, SECRET, KEY):
        assert secret not in said + metrics + text
    assert httpx.get(f"{elsewhere.url}/openapi.json").json()["paths"].keys() >= {"/reconciler/status", "/healthz"}
    assert there.get("/openai/find/bistro").status_code == 404
    there.close()
    live.close()


def test_with_neither_records_nor_an_address_the_exit_code_is_4(
    tmp_path: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    every = (("status",), ("history",), ("show", "1"), ("suspend", "x"), ("resume",), ("sync",))
    every = (*every, ("rollback", "--auto-approve"))
    for arguments in every:
        code, _, said = command(*arguments)
        assert (code, "no loop's records are at hand" in said) == (4, True), said
    monkeypatch.setenv("RECONCILER_URL", f"http://127.0.0.1:{port}")
    assert command("status")[0] == 64  # no key
    monkeypatch.setenv("RECONCILER_API_KEY", "x")
    for arguments in every:
        code, _, said = command(*arguments)
        assert (code, "nothing answers at" in said) == (4, True), said


def test_up_serves_its_loop(up: Up) -> None:
    (one,) = up.get("/reconciler/status")
    assert (one["target"], one["sync"], one["loopRuns"], one["source"]) == ("local", "Synced", True, None)
    assert one["next"] > time.time() - 1
    asked = up.client.post("/reconciler/sync", json={})
    assert asked.status_code == 202
    where = f"/reconciler/requests/{asked.json()['request']}"
    assert until(lambda: up.get(where)["pass"])["outcome"] == "unchanged"
    assert json.loads(up.run("status", "--format", "json").stdout)[0]["applied"] == one["applied"]
    assert (up.data / "served").read_text() == "local\n"


def test_a_second_target_keeps_its_own_address(repo: Repo, tmp_path: Path) -> None:
    """RECONCILER_URL is the first runtime's address, not everybody's."""
    with runtime(tmp_path) as url:
        config = (
            "apiVersion: reconciler/v1\nkind: Config\ntargets:\n"
            "  near: {type: runtime, url: 'http://127.0.0.1:1'}\n"
            f"  far: {{type: runtime, url: '{url}', apiKey: {{env: THERE}}}}\n"
        )
        repo.commit({**files(a=bot_file("a", 1)), "reconciler.yaml": config, ".gitignore": ".reconciler/\n"})

        def plan(target: str, **variables: str) -> int:
            done = subprocess.run(
                [sys.executable, "-m", "reconciler", "plan", "--target", target, "--detailed-exitcode"],
                cwd=repo.root,
                env={**os.environ, "THERE": "a-global-key-of-tests", "RECONCILER_API_KEY": "x", **variables},
                capture_output=True,
                text=True,
                timeout=60,
            )
            return done.returncode

        assert plan("far", RECONCILER_URL="http://127.0.0.1:1") == 2
        assert plan("near", RECONCILER_URL=url, RECONCILER_API_KEY="a-global-key-of-tests") == 2
        assert plan("far", RECONCILER_URL="http://127.0.0.1:1", RECONCILER_TARGET="far") == 1
