"""Many changes of one instance in one transaction: all of them, or none.

Before it comes `store/fleet.py`, which runs this on the writer's thread; after it `store/changes.py`, called once a
change. The order in which changes are given does not matter: what must be unique is judged on the result as a whole,
so two bots can swap their triggers, and what is created can be named by any other change of the same request.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from reconciler.errors import Rejected
from reconciler.model import Kind
from reconciler.store import changes
from reconciler.store.changes import Connection, Merge
from reconciler.store.rows import Fields, decode
from reconciler.store.vault import Vault

Action = Literal["create", "update", "delete"]

KEPT: Final = 24 * 3600  # seconds for which an answer is kept under its idempotency key

# Deletes first where they make room, credentials last: by then nothing uses them any more.
_ORDER: Final[tuple[tuple[Kind, tuple[Action, ...]], ...]] = (
    ("Instance", ("update",)),
    ("Credentials", ("create", "update")),
    ("Assistant", ("delete", "create", "update")),
    ("Bot", ("delete", "create", "update")),
    ("Settings", ("update",)),
    ("Credentials", ("delete",)),
)
_PHASE: Final = {
    (kind, action): at * 3 + place for at, (kind, actions) in enumerate(_ORDER) for place, action in enumerate(actions)
}
POSSIBLE: Final = frozenset(_PHASE)
_REFERENCES: Final[tuple[tuple[str, Kind], ...]] = (("openaiCredsId", "Credentials"), ("fallbackId", "Bot"))


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `merge` makes of the fields so far (of a create: none) the fields to be; `id` names what is updated
    or deleted; `ref` is what other changes of the request call the result."""

    action: Action
    kind: Kind
    merge: Merge
    id: str = ""
    ref: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `match` are the ETags (without quotes) one of which the instance must have, None: any; `key` is the
    idempotency key, `digest` a keyed digest of the request's body."""

    changes: tuple[Change, ...]
    match: tuple[str, ...] | None = None
    key: str | None = None
    digest: str = ""


class BatchRefused(Rejected):
    """Some changes failed, and nothing is applied; `faults` are (index, status, messages), the first one's status is
    the answer's."""

    def __init__(self, faults: Sequence[tuple[int, int, tuple[str, ...]]]) -> None:
        super().__init__(
            faults[0][1], *(f"changes[{index}]: {said}" for index, _, messages in faults for said in messages)
        )
        self.faults = tuple(faults)


class _Follows(Exception):
    """A change refers to one that failed: no fault of its own."""


class Answered(Exception):
    """The request was applied before; `answer` is what it was answered. Raised so that nothing is changed."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("answered before")
        self.answer = answer


def version(c: Connection, instance_id: str) -> int:
    """The instance's change counter. Raises Rejected 404 once it is deleted."""
    found = c.execute("SELECT version FROM instances WHERE id=?", (instance_id,)).fetchone()
    if found is None:
        raise changes.gone()
    return int(found["version"])


def apply(
    c: Connection, instance_id: str, asked: Batch, before: str, after: str, vault: Vault
) -> tuple[bytes, Fields | None]:
    """Applies a batch; the answer as JSON, and the instance's row where that was changed.

    `before` and `after` are the instance's tags around it. Raises Answered, BatchRefused, Rejected (412, 422).
    """
    if asked.key is not None:
        _recall(c, instance_id, asked.key, asked.digest)
    if asked.match is not None and before not in asked.match and "*" not in asked.match:
        raise Rejected(412, "The instance has changed since it was read: read it again, and plan anew")
    _make_room(c, instance_id, asked.changes)
    rows: dict[int, str | None] = {}
    refs: dict[tuple[Kind, str], str] = {}
    broken: set[tuple[Kind, str]] = set()
    faults: dict[int, tuple[int, tuple[str, ...]]] = {}
    numbered = sorted(enumerate(asked.changes), key=lambda one: (_PHASE[one[1].kind, one[1].action], one[0]))
    for index, change in numbered:
        c.execute("SAVEPOINT change")
        try:
            rows[index] = _perform(c, instance_id, change, _referring(change.merge, refs, broken), vault)
            if change.ref is not None:
                refs[change.kind, change.ref] = _id(rows[index], change)
        except (Rejected, _Follows) as error:
            c.execute("ROLLBACK TO change")
            if isinstance(error, Rejected):
                faults[index] = error.status, error.messages
            if change.ref is not None:
                broken.add((change.kind, change.ref))
        c.execute("RELEASE change")
    if faults:
        raise BatchRefused([(index, *faults[index]) for index in sorted(faults)])
    answer = msgspec.json.encode(
        {"etag": f'"{after}"', "changes": [_outcome(one, rows[index]) for index, one in enumerate(asked.changes)]}
    )
    if asked.key is not None:
        c.execute("INSERT INTO answers VALUES (?,?,?,?,?)", (instance_id, asked.key, asked.digest, answer, time.time()))
    changed = [rows[index] for index, one in enumerate(asked.changes) if one.kind == "Instance"]
    return answer, decode(changed[0]) if changed and changed[0] else None


def _recall(c: Connection, instance_id: str, key: str, digest: str) -> None:
    c.execute("DELETE FROM answers WHERE at < ?", (time.time() - KEPT,))
    found = c.execute("SELECT digest, answer FROM answers WHERE instance_id=? AND key=?", (instance_id, key)).fetchone()
    if found is None:
        return
    if found["digest"] != digest:
        raise Rejected(422, "This Idempotency-Key came with another request before: use a new one for each request")
    raise Answered(bytes(found["answer"]))


def _make_room(c: Connection, instance_id: str, asked: Sequence[Change]) -> None:
    """Takes what must be unique away from all that is about to change, so that its order does not matter. Each update
    writes its own anew; what a delete leaves behind is gone by the end."""
    statements: dict[Kind, str] = {
        "Bot": "UPDATE bots SET trigger_key=NULL WHERE instance_id=? AND id=?",
        # No name of credentials, no assistantId holds a control character.
        "Credentials": "UPDATE credentials SET name=char(1)||id WHERE instance_id=? AND id=?",
        "Assistant": "UPDATE assistants SET assistant_id=char(1)||id WHERE instance_id=? AND id=?",
    }
    for one in asked:
        if one.id and one.kind in statements:
            c.execute(statements[one.kind], (instance_id, one.id))


def _referring(merge: Merge, refs: Mapping[tuple[Kind, str], str], broken: Container[tuple[Kind, str]]) -> Merge:
    """`merge` with the request's own names of things replaced by their ids."""

    def merging(before: Fields) -> Fields:
        after = merge(before)
        for field, kind in _REFERENCES:
            named = kind, after.get(field, "")
            if named in broken:
                raise _Follows
            if named in refs:
                after = {**after, field: refs[named]}
        return after

    return merging


def _perform(c: Connection, instance_id: str, change: Change, merge: Merge, vault: Vault) -> str | None:
    """One change; the row as JSON, None for a delete."""
    match change.kind, change.action:
        case "Credentials", "create":
            body = merge({})
            return changes.create_credentials(c, instance_id, body, vault.seal(body["apiKey"]))
        case "Credentials", "update":
            return changes.update_credentials(c, instance_id, change.id, merge, vault.seal, vault.open)
        case "Credentials", "delete":
            changes.delete_credentials(c, instance_id, change.id)
        case "Assistant", "create":
            return changes.create_assistant(c, instance_id, merge({}))
        case "Assistant", "update":
            return changes.update_assistant(c, instance_id, change.id, merge)
        case "Assistant", "delete":
            changes.delete_assistant(c, instance_id, change.id)
        case "Bot", "create":
            return changes.create_bot(c, instance_id, merge({}))
        case "Bot", "update":
            return changes.update_bot(c, instance_id, change.id, merge)
        case "Bot", "delete":
            changes.delete_bot(c, instance_id, change.id)
        case "Settings", "update":
            return changes.set_settings(c, instance_id, merge)
        case "Instance", "update":
            return msgspec.json.encode(changes.update_instance(c, instance_id, merge)).decode()
        case other:
            raise AssertionError(other)
    return None


def _id(row: str | None, change: Change) -> str:
    return str(decode(row)["id"]) if row else change.id


def _outcome(change: Change, row: str | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": 201 if change.action == "create" else 200, "id": _id(row, change)}
    if change.ref is not None:
        shown["ref"] = change.ref
    return {**shown, "row": msgspec.Raw(row.encode()) if row else None}
