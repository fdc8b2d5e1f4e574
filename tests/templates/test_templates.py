"""The ready files for CI: their shape, what they may do, and their scripts, run in a repository against a forge's API.

Only the step that installs is left out: the command is this checkout's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler import __version__
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.forge.served import Served, serve

ROOT = Path(__file__).parent.parent.parent
ACTION = ROOT / "action.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
WORKFLOWS = sorted([*ROOT.glob("templates/github/*.yml"), *ROOT.glob("templates/gitea/*.yml")])
GITLAB = ROOT / "templates/gitlab/reconciler.gitlab-ci.yml"
WRITES = {"pull-requests", "statuses", "issues"}  # and on Gitea, for a commit status, contents


def read(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of a workflow's jobs, or of an action."""
    document = read(path)
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


def scripts(path: Path) -> list[str]:
    return [step["run"] for step in steps(path) if "run" in step]


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_no_expression_is_in_a_script(path: Path) -> None:
    for script in scripts(path):
        assert "${{" not in script  # what a pull request is called must never be part of a program
    for step in steps(path):
        for value in [*step.get("with", {}).values(), *step.get("env", {}).values(), step.get("if", "")]:
            assert not re.search(r"\.(title|body|ref|label|name)\b(?!sp)", str(value).replace("repo.full_name", ""))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_workflow_may_do_only_what_it_needs(path: Path) -> None:
    document = read(path)
    on = document[True]  # YAML 1.1 reads `on` so, as every forge knows
    given = dict(document["permissions"])
    for job in document["jobs"].values():
        given |= job.get("permissions", {})
        assert job["timeout-minutes"] <= 15
    allowed = WRITES | {"contents"} if path.parent.name == "gitea" else WRITES
    assert {name for name, value in given.items() if value == "write"} <= allowed
    trusted = "workflow_run" in on or "pull_request_target" in on
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"(https://github\.com/)?[\w.-]+/[\w.-]+@v[0-9.]+", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["fetch-depth"] == 0
            if trusted:  # never the pull request's files
                assert step["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
        if step.get("uses", "").endswith(f"/bot-reconciler@v{__version__}"):
            assert set(step.get("with", {})) <= set(read(ACTION)["inputs"])
    if "workflow_run" in on:
        assert not any("checkout" in step.get("uses", "") for step in steps(path))
        assert on["workflow_run"]["workflows"] == [read(ROOT / "templates/github/reconciler-review.yml")["name"]]


def test_the_action_installs_what_runs_the_program_and_nothing_else() -> None:
    installing = scripts(ACTION)[0]
    assert '--no-deps --require-hashes --requirement "$ACTION/runtime.lock"' in installing

    def pinned(name: str) -> dict[str, str]:
        rows = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
        return {row.partition("==")[0]: row for row in rows}

    whole, runs = pinned("requirements.lock"), pinned("runtime.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = {re.split(r"[^\w.-]", one)[0].lower() for one in project["project"]["dependencies"]}
    tools = {re.split(r"[^\w.-]", one)[0].lower() for one in project["dependency-groups"]["dev"]}
    assert runs.items() <= whole.items()
    assert needs | {"hatchling", "editables"} <= runs.keys()
    assert runs.keys() & tools == {"hatchling", "editables"}


def test_no_module_of_a_pull_requests_files_is_run() -> None:
    installing = scripts(ACTION)[0]
    assert installing.index('cd "$RUNNER_TEMP"') < installing.index("python3")
    for text in (installing, *read(GITLAB)[".reconciler"]["before_script"]):
        assert not re.search(r"python3? -(?!I)", text)


def test_all_name_this_version() -> None:
    for path in WORKFLOWS:
        assert any(step.get("uses", "").endswith(f"bot-reconciler@v{__version__}") for step in steps(path))
    assert read(GITLAB)["variables"]["RECONCILER_VERSION"] == f"v{__version__}"
    assert f"    rev: v{__version__}\n" in (ROOT / "docs/forges.md").read_text()


def test_the_artifact_has_one_name() -> None:
    (up,) = [one for one in steps(ROOT / "templates/github/reconciler-review.yml") if "upload" in one.get("uses", "")]
    posting = steps(ROOT / "templates/github/reconciler-post.yml")
    down, post = posting
    assert up["with"]["name"] == down["with"]["name"]
    assert post["with"]["post-file"] == f"{down['with']['path']}/{up['with']['path']}"
    assert read(ACTION)["inputs"]["save"]["default"] == up["with"]["path"]
    assert "always()" in up["if"]


def test_every_input_of_the_action_is_used() -> None:
    document = read(ACTION)
    text = ACTION.read_text()
    for name, about in document["inputs"].items():
        assert f"inputs.{name} }}}}" in text
        assert about["description"]
        assert "default" in about
    for step in document["runs"]["steps"]:
        assert step["shell"] == "bash"
        for name in step["env"]:
            assert f"${name}" in step["run"] or name == "GITHUB_TOKEN"


def test_the_hook_is_a_command_of_this_project() -> None:
    (hook,) = read_list(HOOKS)
    assert hook["id"] == "reconciler-validate"
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False
    # pre-commit passes over a hook for whose patterns no file is staged, and a deleted file is none.
    assert hook["always_run"] is True
    assert not hook.keys() & {"files", "types", "types_or", "exclude"}


def read_list(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    return found


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_scripts_are_bash(path: Path) -> None:
    for script in scripts(path):
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


# --- run ---------------------------------------------------------------------------------------------------


class Job:
    """A repository with a pull request's branch, and a shell as CI gives it."""

    def __init__(self, repo: Repo, folder: Path) -> None:
        self.repo, self.folder = repo, folder
        self.base = repo.commit({**fleet(a=bot_file("a", 1)), ".gitignore": "reconciler-review.json\n"})
        repo.git("checkout", "--quiet", "-b", "topic")
        self.head = repo.commit(fleet(a=bot_file("a", 2), b=bot_file("b", 3)))
        bin_ = folder / "bin"
        bin_.mkdir()
        command = bin_ / "reconciler"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m reconciler "$@"\n')
        command.chmod(0o755)
        self.path = f"{bin_}:{os.environ['PATH']}"

    def run(self, script: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in os.environ if name.startswith(("GIT_", "COVERAGE", "LANG"))}
        env = {**kept, "PATH": self.path, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), **variables}
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.repo.root,
            env=env,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def action(self, served: Served, event: Any, actor: str = "ana", **inputs: str) -> subprocess.CompletedProcess[str]:
        """The action's step as GitHub runs it, with these inputs."""
        step = read(ACTION)["runs"]["steps"][1]
        given = {name: str(about["default"]) for name, about in read(ACTION)["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        env = {}
        for name, value in step["env"].items():
            env[name] = given[re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) }}", value)[1]]  # type: ignore[index]
        file = self.folder / "event.json"
        file.write_text(json.dumps(event))
        variables = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": actor,
            "GITHUB_API_URL": f"{served.url}/api/v3",
            "GITHUB_SERVER_URL": served.url,
            "GITHUB_REPOSITORY": "acme/bots",
            "GITHUB_RUN_ID": "1",
            "GITHUB_SHA": "f" * 40,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
        }
        return self.run(step["run"], {**variables, **env})

    def event(self, source: str = "acme/bots") -> dict[str, Any]:
        head = {"sha": self.head, "repo": {"full_name": source}}
        base = {"sha": self.base, "repo": {"full_name": "acme/bots"}}
        return {"number": 12, "pull_request": {"number": 12, "head": head, "base": base}}


@pytest.fixture
def job(repo: Repo, tmp_path: Path) -> Job:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(repo, folder)


def test_a_pull_request_is_reviewed_on_github(job: Job) -> None:
    with serve("github") as served:
        served.pulls[12]["head"] = job.head
        done = job.action(served, job.event(), token="writes")
        assert done.returncode == 0, done.stderr
        (comment,) = served.comments
        assert comment["body"].startswith("<!-- reconciler:review")
        (status,) = served.statuses[job.head]
        assert status["context"] == "reconciler/review"
        assert status["target_url"] == f"{served.url}/acme/bots/actions/runs/1"
        assert (job.folder / "summary.md").read_text().startswith("<!-- reconciler:review")
        again = job.action(served, job.event(), token="writes")
        assert again.returncode == 0
        assert len(served.comments) == 1
    assert "writes" not in done.stdout + done.stderr


def test_a_forks_pull_request_is_reviewed_and_posted_by_two_runs(job: Job) -> None:
    with serve("github") as served:
        served.pulls[12] |= {"head": job.head, "from": "eve/bots"}
        first = job.action(served, job.event("eve/bots"), token="reads")
        assert first.returncode == 0, first.stderr
        assert "--post-file" in first.stderr
        assert served.comments == []
        event = {"workflow_run": {"head_sha": job.head, "head_repository": {"full_name": "eve/bots"}}}
        second = job.action(served, event, token="writes", post_file="reconciler-review.json")
        assert second.returncode == 0, second.stderr
        (comment,) = served.comments
        assert "Made without secrets" in comment["body"]
        assert served.statuses[job.head][0]["state"] == "success"


def test_dependabots_token_only_reads_too(job: Job) -> None:
    with serve("github") as served:
        served.pulls[12]["head"] = job.head
        done = job.action(served, job.event(), actor="dependabot[bot]", token="reads", save="")  # kept all the same
        assert done.returncode == 0, done.stderr
        assert "--post-file" in done.stderr
        assert (job.repo.root / "reconciler-review.json").exists()


def test_a_broken_pull_request_fails_the_job(job: Job) -> None:
    job.head = job.repo.commit({"bots/bistro/b.yaml": "kind: ["})
    with serve("github") as served:
        served.pulls[12]["head"] = job.head
        done = job.action(served, job.event(), token="writes")
        assert done.returncode == 1
        assert "::error" in done.stdout
        assert served.statuses[job.head][0]["state"] == "failure"
        assert len(served.comments) == 1


def test_a_merge_request_is_reviewed_on_gitlab(job: Job) -> None:
    (script,) = read(GITLAB)["reconciler review"]["script"]
    with serve("gitlab") as served:
        served.pulls[12]["head"] = job.head
        variables = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{served.url}/api/v4",
            "CI_PROJECT_ID": "34",
            "CI_PIPELINE_ID": "77",
            "CI_COMMIT_SHA": job.head,
            "CI_JOB_TOKEN": "job",
            "CI_MERGE_REQUEST_IID": "12",
            "CI_MERGE_REQUEST_PROJECT_ID": "34",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "34",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": job.base,
        }
        without = job.run(script, variables)
        assert without.returncode == 0, without.stderr
        assert "Set GITLAB_TOKEN" in without.stdout
        assert (job.repo.root / "reconciler-review.json").exists()
        assert served.comments == []
        done = job.run(script, {**variables, "GITLAB_TOKEN": "writes"})
        assert done.returncode == 0, done.stderr
        assert len(served.comments) == 1
        assert served.statuses[job.head][0]["pipeline_id"] == "77"


def test_a_forks_merge_request_is_reviewed_by_the_projects_own_pipeline(job: Job, tmp_path: Path) -> None:
    (script,) = read(GITLAB)["reconciler review of a fork"]["script"]
    job.repo.git("checkout", "--quiet", "main")
    job.repo.git("update-ref", "refs/merge-requests/12/head", job.head)
    job.repo.git("remote", "add", "origin", str(job.repo.root))
    job.repo.git("fetch", "--quiet", "origin")
    job.repo.git("branch", "--delete", "--force", "topic")
    with serve("gitlab") as served:
        served.pulls[12] |= {"head": job.head, "from": "eve/bots"}
        variables = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{served.url}/api/v4",
            "CI_PROJECT_ID": "34",
            "CI_PIPELINE_ID": "78",
            "CI_COMMIT_SHA": job.base,
            "CI_DEFAULT_BRANCH": "main",
            "REVIEW_MERGE_REQUEST": "12",
            "GITLAB_TOKEN": "writes",
        }
        done = job.run(script, variables)
        assert done.returncode == 0, done.stderr
        assert len(served.comments) == 1
        assert "pipeline_id" not in served.statuses[job.head][0]


def test_a_pull_request_is_reviewed_on_gitea(job: Job) -> None:
    (script,) = scripts(ROOT / "templates/gitea/reconciler.yml")
    job.repo.git("checkout", "--quiet", "main")
    job.repo.git("update-ref", "refs/pull/12/head", job.head)
    job.repo.git("remote", "add", "origin", str(job.repo.root))
    fetched = job.run(script, {"NUMBER": "12"})
    assert fetched.returncode == 0, fetched.stderr
    with serve("gitea") as served:
        served.pulls[12] |= {"head": job.head, "from": "eve/bots"}
        file = job.folder / "event.json"
        file.write_text(json.dumps(job.event("eve/bots")))
        variables = {
            "GITHUB_ACTIONS": "true",
            "GITEA_ACTIONS": "true",
            "GITHUB_API_URL": f"{served.url}/api/v1",
            "GITHUB_SERVER_URL": served.url,
            "GITHUB_REPOSITORY": "acme/bots",
            "GITHUB_SHA": job.base,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_TOKEN": "writes",
            "MODEL": "none",
            **dict.fromkeys(("BASE", "HEAD", "PULL", "TARGET", "SAVE", "POST_FILE"), ""),
            "STRICT": "true",
        }
        done = job.run(read(ACTION)["runs"]["steps"][1]["run"], variables)
        assert done.returncode in (0, 3), done.stderr
        assert len(served.comments) == 1
        assert served.statuses[job.head][0]["context"] == "reconciler/review"
