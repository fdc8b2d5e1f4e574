"""Keys that are missing, from the command line: what is live stays, what is held is said everywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_evolution import cli as on_evolution  # noqa: F401
from tests.cli.test_evolution import server as server
from tests.cli.test_plan import Cli
from tests.cli.test_plan import cli as cli
from tests.commands import command
from tests.conftest import Repo
from tests.evolution.serve import Server
from tests.live.served import KEY
from tests.reconcile.conftest import ACCOUNT, bot_file

DEMO_ALLOWED = {"bots/bistro/main.yaml": ACCOUNT.replace("spec: {", "spec: {whenMissing: 'builtin:demo', ")}
OTHER = {
    "bots/other/instance.yaml": "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: other}\nspec: {}\n",
    "bots/other/main.yaml": ACCOUNT.replace("KEY", "OTHER_KEY"),
    "bots/other/b.yaml": bot_file("b"),
}


def account(instance: str = "bistro") -> dict[str, Any]:
    with httpx.Client(base_url=os.environ["RECONCILER_URL"], headers={"apikey": KEY}) as http:
        (row,) = http.get(f"/openai/creds/{instance}").json()
        found: dict[str, Any] = row
        return found


def test_an_account_outlives_its_key(cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(DEMO_ALLOWED)
    assert cli("apply", "--auto-approve")[0] == 0
    before = account()
    assert before["baseUrl"] == "https://llm.example"
    monkeypatch.delenv("KEY")
    code, out, _ = cli("plan")
    assert (code, "note: KEY is not set; in an apply from here bistro/main keeps the account that is live" in out) == (
        0,
        True,
    )
    code, out, _ = cli("apply", "--auto-approve")
    assert (code, "note: KEY is not set: bistro/main keeps the account that is live" in out) == (1, True)
    assert account() == before
    code, out, _ = cli("status")
    assert code == 2
    assert out.startswith("local: OutOfSync, Degraded")
    assert "  blocked   bots/bistro/main.yaml:4: KEY is not set: Credentials bistro/main keeps the account" in out
    (state,) = json.loads(cli("status", "--format", "json")[1])
    assert [(one["name"], one["effect"], one["line"]) for one in state["absent"]] == [("main", "kept", 4)]
    monkeypatch.setenv("KEY", "sk-another0123456789")
    assert cli("apply", "--auto-approve")[0] == 0
    assert account()["fingerprint"] != before["fingerprint"], "a key that is there is another matter"
    assert cli("status")[0] == 0


def test_one_line_without_its_key_holds_up_no_other(cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(OTHER)
    done = command("validate", folder=repo.root)
    assert done.returncode == 0
    assert "bots/other/main.yaml:4:" in done.stderr
    assert "spec.apiKey: warning: OTHER_KEY is not set (an apply from here keeps what is live as it is" in done.stderr
    assert "OTHER_KEY" not in command("validate", "--format", "github", folder=repo.root).stdout
    code, out, _ = cli("apply", "--auto-approve")
    assert code == 1
    assert "done    + Bot bistro/a" in out
    assert "note: 3 changes shown but not applied: OTHER_KEY is not set" in out
    code, out, _ = cli("why", "other/b")
    assert "it is not on local yet" in out
    assert "OTHER_KEY is not set: nothing of other is applied" in out
    monkeypatch.setenv("OTHER_KEY", "sk-0123456789abcdef")
    assert cli("apply", "--auto-approve")[0] == 0
    assert account("other")["baseUrl"] == "https://llm.example"


def test_what_answers_as_a_demo_is_said(cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(DEMO_ALLOWED)
    monkeypatch.delenv("KEY")
    code, out, _ = cli("plan")
    assert "note: KEY is not set; in an apply from here the built-in demo model answers for bistro/main" in out
    code, out, _ = cli("apply", "--auto-approve")
    assert (code, "note: KEY is not set, so the built-in demo model answers for bistro/main" in out) == (0, True)
    assert account()["baseUrl"] == "builtin:demo"
    code, out, _ = cli("status")
    assert (code, "  demo      bistro: the built-in demo model answers for a, b" in out) == (0, True)
    assert "the built-in demo model answers for it: KEY is not set" in cli("why", "a")[1]
    repo.commit({"bots/bistro/main.yaml": ACCOUNT})
    assert cli("apply", "--auto-approve")[0] == 1, "the demo model may not stand in any more, and there is no key"
    assert account()["baseUrl"] == "builtin:demo"


def test_a_saved_plan_is_refused_where_a_key_of_it_is_missing(
    cli: Cli, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit({**OTHER, "bots/bistro/a.yaml": bot_file("a", 9)})
    file = str(tmp_path / "a.plan")
    assert cli("plan", "--out", file)[0] == 0
    code, _, err = cli("apply", file)
    assert code == 3
    assert "OTHER_KEY is not set, so Credentials other/main cannot be applied as the saved plan says" in err
    assert "maxTokens: 1 → 9" in cli("plan")[1], "nothing of it was applied"
    monkeypatch.setenv("OTHER_KEY", "sk-0123456789abcdef")
    assert cli("apply", file)[0] == 0
    repo.commit({"bots/bistro/a.yaml": bot_file("a", 10), **DEMO_ALLOWED})
    assert cli("plan", "--out", file)[0] == 0
    before = account()
    monkeypatch.delenv("KEY")
    assert cli("apply", file)[0] == 1, "what it says is applied; the account, which it does not speak of, is kept"
    assert account() == before


def test_on_an_evolution_target_too(
    on_evolution: Any,  # noqa: F811
    repo: Repo,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no demo model: what is live is kept, and a line that never had a key is left out."""
    repo.commit(
        {
            "bots/clinica/credentials.yaml": ACCOUNT.replace("main", "openai-main")
            .replace(", baseUrl: 'https://llm.example'", "")
            .replace("KEY", "CLINICA_KEY")
        }
    )
    code, said = on_evolution("apply", "--auto-approve")
    assert code == 1, said
    assert "CLINICA_KEY is not set: nothing of clinica is applied" in said
    assert "done    + Bot bistro/menu" in said
    monkeypatch.setenv("CLINICA_KEY", "sk-clinica0123456789ab")
    assert on_evolution("apply", "--auto-approve")[0] == 0
    before = len(server.seen)
    monkeypatch.delenv("CLINICA_KEY")
    monkeypatch.delenv("OPENAI_API_KEY")
    code, said = on_evolution("apply", "--auto-approve")
    assert code == 1
    assert "keep" in said
    assert "done" not in said, said
    assert {one.method for one in server.seen[before:]} == {"GET"}
