"""GitHub and GitHub Enterprise Server, by REST API 2022-11-28.

Sources: docs.github.com/rest, "Issue comments", "Commit statuses", "Commits: list pull requests associated with a
commit", "Pull requests: list pull requests files".
"""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.reconcile.forge.alike import Alike
from reconciler.reconcile.forge.port import Comment

NEEDS: Final = (
    "to write pull requests and statuses of this repository (in a workflow: `permissions:` with `pull-requests: write` "
    "and `statuses: write`; a fine-grained token: Pull requests and Commit statuses, read and write)"
)
_WRITERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


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


class _Merged(msgspec.Struct, frozen=True):
    number: int
    merged_at: str | None = None


class GitHub(Alike):
    """One repository, `owner/name`."""

    name, page, written = "github", {"per_page": "100"}, _Comment

    async def find(self, number: int, marker: str, *, others: bool = False) -> Comment | None:
        me = await self._calls.own()
        found: Comment | None = None
        async for one in self._calls.pages(f"{self._base}/issues/{number}/comments", _Comment, self.page):
            if (one.body or "").startswith(marker) and one.user is not None:
                if me is not None and one.user.id == me:
                    return one.plain()
                # A workflow's token cannot ask who it is; then it is a bot, which no person who quotes us is. The last
                # one: where another app's token wrote before, that one's comment cannot be edited with this.
                robot = one.user.type == "Bot"
                if (robot and me is None) or (others and (robot or one.author_association in _WRITERS)):
                    found = one.plain()
        return found

    async def merged(self, commit: str) -> tuple[int, ...]:
        found = self._calls.pages(f"{self._base}/commits/{commit}/pulls", _Merged, self.page)
        return tuple(sorted([one.number async for one in found if one.merged_at]))
