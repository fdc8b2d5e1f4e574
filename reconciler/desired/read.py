"""YAML text as data. Before it come a file's bytes; after it `rules`, which says what the data may be.

Built straight from the parser's events with a resolver of our own: only `true` and `false` are booleans, `null`,
`~` and nothing are null, numbers are JSON's; all else is text, keys always. Bounds are kept while the events are
counted, before anything large or deep exists (RFC 8259 for numbers; YAML 1.2.2, 10.2, for the core of the rest).
Places of keys and values are kept only where asked for, which is when a problem must be shown.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs name it, without exporting it

from reconciler.desired.text import Flaw, line_and_column, lines
from reconciler.desired.traps import called, odd_indentation, odd_near, odd_within
from reconciler.shape import pointer

DOCUMENT_LIMIT: Final = 256 << 10  # bytes
DEPTH_LIMIT: Final = 100
NODE_LIMIT: Final = 10_000  # nodes of a document once aliases are followed
KEY_LIMIT: Final = 1_000  # characters
FLAW_LIMIT: Final = 100  # problems of one file

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_TAGS: Final = {"scalar": "tag:yaml.org,2002:str", "list": "tag:yaml.org,2002:seq", "map": "tag:yaml.org,2002:map"}
_KINDS: Final[dict[str, type]] = {
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:null": type(None),
}
_QUOTED: Final = re.compile(r"""[ \t]*(?:- +)*(?:[\w.-]+: +)?['"]""")
_NO_KEY: Final = object()
# What the parser says of texts that need quotes, or whose quotes are wrong.
_QUOTES: Final = (
    ("cannot start any token", "a text that begins with @ ` or % needs quotes"),
    ("alphabetic or numeric character", "a text that begins with * or & needs quotes"),
    ("chomping or indentation indicators", "a text that begins with > or | needs quotes"),
    ("comment or line break", "a text that begins with > or | needs quotes"),
    (
        "sequence entries are not allowed",
        "a text that begins with '- ' needs quotes; or the indentation is wrong",
    ),
    ("unexpected end of stream", "a quote that is opened must be closed"),
    ("unknown escape character", "in double quotes a \\ is written twice: \\\\"),
)

Path_ = tuple[str | int, ...]


class Spot(NamedTuple):
    """Where a value and its key begin; all count from 1. An entry of a list has its value's place for both."""

    key_line: int
    key_column: int
    line: int
    column: int


class Document(NamedTuple):
    """One document: the line where it begins (from 1), its data, and the places of its values if asked for."""

    line: int
    data: Any
    spots: dict[Path_, Spot]


class Reading(NamedTuple):
    """What came of a text: its documents up to the first place that could not be parsed, and every flaw."""

    documents: list[Document]
    flaws: list[Flaw]


def read(text: str, *, spots: bool = False) -> Reading:
    """The documents of a YAML text (empty ones are left out), and everything that is wrong with it."""
    if controls := [*_CONTROL.finditer(text)]:
        flaws = []
        for found in controls[:FLAW_LIMIT]:
            line, column = line_and_column(text, found.start())
            hint = 'write it in double quotes as an escape, such as "\\u0007"'
            flaws.append(Flaw(line, column, f"the control character U+{ord(found[0]):04X} may not stand here", hint))
        return Reading([], flaws)
    builder = _Builder(text, spots)
    builder.run()
    return Reading(builder.documents, builder.flaws)


class _Builder:
    """Turns one text's events into documents; after a flaw it goes on wherever the parser can."""

    def __init__(self, text: str, spots: bool) -> None:
        self.documents: list[Document] = []
        self.flaws: list[Flaw] = []
        self._text = text
        self._keep_spots = spots
        self._tabbed = "\t" in text
        self._long = len(text.encode("utf-8", "surrogatepass")) > DOCUMENT_LIMIT
        self._stopped = False
        self._lines: list[str] = []

    def run(self) -> None:
        parser = CParser(self._text)
        try:
            while type(event := parser.get_event()) is not yaml.StreamEndEvent:
                if type(event) is yaml.DocumentStartEvent:
                    self._document(parser, event)
                    if self._stopped:
                        return
        except yaml.YAMLError as error:
            self._syntax(error)
        finally:
            parser.dispose()

    def _document(self, parser: Any, first: Any) -> None:
        get = parser.get_event
        stack: list[tuple[Any, Any]] = []
        here: Any = None
        key: Any = _NO_KEY
        root: Any = None
        nodes = 0
        anchors: dict[str, tuple[Any, int, int]] = {}
        opened: list[tuple[str | None, int]] = []
        spots: dict[Path_, Spot] = {}
        keep, watched = self._keep_spots, self._tabbed or self._long
        path: list[str | int] = []
        key_mark = line = None
        Scalar, MapStart, MapEnd = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.MappingEndEvent  # noqa: N806
        ListStart, ListEnd, Alias = yaml.SequenceStartEvent, yaml.SequenceEndEvent, yaml.AliasEvent  # noqa: N806
        while True:
            event = get()
            kind = type(event)
            if kind is MapEnd or kind is ListEnd:
                anchor, before = opened.pop()
                if anchor is not None:
                    anchors[anchor] = (here, nodes - before, _height(here))
                here, key = stack.pop()
                if type(here) is dict:
                    key = _NO_KEY
                if keep and path:
                    path.pop()
                continue
            if kind is yaml.DocumentEndEvent:
                break
            mark = event.start_mark
            if line is None:
                line = mark.line + 1
            if watched and self._watch(first, mark):
                return
            nodes += 1
            in_map = type(here) is dict
            if in_map and key is _NO_KEY:  # this node is a key
                if kind is not Scalar:
                    quote = mark.column < len(line_ := self._line(mark)) and line_[mark.column] in "[{"
                    hint = "a text that begins with { or [ needs quotes" if quote else "write lists and maps as values"
                    self._flaw(mark, "a key must be plain text", hint, path)
                    self._stopped = True  # the parser goes on inside the key; what follows would not be told apart
                    return
                key = event.value
                if not key.isascii() and event.implicit[0] and self._odd(mark, key, path):
                    return
                if event.anchor is not None:
                    anchors[event.anchor] = (key, 1, 0)
                if key in here:
                    known = f"first in line {spots[(*path, key)].key_line}" if keep else ""
                    self._flaw(mark, "is given twice", f"{known}; keep one of them".lstrip("; "), [*path, key])
                if len(key) > KEY_LIMIT:
                    self._flaw(mark, f"the key is longer than {KEY_LIMIT} characters", "", path)
                key_mark = mark
                continue
            if keep:
                step = key if in_map else len(here) if here is not None else None
                at = (*path, step) if step is not None else ()
                other = key_mark if in_map and key_mark is not None else mark
                spots.setdefault(at, Spot(other.line + 1, other.column + 1, mark.line + 1, mark.column + 1))
            if kind is Scalar:
                value = self._scalar(event, [*path, key] if in_map else path)
                if event.anchor is not None:
                    anchors[event.anchor] = (value, 1, 0)
            elif kind is Alias:
                if (known_as := anchors.get(event.anchor)) is None:
                    hint = "a text that begins with * needs quotes"
                    self._flaw(mark, f"the alias *{event.anchor[:60]} names nothing above it", hint, path)
                    value = None
                else:
                    value, count, height = known_as
                    nodes += count - 1
                    if len(stack) + height > DEPTH_LIMIT:
                        nodes = NODE_LIMIT + 1
            elif kind is MapStart or kind is ListStart:
                value = {} if kind is MapStart else []
                if event.tag not in (None, "!", _TAGS["map" if kind is MapStart else "list"]):
                    self._tag(event, mark, path)
            if nodes > NODE_LIMIT or len(stack) >= DEPTH_LIMIT:
                much = f"more than {NODE_LIMIT:,} values, aliases followed" if nodes > NODE_LIMIT else ""
                self._flaw(mark, f"the document has {much or f'more than {DEPTH_LIMIT} levels'}", "make it smaller", [])
                self._stopped = True
                return
            if here is None:
                root = value
            elif in_map:
                here[key] = value
            else:
                here.append(value)
            if kind is MapStart or kind is ListStart:
                opened.append((event.anchor, nodes - 1))
                if keep and here is not None:
                    path.append(key if in_map else len(here) - 1)
                stack.append((here, key))
                here, key = value, _NO_KEY
            elif in_map:
                key = _NO_KEY
        if self._long and self._size(first, event) > DOCUMENT_LIMIT:
            self.flaws.append(Flaw(first.start_mark.line + 1, 1, "the document is larger than 256 KiB", "split it"))
        elif root is not None:
            self.documents.append(Document(line or 1, root, spots))

    def _scalar(self, event: Any, path: list[str | int]) -> Any:
        value: str = event.value
        tag = event.tag
        if tag is None and event.implicit[0]:
            return self._plain(event, value, path)
        if tag in (None, "!", _TAGS["scalar"]):
            return value
        if (kind := _KINDS.get(tag)) is not None:
            plain = self._plain(event, value, path)
            if type(plain) is kind:
                return plain
            if kind is float and type(plain) is int:
                return float(plain)
        self._tag(event, event.start_mark, path)
        return value

    def _plain(self, event: Any, value: str, path: list[str | int]) -> Any:
        """What a text without quotes means."""
        if value in _WORDS:
            return _WORDS[value]
        if value[0] in "-0123456789" and (number := _NUMBER.fullmatch(value)) is not None:
            if number[1] is None and number[2] is None:
                if len(value) <= 20 and -(1 << 63) <= (whole := int(value)) < 1 << 63:
                    return whole
            elif math.isfinite(real := float(value)):
                return real
            self._flaw(event.start_mark, "is too large a number", "write it in quotes if it is a text", path)
            return 0
        return value

    def _watch(self, first: Any, mark: Any) -> bool:
        """For texts with tabs or of many bytes: finds tabs before a value; whether the document is too large."""
        if self._tabbed:
            self._lines = self._lines or lines(self._text)
            before = self._lines[mark.line][: mark.column] if mark.line < len(self._lines) else ""
            if "\t" in before and not before.strip():
                self._flaw(mark, "a tab stands before it", "indent with spaces", [])
        if self._long and mark.index - first.start_mark.index > DOCUMENT_LIMIT:
            self.flaws.append(Flaw(first.start_mark.line + 1, 1, "the document is larger than 256 KiB", "split it"))
            self._stopped = True
        return self._stopped

    def _line(self, mark: Any) -> str:
        self._lines = self._lines or lines(self._text)
        return self._lines[mark.line] if mark.line < len(self._lines) else ""

    def _odd(self, mark: Any, key: str, path: list[str | int]) -> bool:
        """Tells of a key with a character that nobody sees; whether it stands where the indentation should."""
        if (character := odd_indentation(key)) is not None:
            self._flaw(mark, f"{called(character)} is used as indentation", "type spaces", path)
            self._stopped = True  # what belongs to what cannot be told
            return True
        if (character := odd_within(key)) is not None:
            self._flaw(mark, f"{called(character)} stands in the key", "take it out", path)
        return False

    def _size(self, first: Any, last: Any) -> int:
        return len(self._text[first.start_mark.index : last.end_mark.index].encode("utf-8", "surrogatepass"))

    def _tag(self, event: Any, mark: Any, path: list[str | int]) -> None:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")[:60]
        hint = "write the value without it" + ("" if tag[:2] == "!!" else ", or in quotes if it is a text")
        self._flaw(mark, f"the tag {tag} is not known here", hint, path)

    def _flaw(self, mark: Any, message: str, hint: str, path: list[str | int]) -> None:
        if len(self.flaws) < FLAW_LIMIT:
            shown = pointer(tuple(part for part in path if isinstance(part, str | int)))
            self.flaws.append(Flaw(mark.line + 1, mark.column + 1, message, hint, shown))

    def _syntax(self, error: yaml.YAMLError) -> None:
        """The parser's own complaint, in our words where it is one that people often meet."""
        if not isinstance(error, yaml.MarkedYAMLError):  # a character that the parser does not take
            self.flaws.append(Flaw(0, 0, f"this is not YAML: {error}".splitlines()[0]))
            return
        mark = error.problem_mark or error.context_mark
        text_lines = lines(self._text)
        problem = str(error.problem or "").replace("did not find expected", "expected")
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        # At the end of the text the last line with something in it is the one to look at.
        if line > len(text_lines) or (line == len(text_lines) and not text_lines[-1].strip()):
            line = max((n for n, said in enumerate(text_lines, 1) if said.strip()), default=1)
            column = len(text_lines[line - 1].rstrip()) + 1
        if (odd := odd_near(text_lines, line)) is not None:
            self.flaws.append(odd)
            return
        before = text_lines[line - 1][:column]
        if "tab" in problem or (before.endswith("\t") and not before.strip("\t -?")):
            self.flaws.append(Flaw(line, column, "a tab is used as indentation", "indent with spaces"))
            return
        hint = ""
        if "mapping values are not allowed" in problem:
            hint = "a text with ': ' in it needs quotes; or the indentation is wrong"
        elif _QUOTED.match(text_lines[line - 1]) and ("expected key" in problem or "<block end>" in problem):
            hint = "behind a text in quotes nothing may follow; inside '…' a quote is written twice: ''"
        elif known := next((said for sign, said in _QUOTES if sign in problem), ""):
            hint = known
        elif error.context_mark is not None and error.context_mark.line + 1 != line:
            context = str(error.context or "").removeprefix("while ").replace("parsing", "in").replace("scanning", "in")
            hint = f"{context} that begins in line {error.context_mark.line + 1}"
        self.flaws.append(Flaw(line, column, f"this is not YAML: {problem or error}", hint))


def _height(value: Any) -> int:
    """How many levels a value has below itself."""
    height, level = 0, [value]
    while level := [
        inner
        for item in level
        if isinstance(item, dict | list)
        for inner in (item.values() if isinstance(item, dict) else item)
        if isinstance(inner, dict | list)
    ]:
        height += 1
    return height + 1 if isinstance(value, dict | list) else 0
