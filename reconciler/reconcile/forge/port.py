"""What a forge is to us: comments of a pull request, the status of a commit, the pull request of a commit.

Before it `post`, `artifact` and `announce`, which know what to say; after it `github`, `gitlab` and `gitea`, which know
how each wants it said. Merge requests are pull requests here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec

from reconciler.errors import Misuse, Unavailable

Kind = Literal["github", "gitlab", "gitea"]
State = Literal["pending", "success", "failure", "error"]


class NotAllowed(Misuse):
    """The forge does not let this token do that (401, 403, or 404 as some say it); the text says what to give it."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


class AnswerLost(Unavailable):
    """Something was to be made and the answer never came: it may be there or not."""


class Limits(msgspec.Struct, frozen=True):
    """Characters that a forge takes: of a comment, of a status's description."""

    comment: int
    description: int


# GitHub: 65,536 characters of a comment, 140 of a description (its API's own messages); GitLab: 1,000,000 of a note
# (docs, "application limits"), 255 of a description (its column). Gitea and Forgejo name no limit of a comment, so one
# is kept that any of their databases holds and browsers still show; the description's is GitLab's.
LIMITS: Final[Mapping[Kind, Limits]] = {
    "github": Limits(65_536, 140),
    "gitlab": Limits(1_000_000, 255),
    "gitea": Limits(262_144, 255),
}
MARKER: Final = 4096  # characters of a comment that are kept for its marker


def room(kind: Kind) -> int:
    """How many characters of Markdown fit in a comment beside its marker."""
    return LIMITS[kind].comment - MARKER


class Comment(msgspec.Struct, frozen=True):
    """A comment as it is on the forge."""

    id: int
    body: str
    url: str = ""


class Status(msgspec.Struct, frozen=True):
    """A commit's status. `context` names it, such as `reconciler/review`; `url` is where more is to be read."""

    context: str
    state: State
    description: str
    url: str = ""


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request: its head commit, its repositories as the forge names them ("": gone), whether it is open."""

    number: int
    head: str
    base: str
    from_repository: str
    to_repository: str
    open: bool

    @property
    def fork(self) -> bool:
        """Whether its commits come from another repository."""
        return self.from_repository != self.to_repository


class Forge(Protocol):
    """One repository on a forge. All raise NotAllowed, Unavailable, Rejected."""

    async def find(self, number: int, marker: str, *, others: bool = False) -> Comment | None:
        """Our own comment of a pull request that begins with `marker`; the oldest, should there be two, but the newest
        for a token that cannot ask whose it is.

        With `others` also one of somebody else who is trusted: of a job's own user, or of who may write the repository.
        """
        ...

    async def write(self, number: int, body: str, comment: Comment | None = None) -> Comment:
        """Makes a comment, or gives an existing one another text. Raises AnswerLost where one may have been made."""
        ...

    async def set_status(self, commit: str, status: Status) -> None:
        """Sets the status of a commit (full hash)."""
        ...

    async def pull(self, number: int) -> Pull:
        """A pull request by its number."""
        ...

    async def merged(self, commit: str) -> tuple[int, ...]:
        """The numbers of the merged pull requests that brought a commit."""
        ...

    async def changed(self, number: int) -> tuple[str, ...] | None:
        """The paths a pull request changes, old names and new; None where they are too many to know."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


def short(text: str, most: int) -> str:
    """Plain text on one line of at most `most` characters, for a status's description."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
