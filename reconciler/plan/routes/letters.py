"""The letters that automata read. After it `search` builds an alphabet from them.

Triggers compare a message in several views: as it stands, folded, without accents. Each view is made here letter by
letter, so that one automaton may read a message in one view while another reads it in a second. On the runtime all
triggers read a message in its clean form, so that form alone is spoken of. For all but a few messages the views are
exactly what the matcher makes: `ordinary` says for which. The rest are those where Unicode puts a mark and a letter
together, or two marks in another order, only after folding (a `J` with a caron) - no claim is made of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from reconciler.plan.evolution import match as evolution
from reconciler.plan.patterns import javascript
from reconciler.plan.patterns.charset import Ranges, union
from reconciler.plan.routes.answer import Semantics
from reconciler.talk.match import SAME, bare, clean, fold

# Views of a message, by their place in `Letter.views`. The runtime: NFC and trimmed, folded, bare. An Evolution API
# server: as it stands, in UTF-16 units, without accents.
FIRST, SECOND, THIRD = 0, 1, 2

_CASED: Final = ((0, 0x33FF), (0xA000, 0xABFF), (0xF900, 0x1FFFF), (0x2F800, 0x2FA1D))  # but for Hangul
_MARKED: Final = (*_CASED, (0xE0000, 0xE0FFF))


class Letter(msgspec.Struct, frozen=True):
    """One character as it is written, and what each view makes of it (perhaps nothing, perhaps several)."""

    text: str
    views: tuple[str, str, str]


@lru_cache(4096)
def runtime_letter(char: str) -> Letter | None:
    """A character as the runtime sees it; None where none is left of it in a clean message (`talk.match.clean`)."""
    if "\ud800" <= char <= "\udfff" or clean(f"0{char}0") != f"0{char}0":
        return None
    folded = unicodedata.normalize("NFC", char.translate(SAME).casefold())
    letters = unicodedata.normalize("NFD", folded)
    plain = unicodedata.normalize("NFC", "".join(c for c in letters if not unicodedata.combining(c)))
    return Letter(char, (char, folded, plain))


@lru_cache(4096)
def evolution_letter(char: str) -> Letter | None:
    """A character as an Evolution API server sees it; None for half of a pair, which no message holds."""
    if "\ud800" <= char <= "\udfff":
        return None
    return Letter(char, (char, javascript.as_units(char), evolution.plain(char)))


# `Σ` is `σ` within a word and `ς` at its end in lower case: which one is left open, so there are two such letters.
FINAL_SIGMA: Final = Letter("Σ", ("Σ", "Σ", "ς"))

LETTERS: Final[dict[Semantics, Callable[[str], Letter | None]]] = {
    "runtime": runtime_letter,
    "evolution": evolution_letter,
}


def ordinary(text: str, semantics: Semantics) -> bool:
    """Whether a message is one of those that claims are made of: its views are those of its letters.

    All messages are, but for rare sequences of letters and marks, and half surrogates.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):
        return False
    if semantics == "runtime":
        text = clean(text)
        letters = [runtime_letter(char) for char in text]
        views = (text, fold(text), bare(text))
    else:
        letters = [evolution_letter(char) for char in text]
        views = (text, javascript.as_units(text), evolution.plain(text).replace("ς", "σ"))
    found = tuple("".join(letter.views[view] for letter in letters if letter) for view in (FIRST, SECOND, THIRD))
    if semantics == "evolution":
        found = (found[FIRST], found[SECOND], found[THIRD].replace("ς", "σ"))
    return None not in letters and found == views


def _chars(blocks: Ranges) -> Iterator[str]:
    for first, last in blocks:
        yield from map(chr, range(first, last + 1))


@lru_cache(2)
def sources(semantics: Semantics) -> tuple[dict[str, str], dict[str, str]]:
    """For each character of the second and third view those that become it (themselves not counted)."""
    second: dict[str, str] = {}
    third: dict[str, str] = {}
    for char in _chars(_CASED):
        if char.casefold() == char == unicodedata.normalize("NFD", char).lower() and ord(char) not in SAME:
            continue
        letter = LETTERS[semantics](char)
        if letter is None:
            continue
        for view, found in ((SECOND, second), (THIRD, third)):
            for target in set(letter.views[view]) - {char}:
                found[target] = found.get(target, "") + char
    return second, third


@lru_cache(2)
def silent(semantics: Semantics) -> Ranges:
    """The characters that leave nothing in the third view: marks."""
    if semantics == "evolution":
        return ((0x300, 0x36F),)
    marks = (char for char in _chars(_MARKED) if unicodedata.combining(char))
    return union((ord(char), ord(char)) for char in marks if bare(char) == "")


@lru_cache(1)
def spaces() -> Ranges:
    """What is trimmed."""
    return union((code, code) for code in range(0x3001) if chr(code).isspace())


@lru_cache(4096)
def cost(char: str) -> int:
    """How unpleasant a character is to read in an example: small letters least, and one that stands for a small letter
    (`ſ`, which `(?i)s` takes too) more than two of them."""
    if "a" <= char <= "z":
        return 10
    if char == " ":
        return 11
    if "0" <= char <= "9":
        return 12
    if "A" <= char <= "Z":
        return 14
    if " " < char <= "~":
        return 18
    category = unicodedata.category(char)
    if category[0] == "L":
        return 32 if char < "\u0250" and char.islower() else 34 if char < "\u0530" else 36 if char < "\u2000" else 42
    if category[0] in "NPS":
        return 47
    if category[0] == "M":
        return 60
    return 120 if category == "Cn" else 90
