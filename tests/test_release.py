"""What script/release refuses, and what it makes of the parts; the whole is run by CI (`.github/workflows/ci.yml`)."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import Repo

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def release() -> Iterator[ModuleType]:
    with scripts() as module:
        yield module("release")


@pytest.fixture(scope="module")
def trial() -> Iterator[ModuleType]:
    with scripts() as module:
        yield module("trial")


@contextmanager
def scripts() -> Iterator[Callable[[str], ModuleType]]:
    """Modules of script/, as they find each other when they are run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "script"))
        yield importlib.import_module


CHANGELOG = """\
# Changelog

## Unreleased

### Added
- Soon.

## 1.10.0 - 2026-11-30

### Fixed
- This.

## [1.1.0] (2026-10-01)
- That.
"""


@pytest.mark.parametrize(
    ("version", "tagged", "notes"),
    [
        ("1.10.0", True, "### Fixed\n- This.\n"),
        ("1.10.0", False, "### Fixed\n- This.\n"),
        ("1.1.0", True, "- That.\n"),
        ("2.0.0", False, "### Added\n- Soon.\n"),
    ],
)
def test_the_notes_are_the_versions_part_of_the_changelog(
    release: ModuleType, version: str, tagged: bool, notes: str
) -> None:
    assert release.changes(CHANGELOG, version, tagged=tagged) == notes


@pytest.mark.parametrize(("version", "tagged"), [("2.0.0", True), ("1.1", True), ("1.10", True), ("10.0", True)])
def test_a_version_that_the_changelog_does_not_name_is_not_released(
    release: ModuleType, version: str, tagged: bool
) -> None:
    with pytest.raises(release.Refused, match="has no heading"):
        release.changes(CHANGELOG, version, tagged=tagged)


def test_this_version_could_be_rehearsed(release: ModuleType) -> None:
    version = release.stated_version()
    assert release.changes((ROOT / "CHANGELOG.md").read_text(), version, tagged=False)


def test_only_what_is_committed_is_released(release: ModuleType, repo: Repo) -> None:
    commit = repo.commit({"a": "1\n", ".gitignore": "ignored\n"})
    repo.write("ignored", "x")
    assert release.clean_commit(repo.root) == commit
    for name in ("a", "stray"):
        repo.write(name, "2\n")
        with pytest.raises(release.Refused, match=rf"changes that no commit holds \({name}, …\): commit"):
            release.clean_commit(repo.root)
        repo.commit()
    repo.git("rm", "--quiet", "--cached", "a")
    with pytest.raises(release.Refused, match="no commit holds"):
        release.clean_commit(repo.root)


def test_the_tag_is_of_this_version_and_of_this_commit(release: ModuleType, repo: Repo) -> None:
    first = repo.commit({"a": "1\n"})
    with pytest.raises(release.Refused, match=r"there is no tag v1\.0\.0"):
        release.right_tag(repo.root, "v1.0.0", "1.0.0", first)
    repo.git("tag", "--annotate", "--message", "One", "v1.0.0")
    release.right_tag(repo.root, "v1.0.0", "1.0.0", first)
    with pytest.raises(release.Refused, match=r"the tag v1\.0\.0 is not v1\.0\.1"):
        release.right_tag(repo.root, "v1.0.0", "1.0.1", first)
    second = repo.commit({"a": "2\n"})
    with pytest.raises(release.Refused, match=f"names {first[:8]}, and {second[:8]} is checked out"):
        release.right_tag(repo.root, "v1.0.0", "1.0.0", second)


def test_the_bill_holds_what_runs_and_nothing_else(release: ModuleType) -> None:
    bill: dict[str, Any] = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"bom-ref": name} for name in ("a", "b", "pip", "builds", "loop")],
        "dependencies": [
            {"ref": "root", "dependsOn": ["a"]},
            {"ref": "a", "dependsOn": ["b", "loop"]},
            {"ref": "loop", "dependsOn": ["a"]},
            {"ref": "b"},
            {"ref": "pip"},
            {"ref": "builds", "dependsOn": ["b"]},
        ],
    }
    kept = release.needed(bill)
    assert [one["bom-ref"] for one in kept["components"]] == ["a", "b", "loop"]
    assert [row["ref"] for row in kept["dependencies"]] == ["root", "a", "loop", "b"]


def test_a_folder_holds_one_release(release: ModuleType, tmp_path: Path) -> None:
    made = [tmp_path / name for name in ("bot_reconciler-2.tar.gz", "bot_reconciler-2-py3-none-any.whl")]
    for file in made:
        file.write_text(file.name)
    out = tmp_path / "dist"
    for name in ("bot_reconciler-1.tar.gz", "SHA256SUMS", "mine"):
        out.mkdir(exist_ok=True)
        (out / name).write_text("old")
    for _ in range(2):
        release.put(out, made, "What changed\n")
        assert sorted(file.name for file in out.iterdir()) == sorted(
            ["NOTES.md", "SHA256SUMS", "mine", *(file.name for file in made)]
        )
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=out, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


SERVES = """
import http.server, signal, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
print(f"chat http://127.0.0.1:{server.server_port}/", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(CODE)
"""


def test_what_serves_is_ended_in_order(trial: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    variables = dict(os.environ)
    command = [sys.executable, "-c", SERVES.replace("CODE", "0")]
    with trial.running(command, tmp_path / "in", variables) as address:
        assert address.startswith("http://127.0.0.1:")
    command = [sys.executable, "-c", SERVES.replace("CODE", "7")]
    with (
        pytest.raises(trial.Refused, match="ended with 7"),
        trial.running(command, tmp_path / "in", variables),
    ):
        pass


def test_what_does_not_come_up_is_told_with_what_it_said(trial: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    command = [sys.executable, "-c", "print('no room'); raise SystemExit(1)"]
    with (
        pytest.raises(trial.Refused, match=r"does not come up:\nno room"),
        trial.running(command, tmp_path / "in", dict(os.environ)),
    ):
        pytest.fail("it was never ready")


def test_an_environment_is_nobodys_own(trial: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "RECONCILER_URL", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    given = trial.plain_environment(tmp_path)
    assert given.keys() & {"OPENAI_API_KEY", "RECONCILER_URL", "PYTHONPATH"} == set()
    assert given["HOME"] == str(tmp_path)


def test_help_needs_no_installation() -> None:
    done = subprocess.run(
        [ROOT / "script/release", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert "--tag" in done.stdout
