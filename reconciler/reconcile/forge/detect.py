"""Which forge, repository and pull request a CI job is for, and with which token, from the job's variables alone.

Before it the command line hands over the environment; after it `forge_of` opens the forge. Sources: docs.github.com,
"Variables reference" and "Webhook events and payloads"; docs.gitlab.com, "Predefined CI/CD variables"; docs.gitea.com,
"Actions variables" (Gitea's and Forgejo's runners set GitHub's variables, and one of their own).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from reconciler.errors import Misuse
from reconciler.model import Secret
from reconciler.reconcile.forge.port import Forge, Kind

_EVENT: Final = 32 << 20  # bytes of an event's file; GitHub's payloads end at 25 MB
_JOB: Final = "CI_JOB_TOKEN"
_TOKENS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
    "gitlab": ("GITLAB_TOKEN", _JOB),
    "gitea": ("GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN"),
}
_APIS: Final[Mapping[Kind, str]] = {"github": "https://api.github.com", "gitlab": "https://gitlab.com/api/v4"}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_DEPENDABOT: Final = "dependabot[bot]"  # whose jobs GitHub gives no more than a fork's
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class CI(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands. `number`, `base` and `head` are those of its pull request (None, "" where there is none).

    `repository` is the one that the pull request is for, `fork` whether its commits come from another one, so that its
    token may do no more than read; `source` is that other one, as the forge names it. `token_name` is the variable
    that holds the token, or the one to set. `url` is where the job is to be seen. `expects` is the head that a job
    after another one must find (workflow_run).
    """

    kind: Kind
    api: str
    repository: str
    number: int | None = None
    base: str = ""
    head: str = ""
    fork: bool = False
    source: str = ""
    token: Secret | None = None
    token_name: str = ""
    url: str = ""
    pipeline: str = ""
    expects: str = ""


def detect(environ: Mapping[str, str]) -> CI | None:
    """What the variables of a CI job say; None outside of those that are known.

    Raises Misuse where they say something that cannot be, such as an event's file that is no JSON.
    """
    if environ.get("GITLAB_CI") == "true":
        return _gitlab(environ)
    if environ.get("GITEA_ACTIONS") == "true" or environ.get("FORGEJO_ACTIONS") == "true":
        return _actions("gitea", environ)
    if environ.get("GITHUB_ACTIONS") == "true":
        return _actions("github", environ)
    return None


def chosen(
    environ: Mapping[str, str],
    *,
    kind: Kind | None = None,
    url: str | None = None,
    repository: str | None = None,
    number: int | None = None,
    head: str | None = None,
) -> CI:
    """What `detect` finds, with what options say in its place; `url` is the forge's address or its API's.

    Raises Misuse where neither says enough.
    """
    found = detect(environ)
    if kind is not None and (found is None or found.kind != kind):
        found = _with_token(CI(kind=kind, api=_APIS.get(kind, ""), repository=""), environ)
    if found is None:
        raise Misuse(
            "no CI job of GitHub, GitLab or Gitea is known here: name it with --forge, --repository and --pull"
        )
    if url is not None:
        found = msgspec.structs.replace(found, api=api_of(found.kind, url))
    if repository is not None and repository != found.repository:
        found = msgspec.structs.replace(found, repository=_named(repository), pipeline="")
    if number is not None and number != found.number:  # not the job's own, so neither are commits and pipeline
        found = msgspec.structs.replace(found, number=number, base="", head="", fork=False, source="", pipeline="")
    if head is not None:
        found = msgspec.structs.replace(found, head=_commit(head))
    if not found.api:
        raise Misuse(f"--forge {found.kind}: name its address with --forge-url")
    if not found.repository:
        raise Misuse(f"--forge {found.kind}: name the repository with --repository, as owner/name")
    return found


def configured(
    kind: Kind, url: str | None, repository: str, token: Mapping[str, str], environ: Mapping[str, str], root: Path
) -> CI:
    """A forge that reconciler.yaml names; its token is what `token` ({env: …} or {file: …}) names, or the usual one."""
    found = CI(kind=kind, api=api_of(kind, url) if url else _APIS.get(kind, ""), repository=_named(repository))
    if not found.api:
        raise Misuse(f"reconciler.yaml: `forge.url` is missing, which {kind} needs")
    if name := token.get("env"):
        value = environ.get(name, "").strip()
        return msgspec.structs.replace(found, token=Secret(value) if value else None, token_name=name)
    if path := token.get("file"):
        try:
            value = (root / path).read_text().strip()
        except OSError as error:
            raise Misuse(f"the forge's token file {path} cannot be read: {error.strerror}") from error
        return msgspec.structs.replace(found, token=Secret(value), token_name=f"the file {path}")
    return _with_token(found, environ)


def api_of(kind: Kind, url: str) -> str:
    """The API's address of a forge's own: `https://github.com` → `https://api.github.com`."""
    parts = urlsplit(url.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Misuse("the forge's address is not one such as https://git.example.com, without names, keys or queries")
    root = f"{parts.scheme}://{parts.netloc}"
    if kind == "github":
        if parts.hostname in ("github.com", "api.github.com"):
            return "https://api.github.com"
        return root + (parts.path if parts.path.endswith("/api/v3") or parts.hostname.startswith("api.") else "/api/v3")
    end = {"gitlab": "/api/v4", "gitea": "/api/v1"}[kind]
    return root + parts.path + ("" if parts.path.endswith(end) else end)


def forge_of(ci: CI, *, patience: float | None = None) -> Forge:
    """The forge of a job, or of reconciler.yaml. Raises Misuse where there is no token.

    `patience`: seconds to wait in all for a forge that says when to come again.
    """
    from reconciler.reconcile.forge import gitea, github, gitlab
    from reconciler.reconcile.forge.calls import PATIENCE, Calls

    if ci.token is None:
        raise Misuse(f"there is no token for {ci.kind}: set {ci.token_name or _TOKENS[ci.kind][0]}")
    token = ci.token.value
    most = PATIENCE if patience is None else patience

    def calls(needs: str, headers: Mapping[str, str]) -> Calls:
        return Calls(ci.api, headers, token_source=ci.token_name, needs=needs, patience=most)

    match ci.kind:
        case "github":
            accept = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
            return github.GitHub(calls(github.NEEDS, {"authorization": f"Bearer {token}", **accept}), ci.repository)
        case "gitlab":
            header = "job-token" if ci.token_name == _JOB else "private-token"
            return gitlab.GitLab(calls(gitlab.NEEDS, {header: token}), ci.repository, ci.pipeline)
        case "gitea":
            return gitea.Gitea(calls(gitea.NEEDS, {"authorization": f"token {token}"}), ci.repository)


def _gitlab(environ: Mapping[str, str]) -> CI:
    number = environ.get("CI_MERGE_REQUEST_IID", "")
    target = environ.get("CI_MERGE_REQUEST_PROJECT_ID") or environ.get("CI_PROJECT_ID", "")
    source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", target)
    # In a pipeline for merged results CI_COMMIT_SHA is the trial merge; only there the other one is set.
    head = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", "")
    server = environ.get("CI_SERVER_URL", "https://gitlab.com")
    found = CI(
        kind="gitlab",
        api=api_of("gitlab", environ.get("CI_API_V4_URL") or server),
        repository=_named(target),
        number=int(number) if number.isdecimal() else None,
        base=_commit(environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")) if number else "",
        head=_commit(head),
        fork=source != target,
        source=source,
        url=environ.get("CI_JOB_URL", ""),
        pipeline=environ.get("CI_PIPELINE_ID", "") if environ.get("CI_PROJECT_ID") == target else "",
    )
    return _with_token(found, environ)


def _actions(kind: Kind, environ: Mapping[str, str]) -> CI:
    server = environ.get("GITHUB_SERVER_URL", "")
    repository = _named(environ.get("GITHUB_REPOSITORY", ""))
    api = environ.get("GITHUB_API_URL") or server
    run = environ.get("GITHUB_RUN_NUMBER" if kind == "gitea" else "GITHUB_RUN_ID", "")
    found = CI(
        kind=kind,
        api=api_of(kind, api) if api else _APIS.get(kind, ""),
        repository=repository,
        head=_commit(environ.get("GITHUB_SHA", "")),
        url=f"{server}/{repository}/actions/runs/{run}" if server and run else "",
    )
    found = _of_event(found, _event(environ.get("GITHUB_EVENT_PATH", "")))
    if found.number is not None and environ.get("GITHUB_ACTOR") == _DEPENDABOT:
        found = msgspec.structs.replace(found, fork=True)
    return _with_token(found, environ)


def _of_event(ci: CI, event: Mapping[str, Any]) -> CI:
    """What an event says of a pull request (GITHUB_SHA is its trial merge then), or of the job before this one."""
    if pull := event.get("pull_request"):
        head, base = pull.get("head") or {}, pull.get("base") or {}
        number = pull.get("number") or event.get("number")
        source = (head.get("repo") or {}).get("full_name") or ""
        return msgspec.structs.replace(
            ci,
            number=number if isinstance(number, int) else None,
            base=_commit(pull.get("merge_base") or base.get("sha") or ""),
            head=_commit(head.get("sha") or ""),
            fork=source != ((base.get("repo") or {}).get("full_name") or ci.repository),
            source=source,
        )
    if run := event.get("workflow_run"):
        source = (run.get("head_repository") or {}).get("full_name") or ""
        head = _commit(run.get("head_sha") or "")
        return msgspec.structs.replace(ci, head=head, expects=head, fork=source != ci.repository, source=source)
    return ci


def _event(path: str) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            content = file.read(_EVENT + 1)
        event = msgspec.json.decode(content) if len(content) <= _EVENT else None
    except OSError as error:
        raise Misuse(f"the event's file (GITHUB_EVENT_PATH) cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Misuse(f"the event's file (GITHUB_EVENT_PATH) is no JSON: {error}") from error
    if not isinstance(event, dict):
        raise Misuse("the event's file (GITHUB_EVENT_PATH) is no event")
    return event


def _with_token(ci: CI, environ: Mapping[str, str]) -> CI:
    for name in _TOKENS[ci.kind]:
        if value := environ.get(name, "").strip():
            return msgspec.structs.replace(ci, token=Secret(value), token_name=name)
    return msgspec.structs.replace(ci, token_name=_TOKENS[ci.kind][0])


def _named(repository: str) -> str:
    """A repository's name, fit for an address. Raises Misuse for what is none."""
    if repository and (not _NAME.fullmatch(repository) or ".." in repository):
        raise Misuse(f"'{repository[:100]}' is no repository's name: write owner/name")
    return repository


def _commit(value: str) -> str:
    if value and not _COMMIT.fullmatch(value):
        raise Misuse(f"'{value[:100]}' is no commit's full hash")
    return value
