"""The bench's fleet: the same files for the same number, and nothing wrong with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.model import Config, Target

BENCH = Path(__file__).parent.parent.parent / "bench" / "fleet.py"


def test_a_fleet_is_valid_and_the_same_each_time(tmp_path: Path) -> None:
    trees = []
    for name in ("a", "b"):
        subprocess.run([sys.executable, str(BENCH), "40", str(tmp_path / name)], check=True, capture_output=True)
        repository = Repository.discover(tmp_path / name)
        commit = repository.resolve("HEAD")
        trees.append(repository.tree(commit))
        desired = read_desired(repository, commit, Config(), Target(name="local"), None)
        kinds = [object_.ref.kind for object_ in desired.objects]
        assert (kinds.count("Bot"), kinds.count("Instance"), desired.warnings) == (40, 4, ())
        prompts = [object_.spec["systemMessages"][0] for object_ in desired.objects if object_.ref.kind == "Bot"]
        assert all(900 < len(prompt) < 2_500 for prompt in prompts)
    assert trees[0] == trees[1]
    done = subprocess.run([sys.executable, str(BENCH), "1", str(tmp_path / "a")], capture_output=True, text=True)
    assert "is not empty" in done.stderr
