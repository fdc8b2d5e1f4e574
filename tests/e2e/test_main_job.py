"""From a commit to an answered chat, and what must hold when things go wrong on the way."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import Repo
from tests.e2e.conftest import KEY, Up, until

EXAMPLE = json.loads((Path(__file__).resolve().parents[2] / "schemas/http/bot.schema.json").read_text())["examples"][0]


def replies(up: Up, instance: str, jid: str) -> list[str]:
    return [said["text"] for said in up.get(f"/chat/{instance}/{jid}") if said["fromMe"]]


def write(up: Up, instance: str, jid: str, text: str) -> None:
    assert up.client.post(f"/chat/{instance}", json={"remoteJid": jid, "text": text}).status_code == 202


def passes(up: Up) -> list[dict[str, Any]]:
    return json.loads(up.run("history", "--format", "json").stdout)


def test_a_commit_becomes_an_answered_chat_and_a_deleted_file_a_deleted_bot(up: Up) -> None:
    before = up.bots("bistro")
    assert "restaurant" in before
    write(up, "bistro", "ana", "start")
    assert "demo" in until(lambda: replies(up, "bistro", "ana"))[0].lower()

    file = up.repo.root / "bots/bistro/restaurant.yaml"
    up.repo.commit({"bots/bistro/restaurant.yaml": file.read_text().replace("maxTokens: 1000", "maxTokens: 777")})
    until(lambda: up.bots("bistro")["restaurant"]["maxTokens"] == 777)

    up.repo.commit({"bots/bistro/restaurant.yaml": None, **without_conversations(up.repo, "bistro")})
    until(lambda: "restaurant" not in up.bots("bistro"))
    assert up.bots("bistro").keys() == before.keys() - {"restaurant"}
    assert up.log.read_text().count("\ntarget   ") == 1


def test_a_changed_prompt_is_live_and_shown_as_the_lines_that_changed(up: Up) -> None:
    file = up.repo.root / "bots/bistro/prompts/concierge.md"
    sentence = "Only bus line 4 stops near the house."
    up.repo.commit({"bots/bistro/prompts/concierge.md": file.read_text() + f"\n{sentence}\n"})
    until(lambda: any(sentence in (row["instructions"] or "") for row in up.get("/openai/assistants/find/bistro")))
    shown = up.run("show", str(passes(up)[0]["id"])).stdout
    assert f"+{sentence}" in shown
    assert "forty seats" not in shown  # unchanged lines further away are left out


def without_conversations(repo: Repo, instance: str) -> dict[str, str | None]:
    """Removes what names a bot besides its own file, so that the rest stays valid."""
    return {
        str(file.relative_to(repo.root)): None
        for file in (repo.root / "bots" / instance).rglob("*.yaml")
        if "kind: Conversation" in file.read_text()
    }


def test_an_edit_through_the_api_is_put_back_and_shown_as_drift(up: Up) -> None:
    row = up.bots("bistro")["restaurant"]
    answer = up.client.put(f"/openai/update/{row['id']}/bistro", json={"maxTokens": 5})
    assert answer.status_code == 200
    up.run("sync")
    assert up.bots("bistro")["restaurant"]["maxTokens"] == row["maxTokens"]
    newest = passes(up)[0]
    shown = up.run("show", str(newest["id"]), "--format", "json").stdout
    assert "drift" in shown
    assert "maxTokens" in shown


def test_broken_yaml_applies_nothing_says_why_and_the_live_bots_go_on(up: Up) -> None:
    before = up.bots("bistro")
    good = (up.repo.root / "bots/bistro/restaurant.yaml").read_text()
    up.repo.commit({"bots/bistro/restaurant.yaml": good.replace("triggerOperator: equals", "triggerOperator: equal")})
    until(lambda: up.stands()["outcome"] == "invalid")
    status = up.run("status", exit_code=2)
    assert "triggerOperator" in status.stdout + status.stderr
    assert up.bots("bistro") == before
    write(up, "bistro", "bea", "start")
    assert until(lambda: replies(up, "bistro", "bea"))
    up.repo.commit({"bots/bistro/restaurant.yaml": good})
    until(lambda: up.stands()["sync"] == "Synced")
    assert "local: Synced, Healthy" in up.run("status").stdout


def test_the_documentations_example_request_makes_a_bot_that_answers_start(up: Up) -> None:
    created = up.client.post("/instance/create", json={"instanceName": "docs"})
    assert created.status_code == 201
    creds = {"name": "creds_123", "apiKey": "unused-by-the-demo", "baseUrl": "builtin:demo"}
    assert up.client.post("/openai/creds/docs", json=creds).status_code == 201
    answer = up.client.post("/openai/create/docs", json=EXAMPLE)
    assert answer.status_code == 201, answer.text
    write(up, "docs", "ana", "start")
    assert until(lambda: replies(up, "docs", "ana"))
    up.run("sync")
    assert len(up.get("/openai/find/docs")) == 1  # nobody's bots are foreign, not deleted
    assert up.client.delete("/instance/delete/docs").status_code == 200


def test_killed_at_any_moment_the_next_start_converges_and_nothing_is_doubled(fleet: Repo) -> None:
    for pause in (0.0, 0.2):
        up = Up(fleet)
        time.sleep(pause)
        up.kill()
        up.client.close()
    up = Up(fleet)
    try:
        up.ready()
        until(lambda: up.stands()["sync"] == "Synced")
        plan = up.run("plan", "--detailed-exitcode")
        assert plan.returncode == 0
        rows = up.get("/openai/find/bistro")
        descriptions = [row["description"].partition("@")[0] for row in rows]
        assert len(descriptions) == len(set(descriptions)) > 2
    finally:
        assert up.stop() == 0


def test_a_second_up_on_the_same_folder_and_a_taken_port_are_refused(up: Up) -> None:
    second = up.run("up", "--port", "0", exit_code=64)
    assert "already runs" in second.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = up.run("serve", "--port", str(port), "--data", str(up.repo.root.parent / "other"), exit_code=64)
    assert f"port {port}" in other.stderr
    assert "--port" in other.stderr


def test_an_open_address_needs_a_key_of_ones_own(fleet: Repo) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "serve", "--host", "0.0.0.0", "--port", "0"],
        cwd=fleet.root,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 64
    assert "RECONCILER_API_KEY" in done.stderr


def test_apply_without_a_runtime_exits_4(fleet: Repo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "apply", "--auto-approve"],
        cwd=fleet.root,
        env={**os.environ, "RECONCILER_API_KEY": KEY, "RECONCILER_URL": f"http://127.0.0.1:{port}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 4, done.stderr


def test_an_unknown_secret_variable_is_named_with_its_place(up: Up) -> None:
    text = (
        "apiVersion: reconciler/v1\nkind: Credentials\nmetadata: {name: second}\n"
        "spec:\n  apiKey: {env: NO_SUCH_VARIABLE}\n"
    )
    up.repo.commit({"bots/bistro/second.yaml": text})
    done = up.run("apply", "--auto-approve", exit_code=1)
    assert "bots/bistro/second.yaml:5" in done.stderr
    assert "NO_SUCH_VARIABLE" in done.stderr


def test_chat_in_the_terminal(up: Up) -> None:
    done = up.run("chat", "bistro", "start")
    assert done.stdout.startswith("> start\n")
    assert "demo" in done.stdout.lower()
    unknown = up.run("chat", "bistr", "start", exit_code=64)
    assert "bistro" in unknown.stderr


def test_readyz_waits_for_the_first_pass_and_needs_no_key(up: Up) -> None:
    assert httpx.get(f"{up.client.base_url}/readyz").status_code == 200
    assert httpx.get(f"{up.client.base_url}/healthz").status_code == 200


def test_a_fleet_of_ones_own_runs_as_init_wrote_it(tmp_path: Path) -> None:
    home = tmp_path / "mine"
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "init", str(home)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "reconciler up" in done.stderr
    repo = Repo(home)
    repo.commit(message="first bot")
    running = Up(repo)
    try:
        running.ready()
        write(running, "hello", "ana", "When are you open?")
        assert "monday" in until(lambda: replies(running, "hello", "ana"))[0].lower()
        again = running.run("init", ".", exit_code=64)
        assert "already there" in again.stderr
    finally:
        running.stop()
