"""Documents: every YAML file as checked data, and the texts they name. Before it come `files`; after it `assemble`.

A file that cannot be read gives its problems and the others are read all the same. What is without a problem is
kept by its blob id, and not looked at again.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from reconciler.desired import traps
from reconciler.desired.beside import Beside
from reconciler.desired.cache import Cache, Kept
from reconciler.desired.files import Files, Lack
from reconciler.desired.keys import keys_in
from reconciler.desired.places import Places, place_flaw, shown
from reconciler.desired.read import Reading, read
from reconciler.desired.rules import faults_of, kind_fault
from reconciler.desired.text import Flaw, decode, leftover, line_and_column, lines
from reconciler.errors import Problem
from reconciler.shape import Fault, Path_

SHARED: Final = "_shared/"  # below the source path: texts that any document may name
TEXT_LIMIT: Final = 256 << 10  # bytes of a text that a document names
_KEYS_SHOWN: Final = 20  # keys in clear of one file that are reported

_KEY: Final = "this looks like an API key, which must not stand in a repository"
_KEY_HINT: Final = "revoke it, since git keeps it, and name a variable: `apiKey: {env: OPENAI_API_KEY}`"

LACKS: Final[dict[Lack, str]] = {
    "absent": "is not there",
    "link": "is a link, which is not followed",
    "large": "is larger than 8 MiB",
    "unreadable": "cannot be read",
}


class Declared(NamedTuple):
    """One document of a known kind: where it stands (`number` from 0 in its file), its data, whether it is sound.

    `sound` says that its schema and its own rules hold; an overlay's patch is looked at only once merged.
    """

    path: str
    number: int
    line: int
    column: int
    data: dict[str, Any]
    sound: bool = True


class Documents:
    """The documents and texts of one reading, with every problem met on the way."""

    def __init__(self, files: Files, cache: Cache) -> None:
        self.files = files
        self.source = ""  # where `_shared/` lies
        self.places = Places(files)
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.complete = True  # whether every file could be read: only then is a missing name surely missing
        self._cache = cache

    def load(self, paths: Iterable[str], *, patches: bool = False) -> list[Declared]:
        """The documents of YAML files; with `patches` they may be parts of documents (overlays)."""
        readable = []
        for path in paths:
            if shown(path) == path:  # is UTF-8
                readable.append(path)
            else:
                self._whole(path, "the file's name is not UTF-8", "rename it")
        ids, lacking = self.files.ids(readable)
        role = "~" if patches else ""
        known = {path: self._cache.documents(role + blob) for path, blob in ids.items()}
        contents, more = self.files.read([path for path, documents in known.items() if documents is None])
        for path, lack in {**lacking, **more}.items():
            self._whole(path, f"the file {LACKS[lack]}")
        found: list[Declared] = []
        with Beside(contents, patches) as beside:
            for path, kept in known.items():
                if kept is None and (kept := beside.get(path)) is not None:
                    self._cache.keep_documents(role + ids[path], kept)
                if kept is not None:
                    found += [Declared(path, n, one.line, one.column, one.data) for n, one in enumerate(kept)]
                elif path in contents:
                    declared, sound = self._parse(path, contents[path], patches)
                    found += declared
                    if sound:
                        self._cache.keep_documents(role + ids[path], _kept(declared))
        return found

    def sound(self, path: str, content: bytes, patches: bool) -> list[Kept] | None:
        """The documents of one file as the cache keeps them; None where anything is wrong with it."""
        declared, sound = self._parse(path, content, patches)
        return _kept(declared) if sound else None

    def texts(self, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The texts of files that documents name, and for the others what is wrong with them.

        Line ends become `\\n`, and those at the end of the file go. A key in clear is a problem of its own.
        """
        ids, lacking = self.files.ids(paths)
        texts = {path: text for path, blob in ids.items() if (text := self._cache.text(blob)) is not None}
        contents, more = self.files.read([path for path in ids if path not in texts])
        wrong = {path: LACKS[lack] for path, lack in {**lacking, **more}.items()}
        for path, content in contents.items():
            if len(content) > TEXT_LIMIT:
                wrong[path] = f"is larger than 256 KiB ({len(content) >> 10} KiB)"
                continue
            decoded = decode(content)
            if isinstance(decoded, Flaw):
                wrong[path] = f"is no UTF-8 text (line {decoded.line}: {decoded.message})"
            elif "\0" in decoded:
                wrong[path] = "holds binary data, not a text"
            elif not decoded.strip():
                wrong[path] = "is empty"
            elif (found := leftover(decoded.replace("\r\n", "\n"))) is not None:
                wrong[path] = f"{found[0]}: {found[1]}"
            elif problems := self._keys(path, decoded):
                self.problems += problems
                texts[path] = decoded
            else:
                texts[path] = decoded.replace("\r\n", "\n").rstrip("\n")
                self._cache.keep_text(ids[path], texts[path])
        return texts, wrong

    def _parse(self, path: str, content: bytes, patches: bool) -> tuple[list[Declared], bool]:
        text = decode(content)
        if isinstance(text, Flaw):
            self.problems.append(self.places.flaw(path, text))
            self.complete = False
            return [], False
        if (found := leftover(text)) is not None:
            self._whole(path, f"the file {found[0]}", found[1])
            return [], False
        reading = read(text)
        before = len(self.problems)
        if reading.flaws:
            reading = self._explain(path, text)
        cut = self._cut_short(path, text)
        flawed = {(flaw.line, flaw.column) for flaw in (*reading.flaws, *cut)}
        self.problems += (keys := self._keys(path, text))
        if not keys and "\\" in text:  # which in quotes writes letters otherwise, and joins lines
            self.problems += islice(self._escaped(path, reading), _KEYS_SHOWN)
        declared: list[Declared] = []
        for number, document in enumerate(reading.documents):
            data = document.data
            if (fault := kind_fault(data)) is not None:
                self._fault(path, number, fault, flawed)
                self.complete = False
                continue
            faults = [] if patches else [*faults_of(data["kind"], data)]
            if number == 0 and "apiVersion" not in data:
                hint = "begin the file with `apiVersion: reconciler/v1`"
                faults.append(Fault(("apiVersion",), "is required in a file's first document", hint, "required"))
            for fault in faults:
                self._fault(path, number, fault, flawed)
            line, column = document.line, 1
            if data["kind"] == "Credentials":  # a key that is missing is asked for here
                line, column = self.places.spot(path, number, "spec", "apiKey")
            declared.append(Declared(path, number, line, column, data, not faults))
        return declared, len(self.problems) == before and not cut

    def _cut_short(self, path: str, text: str) -> list[Flaw]:
        """Tells of texts that a comment cuts short; a file with such is never cached, so that it is told each time."""
        found = traps.comments(text)
        for flaw, empty in found:
            (self.problems if empty else self.warnings).append(self.places.flaw(path, flaw))
        return [flaw for flaw, _ in found]

    def _explain(self, path: str, text: str) -> Reading:
        """Reads a text with flaws again, with places, so that a key's first place can be named."""
        reading = read(text, spots=True)
        self.problems += [self.places.flaw(path, flaw) for flaw in reading.flaws]
        self.complete = False
        return reading

    def _fault(self, path: str, number: int, fault: Fault, flawed: set[tuple[int, int]]) -> None:
        """Adds a fault, unless it stands where the text itself is wrong already."""
        problem = self.places.problem(path, number, fault)
        if (problem.line, problem.column) not in flawed:
            self.problems.append(problem)

    def _keys(self, path: str, text: str) -> list[Problem]:
        found = []
        for start, _ in islice(keys_in(text), _KEYS_SHOWN):
            line, column = line_and_column(text, start)
            found.append(place_flaw(path, lines(text), Flaw(line, column, _KEY, _KEY_HINT)))
        return found

    def _escaped(self, path: str, reading: Reading) -> Iterator[Problem]:
        """Keys in clear that only the data shows, and what no target takes in a text."""
        for number, document in enumerate(reading.documents):
            for where, text in _texts(document.data, ()):
                if next(keys_in(text), None) is not None:
                    yield self.places.problem(path, number, Fault(where, _KEY, _KEY_HINT))
                elif "\0" in text:
                    yield self.places.problem(path, number, Fault(where, "holds a NUL character", "leave it out"))

    def _whole(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(place_flaw(path, [], Flaw(0, 0, message, hint)))
        self.complete = False


def _texts(node: Any, where: Path_) -> Iterator[tuple[Path_, str]]:
    """Every text in some data, keys of maps too, and where it stands."""
    match node:
        case str():
            yield where, node
        case dict():
            for key, value in node.items():
                yield (*where, key), key
                yield from _texts(value, (*where, key))
        case list():
            for number, value in enumerate(node):
                yield from _texts(value, (*where, number))


def _kept(declared: list[Declared]) -> list[Kept]:
    return [Kept(one.line, one.column, one.data) for one in declared]


def text_path(document: str, named: str, source: str) -> str | Fault:
    """The path, from the repository's root, of a text that a document names: relative to itself, or from `_shared/`
    below the source path."""
    parts = named.split("/")
    if named.startswith("/") or ".." in parts or "\\" in named or "\0" in named or not parts[-1]:
        return Fault((), f"'{named[:60]}' is not a path below this folder", "no `..`, no absolute path, `/` between")
    folder = source if named.startswith(SHARED) else posixpath.dirname(document)
    return posixpath.normpath(posixpath.join(folder, named))
