"""How often one plan was tried in vain: kept in the history's file, so that a restart forgets none of it.

Before it a pass that the target refused in part or whole; after it the loop's back-off, and the passes that only look
once a plan was tried often enough. What is compared is all that is left to do, with its keys, as a keyed hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from reconciler.model import Change, Secret

TABLES: Final = (
    'CREATE TABLE tries (target TEXT PRIMARY KEY, "commit" TEXT, attempts INTEGER NOT NULL, salt TEXT NOT NULL,'
    " rest TEXT NOT NULL, outcome TEXT NOT NULL, message TEXT NOT NULL) WITHOUT ROWID",
)
ATTEMPTS: Final = 5  # at one plan that the target refuses; then it waits until something is another


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A plan of a commit that was tried in vain `attempts` times, and how the last of them ended.

    `rest` is what it left to do: an HMAC-SHA256 (128 bits in hex, keyed with `salt`) of the changes.
    """

    commit: str | None
    attempts: int
    salt: str
    rest: str
    outcome: str
    message: str

    def of(self, commit: str | None, changes: Iterable[Change]) -> bool:
        """Whether these changes are what was left of that commit."""
        return self.commit == commit and hmac.compare_digest(self.rest, _hash(changes, self.salt))


def tried(
    before: Tried | None,
    commit: str | None,
    changes: tuple[Change, ...],
    left: Iterable[Change],
    outcome: str,
    message: str,
) -> Tried:
    """One more attempt at `changes`, of which `left` were not done; the first, where they are not what was left."""
    attempts = before.attempts + 1 if before is not None and before.of(commit, changes) else 1
    salt = secrets.token_hex(16)
    rest = _hash(left, salt)
    return Tried(commit=commit, attempts=attempts, salt=salt, rest=rest, outcome=outcome, message=message)


class Tries:
    """What was tried last on each target, in the history's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, target: str) -> Tried | None:
        """What is being tried in vain; None where nothing is."""
        row = self._db.execute("SELECT * FROM tries WHERE target=?", (target,)).fetchone()
        return Tried(**{name: row[name] for name in Tried.__struct_fields__}) if row else None

    def put(self, target: str, tried: Tried | None) -> None:
        """What is being tried in vain now; None: nothing any more."""
        if tried is None:
            self._db.execute("DELETE FROM tries WHERE target=?", (target,))
            return
        row = (target, *msgspec.structs.astuple(tried))
        self._db.execute("INSERT OR REPLACE INTO tries VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _hash(changes: Iterable[Change], salt: str) -> str:
    content = msgspec.json.encode(list(changes), enc_hook=_bare, order="deterministic")
    return hmac.new(salt.encode(), content, hashlib.sha256).hexdigest()[:32]


def _bare(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.value
    raise TypeError(f"{type(value).__name__} in a change")
