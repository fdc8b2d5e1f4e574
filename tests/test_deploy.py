"""What Dockerfile, compose.yaml and deploy/ promise: nothing of root, nothing missing, no key in a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STEPS = [
    (word, rest.strip())
    for word, _, rest in (line.partition(" ") for line in DOCKERFILE.splitlines() if line[:1].isupper())
]
BUILD = STEPS[: [word for word, _ in STEPS].index("FROM", 2)]
FINAL = STEPS[len(BUILD) :]
COPIED = [name.rstrip("/") for word, rest in BUILD if word == "COPY" for name in rest.split()[:-1]]


def all_of(word: str, steps: list[tuple[str, str]]) -> list[str]:
    return [rest for step, rest in steps if step == word]


def test_what_the_image_copies_is_there_and_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for name in COPIED:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    # What could hold keys or state of somebody's own never comes in.
    assert [name for name in (".git", ".env", ".reconciler", "deploy") if f"!{name}" in ignored] == []


def test_the_image_runs_as_nobody_special_and_says_whether_it_is_well() -> None:
    (user,) = all_of("USER", FINAL)
    assert f" {user} " in f"{next(step for step in all_of('RUN', FINAL) if 'useradd' in step)} "
    assert [word for word, _ in FINAL].index("USER") > max(n for n, (word, _) in enumerate(FINAL) if word == "RUN")
    (health,) = all_of("HEALTHCHECK", FINAL)
    assert "/healthz" in health
    assert all(rest.startswith("[") for rest in all_of("ENTRYPOINT", FINAL) + all_of("CMD", FINAL))  # signals arrive
    for rest in all_of("RUN", STEPS):
        assert "pip install" not in rest or "--require-hashes" in rest or "--no-build-isolation" in rest
        assert "apt-get install" not in rest or (
            "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists" in rest
        )
    assert not re.search(r":latest|sudo|curl .*\|", DOCKERFILE)
    assert all(rest.startswith("python:${PYTHON}") for rest in all_of("FROM", STEPS))


def test_the_image_holds_the_whole_program(tmp_path: Path) -> None:
    """The project is built of the files that the build stage has, as it does it: with the packager of the lock."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".reconciler"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-I", "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "reconciler", "schemas", "bots"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")[:-1]
    moved = {"schemas/": "reconciler/schemas/", "bots/": "reconciler/example/"}
    for name in tracked:
        if (ROOT / name).exists():
            lead = name[: name.index("/") + 1]
            assert moved.get(lead, lead) + name.removeprefix(lead) in held


def test_containers_have_no_rights_and_what_compose_names_is_there() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["restart"] == "unless-stopped"
        for volume in service["volumes"]:
            host = volume.split(":")[0]
            assert not host.startswith("./") or (ROOT / host).exists()
    assert services["reconciler"]["read_only"] is True
    assert services["reconciler"]["volumes"] == [f"data:{all_of('VOLUME', FINAL)[0]}"]
    assert services["reconciler"]["command"][-1] == "127.0.0.1"  # Caddy is before it
    assert list(services["caddy"]["environment"]) == ["DOMAIN"]  # and is given no key


def test_the_file_of_keys_holds_none() -> None:
    named = re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / "deploy/environment").read_text(), re.M)
    assert {name for name, value in named if value} == {"RECONCILER_REPO", "DOMAIN"}
    spoken = (ROOT / "docs/cli.md").read_text() + (ROOT / "docs/loop.md").read_text()
    assert [name for name, _ in named if name != "DOMAIN" and f"`{name}`" not in spoken] == []
    ignored = (ROOT / ".gitignore").read_text().split()
    assert any(fnmatch(".env", pattern) for pattern in ignored)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "deploy/reconciler.service").read_text()
    unit = tmp_path / "reconciler.service"
    unit.write_text(text.replace("/opt/reconciler/bin/reconciler", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # How much of the machine it can reach: 10 is all of it.
    weighed = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(weighed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
