"""Data as YAML that `read` gives back as it was: the way from objects to files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

# Text that needs no quotes: one line, begins with a letter, nothing in it that YAML could take for a sign; durations.
_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w .()/@+-]|,(?= )|[:#](?=[\w/]))*|[1-9]\d*(?:ms|[smhd])", re.UNICODE)
_BLOCK: Final = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]+")

_QUOTED: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def dump(data: Any) -> str:
    """JSON-like data as one YAML document, without `---`. Texts of several lines are written as blocks."""
    if isinstance(data, Mapping) and data:
        return "".join(_entries(data, 0))
    if isinstance(data, list | tuple) and data:
        return "".join(_items(data, 0))
    return _inline(data) + "\n"


def _entries(data: Mapping[str, Any], depth: int) -> list[str]:
    return [f"{'  ' * depth}{_text(str(key))}:{_value(value, depth)}" for key, value in data.items()]


def _items(data: list[Any] | tuple[Any, ...], depth: int) -> list[str]:
    out = []
    for item in data:
        if isinstance(item, Mapping) and item:
            first, *others = _entries(item, depth + 1)
            out += [f"{'  ' * depth}- {first.lstrip(' ')}", *others]
        else:
            out.append(f"{'  ' * depth}-{_value(item, depth)}")
    return out


def _value(value: Any, depth: int) -> str:
    if isinstance(value, Mapping) and value:
        return "\n" + "".join(_entries(value, depth + 1))
    if isinstance(value, list | tuple) and value:
        return "\n" + "".join(_items(value, depth + 1))
    if isinstance(value, str) and (block := _block(value, depth)):
        return block
    return f" {_inline(value)}\n"


def _inline(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case bool() | None | int() | float():
            return json.dumps(value, allow_nan=False)
        case Mapping():
            return "{}"
        case list() | tuple():
            return "[]"
    return _text(str(value))


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value not in ("true", "false", "null") and not value.endswith(" "):
        return value
    return '"' + "".join(_QUOTED.get(c) or (c if c.isprintable() else _escape(c)) for c in value) + '"'


def _escape(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _block(value: str, depth: int) -> str:
    """A text of several lines as a `|` block, where one can hold it."""
    if "\n" not in value or not _BLOCK.fullmatch(value) or value[0] in " \n" or not value.strip("\n"):
        return ""
    body = value.rstrip("\n")
    ends = len(value) - len(body)
    indent = "  " * (depth + 1)
    lines = "".join(f"{indent}{line}\n" if line else "\n" for line in body.split("\n"))
    return f" |{'-' if ends == 0 else '' if ends == 1 else '+'}\n{lines}" + "\n" * max(0, ends - 1)
