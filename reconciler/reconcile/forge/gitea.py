"""Gitea and Forgejo, by their API v1.

Sources: their API pages and the routes behind them: issue comments, commit statuses, the merged pull request of a
commit, a pull request's files.
"""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.reconcile.forge.calls import Calls
from reconciler.reconcile.forge.port import LIMITS, Comment, NotAllowed, Pull, Status, short

NEEDS: Final = (
    "to write issues, pull requests and the repository (a token's scopes `write:issue` and `write:repository`; a "
    "workflow's own token has them, but not for a fork's pull request)"
)
_FILES: Final = 3000
_PAGE: Final = {"limit": "50"}
_ROBOTS: Final = frozenset({"gitea-actions", "forgejo-actions"})  # who a workflow's own token is


class _User(msgspec.Struct, frozen=True):
    id: int
    login: str = ""


class _Comment(msgspec.Struct, frozen=True):
    id: int
    body: str = ""
    html_url: str = ""
    user: _User | None = None

    def plain(self) -> Comment:
        return Comment(self.id, self.body, self.html_url)


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
    merge_base: str = ""


class _Merged(msgspec.Struct, frozen=True):
    number: int
    merged: bool = False


class _File(msgspec.Struct, frozen=True):
    filename: str
    previous_filename: str | None = None


class Gitea:
    """One repository, `owner/name`."""

    def __init__(self, calls: Calls, repository: str) -> None:
        self._calls, self._base = calls, f"/repos/{repository}"

    async def find(self, number: int, marker: str, *, others: bool = False) -> Comment | None:
        me = await self._calls.own()
        async for one in self._calls.pages(f"{self._base}/issues/{number}/comments", _Comment, _PAGE):
            if one.body.startswith(marker) and one.user is not None:
                robot = one.user.login in _ROBOTS
                if (robot if me is None else one.user.id == me) or (others and robot):
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
            "description": short(status.description, LIMITS["gitea"].description),
            **({"target_url": status.url} if status.url else {}),
        }
        await self._calls.call("POST", f"{self._base}/statuses/{commit}", body)

    async def pull(self, number: int) -> Pull:
        found = (await self._calls.call("GET", f"{self._base}/pulls/{number}")).of(_Pull)
        return Pull(
            number=found.number,
            head=found.head.sha,
            base=found.merge_base or found.base.sha,
            from_repository=found.head.repo.full_name if found.head.repo else "",
            to_repository=found.base.repo.full_name,
            open=found.state == "open",
        )

    async def merged(self, commit: str) -> tuple[int, ...]:
        try:
            found = (await self._calls.call("GET", f"{self._base}/commits/{commit}/pull")).of(_Merged)
        except NotAllowed as error:
            if error.status == 404:  # no pull request brought it
                return ()
            raise
        return (found.number,) if found.merged else ()

    async def changed(self, number: int) -> tuple[str, ...] | None:
        found = [one async for one in self._calls.pages(f"{self._base}/pulls/{number}/files", _File, _PAGE)]
        paths = [path for one in found for path in (one.filename, one.previous_filename) if path]
        return tuple(paths) if len(found) < _FILES else None

    async def close(self) -> None:
        await self._calls.close()
