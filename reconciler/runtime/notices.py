"""Wakes whoever waits for news of a chat: pages and programs that follow it as server-sent events.

Only in memory and only a hint: whoever is woken reads the store, so a notice that is lost costs a moment, never a
message.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Notices:
    """Keys to listen for; one asyncio event per listener."""

    def __init__(self) -> None:
        self._listeners: defaultdict[Hashable, set[asyncio.Event]] = defaultdict(set)

    def publish(self, key: Hashable) -> None:
        """Wakes every listener of `key`."""
        for event in self._listeners.get(key, ()):
            event.set()

    @contextmanager
    def listen(self, key: Hashable) -> Iterator[asyncio.Event]:
        """An event that is set at each notice of `key`; clear it before looking."""
        event = asyncio.Event()
        self._listeners[key].add(event)
        try:
            yield event
        finally:
            self._listeners[key].discard(event)
            if not self._listeners[key]:
                del self._listeners[key]
