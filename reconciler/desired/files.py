"""Files: the YAML and texts of one commit, or of the working tree. Before it comes `git`; after it `documents`.

Both kinds of reading give the same: paths from the repository's root with `/`, git's blob ids, bytes. So what was
parsed for a commit is found again for a tree that holds the same file, and the other way round.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

from reconciler.desired.git import BLOB_LIMIT, LINK, Repository
from reconciler.errors import Misuse

SUFFIXES: Final = (".yaml", ".yml")
_SKIPPED: Final = frozenset({".git", ".reconciler"})  # never looked into in a working tree

Lack = Literal["absent", "link", "large", "unreadable"]


class Files(Protocol):
    """What of a repository can be read: `commit` is the full hash, None for a working tree."""

    commit: str | None

    def below(self, folder: str) -> list[str]:
        """The YAML files in a folder at any depth, sorted; links among them."""
        ...

    def ids(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, Lack]]:
        """The blob id of each path that is a plain file, and why the others have none."""
        ...

    def read(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, Lack]]:
        """The bytes of each path that is a plain file of 8 MiB at most, and why the others have none."""
        ...


def files_of(repository: Repository, commit: str | None) -> Files:
    """The files of a commit, given by its full hash, or of the working tree (None).

    Raises Misuse for the working tree of a bare repository.
    """
    if commit is not None:
        return CommitFiles(repository, commit)
    if repository.bare:
        raise Misuse(f"{repository.root} is a bare repository without a working tree: name a commit with --ref")
    return TreeFiles(repository.root)


class CommitFiles:
    """Files as git keeps them."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self.commit: str | None = commit
        self._repository = repository
        self._tree = repository.tree(commit)
        self._blobs: dict[str, bytes] = {}  # what this reading has asked git for

    def below(self, folder: str) -> list[str]:
        prefix = "" if folder in ("", ".") else folder.rstrip("/") + "/"
        return sorted(path for path in self._tree if path.endswith(SUFFIXES) and path.startswith(prefix))

    def ids(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, Lack]]:
        found: dict[str, str] = {}
        lacking: dict[str, Lack] = {}
        for path in paths:
            entry = self._tree.get(path)
            if entry is None:
                lacking[path] = "link" if self._below_link(path) else "absent"
            elif entry.mode == LINK:
                lacking[path] = "link"
            else:
                found[path] = entry.blob
        return found, lacking

    def read(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, Lack]]:
        ids, lacking = self.ids(paths)
        blobs = self._blobs
        blobs.update(self._repository.blobs(blob for blob in ids.values() if blob not in blobs))
        lacking.update({path: "large" for path, blob in ids.items() if blob not in blobs})
        return {path: blobs[blob] for path, blob in ids.items() if blob in blobs}, lacking

    def _below_link(self, path: str) -> bool:
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return any((entry := self._tree.get(folder)) is not None and entry.mode == LINK for folder in above)


class TreeFiles:
    """Files as they lie in the working tree now, saved or half-saved, tracked by git or not."""

    commit: str | None = None

    def __init__(self, root: Path) -> None:
        self._top = str(root)
        self._kept: dict[str, bytes | Lack] = {}
        self._plain: set[str] = {""}  # folders known not to be links

    def below(self, folder: str) -> list[str]:
        folder = "" if folder == "." else folder
        if not self._is_plain(folder):
            return []
        top = f"{self._top}/{folder}" if folder else self._top
        found = []
        for here, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name not in _SKIPPED]
            inside = here[len(self._top) + 1 :]
            self._plain.add(inside)
            found += [f"{inside}/{name}" if inside else name for name in names if name.endswith(SUFFIXES)]
        return sorted(found)

    def ids(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, Lack]]:
        contents, lacking = self.read(paths)
        return {path: _blob_id(content) for path, content in contents.items()}, lacking

    def read(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, Lack]]:
        found: dict[str, bytes] = {}
        lacking: dict[str, Lack] = {}
        for path in paths:
            kept = self._kept.get(path)
            if kept is None:
                kept = self._kept[path] = self._look(path)
            if isinstance(kept, bytes):
                found[path] = kept
            else:
                lacking[path] = kept
        return found, lacking

    def _look(self, path: str) -> bytes | Lack:
        try:
            if not self._is_plain(path.rpartition("/")[0]):
                return "link"
            # Neither a link nor, by waiting for it, a pipe is ever opened.
            descriptor = os.open(f"{self._top}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return "absent"
        except OSError as error:
            return "link" if error.errno == errno.ELOOP else "unreadable"
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            os.close(descriptor)
            return "absent"
        with open(descriptor, "rb", buffering=0) as file:
            try:
                return file.read() if about.st_size <= BLOB_LIMIT else "large"
            except OSError:
                return "unreadable"

    def _is_plain(self, folder: str) -> bool:
        if folder in self._plain:
            return True
        if os.path.islink(f"{self._top}/{folder}") or not self._is_plain(folder.rpartition("/")[0]):
            return False
        self._plain.add(folder)
        return True


class MoreFiles:
    """The files of a reading and some that are not written yet, so that what they would make can be looked at."""

    commit: str | None = None

    def __init__(self, files: Files, more: Mapping[str, bytes]) -> None:
        self._files, self._more = files, more

    def below(self, folder: str) -> list[str]:
        prefix = "" if folder in ("", ".") else folder.rstrip("/") + "/"
        new = {path for path in self._more if path.endswith(SUFFIXES) and path.startswith(prefix)}
        return sorted({*self._files.below(folder), *new})

    def ids(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, Lack]]:
        contents, lacking = self.read(paths)
        return {path: _blob_id(content) for path, content in contents.items()}, lacking

    def read(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, Lack]]:
        asked = list(paths)
        found, lacking = self._files.read([path for path in asked if path not in self._more])
        return {**found, **{path: self._more[path] for path in asked if path in self._more}}, lacking


def _blob_id(content: bytes) -> str:
    """Git's own id for the content, as in a repository that uses SHA-1."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
