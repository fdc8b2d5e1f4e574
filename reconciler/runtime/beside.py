"""The reconcile loop beside a runtime, as the HTTP API sees it.

Before it comes whoever puts both together (the command line), for the runtime knows nothing of reconciling; after it
the endpoints of `runtime/api/reconciler.py`. What its methods give is answered as JSON, as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Back(msgspec.Struct, frozen=True):
    """A rollback that is asked for: to which commit (None: the last that was applied whole), and what it permits."""

    to: str | None
    allow: tuple[str, ...]


class Numbered(Protocol):
    """A pass, by its number; the rest is answered as it is."""

    @property
    def id(self) -> int: ...


class Loop(Protocol):
    """A loop. What blocks is called in a thread; all may raise Unavailable."""

    def targets(self) -> tuple[str, ...]: ...

    def status(self, target: str | None) -> Sequence[object]: ...

    def passes(self, limit: int, target: str | None, before: int | None) -> Sequence[Numbered]: ...

    def one(self, number: int) -> object | None: ...

    def ask(self, target: str, back: Back | None) -> object: ...

    def requested(self, request: int) -> object | None: ...

    async def suspend(self, target: str, reason: str) -> object: ...

    def resume(self, target: str) -> bool: ...

    def knock(self) -> None: ...

    def ref(self) -> str | None: ...
