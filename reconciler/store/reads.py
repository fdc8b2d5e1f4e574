"""What is read of one instance: its lists, its part of `GET /fleet`, and the Line that answers its chats.

Before it come the tables; after it `store/fleet.py`, which runs these on the reading connection and keeps what they
give until the instance changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from reconciler.model import Account, Assistant, Bot, Credentials, Instance, Line, Secret, Settings
from reconciler.store.changes import Connection
from reconciler.store.vault import Vault

T = TypeVar("T")


def snapshot(look: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """`look` with all its reads seeing one and the same commit."""

    def looking(c: Connection) -> T:
        c.execute("BEGIN")
        try:
            return look(c)
        finally:
            c.execute("COMMIT")

    return looking


def listing(c: Connection, table: str, instance_id: str) -> str:
    """The rows of one of the instance's tables, oldest first, as a JSON list."""
    found = c.execute(f"SELECT row FROM {table} WHERE instance_id=? ORDER BY id", (instance_id,))  # noqa: S608
    return "[" + ",".join(row for (row,) in found) + "]"


def rows(c: Connection, table: str, instance_id: str, limit: int, offset: int) -> list[bytes]:
    """The same rows one by one, `limit` of them (-1: all) after the first `offset`; as bytes, so that each is held
    once until it is sent."""
    found = c.execute(
        f"SELECT CAST(row AS BLOB) FROM {table} WHERE instance_id=? ORDER BY id LIMIT ? OFFSET ?",  # noqa: S608
        (instance_id, limit, offset),
    )
    return [row for (row,) in found]


def part(c: Connection, instance_id: str, tag: Callable[[str, int], str]) -> str:
    """The instance's part of `GET /fleet`, with its own ETag from `tag`; empty if it is gone."""
    instance = c.execute("SELECT row, version FROM instances WHERE id=?", (instance_id,)).fetchone()
    if instance is None:  # deleted a moment ago
        return ""
    settings = c.execute("SELECT row FROM settings WHERE instance_id=?", (instance_id,)).fetchone()
    own = f'"etag":"\\"{tag(instance_id, instance["version"])}\\""'
    return (
        f'{{{own},"instance":{instance["row"]},"credentials":{listing(c, "credentials", instance_id)},'
        f'"settings":{settings["row"] if settings else "null"},'
        f'"assistants":{listing(c, "assistants", instance_id)},"bots":{listing(c, "bots", instance_id)}}}'
    )


def line(c: Connection, instance_id: str, vault: Vault) -> Line | None:
    """The instance's Line, with its keys in clear; None if it is gone."""

    def decoded(table: str, kind: type[T]) -> list[T]:
        found = c.execute(f"SELECT row FROM {table} WHERE instance_id=? ORDER BY id", (instance_id,))  # noqa: S608
        return [msgspec.json.decode(row, type=kind) for (row,) in found]

    instance = c.execute("SELECT row FROM instances WHERE id=?", (instance_id,)).fetchone()
    if instance is None:
        return None
    accounts: dict[str, Account] = {}
    for found in c.execute("SELECT api_key, row FROM credentials WHERE instance_id=? ORDER BY id", (instance_id,)):
        row = msgspec.json.decode(found["row"], type=Credentials)
        accounts[row.id] = Account(
            id=row.id,
            name=row.name,
            api_key=Secret(vault.open(found["api_key"])),
            base_url=row.base_url,
            organization=row.organization,
            project=row.project,
        )
    settings = c.execute("SELECT row FROM settings WHERE instance_id=?", (instance_id,)).fetchone()
    return Line(
        instance=msgspec.json.decode(instance["row"], type=Instance),
        settings=msgspec.json.decode(settings["row"], type=Settings) if settings else None,
        bots=tuple(decoded("bots", Bot)),
        accounts=accounts,
        assistants={assistant.assistant_id: assistant for assistant in decoded("assistants", Assistant)},
    )


def counts(c: Connection, instance_id: str | None) -> dict[str, tuple[int, int]]:
    """How many messages and chats each instance has (or the one); instances without any are left out."""
    where = "" if instance_id is None else "WHERE instance_id=?"
    found = c.execute(
        f"SELECT instance_id, count(*), count(DISTINCT jid) FROM messages {where} GROUP BY 1",  # noqa: S608
        () if instance_id is None else (instance_id,),
    )
    return {id: (messages, chats) for id, messages, chats in found}
