"""A CI job's variables, as GitHub, GitLab, Gitea and Forgejo set them, say what the job is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Misuse
from reconciler.model import Secret
from reconciler.reconcile.forge.detect import CI, api_of, chosen, configured, detect, forge_of
from reconciler.reconcile.forge.gitea import Gitea
from reconciler.reconcile.forge.github import GitHub
from reconciler.reconcile.forge.gitlab import GitLab

BASE, HEAD, MERGE = "b" * 40, "a" * 40, "d" * 40


def event(path: Path, data: Any) -> str:
    file = path / "event.json"
    file.write_text(json.dumps(data))
    return str(file)


def pull(source: str | None = "acme/bots", **more: Any) -> dict[str, Any]:
    head = {"sha": HEAD, "ref": "topic", "repo": {"full_name": source} if source else None}
    base = {"sha": BASE, "ref": "main", "repo": {"full_name": "acme/bots"}}
    return {"action": "opened", "number": 12, "pull_request": {"number": 12, "head": head, "base": base, **more}}


def github(tmp_path: Path, data: Any, **more: str) -> dict[str, str]:
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": "https://api.github.com",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/bots",
        "GITHUB_RUN_ID": "987",
        "GITHUB_RUN_NUMBER": "5",
        "GITHUB_SHA": MERGE,
        "GITHUB_TOKEN": "ghs_token",
        "GITHUB_EVENT_PATH": event(tmp_path, data),
        **more,
    }


GITLAB = {
    "GITLAB_CI": "true",
    "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
    "CI_SERVER_URL": "https://gitlab.example.com",
    "CI_PROJECT_ID": "34",
    "CI_PIPELINE_ID": "77",
    "CI_JOB_URL": "https://gitlab.example.com/acme/bots/-/jobs/1",
    "CI_COMMIT_SHA": HEAD,
    "CI_JOB_TOKEN": "job",
    "CI_MERGE_REQUEST_IID": "12",
    "CI_MERGE_REQUEST_PROJECT_ID": "34",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "34",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": BASE,
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
}


def test_no_ci() -> None:
    assert detect({"HOME": "/root", "GITHUB_TOKEN": "x"}) is None


def test_a_pull_request_on_github(tmp_path: Path) -> None:
    assert detect(github(tmp_path, pull())) == CI(
        kind="github",
        api="https://api.github.com",
        repository="acme/bots",
        number=12,
        base=BASE,
        head=HEAD,
        source="acme/bots",
        token=Secret("ghs_token"),
        token_name="GITHUB_TOKEN",
        url="https://github.com/acme/bots/actions/runs/987",
    )


@pytest.mark.parametrize("source", ["eve/bots", None])
def test_a_fork_on_github(tmp_path: Path, source: str | None) -> None:
    found = detect(github(tmp_path, pull(source), GITHUB_TOKEN=""))
    assert found is not None
    assert (found.fork, found.source, found.token) == (True, source or "", None)


def test_a_job_after_another_one(tmp_path: Path) -> None:
    run = {"workflow_run": {"head_sha": HEAD, "head_repository": {"full_name": "eve/bots"}, "pull_requests": []}}
    found = detect(github(tmp_path, run))
    assert found is not None
    assert (found.number, found.head, found.expects, found.fork, found.source) == (None, HEAD, HEAD, True, "eve/bots")


def test_a_push_has_no_pull_request(tmp_path: Path) -> None:
    found = detect(github(tmp_path, {"ref": "refs/heads/main", "after": MERGE}))
    assert found is not None
    assert (found.number, found.base, found.head) == (None, "", MERGE)
    without = detect({"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/bots"})
    assert without is not None
    assert (without.api, without.head, without.url) == ("https://api.github.com", "", "")


def test_github_enterprise_server(tmp_path: Path) -> None:
    found = detect(github(tmp_path, pull(), GITHUB_API_URL="https://git.acme.example/api/v3"))
    assert found is not None
    assert found.api == "https://git.acme.example/api/v3"


@pytest.mark.parametrize("runner", ["GITEA_ACTIONS", "FORGEJO_ACTIONS"])
def test_a_pull_request_on_gitea(tmp_path: Path, runner: str) -> None:
    more = {runner: "true", "GITHUB_API_URL": "https://git.example.org/api/v1", "GITEA_TOKEN": "gt"}
    found = detect(github(tmp_path, pull(merge_base="e" * 40), GITHUB_SERVER_URL="https://git.example.org", **more))
    assert found is not None
    assert (found.kind, found.api, found.base) == ("gitea", "https://git.example.org/api/v1", "e" * 40)
    assert (found.token, found.token_name) == (Secret("gt"), "GITEA_TOKEN")
    assert found.url == "https://git.example.org/acme/bots/actions/runs/5"


def test_a_merge_request_on_gitlab() -> None:
    expected = CI(
        kind="gitlab",
        api="https://gitlab.example.com/api/v4",
        repository="34",
        number=12,
        base=BASE,
        head=HEAD,
        source="34",
        token=Secret("job"),
        token_name="CI_JOB_TOKEN",
        url="https://gitlab.example.com/acme/bots/-/jobs/1",
        pipeline="77",
    )
    assert detect(GITLAB) == expected
    found = detect({**GITLAB, "GITLAB_TOKEN": "glpat"})
    assert found is not None
    assert (found.token, found.token_name) == (Secret("glpat"), "GITLAB_TOKEN")


def test_a_pipeline_for_merged_results() -> None:
    found = detect({**GITLAB, "CI_COMMIT_SHA": MERGE, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD})
    assert found is not None
    assert found.head == HEAD


def test_a_fork_on_gitlab_runs_in_its_own_project() -> None:
    more = {"CI_PROJECT_ID": "35", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "35"}
    found = detect({**GITLAB, **more})
    assert found is not None
    assert (found.repository, found.fork, found.source, found.pipeline) == ("34", True, "35", "")


def test_a_branch_on_gitlab() -> None:
    found = detect({name: value for name, value in GITLAB.items() if "MERGE_REQUEST" not in name})
    assert found is not None
    assert (found.number, found.base, found.repository, found.fork) == (None, "", "34", False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GITHUB_REPOSITORY": "acme/../x"}, "no repository's name"),
        ({"GITHUB_REPOSITORY": "acme/bots?x=1"}, "no repository's name"),
        ({"GITHUB_SHA": "HEAD"}, "no commit's full hash"),
        ({"GITHUB_API_URL": "https://ana:key@api.github.com"}, "without names, keys"),
        ({"GITHUB_EVENT_PATH": "/nowhere/event.json"}, "cannot be read"),
    ],
    ids=range(5),
)
def test_variables_that_cannot_be(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with pytest.raises(Misuse, match=said) as caught:
        detect({**github(tmp_path, pull()), **change})
    assert "key@" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_an_event_that_is_none(tmp_path: Path, content: bytes) -> None:
    variables = github(tmp_path, {})
    Path(variables["GITHUB_EVENT_PATH"]).write_bytes(content)
    with pytest.raises(Misuse, match="GITHUB_EVENT_PATH"):
        detect(variables)


def test_an_event_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.reconcile.forge.detect._EVENT", 10)
    with pytest.raises(Misuse, match="is no event"):
        detect(github(tmp_path, pull()))


@pytest.mark.parametrize(
    ("kind", "url", "api"),
    [
        ("github", "https://github.com", "https://api.github.com"),
        ("github", "https://api.github.com/", "https://api.github.com"),
        ("github", "https://git.example.com", "https://git.example.com/api/v3"),
        ("github", "https://api.acme.ghe.com", "https://api.acme.ghe.com"),
        ("gitlab", "https://gitlab.com", "https://gitlab.com/api/v4"),
        ("gitlab", "https://example.com/gitlab", "https://example.com/gitlab/api/v4"),
        ("gitlab", "https://example.com/api/v4", "https://example.com/api/v4"),
        ("gitea", "http://127.0.0.1:3000/", "http://127.0.0.1:3000/api/v1"),
    ],
)
def test_addresses(kind: Any, url: str, api: str) -> None:
    assert api_of(kind, url) == api


def test_options_come_before_variables(tmp_path: Path) -> None:
    variables = {**github(tmp_path, pull()), "GITEA_TOKEN": "gt"}
    found = chosen(variables, number=13, head="f" * 40, repository="acme/other", url="https://git.example.com")
    assert (found.number, found.head, found.repository) == (13, "f" * 40, "acme/other")
    assert found.api == "https://git.example.com/api/v3"
    other = chosen(variables, kind="gitea", url="https://git.example.org", repository="a/b", number=1)
    assert (other.kind, other.token, other.base, other.fork) == ("gitea", Secret("gt"), "", False)
    assert chosen(variables, kind="github") == detect(variables)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "name it with --forge"),
        ({"kind": "gitea", "repository": "a/b"}, "--forge-url"),
        ({"kind": "github"}, "--repository"),
        ({"kind": "github", "repository": "a/b", "head": "HEAD"}, "full hash"),
    ],
    ids=range(4),
)
def test_options_that_say_too_little(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Misuse, match=said):
        chosen({}, **options)


def test_a_forge_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" of-a-file\n")
    usual = configured("github", None, "acme/bots", {}, {"GH_TOKEN": "gh"}, tmp_path)
    assert (usual.api, usual.token, usual.token_name) == ("https://api.github.com", Secret("gh"), "GH_TOKEN")
    named = configured("gitlab", "https://g.example", "a/b/c", {"env": "T"}, {"T": "t"}, tmp_path)
    assert (named.api, named.token, named.token_name) == ("https://g.example/api/v4", Secret("t"), "T")
    file = configured("gitea", "https://g.example", "a/b", {"file": "token"}, {}, tmp_path)
    assert (file.token, file.token_name) == (Secret("of-a-file"), "the file token")
    assert configured("github", None, "a/b", {"env": "T"}, {}, tmp_path).token is None
    with pytest.raises(Misuse, match=r"forge\.url"):
        configured("gitea", None, "a/b", {}, {}, tmp_path)
    with pytest.raises(Misuse, match="cannot be read"):
        configured("github", None, "a/b", {"file": "none"}, {}, tmp_path)


@pytest.mark.parametrize(("kind", "made"), [("github", GitHub), ("gitlab", GitLab), ("gitea", Gitea)])
def test_a_forge_needs_a_token(kind: Any, made: type) -> None:
    ci = CI(kind=kind, api="http://127.0.0.1:9", repository="a/b")
    with pytest.raises(Misuse, match=f"no token for {kind}: set {kind.upper()}_TOKEN"):
        forge_of(ci)
    found = forge_of(configured(kind, "http://127.0.0.1:9", "a/b", {"env": "T"}, {"T": "t"}, Path()), patience=1)
    assert isinstance(found, made)
