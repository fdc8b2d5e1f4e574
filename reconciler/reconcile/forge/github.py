"""GitHub and GitHub Enterprise Server, by REST API 2022-11-28.

Sources: docs.github.com/rest, "Issue comments", "Commit statuses", "Commits: list pull requests associated with a
commit", "Pull requests: list pull requests files".
"""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.reconcile.forge.calls import Calls
from reconciler.reconcile.forge.port import LIMITS, Comment, Pull, Status, short

NEEDS: Final = (
    "to write pull requests and statuses of this repository (in a workflow: `permissions:` with `pull-requests: write` "
    "and `statuses: write`; a fine-grained token: Pull requests and Commit statuses, read and write)"
)
_FILES: Final = 3000  # the API lists no more files of a pull request
_WRITERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
_PAGE: Final = {"per_page": "100"}


class _User(msgspec.Struct, frozen=True):
    id: int
    type: str = "User"


class _Comment(msgspec.Struct, frozen=True):
    id: int
    body: str | None = None
    html_url: str = ""
    user: _User | None = None
    author_association: str = ""

    def plain(self) -> Comment:
        return Comment(self.id, self.body or "", self.html_url)


class _Repository(msgspec.Struct, frozen=True):
    full_name: str


class _Head(msgspec.Struct, frozen=True):
    sha: str
    repo: _Repository | None = None


class _Base(msgspec.Struct, frozen=True):
    sha: str
    repo: _Repository


class _Pull(msgspec.Struct, frozen=True):
    number: int
    state: str
    head: _Head
    base: _Base


class _Merged(msgspec.Struct, frozen=True):
    number: int
    merged_at: str | None = None


class _File(msgspec.Struct, frozen=True):
    filename: str
    previous_filename: str | None = None


class GitHub:
    """One repository, `owner/name`."""

    def __init__(self, calls: Calls, repository: str) -> None:
        self._calls, self._base = calls, f"/repos/{repository}"

    async def find(self, number: int, marker: str, *, others: bool = False) -> Comment | None:
        me = await self._calls.own()
        async for one in self._calls.pages(f"{self._base}/issues/{number}/comments", _Comment, _PAGE):
            if (one.body or "").startswith(marker) and one.user is not None:
                # A workflow's token cannot ask who it is; then it is a bot, which no person who quotes us is.
                robot = one.user.type == "Bot"
                if (robot if me is None else one.user.id == me) or (
                    others and (robot or one.author_association in _WRITERS)
                ):
                    return one.plain()
        return None

    async def write(self, number: int, body: str, comment: Comment | None = None) -> Comment:
        if comment is None:
            path = f"{self._base}/issues/{number}/comments"
            made = await self._calls.call("POST", path, {"body": body}, creates=True)
        else:
            made = await self._calls.call("PATCH", f"{self._base}/issues/comments/{comment.id}", {"body": body})
        return made.of(_Comment).plain()

    async def set_status(self, commit: str, status: Status) -> None:
        body = {
            "state": status.state,
            "context": status.context,
            "description": short(status.description, LIMITS["github"].description),
            **({"target_url": status.url} if status.url else {}),
        }
        await self._calls.call("POST", f"{self._base}/statuses/{commit}", body)

    async def pull(self, number: int) -> Pull:
        found = (await self._calls.call("GET", f"{self._base}/pulls/{number}")).of(_Pull)
        return Pull(
            number=found.number,
            head=found.head.sha,
            base=found.base.sha,
            from_repository=found.head.repo.full_name if found.head.repo else "",
            to_repository=found.base.repo.full_name,
            open=found.state == "open",
        )

    async def merged(self, commit: str) -> tuple[int, ...]:
        found = self._calls.pages(f"{self._base}/commits/{commit}/pulls", _Merged, _PAGE)
        return tuple(sorted([one.number async for one in found if one.merged_at]))

    async def changed(self, number: int) -> tuple[str, ...] | None:
        found = [one async for one in self._calls.pages(f"{self._base}/pulls/{number}/files", _File, _PAGE)]
        paths = [path for one in found for path in (one.filename, one.previous_filename) if path]
        return tuple(paths) if len(found) < _FILES else None

    async def close(self) -> None:
        await self._calls.close()
