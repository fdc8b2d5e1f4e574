"""JavaScript's patterns (`new RegExp(value)`, without flags) as trees of `pattern`. After it `evolution` runs them.

The grammar is ECMA-262's with Annex B, which every engine follows without the flag `u`: a text is a row of UTF-16
units, what cannot be a repeat is taken literally, `\\p` is a `p`. Look-around, references and modifiers are `Beyond`.
"""

from __future__ import annotations

import string
from typing import Final

from reconciler.plan.patterns.charset import DIGITS, WORD, Ranges, one, union, without
from reconciler.plan.patterns.scanner import Scanner
from reconciler.plan.patterns.tree import (
    MOST_REPEATS,
    Beyond,
    Chars,
    Edge,
    Node,
    Refused,
    Repeat,
    Sequence,
)

UNITS: Final = 0xFFFF  # the last UTF-16 unit
_BREAKS: Final[Ranges] = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_SPACES: Final[Ranges] = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
_CLASSES: Final[dict[str, Ranges]] = {
    "d": DIGITS,
    "D": without(DIGITS, UNITS),
    "w": WORD,
    "W": without(WORD, UNITS),
    "s": _SPACES,
    "S": without(_SPACES, UNITS),
}
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_LIFT: Final = 0x100000


def units(text: str) -> list[int]:
    """A text as its UTF-16 units."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[at] | raw[at + 1] << 8 for at in range(0, len(raw), 2)]


def as_units(text: str) -> str:
    """A text as the trees read it: one character a UTF-16 unit, halves of a pair lifted to where nothing else is.

    (RE2 takes no half of a pair. Beyond U+FFFF a text of units holds nothing, so the halves stand there.)
    """
    if text.isascii():
        return text
    return "".join(chr(unit + _LIFT if 0xD800 <= unit <= 0xDFFF else unit) for unit in units(text))


def _lifted(ranges: Ranges) -> Chars:
    found = []
    for first, last in ranges:
        found += [(max(first, low), min(last, high)) for low, high in ((0, 0xD7FF), (0xE000, UNITS))]
        found.append((max(first, 0xD800) + _LIFT, min(last, 0xDFFF) + _LIFT))
    return Chars(union((first, last) for first, last in found if first <= last))


def parse(source: str) -> Node:
    """The tree of a pattern. Raises Refused where JavaScript throws a SyntaxError, Beyond for what is not known."""
    return _Parser(source).whole()


class _Parser(Scanner):
    def __init__(self, source: str) -> None:
        super().__init__("".join(map(chr, units(source))))  # a character a unit
        self.groups, self.named = _groups(self.source)

    def whole(self) -> Node:
        node = self.choice()
        if self.at < len(self.source):
            raise Refused("unmatched ')'")
        return node

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.source) and not self.peek("|") and not self.peek(")"):
            if self.peek("*") or self.peek("+") or self.peek("?") or self.bounds(keep=False) is not None:
                raise Refused("nothing to repeat")
            node = self.atom()
            parts.append(node if isinstance(node, Edge) else self.repeated(node))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeated(self, node: Node) -> Node:
        found = super().repeated(node)
        if found is not node and isinstance(found, Repeat):
            least, most = found.least, found.most
            if most is not None and least > most:
                raise Refused("numbers out of order in {} quantifier")
            if max(least, most or 0) > MOST_REPEATS:
                raise Beyond(f"it repeats more than {MOST_REPEATS} times")
        return found

    def bounds(self, keep: bool = True) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}` here, or None; goes past it where it is to be kept."""
        if not self.peek("{"):
            return None
        end = self.at + 1
        while end < len(self.source) and (self.source[end] in string.digits or self.source[end] == ","):
            end += 1
        first, comma, last = self.source[self.at + 1 : end].partition(",")
        if not first or "," in last or self.source[end : end + 1] != "}":
            return None
        if max(len(first), len(last)) > 9:
            raise Beyond(f"it repeats more than {MOST_REPEATS} times")
        if keep:
            self.at = end + 1
        return int(first), (int(last) if last else None) if comma else int(first)

    def atom(self) -> Node:
        if self.take("^"):
            return Edge("start")
        if self.take("$"):
            return Edge("end")
        if self.take("."):
            return _lifted(without(_BREAKS, UNITS))
        if self.take("("):
            return self.group()
        if self.take("["):
            return _lifted(self.chosen())
        if self.take("\\"):
            return self.escape()
        self.at += 1
        return _lifted(one(ord(self.source[self.at - 1])))

    def group(self) -> Node:
        if self.peek("?=") or self.peek("?!") or self.peek("?<=") or self.peek("?<!"):
            raise Beyond("it looks ahead or behind")
        if self.take("?<"):
            self.name()
        elif self.peek("?") and not self.take("?:"):
            head = self.source[self.at + 1 : self.at + 9].partition(":")
            if head[1] and head[0] and all(flag in "ims-" for flag in head[0]):
                raise Beyond("modifiers such as (?i:…) are taken by newer engines only")
            raise Refused("invalid group: JavaScript has no (?i), (?s) or (?P<…>)")
        node = self.inner()
        if not self.take(")"):
            raise Refused("unterminated group")
        return node

    def name(self) -> None:
        letters = ""
        while self.at < len(self.source) and not self.peek(">"):
            letters += self.source[self.at]
            self.at += 1
        if not letters.isascii() or "\\" in letters or self.named.count(letters) > 1:
            raise Beyond("its groups' names are out of the ordinary")
        if not self.take(">") or not letters.replace("$", "_").isidentifier():
            raise Refused("invalid capture group name")

    def escape(self) -> Node:
        if self.take("b"):
            return Edge("word edge")
        if self.take("B"):
            return Edge("no word edge")
        if self.peek("k") and self.named:
            raise Beyond("it refers back to a group")
        digits = ""
        while self.at + len(digits) < len(self.source) and self.source[self.at + len(digits)] in string.digits:
            digits += self.source[self.at + len(digits)]
        if digits and digits[0] != "0" and int(digits[:9]) <= self.groups:
            raise Beyond("it refers back to a group")
        return _lifted(self.escaped(inside=False))

    def escaped(self, inside: bool) -> Ranges:
        """What an escape stands for, after its backslash."""
        if self.at == len(self.source):
            raise Refused("\\ at end of pattern")
        letter = self.source[self.at]
        if letter == "c":
            follows = self.source[self.at + 1 : self.at + 2]
            if follows and follows in string.ascii_letters + (string.digits + "_" if inside else ""):
                self.at += 2
                return one(ord(follows) % 32)
            return one(ord("\\"))  # a backslash, and the `c` is read again
        self.at += 1
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS:
            return one(_CONTROLS[letter])
        if letter in "xu":
            size = 2 if letter == "x" else 4
            number = self.source[self.at : self.at + size]
            if len(number) == size and all(digit in string.hexdigits for digit in number):
                self.at += size
                return one(int(number, 16))
        if letter in string.octdigits:
            number = letter
            while len(number) < 3 and self.at < len(self.source) and self.source[self.at] in string.octdigits:
                if int(number + self.source[self.at], 8) > 0o377:
                    break
                number += self.source[self.at]
                self.at += 1
            return one(int(number, 8))
        return one(ord(letter))

    def chosen(self) -> Ranges:
        """A class, after its `[`."""
        negated = self.take("^")
        found: list[tuple[int, int]] = []
        while not self.take("]"):
            first = self.member()
            if self.peek("-") and not self.peek("-]") and self.at + 1 < len(self.source):
                self.at += 1
                last = self.member()
                low, high = _single(first), _single(last)
                if low is None or high is None:
                    found += [*first, (0x2D, 0x2D), *last]
                elif low > high:
                    raise Refused("range out of order in character class")
                else:
                    found.append((low, high))
            else:
                found += first
        return without(union(found), UNITS) if negated else union(found)

    def member(self) -> Ranges:
        if self.at >= len(self.source):
            raise Refused("unterminated character class")
        if self.take("\\"):
            if self.take("b"):
                return one(8)
            if self.peek("k") and self.named:
                raise Refused("invalid escape")
            return self.escaped(inside=True)
        self.at += 1
        return one(ord(self.source[self.at - 1]))


def _single(ranges: Ranges) -> int | None:
    return ranges[0][0] if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else None


def _groups(text: str) -> tuple[int, list[str]]:
    """How many groups capture, and the names of those that have one."""
    count, names, at, inside = 0, [], 0, False
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif inside:
            inside = text[at] != "]"
        elif text[at] == "[":
            inside = True
        elif text[at] == "(":
            if text[at + 1 : at + 2] != "?":
                count += 1
            elif text[at + 1 : at + 3] == "?<" and text[at + 3 : at + 4] not in ("=", "!"):
                count += 1
                names.append(text[at + 3 :].partition(">")[0])
        at += 1
    return count, names
