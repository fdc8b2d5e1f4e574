"""Gitea and Forgejo, by their API v1.

Sources: their API pages and the routes behind them: issue comments, commit statuses, the merged pull request of a
commit, a pull request's files.
"""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.reconcile.forge.alike import Alike, PullShape
from reconciler.reconcile.forge.port import Comment, NotAllowed

NEEDS: Final = (
    "to write issues, pull requests and the repository (a token's scopes `write:issue` and `write:repository`; a "
    "workflow's own token has them, but not for a fork's pull request)"
)
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


class _Pull(PullShape, frozen=True):
    merge_base: str = ""

    def start(self) -> str:
        return self.merge_base or self.base.sha


class _Merged(msgspec.Struct, frozen=True):
    number: int
    merged: bool = False


class Gitea(Alike):
    """One repository, `owner/name`."""

    name, page, written, pull_shape = "gitea", {"limit": "50"}, _Comment, _Pull

    async def find(self, number: int, marker: str, *, others: bool = False) -> Comment | None:
        me = await self._calls.own()
        async for one in self._calls.pages(f"{self._base}/issues/{number}/comments", _Comment, self.page):
            if one.body.startswith(marker) and one.user is not None:
                robot = one.user.login in _ROBOTS
                if (robot if me is None else one.user.id == me) or (others and robot):
                    return one.plain()
        return None

    async def merged(self, commit: str) -> tuple[int, ...]:
        try:
            found = (await self._calls.call("GET", f"{self._base}/commits/{commit}/pull")).of(_Merged)
        except NotAllowed as error:
            if error.status == 404:  # no pull request brought it
                return ()
            raise
        return (found.number,) if found.merged else ()
