"""Files of messages: kept from the inbox until the turn that reads them is over, then deleted (by a trigger).

Before it comes `Chats.accept`; after it `runtime/reading.py`. They are not in the messages' rows, so that neither a
claim nor a transcript carries them. All functions run in a transaction of the store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from reconciler.model import Media

_FETCHED: Final = 1 << 20  # bytes that a file by its address counts


def keep(connection: sqlite3.Connection, seq: int, media: Media) -> None:
    """Stores the file of the message with the place `seq` in the transcript."""
    connection.execute(
        "INSERT INTO media (seq, kind, mime, url, name, data) VALUES (?, ?, ?, ?, ?, ?)",
        (seq, media.kind, media.mime, media.url, media.name, media.data),
    )


def load(connection: sqlite3.Connection, seqs: Sequence[int], most: int) -> dict[int, Media]:
    """The files of messages, by their place in the transcript; the newest, of `most` bytes together.

    One that is still to be fetched counts 1 MiB, so that a turn of hundreds fetches as many as a turn should; an image
    by its address, which the model's server fetches, counts nothing.
    """
    found: dict[int, Media] = {}
    for seq in sorted(seqs, reverse=True):
        row = connection.execute(
            "SELECT kind, mime, url, name, data, coalesce(length(data), iif(kind = 'image', 0, ?)) AS size FROM media"
            " WHERE seq = ? AND size <= ?",
            (_FETCHED, seq, most),
        ).fetchone()
        if row is not None:
            kind, mime, url, name, data, size = row
            found[seq] = Media(kind=kind, mime=mime, url=url, name=name, data=data)
            most -= size
    return found
