"""What asking a model comes to: an `Answer`, or `ModelFailed` with a reason for the operator, never the customer."""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.errors import ReconcilerError


class Usage(msgspec.Struct, frozen=True):
    """Tokens that a turn took, over all its rounds; `cached` are those of `input` that the server knew already."""

    input: int = 0
    output: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output, self.cached + other.cached)


_NOTHING: Final = Usage()


class Call(msgspec.Struct, frozen=True):
    """A function that the model called; `failed` says that its functionUrl did not answer as it should."""

    name: str
    failed: bool


class Answer(msgspec.Struct, frozen=True):
    """A model's answer to a turn; `text` is never blank.

    `truncated`: it ends where `maxTokens` cut it off.
    """

    text: str
    usage: Usage = Usage()
    calls: tuple[Call, ...] = ()
    truncated: bool = False


AWAY: Final = "the model server could not be reached"


class ModelFailed(ReconcilerError):
    """The model gave no answer to a turn. The text is kept on the session; it holds no secret and no prompt.

    `usage` is what the turn took all the same.
    """

    def __init__(self, reason: str, usage: Usage = _NOTHING) -> None:
        super().__init__(reason)
        self.usage = usage
