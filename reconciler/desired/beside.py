"""A second process that parses half of many files, on the second core. Before it `documents`, and after it too.

Parsing ten thousand files takes longer than all that follows, and a CI job has nothing parsed before. Nothing depends
on the second process: what it does not bring back, for whatever reason, is parsed by the first one. It is the module
`second`, with its files and what it brings back in temporary files.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Final

import msgspec

from reconciler.desired.cache import Kept

MANY: Final = 2_000  # files from which it is worth the start of a process (a tenth of a second)
_SHARE: Final = 0.45  # of the files; the rest is parsed while the process starts
_TIMEOUT: Final = 60  # seconds


class Work(msgspec.Struct, frozen=True):
    """What is to be parsed: whether the files are parts of documents (overlays), and their contents by path."""

    patches: bool
    contents: Mapping[str, bytes]


class Beside:
    """The second half of some files being parsed. To be used in `with`, so that no process is left."""

    def __init__(self, contents: Mapping[str, bytes], patches: bool) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._found: dict[str, list[Kept]] | None = {}
        if len(contents) < MANY or _cores() < 2:
            return
        mine = [*contents][-int(len(contents) * _SHARE) :]
        self._first = mine[0]
        with contextlib.suppress(OSError):
            self._start(Work(patches, {path: contents[path] for path in mine}))

    def _start(self, work: Work) -> None:
        import tempfile

        # -P: the folder that this runs in may hold a `reconciler` that is not ours.
        command = [sys.executable, "-P", "-m", "reconciler.desired.second"]
        with tempfile.TemporaryFile() as given:
            given.write(msgspec.msgpack.encode(work))
            given.seek(0)
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
            self._process = subprocess.Popen(command, stdin=given, stdout=self._said, stderr=subprocess.DEVNULL)
            self._found = None

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._said is not None:
            self._said.close()

    def get(self, path: str) -> list[Kept] | None:
        """The documents of one of the files, if it was parsed beside and has no problem."""
        if self._found is None and path == self._first:
            self._found = self._end()
        return self._found.get(path) if self._found else None

    def _end(self) -> dict[str, list[Kept]]:
        assert self._process is not None
        assert self._said is not None
        with contextlib.suppress(subprocess.TimeoutExpired, OSError, msgspec.MsgspecError, UnicodeDecodeError):
            if self._process.wait(_TIMEOUT) == 0:
                self._said.seek(0)
                return msgspec.msgpack.decode(self._said.read(), type=dict[str, list[Kept]])
        return {}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
