"""What GitHub's API and that of Gitea and Forgejo, made after it, have in common: paths and shapes.

Before it come the two forges, which know what differs; after it `calls`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

import msgspec

from reconciler.reconcile.forge.calls import Calls
from reconciler.reconcile.forge.port import LIMITS, Comment, Kind, Pull, Status, short

_FILES: Final = 3000  # the APIs list no more files of a pull request


class Written(Protocol):
    """A comment as the forge answers it."""

    def plain(self) -> Comment: ...


class _Repository(msgspec.Struct, frozen=True):
    full_name: str


class _Head(msgspec.Struct, frozen=True):
    sha: str
    repo: _Repository | None = None


class _Base(msgspec.Struct, frozen=True):
    sha: str
    repo: _Repository


class PullShape(msgspec.Struct, frozen=True):
    """A pull request as the forge answers it."""

    number: int
    state: str
    head: _Head
    base: _Base

    def start(self) -> str:
        """The commit that it is compared with."""
        return self.base.sha


class _File(msgspec.Struct, frozen=True):
    filename: str
    previous_filename: str | None = None


class Alike:
    """One repository, `owner/name`: comments, statuses and pull requests, where both APIs are the same."""

    name: ClassVar[Kind]  # of the limits
    page: ClassVar[Mapping[str, str]]  # the query for the longest pages
    written: ClassVar[type[Written]]
    pull_shape: ClassVar[type[PullShape]] = PullShape

    def __init__(self, calls: Calls, repository: str) -> None:
        self._calls, self._base = calls, f"/repos/{repository}"

    async def write(self, number: int, body: str, comment: Comment | None = None) -> Comment:
        if comment is None:
            path = f"{self._base}/issues/{number}/comments"
            made = await self._calls.call("POST", path, {"body": body}, creates=True)
        else:
            made = await self._calls.call("PATCH", f"{self._base}/issues/comments/{comment.id}", {"body": body})
        return made.of(self.written).plain()

    async def set_status(self, commit: str, status: Status) -> None:
        body = {
            "state": status.state,
            "context": status.context,
            "description": short(status.description, LIMITS[self.name].description),
            **({"target_url": status.url} if status.url else {}),
        }
        await self._calls.call("POST", f"{self._base}/statuses/{commit}", body)

    async def pull(self, number: int) -> Pull:
        found = (await self._calls.call("GET", f"{self._base}/pulls/{number}")).of(self.pull_shape)
        return Pull(
            number=found.number,
            head=found.head.sha,
            base=found.start(),
            from_repository=found.head.repo.full_name if found.head.repo else "",
            to_repository=found.base.repo.full_name,
            open=found.state == "open",
        )

    async def changed(self, number: int) -> tuple[str, ...] | None:
        found = [one async for one in self._calls.pages(f"{self._base}/pulls/{number}/files", _File, self.page)]
        paths = [path for one in found for path in (one.filename, one.previous_filename) if path]
        return tuple(paths) if len(found) < _FILES else None

    async def close(self) -> None:
        await self._calls.close()
