"""Rows as the HTTP API answers them: ids, times, and the fields of each kind in their order.

Before it come bodies that were found valid; after it `store/changes.py`, which writes the rows as the very JSON that
is answered.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from reconciler.model import DEFAULTS, fingerprint, mask

Fields = dict[str, Any]

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

INSTANCE: Final = ("integration", "number", "webhook", "retention")
CREDENTIALS: Final = ("name", "baseUrl", "organization", "project", "description")
ASSISTANT: Final = (
    "assistantId",
    "description",
    "instructions",
    "model",
    "temperature",
    "reasoningEffort",
    "tools",
    "metadata",
)
# The order in which Evolution API answers a bot's fields, then this project's own.
BOT: Final = (
    "enabled",
    "description",
    "botType",
    "assistantId",
    "functionUrl",
    "model",
    "systemMessages",
    "assistantMessages",
    "userMessages",
    "maxTokens",
    "expire",
    "keywordFinish",
    "delayMessage",
    "unknownMessage",
    "listeningFromMe",
    "stopBotFromMe",
    "keepOpen",
    "debounceTime",
    "splitMessages",
    "timePerChar",
    "ignoreJids",
    "triggerType",
    "triggerOperator",
    "triggerValue",
    "tools",
    "temperature",
    "reasoningEffort",
    "openaiCredsId",
)
SETTINGS: Final[Mapping[str, Any]] = {**DEFAULTS, "speechToText": False}


class _Ids:
    """Ids that sort by the time they were made, also within one millisecond and when the clock is set back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._count = 0

    def new(self) -> str:
        now = time.time_ns() // 1_000_000
        with self._lock:
            if now > self._last:
                self._last, self._count = now, 0
            else:
                self._count += 1
            moment, count = self._last, self._count
        return f"c{_base36(moment, 8)}{_base36(count, 4)}{_base36(secrets.randbelow(36**12), 12)}"


def _base36(number: int, width: int) -> str:
    out = ""
    for _ in range(width):
        number, rest = divmod(number, 36)
        out = _DIGITS[rest] + out
    return out


new_id: Final = _Ids().new


def timestamp(seconds: float | None = None) -> str:
    """A moment (seconds since the epoch, None: now) as rows show it: `2026-11-22T21:49:27.582Z`."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(row: Mapping[str, Any]) -> str:
    """A row as it is stored and answered."""
    return msgspec.json.encode(row).decode()


def decode(text: str) -> Fields:
    """A stored row's fields."""
    fields: Fields = msgspec.json.decode(text)
    return fields


def body_of(row: Mapping[str, Any], names: tuple[str, ...]) -> Fields:
    """The part of a row that a request's body can set, without what is unset."""
    return {name: row[name] for name in names if row.get(name) is not None}


def instance_row(id: str, name: str, body: Mapping[str, Any], created: str | None = None) -> Fields:
    """An instance. Channels of this runtime are always open; a phone line's own fields are null."""
    now = timestamp()
    return {
        "id": id,
        "name": name,
        "connectionStatus": "open",
        "ownerJid": None,
        "profileName": None,
        "profilePicUrl": None,
        "integration": body.get("integration") or "WEB",
        "number": body.get("number"),
        "businessId": None,
        "webhook": body.get("webhook"),
        "retention": body.get("retention"),
        "createdAt": created or now,
        "updatedAt": now,
    }


def credentials_row(
    id: str, instance_id: str, body: Mapping[str, Any], api_key: str, shown: str | None, created: str | None = None
) -> Fields:
    """Credentials with the key's mask and fingerprint; `shown` is the fingerprint so far, kept with the key."""
    now = timestamp()
    return {
        "id": id,
        "name": body["name"],
        "apiKey": mask(api_key),
        "fingerprint": shown or fingerprint(secrets.token_hex(8), api_key),
        **{name: body.get(name) for name in CREDENTIALS[1:]},
        "createdAt": created or now,
        "updatedAt": now,
        "instanceId": instance_id,
    }


def bot_row(id: str, instance_id: str, body: Mapping[str, Any], created: str | None = None) -> Fields:
    """A bot; what its body leaves out is null and comes from the Settings when it answers."""
    now = timestamp()
    fields = {name: body.get(name) for name in BOT}
    return {"id": id, **fields, "createdAt": created or now, "updatedAt": now, "instanceId": instance_id}


def assistant_row(id: str, instance_id: str, body: Mapping[str, Any], created: str | None = None) -> Fields:
    """An assistant; what its body leaves out is null."""
    now = timestamp()
    fields = {name: body.get(name) for name in ASSISTANT}
    return {"id": id, **fields, "createdAt": created or now, "updatedAt": now, "instanceId": instance_id}


def settings_row(
    id: str,
    instance_id: str,
    body: Mapping[str, Any],
    credentials_id: str | None,
    fallback_id: str | None,
    created: str | None = None,
) -> Fields:
    """Settings, complete: what the body leaves out has the built-in default."""
    now = timestamp()
    return {
        "id": id,
        **settings_fields(body),
        "createdAt": created or now,
        "updatedAt": now,
        "openaiCredsId": credentials_id,
        "openaiIdFallback": fallback_id,
        "instanceId": instance_id,
        "fallbackId": fallback_id,
    }


def settings_fields(body: Mapping[str, Any]) -> Fields:
    """The behaviour that Settings set, with the built-in defaults where they say nothing."""
    return {name: default if body.get(name) is None else body[name] for name, default in SETTINGS.items()}
