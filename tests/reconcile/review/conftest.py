from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.git import Repository
from reconciler.plan.review.findings import Review
from reconciler.reconcile.once import Site
from reconciler.reconcile.review.gather import gather
from reconciler.reconcile.review.voices import Voices
from tests.conftest import Repo

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "review"
TODAY = date(2026, 11, 23)


async def nobody(account: object, request: object) -> Any:
    raise AssertionError("no model is to be asked")


def look_at(repo: Repo, base: str = "main", head: str = "HEAD", **more: Any) -> Review:
    """The review of two refs of a repository, without any model, on a fixed day."""
    site = Site(Repository.discover(repo.root), more.pop("variables", {}), None)
    voices = more.pop("voices", None) or Voices("none", nobody)
    return asyncio.run(gather(site, (base, head), voices, today=TODAY, **more))


@pytest.fixture
def example(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Repo]:
    """The example as a repository: `main` is its base, the branch `change` a head of it. Commits have a fixed time."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_DATE", "2026-11-23T09:00:00Z")

    def made(head: str = "head") -> Repo:
        shutil.copytree(EXAMPLE / "base", repo.root, dirs_exist_ok=True, copy_function=shutil.copyfile)
        repo.commit(message="The shop")
        repo.git("switch", "--quiet", "--create", "change")
        if head == "head":
            shutil.rmtree(repo.root / "bots")
        shutil.copytree(EXAMPLE / head, repo.root, dirs_exist_ok=True, copy_function=shutil.copyfile)
        repo.commit(message="Spring")
        return repo

    return made
