"""Accounts on an Evolution API server: which row of credentials is which declared one. PURE.

Before it come the lowered desired state and the server's rows; after it `lower` and `fit` name
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


def accounts(desired: Desired, live: Live | None) -> Accounts:
    """Finds the row of each declared Credentials: by its mark, else by its key, else by who uses it."""
    declared = [one for one in desired.objects if one.ref.kind == "Credentials"]
    keys = {one.ref: key_of(one) for one in declared}
    if live is None:
        return Accounts({}, keys)
    names = instance_names(desired)
    found: dict[Ref, LiveObject] = {}
    rows = sorted((one for one in live.objects if one.kind == "Credentials"), key=_age, reverse=True)
    own: dict[str, list[LiveObject]] = {}
    for row in rows:
        if row.mark is not None and row.mark.source == desired.source:
            own.setdefault(row.instance, []).append(row)
    by_key: dict[Key, LiveObject] = {}
    used, theirs = _used(desired, live, names)
    given_up: dict[Ref, LiveObject] = {}
    for one in declared:
        called = (one.ref.name, one.formerly)
        mine = [row for row in own.get(names[one.ref.instance], ()) if row.mark is not None and row.mark.name in called]
        adopted = [row for row in rows if row.id == one.adopts] if one.adopts else []
        kept = [
            row
            for row in (*adopted, *mine)
            if isinstance(one.spec["apiKey"], Secret) or not _left(one, row, theirs, keys)
        ]
        if (right := _right(one, kept, rows)) is not None:
            found[one.ref] = by_key[keys[one.ref]] = right
        elif mine:
            given_up[one.ref] = mine[0]
    for one in declared:
        if one.ref not in found and not isinstance(one.spec["apiKey"], Secret):
            same = by_key.get(keys[one.ref])
            if same is None:
                same = _by_use(used.get(one.ref, set()), rows, names[one.ref.instance], desired.source)
                if same is not None and one.ref in given_up and same.instance == names[one.ref.instance]:
                    same = None  # somebody chose it in a dashboard, which offers no others
            if (same := same or given_up.get(one.ref)) is not None:
                found[one.ref] = same
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


def _used(desired: Desired, live: Live, names: Mapping[str, str]) -> tuple[dict[Ref, set[str]], dict[str, set[Ref]]]:
    """The rows that the live bots use which are declared with each Credentials, and the Credentials that use each row
    so; Settings count for those of their instance
    that no bot has."""
    accounts: dict[str, set[Ref]] = {}
    for one in desired.objects:
        if one.ref.kind == "Credentials":
            accounts.setdefault(names[one.ref.instance], set()).add(one.ref)
    wanted = {
        (names[one.ref.instance], one.ref.name): Ref("Credentials", one.ref.instance, str(one.spec["credentials"]))
        for one in desired.objects
        if one.ref.kind == "Bot"
    }
    found: dict[Ref, set[str]] = {}
    by_row: dict[str, set[Ref]] = {}
    for user in live.objects:
        row = str(user.spec.get("credentialsId"))
        ours = user.kind == "Bot" and user.mark is not None and user.mark.source == desired.source
        if ours and user.mark is not None and (ref := wanted.get((user.instance, user.mark.name))) is not None:
            found.setdefault(ref, set()).add(row)
            by_row.setdefault(row, set()).add(ref)
    for user in live.objects:
        if user.kind == "Settings":
            row = str(user.spec.get("credentialsId"))
            by_row.setdefault(row, set()).update(accounts.get(user.instance, set()) - found.keys())
    return found, by_row


def _left(one: Object, row: LiveObject, users: Mapping[str, set[Ref]], keys: Mapping[Ref, Key]) -> bool:
    """Whether only what has another key uses a row: an apply that knew the keys gave it to those."""
    return keys[one.ref] not in {keys.get(ref) for ref in users.get(row.id, {one.ref})}


def _by_use(used: set[str], rows: list[LiveObject], instance: str, source: str) -> LiveObject | None:
    """The one row that all of them use, made by hand or in another instance.

    Not one that is marked for other Credentials of the instance: from that they are to move.
    """
    row = next((row for row in rows if row.id in used), None) if len(used) == 1 else None
    marked = row is not None and row.instance == instance and row.mark is not None and row.mark.source == source
    return None if marked else row


def _age(row: LiveObject) -> tuple[str, str]:
    return str(row.spec.get("createdAt") or ""), row.id


def placeholder_key(source: str, instance: str) -> Secret:
    """The text that stands where placeholder credentials have their key: no key of anybody, and unique to a line."""
    digest = hashlib.sha256(f"{source}/{instance}".encode()).hexdigest()[:24]
    return Secret(f"no-key-gitops-{digest}")
