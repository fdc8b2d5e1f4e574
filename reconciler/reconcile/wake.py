"""What wakes the loop: the git folder and the data folder changing. Only ever a hint to look.

Before it git and `reconciler sync`; after it the loop, which reads everything anew. A lost event costs the time to
the next interval, never correctness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.desired.git import Repository
from reconciler.reconcile.clock import SYSTEM, Clock

FOLDER: Final = "wake"  # of the data folder: `sync` touches a file in it
_POLL: Final = 1.0  # seconds between two looks where folders cannot be watched


class Wake:
    """One flag that anything may set."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Until the flag is set, at most so long; takes the flag down."""
        if await self._clock.wait(self._event, seconds):
            self._event.clear()


def touch(data: Path) -> None:
    """Wakes the loop that runs on a data folder."""
    _touch(data, "sync")


def knock(data: Path) -> None:
    """Tells the loop that runs on a data folder that its repository may have moved."""
    _touch(data, "push")


def knocked(data: Path) -> int:
    """When somebody last knocked, in nanoseconds since the epoch; 0: never."""
    try:
        return (data / FOLDER / "push").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _touch(data: Path, name: str) -> None:
    folder = data / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / name).touch()


async def follow(repository: Repository, data: Path, wake: Wake) -> None:
    """Sets `wake` whenever a ref may have moved or somebody asked for a pass; runs until cancelled."""
    (data / FOLDER).mkdir(exist_ok=True)
    if repository.pinned:  # a clone of the loop's own, which tells of news itself
        await _watch({data / FOLDER}, False, wake.set)
        return
    git, common = repository.git_dir, repository.common_dir
    deep = [folder for folder in (common / "refs", common / "reftable") if folder.is_dir()]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_watch({git, common, data / FOLDER}, False, wake.set))
        tasks.create_task(_watch(set(deep), True, wake.set))


async def _watch(folders: set[Path], recursive: bool, moved: Callable[[], None]) -> None:
    """Watches folders; looks every second where the system cannot watch them (no inotify left, a network drive)."""
    import watchfiles

    try:
        # The default filter leaves out `.git`, which is all there is to see here.
        async for _ in watchfiles.awatch(
            *folders, watch_filter=None, recursive=recursive, debounce=100, step=10, rust_timeout=60_000
        ):
            moved()
    except (OSError, RuntimeError):
        pass
    while True:
        await asyncio.sleep(_POLL)
        moved()
