"""The wheel holds all that the program needs outside of a checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LOOK = """
import sys
sys.path.insert(0, sys.argv[1])
import reconciler
from reconciler import shape
from reconciler.runtime.console.page import _template
assert reconciler.__file__.startswith(sys.argv[1]), reconciler.__file__
assert str(shape.SCHEMAS).startswith(sys.argv[1]), shape.SCHEMAS
assert not shape.faults("http/bot", shape.schema("http/bot")["examples"][0])
assert "<html" in _template().render(nonce="n", version="v")
from reconciler.cli.main import run
run(["schema", "bot"])
"""


def test_an_installed_wheel_works_outside_of_the_checkout(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = archive.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "bots/")) for name in names)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path / "site")], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert '"title": "Bot"' in done.stdout
