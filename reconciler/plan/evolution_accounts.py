"""Accounts on an Evolution API server: which row of credentials is which declared one. PURE.

Before it come the lowered desired state and the server's rows; after it `evolution_lower` and `evolution_fit` name
them. That server has no update of credentials, stores an API key once over all its instances, and shows it: so several
declared Credentials may be one row, which may stand in another instance, and a new key is a new row.

Rows that this repository made carry its mark in their name. A row without one that holds the declared key already is
used as it is, for no second one can be made; it is never deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from reconciler.model import Desired, Live, LiveObject, Object, Ref, Secret, same_secret
from reconciler.plan.own import instance_names

PLACEHOLDER: Final = "gitops-settings"  # credentials for Settings whose own account another instance's Settings hold

Key = tuple[str, ...] | Secret


class Accounts(msgspec.Struct, frozen=True):
    """`rows` gives the row of each declared Credentials that has one; `keys` what its key is known by."""

    rows: Mapping[Ref, LiveObject]
    keys: Mapping[Ref, Key]

    def sharing(self, ref: Ref) -> list[Ref]:
        """The declared Credentials that are one account with this one, itself among them."""
        key = self.keys.get(ref)
        return sorted(other for other, its in self.keys.items() if its == key)


def accounts(desired: Desired, live: Live | None) -> Accounts:
    """Finds the row of each declared Credentials: by its mark, else by its key, else by who uses it."""
    declared = [one for one in desired.objects if one.ref.kind == "Credentials"]
    keys = {one.ref: key_of(one) for one in declared}
    if live is None:
        return Accounts({}, keys)
    names = instance_names(desired)
    found: dict[Ref, LiveObject] = {}
    rows = sorted((one for one in live.objects if one.kind == "Credentials"), key=_age, reverse=True)
    own = [row for row in rows if row.mark is not None and row.mark.source == desired.source]
    for one in declared:
        called = (one.ref.name, one.formerly)
        mine = [row for row in own if row.instance == names[one.ref.instance] and _name(row) in called]
        adopted = [row for row in rows if row.id == one.adopts]
        if row := _right(one, [*adopted, *mine], rows):
            found[one.ref] = row
    for one in declared:
        if one.ref not in found and not isinstance(one.spec["apiKey"], Secret):
            siblings = (found.get(ref) for ref, key in keys.items() if key == keys[one.ref])
            if row := next((row for row in siblings if row is not None), None) or _used(desired, live, one, rows):
                found[one.ref] = row
    return Accounts(found, keys)


def key_of(one: Object) -> Key:
    """What tells one key from another: the key itself where it is known, else where it is read from."""
    value = one.spec["apiKey"]
    if isinstance(value, Secret):
        return value
    return tuple(f"{kind}:{place}" for kind, place in sorted(value.items()))


def _right(one: Object, mine: list[LiveObject], rows: list[LiveObject]) -> LiveObject | None:
    """The row among `mine`, the newest first; where the key is known the one that has it, wherever it stands."""
    key = one.spec["apiKey"]
    if not isinstance(key, Secret):
        return next(iter(mine), None)
    return next((row for row in (*mine, *rows) if same_secret(str(row.spec["apiKey"]), key.value)), None)


def _used(desired: Desired, live: Live, one: Object, rows: list[LiveObject]) -> LiveObject | None:
    """The row that the live bots use which are declared with these Credentials: made by hand, or in another instance.

    Only where all of them use the same one.
    """
    mine = {
        other.ref.name
        for other in desired.objects
        if other.ref.kind == "Bot"
        and other.ref.instance == one.ref.instance
        and other.spec["credentials"] == one.ref.name
    }
    instance = instance_names(desired)[one.ref.instance]
    used = {
        str(bot.spec["credentialsId"])
        for bot in live.objects
        if bot.kind == "Bot"
        and bot.instance == instance
        and bot.mark is not None
        and bot.mark.source == desired.source
        and bot.mark.name in mine
    }
    if len(used) != 1:
        return None
    row = next((row for row in rows if row.id in used), None)
    taken = row is not None and row.instance == instance and row.mark is not None and row.mark.source == desired.source
    return None if taken else row  # marked for another of this instance: these bots are to move


def _name(row: LiveObject) -> str:
    return row.mark.name if row.mark is not None else ""


def _age(row: LiveObject) -> tuple[str, str]:
    return str(row.spec.get("createdAt") or ""), row.id


def placeholder_key(source: str, instance: str) -> Secret:
    """The text that stands where placeholder credentials have their key: no key of anybody, and unique to a line."""
    digest = hashlib.sha256(f"{source}/{instance}".encode()).hexdigest()[:24]
    return Secret(f"no-key-gitops-{digest}")
