"""The repository's address stands in one place, and script/docs.py writes it wherever else it is named."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import Repo

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def links() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "script"))
        yield importlib.import_module("links")


def test_every_file_names_the_repository_of_pyproject(links: ModuleType) -> None:
    assert [str(file) for file, _ in links.elsewhere_addressed()] == []


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("- uses: your-org/tool@v1", "- uses: acme/ops/tool@v1"),
        ("- uses: https://github.com/your-org/tool@v1", "- uses: https://git.example/acme/ops/tool@v1"),
        ("https://github.com/your-org/tool/issues", "https://git.example/acme/ops/tool/issues"),
        ("(https://github.com/your-org/tool#readme)", "(https://git.example/acme/ops/tool#readme)"),
        ("git+https://github.com/your-org/tool.git", "git+https://git.example/acme/ops/tool.git"),
        ("https://github.com/your-org/tool-other", None),
        ("https://github.com/your-org/other", None),
        ("https://pypi.org/project/tool/", None),
        ("/opt/tool and opt/tool and uses: actions/checkout@v6", None),
    ],
)
def test_an_address_moves_with_pyproject(
    links: ModuleType, repo: Repo, monkeypatch: pytest.MonkeyPatch, written: str, named: str | None
) -> None:
    monkeypatch.setattr(links, "ROOT", repo.root)
    hook = '[tool.hatch.metadata.hooks.custom]\nrepository = "https://git.example/acme/ops/tool"\n'
    repo.commit({"pyproject.toml": hook, "a/b.md": f"{written}\n", "tests/a.md": f"{written}\n"})
    repo.write("picture.png", "").write_bytes(b"\x89PNG\xff\xfe")
    found = dict(links.elsewhere_addressed())
    assert found == ({} if named is None else {repo.root / "a/b.md": f"{named}\n"})


def test_a_link_that_leads_nowhere_is_found(links: ModuleType, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ROOT", repo.root)
    repo.commit(
        {"docs/a.md": "[b](b.md) [up](../c.md#x) [out](https://d/e) [here](#f)\n```\n[g](h.md)\n```\n", "c.md": "c\n"}
    )
    assert list(links.broken_links()) == ["docs/a.md: the link to b.md leads nowhere"]
