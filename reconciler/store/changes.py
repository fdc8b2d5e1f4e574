"""What each change of the fleet does inside its transaction: rules that need the other rows, then the rows.

Before it comes `store/fleet.py`, which runs these on the writer's thread; after it the tables. Every function takes
the connection and returns the row as it is answered, or raises Rejected with the status and what to do. What must be
unique is kept so by the tables' own indexes; the look for who holds it comes after, for the message only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from reconciler.errors import Rejected
from reconciler.store import rows
from reconciler.store.rows import Fields, decode, encode
from reconciler.talk.match import trigger_key

Merge = Callable[[Fields], Fields]  # the fields so far -> the fields to be, valid as a whole, or Rejected
Connection = sqlite3.Connection


# --- credentials ---------------------------------------------------------------------------------------------


def create_credentials(c: Connection, instance_id: str, body: Fields, sealed: str) -> str:
    """New credentials. 409: the name is taken in the instance."""
    row = rows.credentials_row(rows.new_id(), instance_id, body, body["apiKey"], None)
    text = encode(row)
    try:
        c.execute("INSERT INTO credentials VALUES (?,?,?,?,?)", (row["id"], instance_id, row["name"], sealed, text))
    except sqlite3.IntegrityError as error:
        raise _named(error, row["name"]) from error
    return text


def update_credentials(
    c: Connection, instance_id: str, id: str, merge: Merge, seal: Callable[[str], str], open_: Callable[[str], str]
) -> str:
    """Credentials with what `merge` makes of them; its input and output hold the key in clear as `apiKey`."""
    found = c.execute("SELECT api_key, row FROM credentials WHERE instance_id=? AND id=?", (instance_id, id)).fetchone()
    if found is None:
        raise missing("credentials", id)
    before, key = decode(found["row"]), open_(found["api_key"])
    body = merge({**rows.body_of(before, rows.CREDENTIALS), "apiKey": key})
    same = body["apiKey"] == key
    row = rows.credentials_row(
        id, instance_id, body, body["apiKey"], before["fingerprint"] if same else None, before["createdAt"]
    )
    text, sealed = encode(row), found["api_key"] if same else seal(body["apiKey"])
    try:
        c.execute("UPDATE credentials SET name=?, api_key=?, row=? WHERE id=?", (row["name"], sealed, text, id))
    except sqlite3.IntegrityError as error:
        raise _named(error, row["name"]) from error
    return text


def delete_credentials(c: Connection, instance_id: str, id: str) -> None:
    """409: bots or the Settings still use them."""
    found = c.execute("SELECT 1 FROM credentials WHERE instance_id=? AND id=?", (instance_id, id)).fetchone()
    if found is None:
        raise missing("credentials", id)
    bots = c.execute("SELECT count(*) FROM bots WHERE credentials_id=?", (id,)).fetchone()[0]
    settings = c.execute("SELECT count(*) FROM settings WHERE credentials_id=?", (id,)).fetchone()[0]
    users = [f"{bots} bot{'s' if bots > 1 else ''}"] if bots else []
    users += ["the settings"] if settings else []
    if users:
        raise Rejected(409, f"These credentials are in use by {' and '.join(users)}: give them others first")
    c.execute("DELETE FROM credentials WHERE id=?", (id,))


def find_credentials(c: Connection, instance_id: str, wanted: str) -> str | None:
    """The id of the instance's credentials of this id or, where none has it, of this name."""
    found = c.execute(
        "SELECT id FROM credentials WHERE instance_id=? AND (id=? OR name=?) ORDER BY id=? DESC LIMIT 1",
        (instance_id, wanted, wanted, wanted),
    ).fetchone()
    return found[0] if found else None


def _named(error: sqlite3.IntegrityError, name: str) -> Exception:
    if "credentials.name" not in str(error):
        return error
    return Rejected(409, f'The credentials name "{name}" is already in use in this instance: choose another')


def _own_credentials(c: Connection, instance_id: str, wanted: str) -> str:
    if (id := find_credentials(c, instance_id, wanted)) is None:
        raise Rejected(422, "openaiCredsId is neither the id nor the name of credentials of this instance")
    return id


# --- bots ----------------------------------------------------------------------------------------------------


def create_bot(c: Connection, instance_id: str, body: Fields) -> str:
    """A new bot. 409: its trigger is another enabled bot's; 422: not this instance's credentials."""
    credentials = _own_credentials(c, instance_id, body["openaiCredsId"])
    id = rows.new_id()
    row = rows.bot_row(id, instance_id, {**body, "openaiCredsId": credentials})
    text, key = encode(row), _key(row)
    try:
        c.execute("INSERT INTO bots VALUES (?,?,?,?,?)", (id, instance_id, credentials, key, text))
    except sqlite3.IntegrityError as error:
        raise _taken(c, error, instance_id, key) from error
    return text


def update_bot(c: Connection, instance_id: str, id: str, merge: Merge) -> str:
    """A bot with what `merge` makes of it."""
    found = c.execute("SELECT row FROM bots WHERE instance_id=? AND id=?", (instance_id, id)).fetchone()
    if found is None:
        raise missing("bot", id)
    before = decode(found["row"])
    body = merge(rows.body_of(before, rows.BOT))
    credentials = _own_credentials(c, instance_id, body["openaiCredsId"])
    row = rows.bot_row(id, instance_id, {**body, "openaiCredsId": credentials}, before["createdAt"])
    text, key = encode(row), _key(row)
    try:
        c.execute("UPDATE bots SET credentials_id=?, trigger_key=?, row=? WHERE id=?", (credentials, key, text, id))
    except sqlite3.IntegrityError as error:
        raise _taken(c, error, instance_id, key) from error
    return text


def delete_bot(c: Connection, instance_id: str, id: str) -> None:
    """A bot with its sessions; where it is the fallback there is none afterwards."""
    if c.execute("SELECT 1 FROM bots WHERE instance_id=? AND id=?", (instance_id, id)).fetchone() is None:
        raise missing("bot", id)
    for found in c.execute("SELECT instance_id, row FROM settings WHERE fallback_id=?", (id,)).fetchall():
        row = {**decode(found["row"]), "openaiIdFallback": None, "fallbackId": None, "updatedAt": rows.timestamp()}
        c.execute(
            "UPDATE settings SET fallback_id=NULL, row=? WHERE instance_id=?", (encode(row), found["instance_id"])
        )
    c.execute("DELETE FROM bots WHERE id=?", (id,))


def _key(row: Fields) -> str | None:
    if not row["enabled"]:
        return None
    return trigger_key(row["triggerType"], row["triggerOperator"], row["triggerValue"])


def _taken(c: Connection, error: sqlite3.IntegrityError, instance_id: str, key: str | None) -> Exception:
    if "bots.trigger_key" not in str(error):
        return error
    holder = decode(
        c.execute("SELECT row FROM bots WHERE instance_id=? AND trigger_key=?", (instance_id, key)).fetchone()["row"]
    )
    who = f'"{holder["description"]}" ({holder["id"]})' if holder["description"] else holder["id"]
    if key == "all":
        return Rejected(409, f"The enabled bot {who} already has the trigger all: one bot of an instance can have it")
    return Rejected(409, f"The trigger is taken by the enabled bot {who}: choose another, or disable that bot first")


# --- assistants ----------------------------------------------------------------------------------------------


def create_assistant(c: Connection, instance_id: str, body: Fields) -> str:
    """A new assistant. 409: its assistantId is taken in the instance."""
    row = rows.assistant_row(rows.new_id(), instance_id, body)
    text = encode(row)
    try:
        c.execute("INSERT INTO assistants VALUES (?,?,?,?)", (row["id"], instance_id, row["assistantId"], text))
    except sqlite3.IntegrityError as error:
        raise _assisted(error, row["assistantId"]) from error
    return text


def update_assistant(c: Connection, instance_id: str, id: str, merge: Merge) -> str:
    """An assistant with what `merge` makes of it."""
    found = c.execute("SELECT row FROM assistants WHERE instance_id=? AND id=?", (instance_id, id)).fetchone()
    if found is None:
        raise missing("assistant", id)
    before = decode(found["row"])
    body = merge(rows.body_of(before, rows.ASSISTANT))
    row = rows.assistant_row(id, instance_id, body, before["createdAt"])
    text = encode(row)
    try:
        c.execute("UPDATE assistants SET assistant_id=?, row=? WHERE id=?", (row["assistantId"], text, id))
    except sqlite3.IntegrityError as error:
        raise _assisted(error, row["assistantId"]) from error
    return text


def delete_assistant(c: Connection, instance_id: str, id: str) -> None:
    """Bots that name its assistantId go on with their own messages and model."""
    if c.execute("DELETE FROM assistants WHERE instance_id=? AND id=?", (instance_id, id)).rowcount == 0:
        raise missing("assistant", id)


def _assisted(error: sqlite3.IntegrityError, assistant_id: str) -> Exception:
    if "assistants.assistant_id" not in str(error):
        return error
    return Rejected(409, f'The assistantId "{assistant_id}" is already in use in this instance: choose another')


# --- settings ------------------------------------------------------------------------------------------------


def set_settings(c: Connection, instance_id: str, merge: Merge) -> str:
    """The instance's Settings with what `merge` makes of them. 422: credentials or a fallback bot not its own."""
    found = c.execute("SELECT row FROM settings WHERE instance_id=?", (instance_id,)).fetchone()
    before: dict[str, Any] = decode(found["row"]) if found else {}
    body = merge(rows.body_of(before, (*rows.SETTINGS, "openaiCredsId", "fallbackId")))
    wanted, fallback = body.get("openaiCredsId"), body.get("fallbackId")
    credentials = _own_credentials(c, instance_id, wanted) if wanted else None
    if fallback:
        own = c.execute("SELECT 1 FROM bots WHERE instance_id=? AND id=?", (instance_id, fallback)).fetchone()
        if own is None:
            raise Rejected(422, "fallbackId is not the id of a bot of this instance")
    id = before.get("id") or rows.new_id()
    row = rows.settings_row(id, instance_id, body, credentials, fallback or None, before.get("createdAt"))
    text = encode(row)
    c.execute(
        "INSERT INTO settings VALUES (?,?,?,?) ON CONFLICT (instance_id) DO UPDATE SET"
        " credentials_id=excluded.credentials_id, fallback_id=excluded.fallback_id, row=excluded.row",
        (instance_id, credentials, fallback or None, text),
    )
    return text


# --- instances -----------------------------------------------------------------------------------------------


def create_instance(c: Connection, row: Fields, sealed: tuple[str, str, str, str]) -> None:
    """A new instance; `sealed`: its token and webhook secret, each sealed and digested."""
    try:
        c.execute(
            "INSERT INTO instances (id, name, number, token, token_digest, secret, secret_digest, row)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (row["id"], row["name"], row["number"], *sealed, encode(row)),
        )
    except sqlite3.IntegrityError as error:
        raise _known(error, row) from error


def update_instance(c: Connection, id: str, merge: Merge) -> Fields:
    """An instance with what `merge` makes of it."""
    found = c.execute("SELECT row FROM instances WHERE id=?", (id,)).fetchone()
    if found is None:
        raise gone()
    before = decode(found["row"])
    row = rows.instance_row(id, before["name"], merge(rows.body_of(before, rows.INSTANCE)), before["createdAt"])
    try:
        c.execute("UPDATE instances SET number=?, row=? WHERE id=?", (row["number"], encode(row), id))
    except sqlite3.IntegrityError as error:
        raise _known(error, row) from error
    return row


def rotate_token(c: Connection, id: str, sealed: str, digest: str) -> None:
    """Another token for an instance."""
    if c.execute("UPDATE instances SET token=?, token_digest=? WHERE id=?", (sealed, digest, id)).rowcount == 0:
        raise gone()


def _known(error: sqlite3.IntegrityError, row: Fields) -> Exception:
    text = str(error)
    if "instances.name" in text:
        return Rejected(409, f'This name "{row["name"]}" is already in use.')
    if "instances.number" in text:
        return Rejected(409, f"The number {row['number']} is another instance's: messages could not be told apart")
    if "instances.token_digest" in text:
        return Rejected(409, "This token is another instance's: choose another, or leave it out")
    return error


def delete_instance(c: Connection, id: str) -> None:
    """An instance with everything in it."""
    if c.execute("DELETE FROM instances WHERE id=?", (id,)).rowcount == 0:
        raise gone()


def there(c: Connection, id: str, cause: Exception) -> None:
    """Raises Rejected 404 where an instance was deleted while a change of it was waiting."""
    if c.execute("SELECT 1 FROM instances WHERE id=?", (id,)).fetchone() is None:
        raise gone() from cause


def gone() -> Rejected:
    """404 for an instance that was there a moment ago."""
    return Rejected(404, "The instance does not exist any more")


def missing(kind: str, id: str) -> Rejected:
    """404 for something that is not there, or is another instance's."""
    return Rejected(404, f'The {kind} "{id}" does not exist in this instance')
