"""A circuit breaker for each account: a model server that keeps failing is left alone for a while.

Before it comes each request to a model server (`llm/patience.py`). It counts final failures, those that are left
after all retries; the first answer of any kind forgets them. While it is open a turn fails at once. After its rest one
request is let through: if that is answered the circuit closes, if not the next rest is twice as long.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import msgspec

from reconciler.llm.answer import ModelFailed

LIMIT: Final = 5  # final failures in a row that open a circuit
REST: Final = 15.0  # seconds that it then stays open
LONGEST: Final = 300.0  # and at the most, however often the probe fails
_KEPT: Final = 10_000  # accounts that are failing at the same time


class _Ill(msgspec.Struct):
    failures: int = 0
    rest: float = 0.0
    until: float = 0.0
    probing: bool = False
    why: str = ""


class Breakers:
    """The circuits of all accounts; only those that fail take room. `clock` gives seconds that never go back."""

    def __init__(self, rest: float = REST, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest, self._clock = rest, clock
        self._ill: OrderedDict[Hashable, _Ill] = OrderedDict()

    def admit(self, key: Hashable) -> bool:
        """Whether the request that may now be sent is a probe. Raises ModelFailed where none may."""
        ill = self._ill.get(key)
        if ill is None or ill.failures < LIMIT:
            return False
        if (left := ill.until - self._clock()) > 0 or ill.probing:
            raise ModelFailed(
                f"{ill.failures} requests in a row failed, so none is sent for {max(1, round(left))} s; "
                f"the last: {ill.why}"
            )
        ill.probing = True
        return True

    def answered(self, key: Hashable) -> None:
        """The server answered, be it with a refusal of this one request."""
        self._ill.pop(key, None)

    def failed(self, key: Hashable, probe: bool, why: str) -> None:
        """A request failed for good; `why` is told while the circuit is open."""
        ill = self._ill.setdefault(key, _Ill())
        self._ill.move_to_end(key)
        ill.failures, ill.why = ill.failures + 1, why
        if ill.failures >= LIMIT and (probe or not ill.probing):
            ill.rest = min(LONGEST, ill.rest * 2 if probe else ill.rest or self._rest)
            ill.until, ill.probing = self._clock() + ill.rest, False
        if len(self._ill) > _KEPT:
            self._ill.popitem(last=False)

    def cancelled(self, key: Hashable) -> None:
        """A probe was given up before it came to anything: the next request is one."""
        if (ill := self._ill.get(key)) is not None:
            ill.probing = False
