"""ETags: by which a client says which state it has seen, and loses a race instead of undoing another's change.

Before it come the ETags of a request; after it `store/fleet.py`, which compares them inside the transaction that
changes the row, so that of two writers at once one loses. A tag here is the opaque text between the quotes. Two name a
row: its own (a digest of what is answered), and that of its instance, which lists carry. Source: RFC 9110, 8.8 and 13.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from reconciler.errors import Rejected
from reconciler.store.changes import Connection

ANY: Final = "*"
LOST: Final = "It was changed since you read it, or is not there: fetch it again, then repeat your change"


def row_tag(row: str | bytes) -> str:
    """The tag of one row as it is stored and answered."""
    return hashlib.blake2b(row.encode() if isinstance(row, str) else row, digest_size=12).hexdigest()


def check(
    c: Connection, table: str, instance_id: str, id: str | None, seen: tuple[str, ...], tag: Callable[[int], str]
) -> None:
    """Raises Rejected 412 unless the row's own tag or its instance's is among `seen` (`*`: any row that is there).

    `id` None: what an instance has one of, its Settings or itself. `tag` makes an instance's tag of its version.
    """
    of = "id" if table == "instances" else "instance_id"
    where, values = ("", (instance_id,)) if id is None else (" AND id=?", (instance_id, id))
    found = c.execute(f"SELECT row FROM {table} WHERE {of}=?{where}", values).fetchone()  # noqa: S608
    if found is None and id is not None:
        return  # the change itself answers 404
    if found is not None and (ANY in seen or row_tag(found["row"]) in seen):
        return
    version = c.execute("SELECT version FROM instances WHERE id=?", (instance_id,)).fetchone()
    if version is None or tag(version[0]) not in seen:
        raise Rejected(412, LOST)
