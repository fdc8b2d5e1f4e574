"""Who is who: the instances of the fleet by id, name, number, token and webhook secret, in memory.

Before it come the instances' rows, after it whoever must know at every request which instance a name or key means.
Only `store/fleet.py` changes it, after the change is on disk.
"""

from __future__ import annotations

import msgspec

from reconciler.model import Instance
from reconciler.store.rows import Fields


class Held(msgspec.Struct, frozen=True):
    """An instance with its row; token and webhook secret are sealed."""

    instance: Instance
    row: Fields
    token: str
    token_digest: str
    secret: str
    secret_digest: str


class Directory:
    """The instances, oldest first."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._names: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._numbers: dict[str, str] = {}

    def get(self, id: str) -> Held | None:
        """What is held of the instance of this id; None once it is deleted, which may be at any moment."""
        return self._held.get(id)

    def all(self) -> list[Held]:
        """All instances, oldest first."""
        return list(self._held.values())

    def by_id(self, id: str | None) -> Instance | None:
        """The instance of this id."""
        held = self._held.get(id) if id is not None else None
        return held.instance if held else None

    def by_name(self, name: str) -> Instance | None:
        """The instance of this name."""
        return self.by_id(self._names.get(name))

    def by_number(self, number: str) -> Instance | None:
        """The instance that answers for this number."""
        return self.by_id(self._numbers.get(number))

    def by_token(self, digest: str) -> Instance | None:
        """The instance whose token has this digest."""
        return self.by_id(self._tokens.get(digest))

    def by_secret(self, digest: str) -> Instance | None:
        """The instance whose webhook secret has this digest."""
        return self.by_id(self._secrets.get(digest))

    def hold(self, held: Held) -> None:
        """Adds an instance, or puts it in the place of its former self."""
        id = held.instance.id
        if (before := self._held.get(id)) is not None:
            self._tokens.pop(before.token_digest, None)
            if before.instance.number:
                self._numbers.pop(before.instance.number, None)
        self._held[id] = held
        self._names[held.instance.name] = self._tokens[held.token_digest] = self._secrets[held.secret_digest] = id
        if held.instance.number:
            self._numbers[held.instance.number] = id

    def let_go(self, id: str) -> None:
        """Removes an instance."""
        held = self._held.pop(id, None)
        if held is None:
            return
        self._names.pop(held.instance.name, None)
        self._tokens.pop(held.token_digest, None)
        self._secrets.pop(held.secret_digest, None)
        if held.instance.number:
            self._numbers.pop(held.instance.number, None)
