"""The file that `backup` writes and `restore` reads: a tar.gz of the data folder's databases and keys.

Its first member is `manifest.json`: the format's number, who made it and when, and of each file its size and SHA-256.
Members have fixed names; anything else in an archive is refused, so that none can be written outside its place.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from reconciler import __version__
from reconciler.errors import Misuse

FORMAT: Final = 1
DATABASES: Final = ("runtime.db", "loop.db")
KEYS: Final = ("secret.key", "api-key")
BEFORE: Final = tuple(f"{name}.previous" for name in KEYS)  # there while a key is being replaced
_MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES: Final = 64 * 1024


class Entry(msgspec.Struct, frozen=True):
    """One file of an archive."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive says of itself; `created` is seconds since the epoch."""

    format: int
    version: str
    created: float
    files: Mapping[str, Entry]


def pack(file: Path, folder: Path, names: Sequence[str]) -> Manifest:
    """Writes an archive of files of a folder, mode 0600, in place of a former one only when it is whole."""
    files = {name: Entry((folder / name).stat().st_size, digest(folder / name)) for name in names}
    manifest = Manifest(FORMAT, __version__, time.time(), files)
    making = file.with_name(f"{file.name}.making")
    making.unlink(missing_ok=True)
    try:
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as tar:
                said = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
                tar.addfile(_member(_MANIFEST, len(said), manifest.created), io.BytesIO(said))
                for name in names:
                    with (folder / name).open("rb") as source:
                        tar.addfile(_member(name, files[name].bytes, manifest.created), source)
            out.flush()
            os.fsync(out.fileno())
        making.replace(file)
    except OSError as error:
        making.unlink(missing_ok=True)
        raise Misuse(f"{file} cannot be written: {error.strerror}") from error
    return manifest


def unpack(file: Path, folder: Path) -> Manifest:
    """Takes an archive apart into an empty folder and checks each file. Raises Misuse for what is no whole archive."""
    try:
        with tarfile.open(file, "r:gz") as tar:
            manifest = _manifest(file, tar)
            seen = set()
            while (member := tar.next()) is not None:
                entry = manifest.files.get(member.name)
                if entry is None or not member.isreg() or member.size != entry.bytes or member.name in seen:
                    raise Misuse(f"{file} holds {member.name!r}, of which its manifest says otherwise")
                seen.add(member.name)
                _extract(tar, member, folder / member.name)
                if digest(folder / member.name) != entry.sha256:
                    raise Misuse(f"{file} is damaged: {member.name} is not what was backed up")
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise Misuse(f"{file} cannot be read as a backup: {error}") from error
    if missing := sorted(set(manifest.files) - seen):
        raise Misuse(f"{file} is cut off: {missing[0]} is not in it")
    return manifest


def _manifest(file: Path, tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != _MANIFEST or not first.isreg() or first.size > _MANIFEST_BYTES:
        raise Misuse(f"{file} is no backup of reconciler")
    source = tar.extractfile(first)
    assert source is not None
    try:
        manifest = msgspec.json.decode(source.read(), type=Manifest)
    except msgspec.DecodeError as error:
        raise Misuse(f"{file} is no backup of reconciler") from error
    if manifest.format > FORMAT:
        raise Misuse(f"{file} was made by a newer reconciler ({manifest.version}): restore it with that version")
    if unknown := sorted(set(manifest.files) - {*DATABASES, *KEYS, *BEFORE}):
        raise Misuse(f"{file} is no backup of reconciler: it holds {unknown[0]!r}")
    return manifest


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def _member(name: str, size: int, at: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, int(at), 0o600
    return member


def digest(path: Path) -> str:
    """A file's SHA-256 in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
