"""`review` as a person or a job runs it, on real repositories."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Repo
from tests.reconcile.review.conftest import EXAMPLE

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(repo: Repo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process, in the example's repository; gives (exit code, output, talk)."""
    from reconciler.cli import main
    from reconciler.cli.context import Context

    shutil.copytree(EXAMPLE / "base", repo.root, dirs_exist_ok=True, copy_function=shutil.copyfile)
    repo.commit({".gitignore": ".reconciler/\n"}, message="The shop")
    monkeypatch.chdir(repo.root)

    def run(*arguments: str) -> tuple[int, str, str]:
        fresh = Context()
        for name in ("review", "review_post", "validate", "site"):
            monkeypatch.setattr(importlib.import_module(f"reconciler.cli.{name}"), "context", fresh)
        with pytest.raises(SystemExit) as ended:
            main.run(list(arguments))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def change(repo: Repo, path: str, *pairs: tuple[str, str], branch: str = "change") -> None:
    if repo.git("branch", "--show-current") != branch:
        repo.git("switch", "--quiet", "--create", branch)
    file = repo.root / path
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    repo.commit({path: text})


def test_words_alone_are_fine(cli: Cli, repo: Repo) -> None:
    change(repo, "bots/shop/prompts/events.md", ("Saturdays", "Sundays"))
    code, out, _ = cli("review", "--base", "main")
    assert (code, out.splitlines()[0][:13]) == (0, "fine to merge")
    assert "On [-Saturdays-]{+Sundays+} at ten" in out
    assert cli("review", "--base", "main", "--format", "github")[1] == ""
    assert "✔ Fine to merge" in cli("review", "--base", "main", "--format", "markdown")[1]


def test_the_exit_code_is_the_verdict(cli: Cli, repo: Repo) -> None:
    change(repo, "bots/shop/repairs.yaml", ("maxTokens: 400", "maxTokens: 500"))
    assert cli("review", "--base", "main")[0] == 3
    change(repo, "bots/shop/rentals.yaml", ("rent a bike", "hire a bike"))
    assert cli("review", "--base", "main")[0] == 1
    code, out, _ = cli("review", "--base", "main", "--format", "github")
    assert code == 1
    assert out.startswith("::error file=bots/shop/conversations.yaml,line=7,col=21,title=conversation::")
    assert "::warning file=bots/shop/repairs.yaml,line=10,col=14,title=max-tokens::" in out
    change(repo, "bots/shop/repairs.yaml", ("contains", "contain"))
    code, out, _ = cli("review", "--base", "main", "--format", "json")
    assert (code, json.loads(out)["problems"][0]["at"]["line"]) == (1, 12)


def test_nothing_changes(cli: Cli, repo: Repo, tmp_path: Path) -> None:
    code, out, _ = cli("review", "--base", "main", "--out", str(tmp_path / "review.md"))
    assert (code, "0 to create" in out) == (0, True)
    assert "nothing changes on any target" in (tmp_path / "review.md").read_text()


def test_the_base_is_what_both_share(cli: Cli, repo: Repo) -> None:
    change(repo, "bots/shop/prompts/events.md", ("Saturdays", "Sundays"))
    repo.git("switch", "--quiet", "main")
    repo.commit({"bots/shop/vouchers.yaml": None})
    code, out, _ = cli("review", "--base", "main", "--head", "change")
    assert (code, "vouchers" in out) == (0, False)
    assert "1 commit of main is not in this branch" in out


def test_a_base_that_is_no_desired_state(cli: Cli, repo: Repo) -> None:
    change(repo, "bots/shop/repairs.yaml", ("maxTokens: 400", "maxTokens: none"), branch="main")
    change(repo, "bots/shop/repairs.yaml", ("maxTokens: none", "maxTokens: 300"))
    code, out, _ = cli("review", "--base", "main")
    assert (code, "the base commit is not valid" in out) == (3, True)
    repo.git("switch", "--quiet", "main")
    change(repo, "reconciler.yaml", ("prices:", "price:"), branch="main")
    repo.git("switch", "--quiet", "--create", "other")
    repo.commit({"reconciler.yaml": None, "bots/shop/repairs.yaml": None})
    assert "the base commit is not valid" in cli("review", "--base", "main")[1]


def test_a_head_whose_configuration_is_wrong_shows_the_bots_problems_too(cli: Cli, repo: Repo) -> None:
    change(repo, "reconciler.yaml", ("prices:", "price:"))
    change(repo, "bots/shop/repairs.yaml", ("maxTokens: 400", "maxTokens: none"))
    code, out, _ = cli("review", "--base", "main")
    assert (code, "reconciler.yaml:" in out, "bots/shop/repairs.yaml:10" in out) == (1, True, True)


def test_targets_that_come_go_and_differ(cli: Cli, repo: Repo) -> None:
    overlay = (
        "apiVersion: reconciler/v1\nkind: Bot\nmetadata: {name: repairs, instance: shop}\nspec: {maxTokens: 900}\n"
    )
    targets = "  local: {type: runtime}\n  far: {type: runtime, url: https://far.example, overlay: overlays/far}\n"
    repo.git("switch", "--quiet", "--create", "change")
    text = (repo.root / "reconciler.yaml").read_text()
    head = text.replace(text[text.index("  local") : text.index("prices")], targets)
    repo.commit({"reconciler.yaml": head, "overlays/far/repairs.yaml": overlay})
    code, out, _ = cli("review", "--base", "main", "--format", "markdown")
    assert (code, "### Plan: far" in out, "the target far is new" in out) == (3, True, True)
    assert "| | local | far |" in out
    code, out, _ = cli("review", "--base", "change", "--head", "change")
    assert code == 0
    repo.git("switch", "--quiet", "--create", "back")
    repo.commit({"reconciler.yaml": text})
    assert "the target far is no longer declared" in cli("review", "--base", "change")[1]


def test_a_finding_stands_on_the_line_of_the_overlay_that_changes_it(cli: Cli, repo: Repo) -> None:
    overlay = (
        "apiVersion: reconciler/v1\nkind: Bot\nmetadata: {name: repairs, instance: shop}\nspec:\n  maxTokens: 300\n"
    )
    text = (repo.root / "reconciler.yaml").read_text()
    head = text.replace("local: {type: runtime, ", "local: {type: runtime, overlay: overlays/far, ")
    repo.commit({"reconciler.yaml": head, "overlays/far/a.yaml": overlay})
    change(repo, "overlays/far/a.yaml", ("maxTokens: 300", "maxTokens: 900\n  triggerValue: rep"))
    code, out, _ = cli("review", "--base", "main", "--format", "github")
    assert code == 3, out
    assert "::warning file=overlays/far/a.yaml,line=5,col=14,title=max-tokens::" in out
    assert "::warning file=overlays/far/a.yaml,line=6,col=17,title=widened-trigger::" in out


def test_a_target_is_asked_with_the_bases_address_and_key_only(
    cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "local: {type: runtime, url: 'https://evil.example', apiKey: {env: SECRET}, "
    change(repo, "reconciler.yaml", ("local: {type: runtime, ", evil))
    monkeypatch.setenv("SECRET", "do-not-send")
    code, out, err = cli("review", "--base", "main", "--target", "local")
    assert "its type, address or key changes here, so no key is sent there" in out + err
    assert "the target local is at evil.example, no longer at 127.0.0.1:8080: its key is sent there" in out
    assert (code, "do-not-send" in out + err) == (3, False)
    repo.git("switch", "--quiet", "main")
    assert "local was not looked at: no API key" in cli("review", "--base", "main", "--target", "local")[1]
    monkeypatch.setenv("RECONCILER_API_KEY", "k")
    monkeypatch.setenv("RECONCILER_URL", "http://127.0.0.1:9")
    assert "local was not looked at: " in cli("review", "--base", "main", "--target", "local")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base", "nope"), "'nope' names no commit"),
        (("--base", "main", "--replay", "gone.jsonl"), "sessions export"),
        (("--base", "main", "--target", "nope"), "there is no target 'nope'"),
        (("--base", "alone"), "have no commit in common"),
    ],
    ids=["ref", "file", "target", "unrelated"],
)
def test_wrong_uses_say_what_to_do(cli: Cli, repo: Repo, arguments: tuple[str, ...], said: str) -> None:
    repo.git("branch", "alone", repo.git("commit-tree", "HEAD^{tree}", "-m", "alone"))
    code, _, err = cli("review", *arguments)
    assert (code, said in err) == (64, True), err


def test_a_terminal_has_colours(cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    change(repo, "bots/shop/prompts/events.md", ("Saturdays", "Sundays"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _, out, _ = cli("review", "--base", "main")
    assert "\x1b[31m[-Saturdays-]" in out
    assert "\x1b[32m{+Sundays+}" in out


def test_models_answer_where_the_demo_is_to(cli: Cli, repo: Repo) -> None:
    talk: dict[str, Any] = {"bots/shop/says.yaml": (
        "apiVersion: reconciler/v1\nkind: Conversation\nmetadata: {name: says}\nspec:\n  turns:\n"
        "    - user: events\n    - user: When does the ride start?\n      expect: {contains: [ride]}\n"
    )}  # fmt: skip
    repo.git("switch", "--quiet", "--create", "change")
    repo.commit(talk)
    assert "is new and not run: it needs a model, and none was to be asked" in cli("review", "--base", "main")[1]
    live = cli("review", "--base", "main", "--model", "live")[1]
    assert "is new and not run: it needs a model, and no account is at hand" in live
    assert "none was to be asked" in cli("review", "--base", "main", "--model", "none")[1]
    assert "conversation shop/says: is new and passes" in cli("review", "--base", "main", "--model", "demo")[1]
