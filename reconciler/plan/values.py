"""A field's value for people and programs: durations with their unit, long texts as line differences, secrets never.

Before it come a plan's changes; after it `render` and the reviews print them.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from reconciler.model import Secret
from reconciler.plan.diff import SECRET_FIELDS, SENSITIVE
from reconciler.plan.same import plain

LONG: Final = 80  # characters from which a text is shown as line differences
_CONTEXT: Final = 2  # unchanged lines around a difference
_MILLISECONDS: Final = frozenset({"delayMessage", "debounceTime", "timePerChar"})
_SECONDS: Final = frozenset({"expire", "retention"})
_SIZES: Final[Mapping[str, int]] = {"min": 60, "s": 1000}  # units of targets, in those of YAML


def shown(field: str, value: Any) -> Any:
    """A value as it may be shown: a secret, or a reference to one, is `(sensitive)`."""
    return SENSITIVE if isinstance(value, Secret) or (field in SECRET_FIELDS and value is not None) else value


def shown_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The set fields of a spec as they may be shown."""
    return {f: shown(f, value) for f, value in spec.items() if f != "whenMissing" and plain(value) is not None}


def whole(value: Any) -> str:
    """A value as text of lines: texts as they are, lists one below the other, the rest as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case list() | tuple() if value and all(isinstance(item, str) for item in value):
            return "\n\n".join(value)
        case dict() | list() | tuple():
            return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return json.dumps(value)


def is_long(value: str) -> bool:
    """Whether a text is shown by its differences, not as a value in a line."""
    return len(value) > LONG or "\n" in value


def short(field: str, value: Any, unit: str = "") -> str:
    """A short value: durations with their unit, the rest as JSON. `unit` is the value's, where it is not YAML's."""
    if unit and isinstance(value, int):
        value *= _SIZES[unit]
    if field in _MILLISECONDS and isinstance(value, int) and value:
        return f"{value // 1000}s" if value % 1000 == 0 else f"{value}ms"
    if field in _SECONDS and isinstance(value, int) and value:
        for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
            if value % size == 0:
                return f"{value // size}{unit}"
        return f"{value}s"
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def text_difference(before: str, after: str) -> list[str]:
    """Line differences, with a sign before each line and `@@` between places; without file names."""
    found = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=_CONTEXT, lineterm=""))[2:]
    return found or [f"- {before!r}", f"+ {after!r}"]  # they differ in line ends or blanks only
