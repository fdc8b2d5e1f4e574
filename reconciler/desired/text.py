"""A file's bytes as text, and where something in it stands. Before it come `files`; after it `read`."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final, NamedTuple

from reconciler.errors import Misuse

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what the parser counts as an end of line
_POINTER: Final = "version https://git-lfs.github.com/spec/"
_CONFLICT: Final = re.compile(r"^<{7} .*?^={7}$.*?^>{7} ", re.MULTILINE | re.DOTALL)


class Flaw(NamedTuple):
    """Something in the text that is not as it must be; `line` and `column` count from 1, 0 is the whole file."""

    line: int
    column: int
    message: str
    hint: str = ""
    pointer: str = ""


def leftover(text: str) -> tuple[str, str] | None:
    """What git left in place of a file's own text, and what to do: a pointer of Git LFS, marks of a merge conflict."""
    if text.startswith(_POINTER):
        return "is a pointer of Git LFS, whose contents git does not hold", "keep it in git itself: git lfs untrack"
    if "<<<<<<< " in text and _CONFLICT.search(text):
        return (
            "holds marks of a merge conflict",
            "keep what is meant, and remove the lines <<<<<<<, ======= and >>>>>>>",
        )
    return None


def decode(content: bytes) -> str | Flaw:
    """A file's text without its byte order mark, or what is wrong with its bytes."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if len(content) > 1 and (content[0] == 0) != (content[1] == 0):  # letters of Latin text, without a byte order mark
        return Flaw(1, 1, "the file is UTF-16, which is not UTF-8", "save it as UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        good = content[: error.start].decode()
        line, column = line_and_column(good, len(good))
        what = (
            "is UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else f"has the byte 0x{content[error.start]:02x}"
        )
        return Flaw(line, column, f"the file {what}, which is not UTF-8", "save it as UTF-8")


def text_of(path: Path, content: bytes) -> str:
    """The text of a file that is no YAML. Raises Misuse, with the place, where it is no UTF-8."""
    found = decode(content)
    if isinstance(found, Flaw):
        raise Misuse(f"{path}:{found.line}:{found.column}: {found.message} ({found.hint})")
    return found


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """The line and column, from 1, of a character of a text."""
    line, start = 1, 0
    for found in _BREAK.finditer(text, 0, offset):
        line, start = line + 1, found.end()
    return line, offset - start + 1


def lines(text: str) -> list[str]:
    """A text's lines as the parser counts them."""
    return _BREAK.split(text)
