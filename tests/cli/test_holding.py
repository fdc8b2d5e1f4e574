"""`suspend`, `resume` and `rollback`, on a real repository and the real runtime."""

from __future__ import annotations

import json

from tests.cli.test_plan import Cli
from tests.cli.test_plan import cli as cli
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet


def test_a_suspension_has_a_reason_and_an_end(cli: Cli, repo: Repo) -> None:
    assert cli("resume")[0] == 4  # no records are at hand
    assert cli("suspend", " ")[0] == 64
    assert cli("apply", "--auto-approve")[0] == 0
    assert cli("resume")[0] == 64
    assert cli("suspend", "why", "--target", "nope")[0] == 64
    assert cli("suspend", "incident 12") == (0, "local is suspended: incident 12\n", "")
    code, out, _ = cli("status")
    assert (code, out.splitlines()[0]) == (0, "local: Synced, Suspended")
    assert "suspended incident 12, since 20" in out
    assert json.loads(cli("status", "--format", "json")[1])[0]["suspended"]["reason"] == "incident 12"
    assert "blocked        local is suspended: incident 12" in cli("why", "a")[1]
    assert cli("resume", "--target", "local") == (0, "local is applied to again\n", "")
    assert "Suspended" not in cli("status")[1]
    repo.commit({"reconciler.yaml": "nonsense: ["})
    assert cli("suspend", "the file is broken")[1].startswith("local is suspended")


def test_rollback_goes_back_and_remembers(cli: Cli, repo: Repo) -> None:
    assert cli("rollback")[0] == 64  # nobody to ask
    assert cli("rollback", "--auto-approve")[0] == 4  # no records are at hand
    assert cli("apply", "--auto-approve")[0] == 0
    code, _, err = cli("rollback", "--auto-approve")
    assert (code, "name one with --to" in err) == (64, True)
    first = repo.git("rev-parse", "HEAD").strip()
    bad = repo.commit(fleet(a=bot_file("a", 666)))
    assert cli("apply", "--auto-approve")[0] == 0
    code, out, err = cli("rollback", "--auto-approve")
    assert (code, "done    ~ Bot bistro/a" in out, f"back to {first[:8]}" in err) == (0, True, True), err
    code, out, _ = cli("status")
    assert (code, f"skipped   {bad[:8]}, rolled back" in out) == (0, True), out
    assert json.loads(cli("history", "--format", "json")[1])[0]["trigger"] == "rollback"
    assert f"{bad[:8]} is quarantined" in cli("why", "a")[1]
    said = f"note: {bad[:8]} is quarantined: it was rolled back, and the loop applies {first[:8]} in its place"
    assert said in cli("plan")[1]
    code, _, err = cli("apply", "--auto-approve")
    assert (code, f"rollback --to {bad[:8]}" in err) == (3, True)
    code, _, err = cli("rollback", "--auto-approve", "--to", bad)
    assert (code, "leaves quarantine" in err) == (0, True)
    assert "maxTokens: 1 → 666" in cli("show", str(len(json.loads(cli("history", "--format", "json")[1]))))[1]
    assert cli("rollback", "--auto-approve")[0] == 0
    repo.commit(fleet(a=bot_file("a", 3)))
    assert cli("apply", "--auto-approve")[0] == 0
    assert "skipped" not in cli("status")[1]


def test_a_rollback_that_a_gate_refuses_leaves_everything(cli: Cli, repo: Repo) -> None:
    repo.commit({"bots/bistro/a.yaml": None, "bots/bistro/b.yaml": None})
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit(fleet(a=bot_file("a"), b=bot_file("b")))
    assert cli("apply", "--auto-approve")[0] == 0
    assert cli("rollback", "--auto-approve")[0] == 3
    assert "skipped" not in cli("status")[1]
    assert cli("rollback", "--auto-approve", "--allow", "delete:2")[0] == 0
    assert "skipped" in cli("status")[1]
