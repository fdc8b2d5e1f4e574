"""What a turn has paid for and done so far, kept outside the process: its rounds of function calls.

Before it comes `llm/asking.py` with each round; after it the chats' store. A turn that a crash cut off is tried again;
the rounds it had are then answered from here, so no model is paid twice and no function called twice. The last answer
needs no memo: the turn ends in the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Memo(Protocol):
    """Values by name for each turn, gone with the turn; `turn` is a `Request.key`. The first value of a name stays."""

    async def recall(self, turn: str) -> Mapping[str, str]: ...

    async def keep(self, turn: str, name: str, value: str) -> None: ...


class Forgetful:
    """Keeps nothing: where there is no store, as in a rehearsal."""

    async def recall(self, _turn: str) -> Mapping[str, str]:
        """Nothing."""
        return {}

    async def keep(self, _turn: str, _name: str, _value: str) -> None:
        """Nothing happens."""
