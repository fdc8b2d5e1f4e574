"""An Evolution API server as a target from the command line: the whole example fleet, in real git, over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import command
from tests.conftest import Repo
from tests.evolution.serve import Server, serving

ROOT = Path(__file__).parent.parent.parent
CONFIG = """\
apiVersion: reconciler/v1
kind: Config
targets:
  {first}
  production: {{type: evolution, url: "{url}", apiKey: {{env: EVOLUTION_KEY}}}}
sync: {{interval: 2s}}
"""
Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def cli(repo: Repo, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command on the example fleet; gives its exit code and all it said."""
    monkeypatch.setenv("EVOLUTION_KEY", server.key)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef0123")
    monkeypatch.setenv("RECONCILER_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("RECONCILER_API_KEY", raising=False)
    files = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "bots").rglob("*") if path.is_file()}
    repo.commit({**files, "reconciler.yaml": CONFIG.format(first="", url=server.url)})

    def run(*arguments: str) -> tuple[int, str]:
        done = command(*arguments, folder=repo.root)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_example_fleet_from_first_plan_to_drift(cli: Cli, repo: Repo, server: Server) -> None:
    code, said = cli("plan", "--detailed-exitcode")
    assert (code, "Plan for production" in said) == (2, True), said
    assert "17 to create, 0 to update, 0 to delete" in said
    assert "expire: 1h" in said
    code, said = cli("apply", "--auto-approve")
    assert (code, "18 done" in said) == (0, True), said
    assert cli("plan", "--detailed-exitcode")[0] == 0
    code, said = cli("apply", "--auto-approve", "--format", "json")
    assert (code, json.loads(said)["outcome"]) == (0, "unchanged")

    menu = next(row for row in server.store.bots.values() if "menu" in str(row["triggerValue"]))
    menu["expire"] = 5
    code, said = cli("drift")
    assert (code, "expire: 5m → 1h" in said) == (2, True), said
    found = json.loads(cli("drift", "--format", "json")[1])
    assert [(one["field"], one["live"], one["declared"], one["origin"]) for one in found] == [
        ("expire", 5, 60, "drift")
    ]
    assert "drifted        expire: 5m → 1h" in cli("why", "bistro/menu")[1]
    assert cli("apply", "--auto-approve")[0] == 0
    assert cli("status")[0] == 0
    # Git moves on: a change of one bot is one call, pending, in the server's units.
    old = (repo.root / "bots/bistro/menu.yaml").read_text()
    repo.commit({"bots/bistro/menu.yaml": old + "  debounceTime: 2500ms\n"})
    said = cli("plan")[1]
    assert "debounceTime: 1s → 3s\n" in said
    assert "0 to create, 1 to update" in said
    server.clear()
    assert cli("apply", "--auto-approve")[0] == 0
    assert [one.method for one in server.seen if one.method != "GET"] == ["PUT"]


def test_a_saved_plan_is_applied_or_stale(cli: Cli, tmp_path: Path, server: Server) -> None:
    file = str(tmp_path / "a.plan")
    assert cli("plan", "--out", file)[0] == 0
    assert "sk-0123" not in Path(file).read_text()
    code, said = cli("apply", file)
    assert (code, "18 done" in said) == (0, True), said
    assert {row["apiKey"][:3] for row in server.store.credentials.values()} == {"sk-", "no-"}
    code, said = cli("apply", file)
    assert (code, "stale" in said) == (3, True)
    assert cli("plan", "--detailed-exitcode")[0] == 0


def test_validate_knows_its_rules_without_it(cli: Cli, repo: Repo) -> None:
    assert cli("validate")[0] == 0
    wine = (repo.root / "bots/bistro/menu.yaml").read_text().replace("name: menu", "name: wine")
    repo.commit({"bots/bistro/wine.yaml": wine.replace("spec:\n", "spec:\n  enabled: false\n")})
    code, said = cli("validate", "--format", "json")
    assert (code, len(json.loads(said)["problems"])) == (1, 1), said
    code, said = cli("validate")
    assert (code, "bots/bistro/wine.yaml:2:1: Bot bistro/wine: that server refuses the same trigger" in said) == (
        1,
        True,
    )
    assert "disabled bots count there too (change one of them, or take the disabled one out)" in said


def test_route_asks_in_that_servers_order(cli: Cli) -> None:
    code, said = cli("route", "bistro", "may I see the menu")
    assert (code, said) == (0, "  1. yes welcome: all\nwelcome answers\n")
    code, said = cli("route", "clinica", "oi", "--format", "json")
    assert (code, json.loads(said)["bot"], json.loads(said)["asked"][-1]["by"]) == (0, "recepcao", "fallback")
    assert "'menu' starts welcome" in cli("why", "bistro/menu")[1]


def test_an_instance_that_cannot_be_read_is_a_pass_in_part(cli: Cli, server: Server) -> None:
    assert cli("apply", "--auto-approve")[0] == 0
    server.fault("500", path="GET /openai/find/bistro", times=100)
    code, said = cli("apply", "--auto-approve")
    assert (code, "bistro is left alone in this pass" in said) == (1, True), said
    said = cli("status")[1]
    assert "OutOfSync" in said
    assert "bistro could not be read whole" in said
    server.clear()
    server.fault("500", path="GET /instance/fetchInstances", times=100)
    assert cli("plan")[0] == 4


def test_wrong_keys_and_configurations(cli: Cli, repo: Repo, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLUTION_KEY", "wrong")
    code, said = cli("plan")
    assert (code, "does not accept the key: check EVOLUTION_KEY" in said) == (4, True)
    monkeypatch.delenv("EVOLUTION_KEY")
    code, said = cli("plan")
    assert (code, "the environment variable EVOLUTION_KEY is not set" in said) == (1, True)
    repo.commit({"reconciler.yaml": "kind: Config\ntargets: {p: {type: evolution}}\n"})
    code, said = cli("plan")
    assert (code, said.count("is required")) == (1, 2), said


def _until(process: subprocess.Popen[str], seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not seen():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_up_drives_it_beside_its_own_runtime(cli: Cli, repo: Repo, server: Server, tmp_path: Path) -> None:
    local = "local: {type: runtime}"
    repo.commit({"reconciler.yaml": CONFIG.format(first=local, url=server.url)})
    command = [sys.executable, "-m", "reconciler", "up", "--port", "0"]
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(command, cwd=repo.root, stdout=said, stderr=said, text=True, env=os.environ) as process,
    ):
        try:
            _until(process, lambda: len(server.store.bots) == 10)
            _until(process, lambda: cli("status")[1].count("Synced, Healthy") == 2)
            next(iter(server.store.bots.values()))["enabled"] = False
            _until(process, lambda: all(row["enabled"] for row in server.store.bots.values()))  # by itself
            server.clear()
            assert cli("sync", "--target", "production")[0] == 0
            assert any(one.path == "/instance/fetchInstances" for one in server.seen)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
    assert "local and production" in (tmp_path / "said").read_text()
