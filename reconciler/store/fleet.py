"""The fleet as it runs: instances with their credentials, assistants, bots and settings.

Before it come the HTTP API's handlers (and the turn engine, which asks for a `Line`); after it `store/changes.py` and
the database. One process holds the file, so what is asked for all the time is kept in memory: the directory of
instances and tokens, each instance's Line and its part of `GET /fleet`, and the change counter. A change is seen there
after it is on disk and before it is answered.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

import msgspec

from reconciler.errors import Rejected
from reconciler.model import Account, Instance, Line
from reconciler.store import batch, changes, reads, rows, tags
from reconciler.store.batch import Batch
from reconciler.store.changes import Connection, Merge
from reconciler.store.db import Database
from reconciler.store.directory import Directory, Held
from reconciler.store.rows import Fields
from reconciler.store.vault import Vault

T = TypeVar("T")

_LIST: Final = 2 << 20  # bytes of a list that is kept in memory
_LISTS: Final = 4  # lists kept
Seen = tuple[str, ...] | None  # the ETags of the states on which a change may be made; None: on any


class Fleet:
    """See the module. Raises Rejected (404, 409, 422) for what cannot be."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault
        self._lock = threading.Lock()
        self.directory = Directory()
        self._lines: dict[str, Line] = {}
        self._parts: dict[str, bytes] = {}
        self._lists: dict[str, list[bytes]] = {}  # of bots, the newest few: find is asked for most
        self._epochs: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._version, self._id = 0, ""
        db.submit(self._load).result()

    def _load(self, c: Connection) -> None:
        kept = c.execute("SELECT id, version, sealed, digest_key FROM fleet").fetchone()
        sealed = kept["sealed"] or self._vault.seal(kept["id"])
        # The right secret key, or Misuse now and not at the first chat.
        if (digest_key := self._vault.recognise(sealed, kept["digest_key"])) is not None:
            c.execute("UPDATE fleet SET sealed=?, digest_key=?", (sealed, digest_key))
        self._id, self._version = kept["id"], kept["version"]
        for found in c.execute("SELECT * FROM instances ORDER BY rowid"):
            sealed = (found["token"], found["token_digest"], found["secret"], found["secret_digest"])
            row = rows.decode(found["row"])
            self.directory.hold(Held(msgspec.convert(row, Instance), row, *sealed))
            self._versions[found["id"]] = found["version"]

    # --- the directory ---------------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The state of the whole fleet: another text after every change."""
        return f"{self._id}-{self._version}"

    def version_of(self, instance_id: str) -> str:
        """The state of one instance: another text after each of its changes, the same whatever others do."""
        return self._tag(instance_id, self._versions.get(instance_id, 0))

    def changed_since(self, version: str) -> set[str] | None:
        """The instances that have changed since the whole fleet had this state; None where that cannot be told."""
        own, _, count = version.rpartition("-")
        if own != self._id or not (count.isascii() and count.isdecimal() and len(count) < 20):
            return None
        since = int(count)
        with self._lock:  # the writer's thread may be adding an instance
            return None if since > self._version else {id for id, at in self._versions.items() if at > since}

    def _tag(self, instance_id: str, version: int) -> str:
        return f"{self._id}-{version}-{instance_id}"

    def instance(self, name: str) -> Instance | None:
        """The instance of this name."""
        return self.directory.by_name(name)

    def instance_by_number(self, number: str) -> Instance | None:
        """The instance that answers for this number."""
        return self.directory.by_number(number)

    def instance_by_token(self, token: str) -> Instance | None:
        """The instance that this token opens. Looked up by a keyed digest: its time says nothing of the tokens."""
        return self.directory.by_token(self._vault.digest(token))

    def instance_by_secret(self, secret: str) -> Instance | None:
        """The instance whose webhook secret this is."""
        return self.directory.by_secret(self._vault.digest(secret))

    def secrets_of(self, held: Held) -> tuple[str, str]:
        """An instance's token and webhook secret in clear, for whoever holds the global key."""
        return self._vault.open(held.token), self._vault.open(held.secret)

    # --- changes ---------------------------------------------------------------------------------------------

    async def _change(
        self, instance_id: str, change: Callable[[Connection], T], after: Callable[[T], None] = lambda _: None
    ) -> T:
        """Runs a change and the counter in one transaction; memory follows once it is on disk, whoever still waits."""

        def counted(c: Connection) -> tuple[T, int]:
            try:
                value = change(c)
            except sqlite3.IntegrityError as error:
                changes.there(c, instance_id, error)
                raise
            version: int = c.execute("UPDATE fleet SET version=version+1 RETURNING version").fetchone()[0]
            c.execute("UPDATE instances SET version=? WHERE id=?", (version, instance_id))
            return value, version

        def follow(done: Future[tuple[T, int]]) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            with self._lock:
                after(done.result()[0])
                self._epochs[instance_id] = self._epochs.get(instance_id, 0) + 1
                self._lines.pop(instance_id, None)
                self._parts.pop(instance_id, None)
                self._lists.pop(instance_id, None)
                self._version = self._versions[instance_id] = done.result()[1]
                if self.directory.by_id(instance_id) is None:
                    del self._versions[instance_id]

        future = self._db.submit(counted)
        future.add_done_callback(follow)
        return (await asyncio.wrap_future(future))[0]

    def _if(
        self, table: str, instance_id: str, id: str | None, seen: Seen, change: Callable[[Connection], T]
    ) -> Callable[[Connection], T]:
        """`change`, made on a state that is among those `seen` (None: on whatever is there), else 412."""
        if seen is None:
            return change

        def checked(c: Connection) -> T:
            tags.check(c, table, instance_id, id, seen, lambda version: self._tag(instance_id, version))
            return change(c)

        return checked

    async def create_instance(self, body: Fields) -> tuple[Instance, str]:
        """A new instance and its token. `body`: instanceName, integration, number, token, webhook (URL), retention."""
        token = body.get("token") or str(uuid.uuid4()).upper()
        secret = secrets.token_urlsafe(24)
        row = rows.instance_row(str(uuid.uuid4()), body["instanceName"], body)
        seal, digest = self._vault.seal, self._vault.digest
        sealed = (seal(token), digest(token), seal(secret), digest(secret))
        held = Held(msgspec.convert(row, Instance), row, *sealed)
        hold = self.directory.hold
        await self._change(row["id"], lambda c: changes.create_instance(c, row, sealed), lambda _: hold(held))
        return held.instance, token

    async def update_instance(self, id: str, merge: Merge, seen: Seen = None) -> str:
        """An instance with what `merge` makes of its integration, number, webhook and retention; the row as JSON."""
        change = self._if("instances", id, None, seen, lambda c: changes.update_instance(c, id, merge))
        row: Fields = await self._change(id, change, lambda row: self._hold(id, row))
        return rows.encode(row)

    def _hold(self, id: str, row: Fields) -> None:
        if (held := self.directory.get(id)) is not None:
            self.directory.hold(msgspec.structs.replace(held, instance=msgspec.convert(row, Instance), row=row))

    async def rotate_token(self, id: str) -> str:
        """Another token for an instance; the one it had opens nothing from then on."""
        token = str(uuid.uuid4()).upper()
        sealed, digest = self._vault.seal(token), self._vault.digest(token)

        def hold(_: None) -> None:
            if (held := self.directory.get(id)) is not None:
                self.directory.hold(msgspec.structs.replace(held, token=sealed, token_digest=digest))

        await self._change(id, lambda c: changes.rotate_token(c, id, sealed, digest), hold)
        return token

    async def apply(self, instance_id: str, asked: Batch) -> bytes:
        """Many changes of one instance, all or none: the answer as JSON, the stored one where it was given before.

        Raises BatchRefused with every change that failed; Rejected 412 where `If-Match` lost, 422 where an
        idempotency key came with another request before.
        """

        def change(c: Connection) -> tuple[bytes, Fields | None]:
            # The counter moves in this very transaction; what it becomes is the answer's ETag.
            coming: int = c.execute("SELECT version FROM fleet").fetchone()[0] + 1
            before = self._tag(instance_id, batch.version(c, instance_id))
            return batch.apply(c, instance_id, asked, before, self._tag(instance_id, coming), self._vault)

        def hold(done: tuple[bytes, Fields | None]) -> None:
            if done[1] is not None:
                self._hold(instance_id, done[1])

        try:
            return (await self._change(instance_id, change, hold))[0]
        except batch.Answered as again:
            return again.answer

    async def delete_instance(self, id: str, seen: Seen = None) -> None:
        """An instance with its bots, credentials, chats, everything."""
        change = self._if("instances", id, None, seen, lambda c: changes.delete_instance(c, id))
        await self._change(id, change, lambda _: self.directory.let_go(id))

    async def create_credentials(self, instance_id: str, body: Fields) -> str:
        """New credentials from a valid body; the row as JSON."""
        sealed = self._vault.seal(body["apiKey"])
        return await self._change(instance_id, lambda c: changes.create_credentials(c, instance_id, body, sealed))

    async def update_credentials(self, instance_id: str, id: str, merge: Merge, seen: Seen = None) -> str:
        """Credentials with what `merge` makes of their fields (the key in clear among them); the row as JSON."""
        seal, open_ = self._vault.seal, self._vault.open

        def change(c: Connection) -> str:
            return changes.update_credentials(c, instance_id, id, merge, seal, open_)

        return await self._change(instance_id, self._if("credentials", instance_id, id, seen, change))

    async def delete_credentials(self, instance_id: str, id: str, seen: Seen = None) -> None:
        """409 while a bot or the Settings use them."""

        def change(c: Connection) -> None:
            changes.delete_credentials(c, instance_id, id)

        await self._change(instance_id, self._if("credentials", instance_id, id, seen, change))

    async def create_bot(self, instance_id: str, body: Fields) -> str:
        """A new bot from a valid body; the row as JSON."""
        return await self._change(instance_id, lambda c: changes.create_bot(c, instance_id, body))

    async def update_bot(self, instance_id: str, id: str, merge: Merge, seen: Seen = None) -> str:
        """A bot with what `merge` makes of its fields; the row as JSON."""
        change = self._if("bots", instance_id, id, seen, lambda c: changes.update_bot(c, instance_id, id, merge))
        return await self._change(instance_id, change)

    async def delete_bot(self, instance_id: str, id: str, seen: Seen = None) -> None:
        """A bot with its sessions."""
        change = self._if("bots", instance_id, id, seen, lambda c: changes.delete_bot(c, instance_id, id))
        await self._change(instance_id, change)

    async def create_assistant(self, instance_id: str, body: Fields) -> str:
        """A new assistant from a valid body; the row as JSON."""
        return await self._change(instance_id, lambda c: changes.create_assistant(c, instance_id, body))

    async def update_assistant(self, instance_id: str, id: str, merge: Merge, seen: Seen = None) -> str:
        """An assistant with what `merge` makes of its fields; the row as JSON."""

        def change(c: Connection) -> str:
            return changes.update_assistant(c, instance_id, id, merge)

        return await self._change(instance_id, self._if("assistants", instance_id, id, seen, change))

    async def delete_assistant(self, instance_id: str, id: str, seen: Seen = None) -> None:
        """An assistant."""
        change = self._if("assistants", instance_id, id, seen, lambda c: changes.delete_assistant(c, instance_id, id))
        await self._change(instance_id, change)

    async def set_settings(self, instance_id: str, merge: Merge, seen: Seen = None) -> str:
        """The Settings with what `merge` makes of their fields; the row as JSON."""
        change = self._if("settings", instance_id, None, seen, lambda c: changes.set_settings(c, instance_id, merge))
        return await self._change(instance_id, change)

    # --- reads -----------------------------------------------------------------------------------------------

    async def bots(self, instance_id: str, limit: int = -1, offset: int = 0) -> list[bytes]:
        """The instance's bots as JSON, oldest first: `limit` of them (-1: all) after the first `offset`."""
        if limit >= 0 or offset:
            return await self._db.scan(lambda c: reads.rows(c, "bots", instance_id, limit, offset))
        if (kept := self._lists.get(instance_id)) is not None:
            return list(kept)
        epoch = self._epochs.get(instance_id, 0)
        found = await self._db.scan(lambda c: reads.rows(c, "bots", instance_id, limit, offset))
        with self._lock:
            if self._epochs.get(instance_id, 0) == epoch and sum(map(len, found)) <= _LIST:
                self._lists[instance_id] = list(found)
                while len(self._lists) > _LISTS:
                    del self._lists[next(iter(self._lists))]
        return found

    async def credentials(self, instance_id: str, limit: int = -1, offset: int = 0) -> list[bytes]:
        """The instance's credentials as JSON, oldest first: `limit` of them (-1: all) after the first `offset`."""
        return await self._db.scan(lambda c: reads.rows(c, "credentials", instance_id, limit, offset))

    async def assistants(self, instance_id: str, limit: int = -1, offset: int = 0) -> list[bytes]:
        """The instance's assistants as JSON, oldest first: `limit` of them (-1: all) after the first `offset`."""
        return await self._db.scan(lambda c: reads.rows(c, "assistants", instance_id, limit, offset))

    async def bot(self, instance_id: str, id: str) -> str:
        """One bot as JSON, or 404."""
        return await self._one("bots", "bot", instance_id, id)

    async def assistant(self, instance_id: str, id: str) -> str:
        """One assistant as JSON, or 404."""
        return await self._one("assistants", "assistant", instance_id, id)

    async def settings(self, instance_id: str) -> tuple[Fields | None, Fields | None]:
        """The Settings' row and that of their fallback bot, each None where there is none."""

        def look(c: Connection) -> tuple[Fields | None, Fields | None]:
            found = c.execute(
                "SELECT s.row, b.row AS bot FROM settings s LEFT JOIN bots b ON b.id = s.fallback_id"
                " WHERE s.instance_id=?",
                (instance_id,),
            ).fetchone()
            if found is None:
                return None, None
            return rows.decode(found["row"]), rows.decode(found["bot"]) if found["bot"] else None

        return await self._db.read(look)

    async def account(self, instance_id: str, wanted: str | None) -> Account:
        """The credentials of this id or name, else the Settings', ready for a call. Raises Rejected 404."""
        line = await self.line(instance_id)
        if not wanted and line is not None and line.settings is not None:
            wanted = line.settings.openai_creds_id
        if not wanted:
            raise Rejected(404, "No credentials: name some with ?openaiCredsId=, or set openaiCredsId in the settings")
        accounts = line.accounts if line else {}
        named = next((account for account in accounts.values() if account.name == wanted), None)
        if (account := accounts.get(wanted, named)) is None:
            raise changes.missing("credentials", wanted)
        return account

    async def line(self, instance_id: str) -> Line | None:
        """All that answering the instance's chats needs; None once it is deleted."""
        if (line := self._lines.get(instance_id)) is not None:
            return line
        epoch = self._epochs.get(instance_id, 0)
        if (line := await self._db.read(reads.snapshot(lambda c: reads.line(c, instance_id, self._vault)))) is not None:
            with self._lock:
                if self._epochs.get(instance_id, 0) == epoch:
                    self._lines[instance_id] = line
        return line

    async def part(self, instance_id: str) -> bytes:
        """One instance's part of `GET /fleet`: its row, credentials, settings, assistants and bots."""
        if (part := self._parts.get(instance_id)) is not None:
            return part
        epoch = self._epochs.get(instance_id, 0)
        look = reads.snapshot(lambda c: reads.part(c, instance_id, self._tag))
        part = await self._db.scan(lambda c: look(c).encode())
        with self._lock:
            if self._epochs.get(instance_id, 0) == epoch:
                self._parts[instance_id] = part
        return part

    async def counts(self, instance_id: str | None) -> dict[str, tuple[int, int]]:
        """How many messages and chats each instance has (or the one); instances without any are left out."""
        return await self._db.scan(lambda c: reads.counts(c, instance_id))

    async def _one(self, table: str, kind: str, instance_id: str, id: str) -> str:
        def look(c: Connection) -> str | None:
            found = c.execute(f"SELECT row FROM {table} WHERE instance_id=? AND id=?", (instance_id, id)).fetchone()  # noqa: S608
            return found["row"] if found else None

        if (row := await self._db.read(look)) is None:
            raise changes.missing(kind, id)
        return row
