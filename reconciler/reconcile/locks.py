"""Who may work in a data folder: one loop, one pass of a target at a time. Locks of the system, so a killed process
holds none."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Final

from reconciler.errors import Misuse, Unavailable

_LOOP: Final = "loop.lock"
_PASS: Final = "pass-{}.lock"  # noqa: S105
_FETCH: Final = "fetch.lock"
_POLL: Final = 0.02  # seconds between two tries
_LOOKING: Final = 0.5  # seconds that a loop tries to be the one
PATIENCE: Final = 300.0  # seconds that a pass waits for another to end


@contextmanager
def the_one_loop(data: Path) -> Iterator[None]:
    """Held by a loop as long as it runs. Raises Misuse where another one runs on this data folder, Unavailable where
    the folder cannot be written."""
    with _file(data / _LOOP) as file:
        deadline = time.monotonic() + _LOOKING
        while not (taken := _taken(file)) and time.monotonic() < deadline:
            time.sleep(_POLL)  # somebody may only look whether a loop runs
        if not taken:
            raise Misuse(f"a reconcile loop already runs on {data}: stop it first, or ask it with `reconciler sync`")
        yield


def loop_runs(data: Path) -> bool:
    """Whether a loop runs on this data folder now."""
    try:
        with (data / _LOOP).open("r") as file:
            return not _taken(file, fcntl.LOCK_SH)  # many may look at once
    except FileNotFoundError:
        return False


@asynccontextmanager
async def one_pass(data: Path, target: str, patience: float = PATIENCE) -> AsyncIterator[None]:
    """Held during a pass of a target, so that those of a loop and of `apply` never overlap.

    Raises Unavailable where another pass takes longer than `patience` seconds.
    """
    async with _held(data / _PASS.format(target), patience, f"another pass of {target} has been running on {data}"):
        yield


@asynccontextmanager
async def one_fetch(data: Path, patience: float = PATIENCE) -> AsyncIterator[None]:
    """Held while a remote repository is fetched. Raises Unavailable as `one_pass` does."""
    async with _held(data / _FETCH, patience, f"another process has been fetching into {data}"):
        yield


@asynccontextmanager
async def _held(path: Path, patience: float, otherwise: str) -> AsyncIterator[None]:
    with _file(path) as file:
        deadline = asyncio.get_running_loop().time() + patience
        while not _taken(file):
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"{otherwise} for {patience:.0f} s and has not ended")
            await asyncio.sleep(_POLL)
        yield


def _file(path: Path) -> IO[str]:
    try:
        return path.open("a")
    except OSError as error:
        raise Unavailable(f"the data folder {path.parent} cannot be written: {error.strerror}") from error


def _taken(file: IO[str], how: int = fcntl.LOCK_EX) -> bool:
    """Takes the lock of an open file if it is free; closing the file gives it back."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
