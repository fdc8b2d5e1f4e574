"""RE2's patterns as trees of `pattern`. Before it `talk.match.check_regex`: what RE2 refuses does not come here.

The grammar is RE2's own (google/re2, doc/syntax.txt) with its defaults: UTF-8, `^` and `$` are the ends of the text
without (?m), `.` is no newline without (?s), \\d \\s \\w and \\b are ASCII's. Which characters a class holds that is
more than plain ones (Unicode's classes, case folding beyond ASCII) is not worked out here but asked of RE2, once for
each: so both always agree.
"""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Any, Final

import re2

from reconciler.plan.patterns.charset import DIGITS, LAST, WORD, Ranges, one, union, without
from reconciler.plan.patterns.scanner import Scanner
from reconciler.plan.patterns.tree import Beyond, Chars, Edge, Node, Sequence
from reconciler.talk.match import pattern_of

_SPACES: Final[Ranges] = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
_CLASSES: Final[dict[str, Ranges]] = {
    "d": DIGITS,
    "D": without(DIGITS),
    "w": WORD,
    "W": without(WORD),
    "s": _SPACES,
    "S": without(_SPACES),
}
_CONTROLS: Final = {"a": 7, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_NEWLINE: Final = one(0x0A)
_TWINS: Final = {0x4B: 0x212A, 0x6B: 0x212A, 0x53: 0x17F, 0x73: 0x17F}  # ASCII's letters that fold further: K and S


def parse(source: str) -> Node:
    """The tree of a pattern that RE2 takes. Raises Beyond for what is not understood here."""
    return _Parser(pattern_of(source)).whole()


class _Parser(Scanner):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.flags: frozenset[str] = frozenset()

    def whole(self) -> Node:
        node = self.choice()
        if self.at < len(self.source):
            raise Beyond("an odd parenthesis")
        return node

    def next(self) -> str:
        if self.at >= len(self.source):
            raise Beyond("it ends too early")
        self.at += 1
        return self.source[self.at - 1]

    def until(self, mark: str) -> str:
        end = self.source.find(mark, self.at)
        if end < 0:
            raise Beyond(f"no {mark} follows")
        found, self.at = self.source[self.at : end], end + len(mark)
        return found

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.source) and not self.peek("|") and not self.peek(")"):
            if self.take("\\Q"):
                literal, end, _ = self.source[self.at :].partition("\\E")
                self.at += len(literal) + len(end)
                parts += [self.letter(ord(letter)) for letter in literal]
            elif (node := self.atom()) is not None:
                parts.append(node)
            if parts:  # what leaves nothing, such as (?i), lets a repeat stand for what was before it
                parts[-1] = self.repeated(parts[-1])
        parts = [part for part in parts if part != Sequence(())]
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def bounds(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`, or None: then the brace is a character."""
        if not self.peek("{"):
            return None
        inside, brace, _ = self.source[self.at + 1 :].partition("}")
        first, comma, last = inside.partition(",")
        if not brace or not _number(first) or (last and not _number(last)):
            return None
        self.at += len(inside) + 2
        return int(first), (int(last) if last else None) if comma else int(first)

    def atom(self) -> Node | None:
        letter = self.next()
        match letter:
            case "^":
                return Edge("line start" if "m" in self.flags else "start")
            case "$":
                return Edge("line end" if "m" in self.flags else "end")
            case ".":
                return Chars(without(() if "s" in self.flags else _NEWLINE))
            case "(":
                return self.group()
            case "[":
                return self.chosen()
            case "\\":
                return self.escape()
        return self.letter(ord(letter))

    def letter(self, code: int) -> Chars:
        return Chars(_folded(code) if "i" in self.flags else one(code))

    def group(self) -> Node | None:
        kept = self.flags
        if self.take("?P<") or (self.take("?<")):
            self.until(">")
        elif self.take("?"):
            self.flags = self.changed()
            if self.source[self.at - 1] == ")":
                return None  # (?i): from here to the end of the group
        node = self.inner()
        if not self.take(")"):
            raise Beyond("an odd parenthesis")
        self.flags = kept
        return node

    def changed(self) -> frozenset[str]:
        """The flags after `(?`, up to `:` or `)`."""
        flags, adding = set(self.flags), True
        while (letter := self.next()) not in ":)":
            if letter == "-":
                adding = False
            elif letter not in "imsU":
                raise Beyond(f"a group that begins with (?{letter}")
            elif adding:
                flags.add(letter)
            else:
                flags.discard(letter)
        return frozenset(flags)

    def escape(self) -> Node:
        start = self.at - 1
        letter = self.next()
        if letter in "AzbB":
            places: dict[str, Edge] = {
                "A": Edge("start"), "z": Edge("end"), "b": Edge("word edge"), "B": Edge("no word edge"),
            }  # fmt: skip
            return places[letter]
        if letter in _CLASSES:
            return Chars(_CLASSES[letter])
        if letter in "pP":
            if self.next() == "{":
                self.until("}")
            return self.asked(start)
        return self.letter(self.code(letter))

    def code(self, letter: str) -> int:
        """The character that an escape stands for, after its first letter."""
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "x":
            number = self.until("}") if self.take("{") else self.next() + self.next()
            return int(number, 16)
        if letter in string.octdigits:
            while len(letter) < 3 and self.source[self.at : self.at + 1] in tuple(string.octdigits):
                letter += self.next()
            return int(letter, 8)
        if letter.isascii() and letter.isalnum():
            raise Beyond(f"an escape \\{letter}")
        return ord(letter)

    def chosen(self) -> Node:
        """A class, after its `[`: taken apart where it holds plain characters only, else asked of RE2."""
        start = self.at - 1
        negated = self.take("^")
        found: list[tuple[int, int]] = []
        simple, first = True, True
        while first or not self.peek("]"):
            first = False
            if self.take("[:"):
                self.until(":]")
                simple = False
                continue
            low = self.member()
            if isinstance(low, int) and self.peek("-") and not self.peek("-]"):
                self.at += 1
                high = self.member()
                if not isinstance(high, int):
                    raise Beyond("a range up to a class")
                found.append((low, high))
            elif isinstance(low, int):
                found.append((low, low))
            else:
                found += low
                simple = simple and bool(low)
        self.at += 1
        taken = union(found)
        if not simple or ("i" in self.flags and taken and taken[-1][1] > 0x7F):
            return self.asked(start)
        if "i" in self.flags:
            taken = union(pair for low, high in taken for code in range(low, high + 1) for pair in _folded(code))
        return Chars(without(taken) if negated else taken)

    def member(self) -> int | Ranges:
        """A character of a class by its number, or a set; an empty set is one that RE2 is to be asked for."""
        letter = self.next()
        if letter != "\\":
            return ord(letter)
        letter = self.next()
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in "pP":
            if self.next() == "{":
                self.until("}")
            return ()
        return self.code(letter)

    def asked(self, start: int) -> Chars:
        flags = "(?i)" if "i" in self.flags else ""
        return Chars(_ask(flags + self.source[start : self.at]))


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _folded(code: int) -> Ranges:
    """A character with those that RE2 takes for it under (?i)."""
    if code > 0x7F:
        return union((*one(code), *_ask(f"(?i)\\x{{{code:x}}}", cased=True)))
    letter = chr(code)
    found = {code, ord(letter.lower()), ord(letter.upper()), _TWINS.get(code, code)}
    return union((each, each) for each in found)


@lru_cache(2)
def _every(cased: bool) -> bytes:
    """All characters, in order; or those of the blocks that have small and capital letters."""
    blocks = (range(0x3400), range(0xA000, 0xAC00), range(0xF900, 0x20000)) if cased else (range(0xD800),)
    rest = () if cased else (range(0xE000, LAST + 1),)
    return "".join(chr(code) for block in (*blocks, *rest) for code in block).encode()


@lru_cache(1024)
def _ask(source: str, *, cased: bool = False) -> Ranges:
    """The characters that RE2 finds for a pattern of one character."""
    options: Any = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        found = re2.compile(f"(?:{source})+", options=options).findall(_every(cased))
    except re2.error:
        raise Beyond(f"a class such as {source}") from None
    runs = ((run.decode()[0], run.decode()[-1]) for run in found)
    return union((ord(first), ord(last)) for first, last in runs)
