"""What accounts' lists of models said, remembered in `loop.db`: the lists themselves, and which bots they tell of.

Before it `models.py` reads the lists; after it `plan`, `status`, `review` and the metrics. A part of the history's
file; no key is in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from reconciler.model import Ref
from reconciler.plan.retire import Listed, Lists, Retiring

TABLES: Final = (
    "CREATE TABLE model_lists (id INTEGER PRIMARY KEY, models TEXT NOT NULL)",
    "CREATE TABLE model_accounts (target TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL,"
    " base TEXT NOT NULL, list INTEGER REFERENCES model_lists(id), read REAL, tried REAL NOT NULL,"
    " message TEXT NOT NULL, PRIMARY KEY (target, instance, name)) WITHOUT ROWID",
    "CREATE TABLE retiring (target TEXT NOT NULL, position INTEGER NOT NULL, instance TEXT NOT NULL,"
    " bot TEXT NOT NULL, model TEXT NOT NULL, gone INTEGER NOT NULL, date TEXT, replacement TEXT,"
    " PRIMARY KEY (target, position)) WITHOUT ROWID",
)
# Whether the account lists what replaces the model.
LISTED: Final = "ALTER TABLE retiring ADD COLUMN listed INTEGER"

AGE: Final = 86_400.0  # seconds for which a list holds
AGAIN: Final = 3_600.0  # seconds after a reading that failed

Key = tuple[str, str]  # (YAML name of the instance, name of the Credentials)


class Listings:
    """The remembered lists of all targets."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def lists(self, target: str) -> Lists:
        """The newest list of each account that was ever read."""
        rows = self._db.execute(
            "SELECT instance, name, list, models FROM model_accounts JOIN model_lists ON id=list WHERE target=?",
            (target,),
        )
        known: dict[int, Listed] = {}
        found: dict[Key, Listed] = {}
        for row in rows:
            if row["list"] not in known:
                known[row["list"]] = msgspec.json.decode(row["models"])
            found[row["instance"], row["name"]] = known[row["list"]]
        return found

    def due(self, target: str, accounts: Mapping[Key, str], now: float) -> list[Key]:
        """Of some accounts (with the address that each is at) those to be read now: a day after they were read, an
        hour after that failed, at once where the address is another."""
        known = {
            (row["instance"], row["name"]): row
            for row in self._db.execute("SELECT * FROM model_accounts WHERE target=?", (target,))
        }
        return [key for key, base in accounts.items() if _due(known.get(key), base, now)]

    def keep(self, target: str, keys: Collection[Key], base: str, models: Listed, now: float) -> None:
        """A list that accounts at one address gave."""
        made = self._db.execute(
            "INSERT INTO model_lists (models) VALUES (?)", (msgspec.json.encode(models).decode(),)
        ).lastrowid
        self._db.executemany(
            "INSERT OR REPLACE INTO model_accounts VALUES (?, ?, ?, ?, ?, ?, ?, '')",
            [(target, *key, base, made, now, now) for key in keys],
        )
        self._tidy()

    def failed(self, target: str, keys: Collection[Key], base: str, message: str, now: float) -> None:
        """A reading that failed: what was known stays, unless the address is another one now."""
        self._db.executemany(
            "INSERT INTO model_accounts VALUES (?, ?, ?, ?, NULL, NULL, ?, ?) ON CONFLICT DO UPDATE SET"
            " list=iif(base=excluded.base, list, NULL), read=iif(base=excluded.base, read, NULL),"
            " base=excluded.base, tried=excluded.tried, message=excluded.message",
            [(target, *key, base, now, message) for key in keys],
        )
        self._tidy()

    def forget(self, target: str, keys: Collection[Key]) -> None:
        """Keeps the accounts of a target that are given, and no others."""
        rows = self._db.execute("SELECT instance, name FROM model_accounts WHERE target=?", (target,))
        gone = [(target, row["instance"], row["name"]) for row in rows if (row["instance"], row["name"]) not in keys]
        if gone:
            self._db.executemany("DELETE FROM model_accounts WHERE target=? AND instance=? AND name=?", gone)
            self._tidy()

    def stand(self, target: str, found: Iterable[Retiring]) -> None:
        """Which bots of a target run on models that go."""
        self._db.execute("DELETE FROM retiring WHERE target=?", (target,))
        self._db.executemany(
            "INSERT INTO retiring VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (target, n, one.bot.instance, one.bot.name, one.model, one.gone, one.date, one.replacement, one.listed)
                for n, one in enumerate(found)
            ],
        )

    def retiring(self, target: str, today: date | None = None) -> tuple[Retiring, ...]:
        """What `stand` was told, as it is today."""
        today = today or datetime.now(UTC).date()
        rows = self._db.execute("SELECT * FROM retiring WHERE target=? ORDER BY position", (target,))
        return tuple(_of(row, today) for row in rows)

    def _tidy(self) -> None:
        self._db.execute(
            "DELETE FROM model_lists WHERE id NOT IN (SELECT list FROM model_accounts WHERE list IS NOT NULL)"
        )


def _due(row: sqlite3.Row | None, base: str, now: float) -> bool:
    if row is None or row["base"] != base:
        return True
    fresh = row["read"] is not None and 0 <= now - row["read"] < AGE
    return not fresh and not 0 <= now - row["tried"] < AGAIN


def _of(row: sqlite3.Row, today: date) -> Retiring:
    days = (date.fromisoformat(row["date"]) - today).days if row["date"] else None
    return Retiring(
        bot=Ref("Bot", row["instance"], row["bot"]),
        model=row["model"],
        gone=bool(row["gone"]) or (days is not None and days < 0),
        date=row["date"],
        days=days,
        replacement=row["replacement"],
        listed=None if row["listed"] is None else bool(row["listed"]),
    )
