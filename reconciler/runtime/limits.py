"""How much each key and each address may ask, as token buckets in memory.

Before it comes a request with its key, after it the dispatch of `runtime/call.py`, which answers 429 with the seconds
to wait. A key that is wrong takes from its address's bucket; once that is empty, no key is looked at from there until
it fills again, but for those that were right from there before: guessing becomes slow, and who works behind the same
proxy goes on working. Restarting forgets all of it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

_KEPT: Final = 10_000  # buckets, and keys that were right; the longest unused are forgotten first


class Buckets:
    """A bucket for each name: `burst` at once, `rate` a second in the long run; `rate` 0: no limit."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate, self.burst, self._clock = rate, max(1.0, burst), clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, name: Hashable) -> float:
        """The seconds until there is one to take; 0: now."""
        if not self.rate:
            return 0.0
        return max(0.0, (1.0 - self._level(name)) / self.rate)

    def take(self, name: Hashable) -> None:
        """Takes one, down to none."""
        if not self.rate:
            return
        level = max(0.0, self._level(name) - 1.0)
        self._levels[name] = level, self._clock()
        self._levels.move_to_end(name)
        if len(self._levels) > _KEPT:
            self._levels.popitem(last=False)

    def give(self, name: Hashable) -> None:
        """Gives one back that was taken."""
        if name in self._levels:
            self._levels[name] = min(self.burst, self._level(name) + 1.0), self._clock()

    def _level(self, name: Hashable) -> float:
        level, at = self._levels.get(name, (self.burst, self._clock()))
        return min(self.burst, level + (self._clock() - at) * self.rate)


class Limits:
    """The limits of one runtime: `rate` a second and `burst` at once for each token, `failures` wrong keys a minute
    from each address; 0 for either: no limit."""

    def __init__(
        self,
        rate: float = 50,
        burst: float = 200,
        failures: float = 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = Buckets(rate, burst, clock)
        self._failures = Buckets(failures / 60, failures, clock)
        self._salt = secrets.token_bytes(16)
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def call(self, caller: Hashable) -> int:
        """One more call by a token's holder: 0 if it may, else the seconds to wait."""
        if wait := self._calls.wait(caller):
            return math.ceil(wait)
        self._calls.take(caller)
        return 0

    def tries(self, address: str, key: str) -> int:
        """Before a key is looked at: 0 if it may be, else the seconds to wait."""
        wait = self._failures.wait(_network(address))
        return math.ceil(wait) if wait and self._print(address, key) not in self._right else 0

    def wrong(self, address: str) -> None:
        """A key from this address was wrong."""
        self._failures.take(_network(address))

    def pardon(self, address: str) -> None:
        """What was counted as wrong from this address was not."""
        self._failures.give(_network(address))

    def right(self, address: str, key: str) -> None:
        """A key from this address was right."""
        shown = self._print(address, key)
        self._right[shown] = None
        self._right.move_to_end(shown)
        if len(self._right) > _KEPT:
            self._right.popitem(last=False)

    def _print(self, address: str, key: str) -> bytes:
        said = f"{_network(address)}\0{key}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(said, key=self._salt, digest_size=16).digest()


def _network(address: str) -> str:
    """Whom an address stands for: itself, or of version 6 the /64 in which a machine chooses freely."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
    except ValueError:
        return address
