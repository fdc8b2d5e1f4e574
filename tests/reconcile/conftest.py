from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.desired.git import Repository
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Site
from tests.conftest import Repo

INSTANCE = "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: bistro}\nspec: {}\n"
ACCOUNT = "apiVersion: reconciler/v1\nkind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {env: KEY}, baseUrl: 'https://llm.example'}\n"


def bot_file(name: str, tokens: int = 100, more: str = "", meta: str = "") -> str:
    return (
        f"apiVersion: reconciler/v1\nkind: Bot\nmetadata: {{name: {name}{meta}}}\nspec:\n  credentials: main\n"
        f"  botType: chatCompletion\n  model: gpt-4o\n  maxTokens: {tokens}\n  triggerType: none\n{more}"
    )


def fleet(**bots: str | None) -> dict[str, str | None]:
    """Files of a fleet of one instance; `bots` gives each bot's file by its name."""
    files: dict[str, str | None] = {"bots/bistro/instance.yaml": INSTANCE, "bots/bistro/main.yaml": ACCOUNT}
    return files | {f"bots/bistro/{name}.yaml": text for name, text in bots.items()}


@pytest.fixture
def site(repo: Repo) -> Site:
    return Site(Repository.discover(repo.root), {"KEY": "sk-0123456789abcdef"}, None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def history(data: Path) -> Iterator[History]:
    with History(data / "loop.db") as records:
        yield records
