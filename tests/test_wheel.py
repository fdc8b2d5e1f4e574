"""The wheel holds all that the program needs outside of a checkout, and the sdist all that the wheel is made of."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from reconciler import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REPOSITORY = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]

LOOK = """
import sys
sys.path.insert(0, sys.argv[1])
import reconciler
from reconciler import shape
from reconciler.cli import starters
from reconciler.runtime.console.page import _template
assert reconciler.__file__.startswith(sys.argv[1]), reconciler.__file__
assert str(shape.SCHEMAS).startswith(sys.argv[1]), shape.SCHEMAS
assert not shape.faults("http/bot", shape.schema("http/bot")["examples"][0])
assert "<html" in _template().render(nonce="n", version="v")
assert str(starters._shipped("templates", "templates")).startswith(sys.argv[1])
from reconciler.cli.main import COMMANDS, build, run
build()
for forge in starters.CI:
    try:
        run(["init", f"of-{forge.value}", "--example", "--ci", forge.value])
    except SystemExit as ended:
        assert not ended.code, ended.code
run(["schema", "bot"])
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, Path]:
    """Wheel and sdist of this tree, built once for all processes that test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "built"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            build(ROOT, folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def build(source: Path, out: Path, *target: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out), *target]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def inside(wheel: Path, name: str) -> bytes:
    """A file of the wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (found,) = [each for each in archive.namelist() if each.endswith(f".dist-info/{name}")]
        return archive.read(found)


def metadata(wheel: Path) -> Message:
    return message_from_bytes(inside(wheel, "METADATA"))


def test_an_installed_wheel_works_outside_of_the_checkout(built: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(tmp_path / "site")
        names = archive.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"reconciler", f"bot_reconciler-{__version__}.dist-info"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path / "site")], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert '"title": "Bot"' in done.stdout
    for forge, folder in {"github": ".github", "gitlab": ".", "gitea": ".gitea", "forgejo": ".forgejo"}.items():
        fleet = tmp_path / f"of-{forge}"
        assert (fleet / "AGENTS.md").read_text() == (ROOT / "reconciler/cli/AGENTS.md").read_text()
        assert (fleet / "bots/bistro/menu.yaml").is_file()
        assert list((fleet / folder).rglob("reconciler*.yml"))


def test_two_commands_start_the_same(built: tuple[Path, Path]) -> None:
    given = ConfigParser()
    given.read_string(inside(built[0], "entry_points.txt").decode())
    scripts = dict(given["console_scripts"])
    assert scripts == {"reconciler": "reconciler.cli.main:run", PROJECT["project"]["name"]: "reconciler.cli.main:run"}


def test_the_sdist_is_this_project_and_makes_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    if (ROOT / ".git").exists():
        listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        ours = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
        assert held - {"PKG-INFO"} == {name for name in ours if (ROOT / name).is_file()}
    build(unpacked, tmp_path / "again", "--target", "wheel")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


def test_an_index_is_told_who_what_and_where(built: tuple[Path, Path]) -> None:
    said = metadata(built[0])
    assert said["Author"] or said["Author-email"]
    assert said["License-Expression"] == "Apache-2.0"
    pythons = [each.rpartition(" ")[2] for each in said.get_all("Classifier", []) if "Python :: 3." in each]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    addresses = dict(each.split(", ", 1) for each in said.get_all("Project-URL", []))
    assert {"Source", "Documentation", "Changelog", "Issues", "Security"} <= addresses.keys()
    for name, address in addresses.items():
        assert address.startswith(REPOSITORY), name
        if f"/v{__version__}/" in address:
            assert (ROOT / address.partition(f"/v{__version__}/")[2]).exists(), name


def test_the_readmes_links_lead_to_files_from_anywhere(built: tuple[Path, Path]) -> None:
    said = metadata(built[0])
    assert said["Description-Content-Type"] == "text/markdown"
    text = inside(built[0], "METADATA").decode().partition("\n\n")[2]
    readme = (ROOT / "README.md").read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    assert len(links) == len(re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", readme, flags=re.DOTALL)))
    for link in links:
        assert re.match(r"https://|#", link), link
        if link.startswith(REPOSITORY):
            path = re.fullmatch(rf"{re.escape(REPOSITORY)}/(?:blob|tree|raw)/v{__version__}/([^#]+)(?:#.*)?", link)
            assert path, link
            assert (ROOT / path[1]).exists(), link
    fences = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    assert fences.findall(text) == fences.findall(readme)  # examples are shown as they are


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[a](docs/a.md)", "[a](https://x/y/blob/v1/docs/a.md)"),
        ("[a](./a.md#b)", "[a](https://x/y/blob/v1/a.md#b)"),
        ("[a](docs/)", "[a](https://x/y/tree/v1/docs/)"),
        ("![a](docs/a.png)", "![a](https://x/y/raw/v1/docs/a.png)"),
        ("[![a](a.png)](a.md)", "[![a](https://x/y/raw/v1/a.png)](https://x/y/blob/v1/a.md)"),
        ("[a](#b) [c](https://d/e) [f](mailto:g@h)", "[a](#b) [c](https://d/e) [f](mailto:g@h)"),
        ("```\n[a](b.md)\n```\n[a](b.md)", "```\n[a](b.md)\n```\n[a](https://x/y/blob/v1/b.md)"),
        ("| [a](b.md), [c](d.md) |", "| [a](https://x/y/blob/v1/b.md), [c](https://x/y/blob/v1/d.md) |"),
    ],
)
def test_links_are_made_absolute(written: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from hatch_build import absolute

    assert absolute(written, "https://x/y", "v1") == shown
