"""`models`: the table of known models, with the bots that use them."""

from __future__ import annotations

import json
from pathlib import Path

from reconciler.catalog import catalog
from tests.commands import command
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet


def table(said: str) -> dict[str, list[str]]:
    return {cells[0]: cells[1:] for line in said.splitlines()[1:] if (cells := line.split())}


def test_it_shows_prices_ends_and_what_replaces_a_model_anywhere(tmp_path: Path) -> None:
    done = command("models", folder=tmp_path)
    assert done.returncode == 0
    rows = table(done.stdout)
    assert rows["gpt-4o"] == ["2.50", "1.25", "10.00", "2027-01-14", "gpt-6-luna"]
    assert rows["gpt-5-mini"][3:] == ["2026-12-11", "gpt-6.1-terra"]
    assert f"as of {catalog().as_of}" in done.stderr
    assert "gpt-4-turbo" not in rows, "it has gone"
    assert "gpt-4-turbo" in table(command("models", "--all", folder=tmp_path).stdout)


def test_in_a_repository_it_counts_bots_and_names_models_that_nobody_here_knows(repo: Repo) -> None:
    repo.commit(fleet(a=bot_file("a").replace("gpt-4o", "gpt-5-nano"), b=bot_file("b").replace("gpt-4o", "llama5")))
    done = command("models", "--format", "json", folder=repo.root)
    found = json.loads(done.stdout)
    assert (found["asOf"], found["currency"]) == (catalog().as_of, "USD")
    rows = {row["model"]: row for row in found["models"]}
    assert rows["gpt-5-nano"]["bots"] == 1
    assert rows["llama5"] == {
        "model": "llama5",
        "known": False,
        "input": None,
        "cached": None,
        "output": None,
        "ends": None,
        "gone": False,
        "replacement": None,
        "bots": 1,
    }
    assert "not known here" in command("models", folder=repo.root).stdout


def test_a_fleet_that_cannot_be_read_is_an_error_and_a_folder_without_one_is_none(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"bots/bistro/a.yaml": "kind: Nothing"})
    assert command("models", folder=repo.root).returncode == 1
    assert command("models", "--target", "local", folder=tmp_path / "..").returncode == 64
