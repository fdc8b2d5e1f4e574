"""Tables are brought forward at the start, with a copy kept from before; a newer file is left as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.reconcile.history import History
from reconciler.store import fleet_tables
from reconciler.store.copy import check_database
from reconciler.store.sqlite import open_store
from reconciler.talk.match import trigger_key

SECRET = "a-secret-key-of-the-tests"


def applied(path: Path) -> list[str]:
    with sqlite3.connect(path) as opened:
        rows = opened.execute("SELECT migration_set || ' ' || name FROM _sqlite_migrations ORDER BY 1").fetchall()
    opened.close()
    return [row[0] for row in rows]


def copies(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("*.before-*"))


def test_a_copy_is_kept_before_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runtime.db"
    open_store(path, SECRET).close()
    first = applied(path)
    assert copies(path) == []
    open_store(path, SECRET).close()
    assert copies(path) == []
    for number in range(3):
        known = list(fleet_tables.MIGRATIONS._migrations)
        monkeypatch.setattr(fleet_tables.MIGRATIONS, "_migrations", known)
        statement = f"CREATE TABLE later_{number} (n)"
        fleet_tables.MIGRATIONS(name=f"later {number}")(lambda db, statement=statement: db.execute(statement))
        open_store(path, SECRET).close()
    count = len(first)
    assert copies(path) == sorted([f"runtime.db.before-{count + 1}", f"runtime.db.before-{count + 2}"])
    copy = tmp_path / f"runtime.db.before-{count + 1}"
    check_database(copy)
    assert applied(copy) == sorted([*first, "fleet later 0"])
    assert copy.stat().st_mode & 0o777 == 0o600
    monkeypatch.undo()
    before = path.read_bytes()
    with pytest.raises(Misuse, match="newer reconciler"):
        open_store(path, SECRET)
    assert path.read_bytes() == before


def test_a_newer_history_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "loop.db"
    History(path).close()
    with sqlite3.connect(path) as opened:
        opened.execute("PRAGMA user_version=99")
    opened.close()
    with pytest.raises(Misuse, match="newer reconciler"):
        History(path)


async def test_of_bots_that_are_now_alike_the_older_keeps_the_trigger(tmp_path: Path) -> None:
    path = tmp_path / "runtime.db"
    store = open_store(path, SECRET)
    made, _ = await store.fleet.create_instance({"instanceName": "bistro"})
    await store.fleet.create_credentials(made.id, {"name": "main", "apiKey": "sk-0123456789abcd"})
    bot = {"openaiCredsId": "main", "botType": "chatCompletion", "model": "m", "maxTokens": 9, "triggerType": "keyword"}
    told = [("don't", True), ("another", True), ("menu", True), ("closed", False)]
    for value, enabled in told:
        fields = {"enabled": enabled, "triggerOperator": "equals", "triggerValue": value}
        await store.fleet.create_bot(made.id, {**bot, **fields})
    store.close()
    with sqlite3.connect(path) as opened:
        ids = [row[0] for row in opened.execute("SELECT id FROM bots ORDER BY id")]
        opened.execute("DELETE FROM _sqlite_migrations WHERE name LIKE '0004%'")
        # As an older release kept them, to which these were four different triggers.
        opened.execute("UPDATE bots SET trigger_key='old ' || id WHERE trigger_key IS NOT NULL")
        changed = "json_set(row, '$.triggerValue', 'DON\u2019T')"
        opened.execute(f"UPDATE bots SET row={changed} WHERE id=?", [ids[1]])
    opened.close()
    open_store(path, SECRET).close()
    with sqlite3.connect(path) as opened:
        found = [row[0] for row in opened.execute("SELECT trigger_key FROM bots ORDER BY id")]
    opened.close()
    keys = [trigger_key("keyword", "equals", value) for value, _ in told]
    assert found == [keys[0], None, keys[2], None]
