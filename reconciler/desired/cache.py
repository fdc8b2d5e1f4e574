"""What was parsed before, by git blob id: an unchanged file costs neither YAML nor schemas again.

One msgpack file, replaced as a whole. It holds only files without a problem, and only what the last reading that
learned something used. Nothing depends on it: a file that is damaged, old or not ours is as good as none.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from reconciler.shape import SCHEMAS

_FORMAT: Final = 2  # raise it when what a document means, or how it is kept, changes
_SIZE_LIMIT: Final = 256 << 20  # bytes of the file
# A repository under review could carry a cache that says its bad files are good. Git writes no file that its owner
# cannot write to, so a file with this mode was made here.
_MODE: Final = 0o400


class Kept(msgspec.Struct, array_like=True):
    """One document without a problem: the place that stands for it (line, column) and its data."""

    line: int
    column: int
    data: dict[str, Any]


class _Contents(msgspec.Struct, array_like=True):
    digest: str
    documents: dict[str, list[Kept]]
    texts: dict[str, str]


class Cache:
    """Documents and texts by blob id; `path` None keeps nothing beyond this process."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._old = _load(path) if path is not None else _Contents("", {}, {})
        self._new = _Contents(_digest(), {}, {})
        self._learned = False

    def documents(self, blob: str) -> list[Kept] | None:
        """What a YAML file's blob was parsed to, if it is known to be without a problem."""
        if (found := self._new.documents.get(blob)) is None and (found := self._old.documents.get(blob)) is not None:
            self._new.documents[blob] = found
        return found

    def keep_documents(self, blob: str, documents: list[Kept]) -> None:
        """Remembers a file that has no problem."""
        self._new.documents[blob] = documents
        self._learned = True

    def text(self, blob: str) -> str | None:
        """A text file's blob as text, if it is known to be without a problem."""
        if (found := self._new.texts.get(blob)) is None and (found := self._old.texts.get(blob)) is not None:
            self._new.texts[blob] = found
        return found

    def keep_text(self, blob: str, text: str) -> None:
        """Remembers a text that has no problem."""
        self._new.texts[blob] = text
        self._learned = True

    def save(self) -> None:
        """Replaces the file, if anything was learned. That it cannot be written harms nobody."""
        if not self._learned or self._path is None:
            return
        self._learned = False
        content = msgspec.msgpack.encode(self._new)
        if len(content) > _SIZE_LIMIT:
            return
        import tempfile  # 10 ms that only a reading which learned something pays

        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".documents-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    os.fchmod(file.fileno(), _MODE)
                os.replace(name, self._path)
            except OSError:
                os.unlink(name)
                raise


def _load(path: Path) -> _Contents:
    nothing = _Contents("", {}, {})
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if stat.S_IMODE(about.st_mode) != _MODE or about.st_uid != os.geteuid() or about.st_size > _SIZE_LIMIT:
                return nothing
            content = file.read()
    except OSError:
        return nothing
    collecting = gc.isenabled()
    gc.disable()  # a hundred thousand new objects, none of them garbage
    try:
        found = msgspec.msgpack.decode(content, type=_Contents)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return nothing
    finally:
        if collecting:
            gc.enable()
    return found if found.digest == _digest() else nothing


@lru_cache(maxsize=1)
def _digest() -> str:
    """What the meaning of the kept documents depends on: the schemas and the code that checks."""
    found = hashlib.sha256(f"{_FORMAT}".encode())
    here = Path(__file__).parent
    # What fits a schema, what a mark is, what a trigger may be.
    rules = [here.parent / name for name in ("shape.py", "model.py", "talk/match.py")]
    sources = [*sorted(SCHEMAS.glob("*.schema.json")), *sorted(here.glob("*.py")), *rules]
    for path in sources:
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
