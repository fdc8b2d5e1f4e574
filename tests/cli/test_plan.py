"""The reconciling commands as a person runs them, on a real repository and the real runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Repo
from tests.live.served import KEY, runtime
from tests.reconcile.conftest import bot_file, fleet

TIMEOUT = 30


@pytest.fixture
def cli(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """Runs a command in this process; gives (exit code, output, talk)."""
    from reconciler.cli import main
    from reconciler.cli.context import Context

    repo.commit({**fleet(a=bot_file("a", 1), b=bot_file("b", 1)), ".gitignore": ".reconciler/\n"})
    monkeypatch.chdir(repo.root)
    monkeypatch.setenv("RECONCILER_API_KEY", KEY)
    monkeypatch.setenv("KEY", "sk-0123456789abcdef")

    def run(*arguments: str) -> tuple[int, str, str]:
        import importlib

        fresh = Context()
        for name in (
            "plan",
            "apply",
            "run",
            "status",
            "history",
            "sync",
            "site",
            "drift",
            "why",
            "suspend",
            "rollback",
            "loops",
            "render",
            "serve",
        ):
            module = importlib.import_module(f"reconciler.cli.{name}")
            if hasattr(module, "context"):
                monkeypatch.setattr(module, "context", fresh)
        with pytest.raises(SystemExit) as ended:
            main.run(list(arguments))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    with runtime(tmp_path) as url:
        monkeypatch.setenv("RECONCILER_URL", url)
        yield run


Cli = Callable[..., tuple[int, str, str]]


def test_plan_apply_and_what_is_recorded(cli: Cli, repo: Repo) -> None:
    code, out, _ = cli("plan", "--detailed-exitcode")
    assert (code, "4 to create" in out) == (2, True)
    code, out, _ = cli("apply", "--auto-approve")
    assert code == 0
    assert "done    + Bot bistro/a" in out
    assert "applied:" in out
    assert cli("plan", "--detailed-exitcode")[0] == 0
    code, out, _ = cli("status")
    assert (code, out.splitlines()[0]) == (0, "local: Synced, Healthy")

    commit = repo.commit(fleet(a=bot_file("a", 2)))
    assert cli("status")[0] == 2
    code, out, _ = cli("plan", "--format", "json")
    found = json.loads(out)
    assert (code, found["commit"], found["changes"][0]["fields"]) == (
        0, commit, [{"field": "maxTokens", "before": 1, "after": 2, "origin": "pending"}],
    )  # fmt: skip
    assert "maxTokens: 1 → 2" in cli("plan", "--format", "markdown")[1]
    code, out, _ = cli("apply", "--auto-approve", "--format", "json")
    applied = json.loads(out)
    assert (applied["outcome"], applied["counts"]) == ("applied", {"done": 1})
    code, out, _ = cli("history", "--format", "json")
    assert [(one["trigger"], one["outcome"]) for one in json.loads(out)] == [("apply", "applied")] * 2
    assert "~1" in cli("history")[1]
    assert "maxTokens: 1 → 2" in cli("show", str(applied["pass"]))[1]
    assert json.loads(cli("show", "1", "--format", "json")[1])["steps"][0]["outcome"] == "done"
    assert json.loads(cli("status", "--format", "json")[1])[0]["sync"] == "Synced"
    assert cli("apply", "--auto-approve")[1].startswith("No changes")


def test_a_part_a_working_tree_and_no_prune(cli: Cli, repo: Repo) -> None:
    assert cli("apply", "--auto-approve", "--instance", "bistro")[0] == 0
    repo.write("bots/bistro/a.yaml", bot_file("a", 9, meta=", labels: {team: x}"))
    assert "maxTokens: 1 → 9" in cli("plan", "--worktree", "--select", "team=x")[1]
    assert "No changes" in cli("plan", "--select", "team=y", "--worktree")[1]
    assert "No changes" in cli("plan")[1]
    repo.commit({"bots/bistro/b.yaml": None})
    code, out, _ = cli("apply", "--auto-approve", "--no-prune")
    assert (code, "pruning is off" in out) == (0, True)
    assert "- Bot bistro/b" in cli("plan")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("plan", "--worktree", "--ref", "main"), 64, "exclude each other"),
        (("plan", "--select", "team"), 64, "LABEL=VALUE"),
        (("plan", "--allow", "all"), 64, "delete-instance:NAME"),
        (("plan", "--allow", "delete:many"), 64, "delete:N"),
        (("plan", "--target", "nope"), 64, "nope"),
        (("plan", "--ref", "nope", "--detailed-exitcode"), 1, "nope"),
        (("apply",), 64, "--auto-approve"),
        (("history",), 4, "reconciler up"),
        (("status",), 4, "No reconcile loop runs beside this runtime"),
        (("sync",), 4, "`reconciler up` starts both"),
    ],
)
def test_wrong_uses_say_what_to_do(cli: Cli, arguments: tuple[str, ...], code: int, said: str) -> None:
    found = cli(*arguments)
    assert (found[0], said in found[2]) == (code, True), found


def test_refusals_and_failures_have_their_exit_codes(cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(fleet(a=bot_file("a", meta=", protect: true")))
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit({"bots/bistro/a.yaml": None})
    assert "protected" in cli("plan")[1]
    code, _, err = cli("apply", "--auto-approve")
    assert (code, "protected" in err) == (3, True)
    repo.commit(fleet(a="kind: ["))
    assert cli("apply", "--auto-approve")[0] == 1
    assert cli("show", "99")[0] == 64
    outcomes = [one["outcome"] for one in json.loads(cli("history", "--format", "json")[1])]
    assert outcomes == ["invalid", "refused", "applied"]
    repo.commit(fleet(a=bot_file("a", 3)))
    monkeypatch.setenv("RECONCILER_URL", "http://127.0.0.1:9")
    code, _, err = cli("apply", "--auto-approve")
    assert (code, "cannot be reached" in err) == (4, True)


def test_the_loop_runs_until_told_and_syncs_on_demand(cli: Cli, repo: Repo) -> None:
    command = [sys.executable, "-m", "reconciler", "run", "--until-stdin-closes"]
    loop = subprocess.Popen(
        command, cwd=repo.root, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        deadline = time.monotonic() + TIMEOUT
        while cli("status")[0] != 0:
            assert time.monotonic() < deadline
            assert loop.poll() is None
        code, out, _ = cli("sync")
        assert (code, "unchanged" in out) == (0, True)
        second = subprocess.run(command, cwd=repo.root, capture_output=True, text=True, timeout=TIMEOUT, input="")
        assert (second.returncode, "already runs" in second.stderr) == (64, True)
        repo.commit(fleet(a="kind: ["))
        code, out, err = cli("sync")
        assert (code, "bots/bistro/a.yaml" in err) == (1, True)
        code, out, _ = cli("status")
        assert (code, "blocked" in out) == (2, True)
        assert loop.stdin is not None
        loop.stdin.close()
        assert loop.wait(TIMEOUT) == 0
    finally:
        loop.kill()
        loop.wait()
        assert loop.stderr is not None
        loop.stderr.close()


def test_a_signal_ends_the_loop(cli: Cli, repo: Repo) -> None:
    loop = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "run"], cwd=repo.root, stderr=subprocess.PIPE, env=os.environ
    )
    try:
        assert loop.stderr is not None
        assert b"applied" in loop.stderr.readline()
        loop.send_signal(signal.SIGTERM)
        assert loop.wait(TIMEOUT) == 0
    finally:
        loop.kill()
        loop.wait()
        loop.stderr.close()


@pytest.fixture
def terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bool]], None]:
    """Makes the standard streams a terminal on which a person answers `apply`'s question."""
    import typer

    def answers(answer: Callable[[], bool]) -> None:
        for stream in (sys.stdin, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(typer, "confirm", lambda *_, **__: answer())

    return answers


def test_apply_shows_the_plan_and_asks(cli: Cli, terminal: Any) -> None:
    terminal(lambda: False)
    code, out, err = cli("apply")
    assert (code, "4 to create" in out, "nothing was applied" in err) == (1, True, True)
    terminal(lambda: True)
    code, out, _ = cli("apply")
    assert (code, "applied:" in out) == (0, True)
    assert cli("apply")[0] == 0


def test_a_target_that_moves_while_the_plan_is_shown_is_not_changed(cli: Cli, terminal: Any, repo: Repo) -> None:
    import httpx

    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit(fleet(a=bot_file("a", 2)))

    def move() -> bool:
        url = os.environ["RECONCILER_URL"]
        with httpx.Client(base_url=url, headers={"apikey": KEY}) as http:
            row = http.get("/openai/find/bistro").json()[1]
            assert http.put(f"/openai/update/{row['id']}/bistro", json={"maxTokens": 50}).status_code == 200
        return True

    terminal(move)
    code, _, err = cli("apply")
    assert (code, "the target changed while the plan was shown" in err) == (3, True)


def test_status_shows_drift_and_a_step_that_fails_is_told(cli: Cli, repo: Repo) -> None:
    import httpx

    repo.commit({"reconciler.yaml": "apiVersion: reconciler/v1\nkind: Config\nsync: {selfHeal: false}\n"})
    assert cli("apply", "--auto-approve")[0] == 0
    with httpx.Client(base_url=os.environ["RECONCILER_URL"], headers={"apikey": KEY}) as http:
        row = http.get("/openai/find/bistro").json()[0]
        http.put(f"/openai/update/{row['id']}/bistro", json={"maxTokens": 50})
        foreign = {"instanceName": "taken", "number": "551199"}
        assert http.post("/instance/create", json=foreign).status_code == 201
    assert "drift: changed on the target" in cli("plan")[1]
    other = "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: other}\nspec: {number: '551199'}\n"
    repo.commit({"bots/other/instance.yaml": other})
    code, out, _ = cli("apply", "--auto-approve")
    assert code == 1
    assert "failed  + Instance other: 409" in out
    assert "1 failed" in cli("history")[1]
    assert "failed" in cli("show", "2")[1]
    assert "blocked   create Instance other" in cli("status")[1]


def test_what_is_not_committed_is_said_and_not_planned(cli: Cli, repo: Repo) -> None:
    assert "not committed" not in cli("plan")[1]
    repo.write("bots/bistro/a.yaml", bot_file("a", 7))
    repo.write("bots/bistro/new.yaml", bot_file("new"))
    repo.write("notes.txt", "elsewhere")
    code, out, _ = cli("plan")
    assert code == 0
    assert (
        "note: not committed, so not in this plan: bots/bistro/a.yaml, bots/bistro/new.yaml (`--worktree` plans the "
        "files as they are saved)"
    ) in out
    assert "maxTokens: 7" not in out
    assert "not committed" not in cli("plan", "--worktree")[1]
    assert "not committed" not in cli("plan", "--ref", "HEAD")[1]
    for number in range(9):
        repo.write(f"bots/bistro/more{number}.yaml", bot_file(f"more{number}"))
    assert "bots/bistro/more1.yaml and 8 more (" in cli("plan")[1]


def test_a_create_shows_what_its_author_wrote(cli: Cli) -> None:
    """Not the thirty fields that are as they always are; those on demand."""
    out = cli("plan")[1]
    shown = out[out.index("+ Bot bistro/a") : out.index("+ Bot bistro/b")].splitlines()[1:]
    assert [line.strip().partition(":")[0] for line in shown] == [
        "botType",
        "credentials",
        "model",
        "maxTokens",
        "triggerType",
    ]
    out = cli("plan", "--defaults")[1]
    assert "    delayMessage: 1s" in out[out.index("+ Bot bistro/a") : out.index("+ Bot bistro/b")]
    (bot,) = (one for one in json.loads(cli("plan", "--format", "json")[1])["changes"] if one["name"] == "a")
    assert "delayMessage" in bot["implied"]
    assert "delayMessage" in {field["field"] for field in bot["fields"]}
