"""What the second process does: parses the files that `beside` gives it, and gives back what has no problem."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Mapping

import msgspec

from reconciler.desired.beside import Work
from reconciler.desired.cache import Cache
from reconciler.desired.documents import Documents
from reconciler.desired.files import Lack


class _Given:
    """The files that this process was given, as `files.Files`."""

    commit: str | None = None

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    def below(self, folder: str) -> list[str]:
        return [path for path in self._contents if path.startswith(folder)]

    def ids(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, Lack]]:
        return {path: path for path in paths}, {}

    def read(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, Lack]]:
        return {path: self._contents[path] for path in paths}, {}


def main() -> None:
    """Parses what standard input holds, and writes what has no problem to standard output."""
    gc.disable()
    work = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Work)
    documents = Documents(_Given(work.contents), Cache(None))
    sound = {path: documents.sound(path, content, work.patches) for path, content in work.contents.items()}
    sys.stdout.buffer.write(msgspec.msgpack.encode({path: kept for path, kept in sound.items() if kept is not None}))


if __name__ == "__main__":
    main()
