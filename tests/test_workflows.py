"""This project's own jobs: what they may do, what they run, and that nothing from outside becomes part of a program."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
RELEASE = ROOT / ".github/workflows/release.yml"
CI = ROOT / ".github/workflows/ci.yml"

# Each right that writes, and the one job that may have it.
RIGHTS = {
    ("release", "attest"): {"attestations", "id-token"},
    ("release", "pypi"): {"id-token"},
    ("release", "github"): {"contents"},
}


def read(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    return document


def steps(path: Path, job: str | None = None) -> list[dict[str, Any]]:
    jobs = read(path)["jobs"]
    return [step for name, each in jobs.items() if job in (None, name) for step in each["steps"]]


by_name = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def test_there_are_both() -> None:
    assert {CI, RELEASE} <= set(WORKFLOWS)


@by_name
def test_each_job_has_the_rights_that_it_needs_and_an_end(path: Path) -> None:
    document = read(path)
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert job["timeout-minutes"] <= 30
        given = job["permissions"]
        assert isinstance(given, dict), "a word gives too much"
        writes = {right for right, access in given.items() if access == "write"}
        assert writes == RIGHTS.get((path.stem, name), set())
        assert set(given) - writes <= {"contents"}


@by_name
def test_no_job_runs_with_the_rights_of_the_repository_on_files_of_others(path: Path) -> None:
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & read(path)[True].keys()  # YAML 1.1's `on`


@by_name
def test_nothing_from_outside_is_part_of_a_script(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", "")
        for value in [*step.get("env", {}).values(), *step.get("with", {}).values()]:
            assert not re.search(r"github\.(event|head_ref|ref_name)|secrets\.", str(value))


@by_name
def test_actions_are_pinned_to_commits_and_say_their_version(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for step in steps(path))
    for line in lines:
        assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_an_action_is_of_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, version in re.findall(r"uses: ([\w./-]+)@(\w+ # \S+)", path.read_text()):
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) != 1} == {}


@by_name
def test_checkouts_keep_no_token(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@by_name
def test_scripts_are_bash_and_the_files_that_they_call_are_there(path: Path) -> None:
    called = set()
    for step in steps(path):
        if script := step.get("run"):
            done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            called |= set(re.findall(r"(?<![\w./-])(?:\.ci|script)/[\w-]+", script))
    for name in called:
        assert (ROOT / name).stat().st_mode & 0o111, name
    assert called == ({".ci/run", "script/release"} if path == CI else {"script/release"})


def test_every_python_that_is_promised_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert read(CI)["jobs"]["test"]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"


def test_only_the_job_without_rights_builds() -> None:
    assert read(RELEASE)[True] == {"push": {"tags": ["v*"]}}
    for name, job in read(RELEASE)["jobs"].items():
        builds = any("checkout" in step.get("uses", "") or "script/" in step.get("run", "") for step in job["steps"])
        assert builds == (name == "build")


def test_what_is_published_is_what_was_built_and_tried() -> None:
    jobs = read(RELEASE)["jobs"]
    assert jobs["attest"]["needs"] == "build"
    assert {"build", "attest"} <= set(jobs["pypi"]["needs"])
    assert {"build", "attest", "pypi"} <= set(jobs["github"]["needs"])
    kept = {
        step["with"]["name"]: step["with"]["path"].split()
        for step in steps(RELEASE, "build")
        if "path" in step.get("with", {})
    }
    assert kept["packages"] == ["dist/*.whl", "dist/*.tar.gz"]  # an index takes nothing else
    assert set(kept["beside"]) == {"dist/*.cdx.json", "dist/SHA256SUMS", "dist/NOTES.md"}
    down, publish = steps(RELEASE, "pypi")
    assert down["with"]["name"] == "packages"
    assert publish["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "password" not in publish["with"]
    assert jobs["pypi"]["environment"]["name"] == "pypi"
