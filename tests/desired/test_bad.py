"""Every bad file of bad/ gives exactly the problems beside it, whatever it is, and never an exception of ours.

`UPDATE_EXPECTED=1 pytest tests/desired/test_bad.py` writes the expected files anew, to be read before they are kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Problem
from reconciler.model import Config, Target
from tests.conftest import Repo

BAD = Path(__file__).parent / "bad"
NAMES = sorted(path.stem for path in BAD.glob("*.yaml") if not path.stem.startswith("_"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, str]:
    """One commit with a folder for each bad file, its `bots/` in it."""
    repo = Repo(tmp_path_factory.mktemp("bad"))
    for name in NAMES:
        repo.write(f"{name}/bots/bistro/_base.yaml", (BAD / "_base.yaml").read_text())
        (repo.root / name / "bots/bistro/bad.yaml").write_bytes((BAD / f"{name}.yaml").read_bytes())
    commit = repo.commit()
    return Repository.discover(repo.root), commit


@pytest.mark.parametrize("name", NAMES)
def test_bad_file(name: str, folders: tuple[Repository, str]) -> None:
    repository, commit = folders

    def problems(commit: str | None) -> tuple[Problem, ...]:
        with pytest.raises(InvalidBots) as raised:
            read_desired(repository, commit, Config(path=f"{name}/bots"), Target(name="local"), None)
        return raised.value.problems

    saved = problems(None)
    said = "".join(f"{problem}\n" for problem in saved).replace(f"{name}/bots/", "bots/")
    expected = BAD / f"{name}.expected"
    if os.environ.get("UPDATE_EXPECTED"):
        expected.write_text(said)
    assert said == expected.read_text()
    assert [one.line for one in problems(commit)] == [one.line for one in saved]
