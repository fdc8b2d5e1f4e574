"""The fleet on a real SQLite file: durability, races, caches, what the database itself refuses."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Misuse, Rejected
from reconciler.store import rows
from reconciler.store.batch import Batch
from reconciler.store.sqlite import Store, migrate, open_store
from reconciler.store.vault import Vault

SECRET = "a-secret-key-of-the-tests"
BOT: dict[str, Any] = {
    "enabled": True,
    "openaiCredsId": "main",
    "botType": "chatCompletion",
    "model": "gpt-4o",
    "maxTokens": 300,
    "triggerType": "keyword",
    "triggerOperator": "equals",
    "triggerValue": "start",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "runtime.db", SECRET)
    yield opened
    opened.close()


async def instance(store: Store, name: str = "Bistro_01", **fields: Any) -> str:
    made, _ = await store.fleet.create_instance({"instanceName": name, **fields})
    await store.fleet.create_credentials(made.id, {"name": "main", "apiKey": "sk-0123456789abcd"})
    return made.id


async def bot(store: Store, id: str, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.json.decode(await store.fleet.create_bot(id, {**BOT, **fields}))
    return row


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runtime.db", SECRET)
    made, token = await store.fleet.create_instance({"instanceName": "Bistro_01", "number": "5511"})
    await store.fleet.create_credentials(made.id, {"name": "main", "apiKey": "sk-0123456789abcd"})
    row = await bot(store, made.id, systemMessages=["olá 👋"])
    await store.fleet.set_settings(made.id, lambda before: {**before, "fallbackId": row["id"], "expire": 5})
    await store.fleet.create_assistant(made.id, {"assistantId": "asst_1", "tools": [{"type": "web_search"}]})
    part, line, version = await store.fleet.part(made.id), await store.fleet.line(made.id), store.fleet.version
    store.close()
    store = open_store(tmp_path / "runtime.db", SECRET)
    try:
        assert await store.fleet.part(made.id) == part
        again = await store.fleet.line(made.id)
        assert again == line
        assert again is not None
        assert next(iter(again.accounts.values())).api_key.value == "sk-0123456789abcd"
        assert again.settings is not None
        assert (again.settings.openai_id_fallback, again.settings.expire) == (row["id"], 5)
        assert again.assistants["asst_1"].tools == ({"type": "web_search"},)
        assert store.fleet.version == version
        fleet = store.fleet
        for found in (fleet.instance("Bistro_01"), fleet.instance_by_number("5511"), fleet.instance_by_token(token)):
            assert found == made
        assert fleet.instance_by_secret(fleet.secrets_of(fleet.directory.all()[0])[1]) == made
        assert fleet.instance_by_token("x") is fleet.instance("x") is fleet.instance_by_number("x") is None
    finally:
        store.close()


async def test_the_line_follows_every_change(store: Store) -> None:
    fleet, id = store.fleet, await instance(store)
    line = await fleet.line(id)
    assert line is not None
    assert await fleet.line(id) is line
    row = await bot(store, id)
    line = await fleet.line(id)
    assert line is not None
    assert [one.id for one in line.bots] == [row["id"]]
    await fleet.update_bot(id, row["id"], lambda before: {**before, "enabled": False})
    line = await fleet.line(id)
    assert line is not None
    assert not line.bots[0].enabled
    assert (line.bots[0].expire, line.bots[0].system_messages) == (None, None)
    await fleet.delete_bot(id, row["id"])
    await fleet.delete_instance(id)
    assert await fleet.line(id) is None
    assert await fleet.part(id) == b""


async def test_of_many_at_once_one_gets_the_trigger(store: Store) -> None:
    id = await instance(store)
    done = await asyncio.gather(*(bot(store, id) for _ in range(20)), return_exceptions=True)
    refused = [one for one in done if isinstance(one, Rejected)]
    assert (len(refused), {one.status for one in refused}) == (19, {409})
    assert len(await store.fleet.bots(id)) == 1


async def test_two_writers_of_one_file_share_its_rules(tmp_path: Path) -> None:
    one = open_store(tmp_path / "runtime.db", SECRET)
    id = await instance(one)
    two = open_store(tmp_path / "runtime.db", SECRET)
    try:
        done = await asyncio.gather(bot(one, id), bot(two, id), return_exceptions=True)
        assert sorted(type(each).__name__ for each in done) == ["Rejected", "dict"]
        await asyncio.gather(
            *(bot(each, id, triggerValue=f"{n}") for n in range(30) for each in (one, two) if n % 2 == (each is one))
        )
        assert len(await one.fleet.bots(id)) == 31
        with pytest.raises(Rejected):
            await two.fleet.create_instance({"instanceName": "Bistro_01"})
    finally:
        one.close()
        two.close()


async def test_a_change_that_is_refused_leaves_nothing(store: Store) -> None:
    id = await instance(store)
    row = await bot(store, id)
    version, part = store.fleet.version, await store.fleet.part(id)

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise Rejected(400, "no")

    for change in (
        store.fleet.update_bot(id, row["id"], refuse),
        store.fleet.set_settings(id, refuse),
        store.fleet.update_instance(id, refuse),
        store.fleet.create_bot(id, {**BOT, "openaiCredsId": "nosuch"}),
        store.fleet.delete_credentials(id, row["openaiCredsId"]),
    ):
        with pytest.raises(Rejected):
            await change
    assert (store.fleet.version, await store.fleet.part(id)) == (version, part)


async def test_an_instance_that_was_deleted_meanwhile_is_not_there(store: Store) -> None:
    id = await instance(store)
    await store.fleet.delete_instance(id)
    fleet = store.fleet
    for change in (
        fleet.create_credentials(id, {"name": "main", "apiKey": "sk-0123456789abcd"}),
        fleet.create_assistant(id, {"assistantId": "asst_1"}),
        fleet.set_settings(id, lambda before: {**before, "expire": 5}),
        fleet.update_instance(id, lambda before: before),
        fleet.rotate_token(id),
        fleet.apply(id, Batch(changes=())),
        fleet.delete_instance(id),
    ):
        with pytest.raises(Rejected) as refused:
            await change
        assert (refused.value.status, str(refused.value)) == (404, "The instance does not exist any more")


async def test_whoever_stops_waiting_leaves_memory_right(store: Store) -> None:
    id = await instance(store)
    await store.fleet.part(id)
    waiting = asyncio.create_task(store.fleet.create_bot(id, BOT))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await store.db.write(lambda c: None)
    stored = await store.fleet.bots(id)
    assert msgspec.json.decode(await store.fleet.part(id))["bots"] == [msgspec.json.decode(row) for row in stored]


async def test_deleting_a_bot_deletes_its_sessions(store: Store) -> None:
    id = await instance(store)
    row = await bot(store, id)
    await store.db.write(
        lambda c: (
            c.execute(
                "INSERT INTO sessions (id, instance_id, jid, bot_id, status, history, await_user, created_at,"
                " active_at)"
                " VALUES ('s', ?, 'ana', ?, 'opened', '[]', 0, 1, 1)",
                (id, row["id"]),
            ).rowcount
        )
    )
    assert len((await store.chats.sessions_part(id, row["id"], lambda one: one, 0, 100))[0]) == 1
    await store.fleet.delete_bot(id, row["id"])
    assert (await store.chats.sessions_part(id, row["id"], lambda one: one, 0, 100))[0] == []


async def test_a_thousand_creates_are_fast(store: Store) -> None:
    id = await instance(store)
    numbers = iter(range(1000))

    async def create() -> None:
        for n in numbers:
            await bot(store, id, triggerValue=f"word {n}", systemMessages=["x" * 500])

    began = time.process_time()
    await asyncio.gather(*(create() for _ in range(10)))
    assert time.process_time() - began < 3  # measured 0.3 s; the bound only catches what is quadratic
    await store.fleet.part(id)
    began = time.process_time()
    for _ in range(10):
        await store.fleet.part(id)
    assert time.process_time() - began < 1  # measured 0.005 s


def test_migrations_are_applied_once(tmp_path: Path) -> None:
    path = tmp_path / "runtime.db"
    open_store(path, SECRET).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    applied = connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0]
    migrate(connection)
    assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    assert connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0] == applied
    connection.close()


def test_another_secret_key_is_found_out_at_once(tmp_path: Path) -> None:
    open_store(tmp_path / "runtime.db", SECRET).close()
    with pytest.raises(Misuse, match="RECONCILER_SECRET_KEY"):
        open_store(tmp_path / "runtime.db", "another key")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "runtime.db").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(Misuse, match="cannot be opened as a database"):
        open_store(tmp_path / "runtime.db", SECRET)


def test_ids_sort_by_time() -> None:
    made = [rows.new_id() for _ in range(2000)]
    assert made == sorted(made)
    assert len(set(made)) == 2000
    assert {(len(id), id[0]) for id in made} == {(25, "c")}


@given(st.text(), st.text(min_size=1))
def test_the_vault_round_trips(secret: str, key: str) -> None:
    try:
        secret.encode()
        key.encode()
    except UnicodeEncodeError:
        return
    vault = Vault(key)
    sealed = vault.seal(secret)
    assert vault.open(sealed) == secret
    assert len(secret) < 8 or secret not in sealed
    assert vault.session_says(vault.session("said"), 60) == b"said"
    assert vault.session_says(sealed, 60) is None
    assert vault.session_says("é", 60) is None


async def test_a_kept_list_is_never_an_old_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of bots is kept in memory while nothing changes; whoever takes it apart takes his own."""
    monkeypatch.setattr("reconciler.store.fleet._LISTS", 1)
    id, other = await instance(store), await instance(store, "Other")
    for number in range(3):
        await store.fleet.create_bot(id, {**BOT, "triggerValue": str(number)})
        for _ in range(2):
            found = await store.fleet.bots(id)
            assert len(found) == number + 1
            found.clear()
    assert len(await store.fleet.bots(id, 2, 0)) == 2
    await store.fleet.bots(other)
    assert list(store.fleet._lists) == [other]
    monkeypatch.setattr("reconciler.store.fleet._LIST", 10)
    await store.fleet.bots(id)
    assert list(store.fleet._lists) == [other]
