"""What can go wrong, by who must act: one tree, one table to exit codes and one to HTTP statuses.

The author fixes YAML (`InvalidBots`) · a human must confirm (`PlanRefused`) · wait and try again
(`Unavailable`) · the command was used wrongly (`Misuse`) · a caller of the HTTP API asked for something
that cannot be (`Rejected`). Anything else is a bug of ours.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mistake in a file of the repository.

    `line` and `column` count from 1 (0: the file as a whole); `pointer` is the path in the document, such as
    `spec.triggerOperator`; `hint` says what to do; `excerpt` is the source line for the caret.
    """

    path: str
    message: str
    line: int = 0
    column: int = 0
    pointer: str = ""
    hint: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        pointer = f" {self.pointer}:" if self.pointer else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}:{pointer} {self.message}{hint}"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a plan must not be applied as it is, and what would allow it."""

    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.remedy})" if self.remedy else self.reason


class ReconcilerError(Exception):
    """An error that was foreseen: its text says what is wrong and what to do next."""


class InvalidBots(ReconcilerError):
    """The repository's files are not a desired state; `problems` are all of them, in the files' order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PlanRefused(ReconcilerError):
    """A gate stopped the plan; a human must change something or confirm."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__("\n".join(map(str, refusals)))
        self.refusals = refusals


class Unavailable(ReconcilerError):
    """The other side did not answer as it should; try again after `retry_after` seconds, if it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Misuse(ReconcilerError):
    """The command line or its environment was used wrongly."""


class Rejected(ReconcilerError):
    """A request that the HTTP API refuses: `status` is the HTTP status, `messages` name every fault."""

    def __init__(self, status: int, *messages: str, headers: dict[str, str] | None = None) -> None:
        super().__init__("; ".join(messages))
        self.status = status
        self.messages = messages
        self.headers = headers or {}


EXIT_UNEXPECTED: Final = 70
EXIT_MISUSE: Final = 64

EXIT_CODES: Final[dict[type[ReconcilerError], int]] = {
    InvalidBots: 1,
    PlanRefused: 3,
    Unavailable: 4,
    Misuse: EXIT_MISUSE,
    Rejected: 1,
}


def exit_code(error: BaseException) -> int:
    """The process's exit code for an error: its class's in `EXIT_CODES`, 70 for a bug."""
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return EXIT_UNEXPECTED
