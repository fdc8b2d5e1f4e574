"""Every bad file of bad/ gives exactly the problems beside it, whatever it is, and never an exception of ours.

`UPDATE_EXPECTED=1 pytest tests/desired/test_bad.py` writes the expected files anew, to be read before they are kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots
from reconciler.model import Config, Target
from tests.conftest import Repo

BAD = Path(__file__).parent / "bad"
NAMES = sorted(path.stem for path in BAD.glob("*.yaml") if not path.stem.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_bad_file(name: str, repo: Repo) -> None:
    content = (BAD / f"{name}.yaml").read_bytes()
    repo.write("bots/bistro/_base.yaml", (BAD / "_base.yaml").read_text())
    (repo.root / "bots/bistro/bad.yaml").write_bytes(content)
    repository = Repository.discover(repo.root)
    with pytest.raises(InvalidBots) as raised:
        read_desired(repository, None, Config(), Target(name="local"), None)
    said = "".join(f"{problem}\n" for problem in raised.value.problems)
    expected = BAD / f"{name}.expected"
    if os.environ.get("UPDATE_EXPECTED"):
        expected.write_text(said)
    assert said == expected.read_text()

    with pytest.raises(InvalidBots) as committed:
        read_desired(repository, repo.commit(), Config(), Target(name="local"), None)
    assert [one.line for one in committed.value.problems] == [one.line for one in raised.value.problems]
