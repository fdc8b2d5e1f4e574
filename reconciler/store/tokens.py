"""Tokens that read: for programs that compare and change nothing, such as `reconciler plan` in a forge's pipeline.

Before it come `runtime/api/tokens.py`, which makes and deletes them, and `runtime/keys.py`, which asks whose a key is;
after it the database. A token is kept as a keyed digest only: it is shown once, when it is made.
"""

from __future__ import annotations

import secrets
import sqlite3
from typing import Literal

import msgspec

from reconciler.errors import Rejected
from reconciler.store import rows
from reconciler.store.changes import Connection, gone
from reconciler.store.db import Database
from reconciler.store.vault import Vault

Access = Literal["read"]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token without what opens: of one instance, or (`instance_id` None) of all."""

    id: str
    name: str
    access: Access
    instance_id: str | None
    created_at: str


class Tokens:
    """All tokens, also in memory: they are asked for at every request."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault
        self._held: dict[str, Token] = {}
        db.submit(self._load).result()

    def _load(self, c: Connection) -> None:
        for found in c.execute("SELECT * FROM tokens ORDER BY id"):
            self._held[found["digest"]] = Token(**{name: found[name] for name in Token.__struct_fields__})

    def all(self) -> list[Token]:
        """All tokens, oldest first."""
        return sorted(self._held.values(), key=lambda token: token.id)

    def find(self, key: str) -> Token | None:
        """The token that this key is. Looked up by a keyed digest: its time says nothing of the tokens."""
        return self._held.get(self._vault.digest(key))

    async def create(self, name: str, access: Access, instance_id: str | None) -> tuple[Token, str]:
        """A new token and its key, which is not to be had again. Raises Rejected 409 where the name is taken."""
        key = f"read-{secrets.token_urlsafe(32)}"
        digest = self._vault.digest(key)
        made = Token(id=rows.new_id(), name=name, access=access, instance_id=instance_id, created_at=rows.timestamp())

        def write(c: Connection) -> None:
            try:
                c.execute(
                    "INSERT INTO tokens (id, name, access, instance_id, digest, created_at) VALUES (?,?,?,?,?,?)",
                    (made.id, name, access, instance_id, digest, made.created_at),
                )
            except sqlite3.IntegrityError as error:
                if "tokens.name" not in str(error):
                    raise gone() from error
                raise Rejected(409, f'A token named "{name}" is there already: choose another name') from error

        await self._db.write(write)
        self._held[digest] = made
        return made, key

    async def delete(self, id: str) -> None:
        """Deletes a token: it opens nothing from then on. Raises Rejected 404."""
        digest = next((digest for digest, token in self._held.items() if token.id == id), None)
        if digest is None:
            raise Rejected(404, f'The token "{id}" does not exist')
        await self._db.write(lambda c: c.execute("DELETE FROM tokens WHERE id=?", (id,)))
        self._held.pop(digest, None)

    def let_go(self, instance_id: str) -> None:
        """Forgets the tokens of an instance that was deleted; the database has done so itself."""
        self._held = {digest: one for digest, one in self._held.items() if one.instance_id != instance_id}
