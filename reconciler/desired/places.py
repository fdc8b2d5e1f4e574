"""Places: turns a fault in some data into a problem at a line and column, by reading the file again with marks.

Only the error path comes here, so that good files never pay for positions.
"""

from __future__ import annotations

from typing import Final

from reconciler.desired.files import Files
from reconciler.desired.keys import redact
from reconciler.desired.read import Document, Path_, Spot, read
from reconciler.desired.text import Flaw, decode, lines
from reconciler.errors import Problem
from reconciler.model import Place
from reconciler.shape import Fault, pointer

_EXCERPT: Final = 200  # characters of a line that are worth showing


class Places:
    """The positions in one reading's files, each file read again at most once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[str, tuple[list[str], list[Document]]] = {}

    def problem(self, path: str, number: int, fault: Fault) -> Problem:
        """The problem that a fault is in the document `number` (from 0) of a file.

        A field that is not known is shown at its key, one that is missing at what should hold it.
        """
        said, documents = self._read(path)
        if number >= len(documents):
            return place_flaw(path, said, Flaw(0, 0, fault.message, fault.hint, pointer(fault.path)))
        spot, whole = _nearest(documents[number], fault.path)
        at_key = fault.rule == "additionalProperties" or not whole
        line, column = (spot.key_line, spot.key_column) if at_key else (spot.line, spot.column)
        return place_flaw(path, said, Flaw(line, column, fault.message, fault.hint, pointer(fault.path)))

    def flaw(self, path: str, flaw: Flaw) -> Problem:
        """The problem that a flaw of a file's text is."""
        return place_flaw(path, self._read(path)[0], flaw)

    def spot(self, path: str, number: int, *where: str | int) -> tuple[int, int]:
        """Line and column of a value, or of the nearest thing around it."""
        documents = self._read(path)[1]
        if number >= len(documents):
            return 1, 1
        spot = _nearest(documents[number], where)[0]
        return spot.line, spot.column

    def within(self, at: Place, *where: str | int) -> Place:
        """The place of a value in the document that stands at a place, or of the nearest thing around it."""
        starts = [document.line for document in self._read(at.path)[1]]
        number = max((n for n, line in enumerate(starts) if line <= at.line), default=0)
        line, column = self.spot(at.path, number, *where)
        return Place(at.path, line, column)

    def _read(self, path: str) -> tuple[list[str], list[Document]]:
        if (known := self._known.get(path)) is None:
            content = self._files.read([path])[0].get(path, b"")
            text = decode(content)
            if isinstance(text, Flaw):
                known = lines(content.decode("utf-8", "replace")), []
            else:
                known = lines(text), read(text, spots=True).documents
            self._known[path] = known
        return known


def shown(path: str) -> str:
    """A path as it can be printed, also where its bytes are no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def plain(text: str) -> str:
    """A text with what no terminal prints written out: a file or a field may be named to look like something else."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _written_out(c) for c in text)


def place_flaw(path: str, said: list[str], flaw: Flaw) -> Problem:
    """A flaw as a problem with the line it is in; what looks like a key is blotted out."""
    line = said[flaw.line - 1] if 0 < flaw.line <= len(said) else ""
    fits = flaw.column <= _EXCERPT and line.strip()
    excerpt = redact(line).replace("\t", " ")[: _EXCERPT + 40] if fits else ""
    return Problem(
        path=plain(shown(path)),
        line=flaw.line,
        column=flaw.column,
        pointer=plain(redact(flaw.pointer)),
        message=plain(redact(flaw.message)),
        hint=plain(redact(flaw.hint)),
        excerpt="".join(c if c.isprintable() else "\ufffd" for c in excerpt),
    )


def _written_out(c: str) -> str:
    return c.encode("unicode_escape").decode()


def _nearest(document: Document, path: Path_) -> tuple[Spot, bool]:
    """The place of a value, or of the nearest thing that should hold it; and whether it is the value's own."""
    for length in range(len(path), -1, -1):
        if (spot := document.spots.get(path[:length])) is not None:
            return spot, length == len(path)
    return Spot(document.line, 1, document.line, 1), not path
