"""Names for YAML from names that others gave. PURE."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

LONGEST: Final = 63


def name_of(title: str, taken: Collection[str], otherwise: str) -> str:
    """A YAML name from a title: `Concierge (Café)` becomes `concierge-cafe`; a second one of a kind gets a number.

    `otherwise` is the name of what has no letter or digit that a name can hold.
    """
    bare = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:LONGEST].rstrip("-") or otherwise
    number, found = 2, name
    while found in taken:
        suffix = f"-{number}"
        found, number = name[: LONGEST - len(suffix)].rstrip("-") + suffix, number + 1
    return found


def variable_of(*words: str) -> str:
    """An environment variable's name from names: `bistro`, `main` become `BISTRO_MAIN_API_KEY`."""
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper()).strip("_")
    return f"{'K_' if name[:1].isdigit() else ''}{name}"[:110] + "_API_KEY"
