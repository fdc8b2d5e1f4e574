"""Texts that YAML ends early, and blanks that are none: what an author cannot see in a file that looks right.

A text without quotes ends at ` #`: `unknownMessage: Type #STOP to end` is `Type`. In fields whose text people or models
read, that is told; elsewhere a comment behind a value is what it is. Blanks that YAML does not take for blanks (a
no-break space of a web page) are named at the place where they stand.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # as in read.py

from reconciler.desired.text import Flaw, lines
from reconciler.shape import pointer

# Fields whose text is free: what customers read or write, and what models are told.
FREE: Final = frozenset(
    {
        *("unknownMessage", "keywordFinish", "triggerValue", "description", "instructions"),
        *("systemMessages", "assistantMessages", "userMessages"),
        *("user", "human", "contains", "excludes", "matches"),
    }
)
# Blanks, and characters without any width, that YAML does not take for a blank.
JOINS, SPLIT = "\u2000-\u200f", "\u2000-\u200c\u200e\u200f"
ODD: Final = "\u00a0\u00ad\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u2064\u2066-\u2069\u3000\ufeff"
# The same in what customers write, but for what joins signs into one (U+200D): phones and some scripts need it.
UNSEEN: Final = re.compile(f"[{ODD.replace(JOINS, SPLIT)}]")
_ODD: Final = re.compile(f"[{ODD}]")
_ODD_LEAD: Final = re.compile(f"[ \t]*[{ODD}]")
_ODD_BEHIND: Final = re.compile(rf"""^[ \t]*(?:- +)*(?:[\w.$/-]+|"[^"]*"|'[^']*')(:)([{ODD}])|^[ \t]*(-)([{ODD}])""")
_HIDDEN: Final = re.compile(r"(?:^|[ \t])#", re.MULTILINE)
_BEHIND: Final = re.compile(r"[ \t]*(#.*)")
_QUOTED: Final = "put the text in quotes"


def called(character: str) -> str:
    """`a no-break space (U+00A0)`"""
    name = unicodedata.name(character, "character").lower()
    name = {"no-break space": "non-breaking space", "zero width no-break space": "byte order mark"}.get(name, name)
    return f"{'an' if name[0] in 'aeio' else 'a'} {name} (U+{ord(character):04X})"


def odd_indentation(key: str) -> str | None:
    """The character that a key begins with in place of a blank, as where a line is indented by it."""
    found = _ODD_LEAD.match(key)
    return found[0][-1] if found else None


def odd_within(key: str) -> str | None:
    """The character in a key that nobody sees."""
    found = _ODD.search(key)
    return found[0] if found else None


def odd_near(text_lines: list[str], line: int) -> Flaw | None:
    """What a blank that is none breaks in or just above a line (from 1) that could not be parsed."""
    for number in range(line, max(0, line - 4), -1):
        said = text_lines[number - 1] if number <= len(text_lines) else ""
        if (found := _ODD_BEHIND.match(said)) is not None:
            sign, character = (found[1], found[2]) if found[1] else (found[3], found[4])
            at = found.start(2 if found[1] else 4)
            where = "the colon" if sign == ":" else "the dash"
            return Flaw(number, at + 1, f"{called(character)} stands behind {where}", "type a space")
        if (lead := _ODD_LEAD.match(said)) is not None and said.strip():
            return Flaw(number, lead.end(), f"{called(lead[0][-1])} is used as indentation", "type spaces")
    return None


def comments(text: str) -> list[tuple[Flaw, bool]]:
    """Texts that a comment cuts short, each with whether nothing of it is left."""
    return list(_comments(text)) if _HIDDEN.search(text) else []


def _comments(text: str) -> Iterator[tuple[Flaw, bool]]:
    text_lines = lines(text)
    for event, path in _plain_texts(text):
        field = next((part for part in reversed(path) if isinstance(part, str)), "")
        mark = event.end_mark
        behind = _BEHIND.match(text_lines[mark.line], mark.column) if mark.line < len(text_lines) else None
        if behind is None or field not in FREE:
            continue
        place = event.start_mark.line + 1, event.start_mark.column + 1
        if event.value == "":
            said = f"is empty, for what begins with # is a comment: {behind[1][:40]!r}"
            yield Flaw(*place, said, _QUOTED, pointer(path)), True
        else:
            said = f"ends before {behind[1][:40]!r}, which is a comment to YAML"
            yield Flaw(*place, said, f"{_QUOTED} if it belongs to it", pointer(path)), False


def _plain_texts(text: str) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    """Each value without quotes, with its path; as far as the text can be parsed."""
    stack: list[list[Any]] = []  # of maps [None, key], of lists [number]
    parser = CParser(text)
    try:
        while type(event := parser.get_event()) is not yaml.StreamEndEvent:
            if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                stack.pop()
                _did(stack)
            elif isinstance(event, yaml.MappingStartEvent):
                stack.append([None, None])
            elif isinstance(event, yaml.SequenceStartEvent):
                stack.append([0])
            elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                if stack and len(stack[-1]) == 2 and stack[-1][1] is None:
                    stack[-1][1] = getattr(event, "value", "")
                    continue
                if isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                    yield event, tuple(part[-1] for part in stack)
                _did(stack)
    except yaml.YAMLError:
        return
    finally:
        parser.dispose()


def _did(stack: list[list[Any]]) -> None:
    """A value has ended: the map waits for a key, the list for its next entry."""
    if stack and len(stack[-1]) == 2:
        stack[-1][1] = None
    elif stack:
        stack[-1][0] += 1
