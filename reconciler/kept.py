"""A key that is kept in a file, and the one before it while it is being replaced.

`rotate` begins: the key goes on as NAME.previous, a new one takes its place. `finish` ends it. Each step is one rename,
in an order in which every state that a killed process leaves behind has the keys that are needed, and `rotate` called
again goes on from there.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import Misuse


class Key:
    """The key in the file `path`, mode 0600; `make` makes a new one."""

    def __init__(self, path: Path, make: Callable[[], str]) -> None:
        self.path, self._make = path, make
        self.before = path.with_name(f"{path.name}.previous")

    def kept_or_made(self) -> tuple[str, bool]:
        """The key, made if there is none; and whether it was made now. Raises Misuse."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if kept := self.path.read_text().strip():
                return kept, False
            raise Misuse(
                f"{self.path} is empty: restore it from a backup, or delete it where nothing is stored yet"
            ) from None
        value = self._make()
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(value + "\n")
        except OSError as error:  # half a key would be taken for a whole one at the next start
            self.path.unlink()
            raise Misuse(f"{self.path} cannot be written: {error.strerror}") from error
        return value, True

    def previous(self) -> str | None:
        """What the key was before, while it is being replaced."""
        was = _read(self.before)
        return was if was != _read(self.path) else None

    def rotate(self) -> bool:
        """Puts a new key in its place, and keeps the one so far; False: that was done before, and is not finished.

        Raises Misuse where there is no key, or the folder cannot be written.
        """
        with self._alone():
            if (now := _read(self.path)) is None:
                raise Misuse(f"{self.path} holds no key: nothing was started here yet, so there is none to replace")
            if self.previous() is not None:
                return False
            _write(self.before, now)
            _write(self.path, self._make())
            return True

    def finish(self) -> bool:
        """Lets the previous key go; False: there was none."""
        with self._alone():
            was = self.previous()
            self.before.unlink(missing_ok=True)
            _sync(self.path.parent)
            return was is not None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds off a second rotation of the same key."""
        try:
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise Misuse(f"{self.path.parent} cannot be read: {error.strerror}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise Misuse(f"{self.path} cannot be replaced: {error.strerror}") from error
        finally:
            os.close(folder)


class Watched:
    """The keys that are valid now, the one that stays first; a change of the files is seen at the next call.

    `others` are valid besides. A file that cannot be read at the moment changes nothing.
    """

    def __init__(self, key: Key, others: tuple[str, ...] = ()) -> None:
        self._key, self._others = key, others
        self._seen: tuple[object, ...] = ()
        self._valid: tuple[str, ...] = ()
        self()

    def __call__(self) -> tuple[str, ...]:
        seen = _signs(self._key.before), _signs(self._key.path)
        if seen != self._seen:
            previous, now = _read(self._key.before), _read(self._key.path)
            if now is not None:
                valid = tuple(dict.fromkeys((now, *([previous] if previous else []), *self._others)))
                self._seen, self._valid = seen, valid
        return self._valid


def _signs(path: Path) -> tuple[int, ...] | None:
    """What is another whenever the file was replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, stat.S_IMODE(found.st_mode)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: Path, key: str) -> None:
    """The key in a file of mode 0600, which is the old one or the whole new one at every moment."""
    making = path.with_name(f"{path.name}.making")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
