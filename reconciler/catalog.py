"""The models that are known here: `models.json`, with its date. What they cost, when they go, what replaces them.

OpenAI's models alone, as its own pages say; an account's list, which the loop reads, has the last word.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from reconciler.model import Catalog

FILE = Path(__file__).parent / "models.json"


@cache
def catalog() -> Catalog:
    """The table of this version of the program."""
    return msgspec.json.decode(FILE.read_bytes(), type=Catalog)
