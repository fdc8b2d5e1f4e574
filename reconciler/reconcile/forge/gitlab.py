"""GitLab, gitlab.com and self-managed, by REST API v4.

Sources: docs.gitlab.com/api: "Notes", "Commits" (statuses, merge requests of a commit), "Merge requests"; a job's own
token reads notes and cannot write them ("CI/CD job token", "Job token access").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from reconciler.errors import Rejected
from reconciler.reconcile.forge.calls import Calls
from reconciler.reconcile.forge.port import LIMITS, Comment, NotAllowed, Pull, State, Status, short

NEEDS: Final = (
    "the scope `api` and the role Developer (Maintainer for a status on a protected branch): make a project access "
    "token and give it to the job as the masked variable GITLAB_TOKEN (a job's own CI_JOB_TOKEN can only read)"
)
_FILES: Final = 1000  # a merge request that changes more is not listed whole by every version
_DEVELOPER: Final = 30  # the access level from which one may push
_PAGE: Final = {"per_page": "50"}
_NOTES: Final = {**_PAGE, "sort": "asc", "order_by": "created_at"}
_STATES: Final[Mapping[State, str]] = {
    "pending": "pending",
    "success": "success",
    "failure": "failed",
    "error": "failed",
}


class _User(msgspec.Struct, frozen=True):
    id: int


class _Member(msgspec.Struct, frozen=True):
    access_level: int


class _Note(msgspec.Struct, frozen=True):
    id: int
    body: str | None = None
    author: _User | None = None
    system: bool = False

    def plain(self) -> Comment:
        return Comment(self.id, self.body or "")


class _Span(msgspec.Struct, frozen=True):
    base_sha: str | None = None


class _Pull(msgspec.Struct, frozen=True):
    iid: int
    state: str
    target_project_id: int
    sha: str | None = None
    source_project_id: int | None = None
    diff_refs: _Span | None = None


class _Merged(msgspec.Struct, frozen=True):
    iid: int
    state: str


class _File(msgspec.Struct, frozen=True):
    new_path: str
    old_path: str


class GitLab:
    """One project, by number or path; `pipeline` is the one that its statuses belong to, if there is one."""

    def __init__(self, calls: Calls, project: str, pipeline: str = "") -> None:
        self._calls, self._base, self._pipeline = calls, f"/projects/{quote(project, safe='')}", pipeline

    async def find(self, number: int, marker: str, *, others: bool = False) -> Comment | None:
        me = await self._calls.own()
        async for one in self._calls.pages(f"{self._base}/merge_requests/{number}/notes", _Note, _NOTES):
            if one.author is None or one.system or not (one.body or "").startswith(marker):
                continue
            # A job's own token cannot ask who it is, but cannot write either.
            if me is None or one.author.id == me or (others and await self._writes(one.author)):
                return one.plain()
        return None

    async def _writes(self, user: _User) -> bool:
        try:
            found = await self._calls.call("GET", f"{self._base}/members/all/{user.id}")
        except NotAllowed:
            return False
        return found.of(_Member).access_level >= _DEVELOPER

    async def write(self, number: int, body: str, comment: Comment | None = None) -> Comment:
        path = f"{self._base}/merge_requests/{number}/notes"
        if comment is None:
            made = await self._calls.call("POST", path, {"body": body}, creates=True)
        else:
            made = await self._calls.call("PUT", f"{path}/{comment.id}", {"body": body})
        return made.of(_Note).plain()

    async def set_status(self, commit: str, status: Status) -> None:
        body = {
            "state": _STATES[status.state],
            "name": status.context,
            "description": short(status.description, LIMITS["gitlab"].description),
            **({"target_url": status.url} if status.url else {}),
            **({"pipeline_id": self._pipeline} if self._pipeline else {}),
        }
        try:
            await self._calls.call("POST", f"{self._base}/statuses/{commit}", body)
        except Rejected as error:
            # One that stands as it should already is refused: "Cannot transition status via :enqueue from :pending".
            if error.status != 400 or "cannot transition status" not in str(error).lower():
                raise

    async def pull(self, number: int) -> Pull:
        found = (await self._calls.call("GET", f"{self._base}/merge_requests/{number}")).of(_Pull)
        return Pull(
            number=found.iid,
            head=found.sha or "",
            base=(found.diff_refs.base_sha if found.diff_refs else None) or "",
            from_repository=str(found.source_project_id or ""),
            to_repository=str(found.target_project_id),
            open=found.state == "opened",
        )

    async def merged(self, commit: str) -> tuple[int, ...]:
        found = self._calls.pages(f"{self._base}/repository/commits/{commit}/merge_requests", _Merged, _PAGE)
        return tuple(sorted([one.iid async for one in found if one.state == "merged"]))

    async def changed(self, number: int) -> tuple[str, ...] | None:
        found = [one async for one in self._calls.pages(f"{self._base}/merge_requests/{number}/diffs", _File, _PAGE)]
        paths = [path for one in found for path in (one.new_path, one.old_path)]
        return tuple(dict.fromkeys(paths)) if len(found) < _FILES else None

    async def close(self) -> None:
        await self._calls.close()
