"""What an Evolution API server stores and refuses; no HTTP. The rules are told in the package's docstring.

Before it come `app`'s calls with bodies that fit their schema; after it, optionally, a JSON file. A request is one
call of one method and is atomic, which the real server's are not.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_COPIED = (
    "expire", "keywordFinish", "delayMessage", "unknownMessage", "listeningFromMe", "stopBotFromMe", "keepOpen",
    "debounceTime", "splitMessages", "timePerChar", "ignoreJids",
)  # fmt: skip
_BOT = (
    "enabled", "description", "botType", "assistantId", "functionUrl", "model", "systemMessages", "assistantMessages",
    "userMessages", "maxTokens", *_COPIED, "triggerType", "triggerOperator", "triggerValue",
)  # fmt: skip
_SETTINGS = (*_COPIED, "speechToText")
_LENGTHS = {
    "name": 255, "apiKey": 255, "description": 255, "assistantId": 255, "functionUrl": 500, "model": 100,
    "keywordFinish": 100, "unknownMessage": 100, "openaiIdFallback": 100,
}  # fmt: skip
_UNSET: Row = {
    "expire": 300,
    "keywordFinish": "bye",
    "delayMessage": 1000,
    "unknownMessage": "Sorry, I dont understand",
    "listeningFromMe": True,
    "stopBotFromMe": True,
    "keepOpen": False,
    "debounceTime": 1,
    "ignoreJids": [],
    "splitMessages": False,
    "timePerChar": 0,
    "fallbackId": "",
    "fallback": None,
}
_INSTANCE_SETTING = ("rejectCall", "groupsIgnore", "alwaysOnline", "readMessages", "readStatus", "syncFullHistory")
_INTEGRATIONS = ("EVOLUTION", "WHATSAPP-BAILEYS", "WHATSAPP-BUSINESS")
_REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 500: "Internal Server Error"}


class Refused(Exception):
    """A call that was refused: the status, and the message as it stands in the body."""

    def __init__(self, status: int, message: Any, *, error: str | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.body = {"status": status, "error": error or _REASONS[status], "response": {"message": message}}


class WriteFailed(Exception):
    """The database did not take a row."""


class Store:
    """All rows, in memory or also in `file`, which is written after every change and read at the start."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.instances: dict[str, Row] = {}  # by name
        self.credentials: dict[str, Row] = {}
        self.settings: dict[str, Row] = {}  # by the instance's id
        self.bots: dict[str, Row] = {}
        self.changes = 0
        if file is not None and file.exists():
            held = json.loads(file.read_text())
            self.instances, self.credentials = held["instances"], held["credentials"]
            self.settings, self.bots, self.changes = held["settings"], held["bots"], held["changes"]
        self._numbers = itertools.count(self.changes * 10 + 1)

    def _changed(self) -> None:
        self.changes += 1
        if self._file is not None:
            held = {"instances": self.instances, "credentials": self.credentials, "settings": self.settings}
            whole = self._file.with_suffix(".new")
            whole.write_text(json.dumps({**held, "bots": self.bots, "changes": self.changes}))
            whole.replace(self._file)

    def _new(self) -> Row:
        return {"id": f"cm{next(self._numbers):023d}"}

    # Instances

    def create_instance(self, body: Row) -> Row:
        name = body.get("instanceName")
        if name in self.instances or (name is None and self.instances):
            said = "undefined" if name is None else name
            raise Refused(403, [f'This name "{said}" is already in use.'])
        if name is None or body.get("integration") not in _INTEGRATIONS:
            raise Refused(400, ["Invalid integration"])
        status = "open" if body["integration"] == "EVOLUTION" else "close"
        token = body.get("token") or str(uuid.uuid4()).upper()
        setting: Row = {name: body.get(name) is True for name in _INSTANCE_SETTING}
        setting |= {name: body.get(name) or "" for name in ("msgCall", "wavoipToken")}
        id, now = str(uuid.uuid4()), _now()
        self.instances[name] = {
            "id": id,
            "name": name,
            "connectionStatus": status,
            "ownerJid": None,
            "profileName": None,
            "profilePicUrl": None,
            "integration": body["integration"],
            "number": body.get("number"),
            "businessId": body.get("businessId"),
            "token": token,
            "clientName": "evolution_exchange",
            "disconnectionReasonCode": None,
            "disconnectionObject": None,
            "disconnectionAt": None,
            "createdAt": now,
            "updatedAt": now,
            **dict.fromkeys(("Chatwoot", "Proxy", "Rabbitmq", "Nats", "Sqs", "Websocket")),
            "Setting": {**self._new(), **setting, "createdAt": now, "updatedAt": now, "instanceId": id},
            "_count": {"Message": 0, "Contact": 0, "Chat": 0},
        }
        self._changed()
        made = {"instanceName": name, "instanceId": id, "integration": body["integration"], "webhookWaBusiness": None}
        return {
            "instance": {**made, "accessTokenWaBusiness": "", "status": status},
            "hash": token,
            **{event: {} for event in ("webhook", "websocket", "rabbitmq", "nats", "sqs")},
            "settings": setting,
        }

    def fetch_instances(self, name: str | None, token: str | None) -> list[Row]:
        """All instances; one of a name; or, with an instance's token, that one."""
        if token is not None:
            return [row for row in self.instances.values() if row["token"] == token]
        if name and name not in self.instances:
            raise Refused(404, [f'Instance "{name}" not found'])
        return [self.instances[name]] if name else list(self.instances.values())

    def delete_instance(self, name: str) -> Row:
        """Deletes it with all it has; says so too where the database refuses, for settings elsewhere use its key."""
        id = self.instances[name]["id"]
        own = {row["id"] for row in self.credentials.values() if row["instanceId"] == id}
        if not any(row["openaiCredsId"] in own for key, row in self.settings.items() if key != id):
            self.settings.pop(id, None)
            for bot in [b for b in self.bots.values() if b["instanceId"] == id or b["openaiCredsId"] in own]:
                self._drop_bot(bot["id"])
            self.credentials = {key: row for key, row in self.credentials.items() if key not in own}
            del self.instances[name]
            self._changed()
        return {"status": "SUCCESS", "error": False, "response": {"message": "Instance deleted"}}

    # Credentials

    def create_credentials(self, instance: str, body: Row) -> Row:
        if not body["apiKey"]:
            raise Refused(400, ["API Key is required"])
        if not body["name"]:
            raise Refused(400, ["Name is required"])
        rows = self.credentials.values()
        if any(row["apiKey"] == body["apiKey"] for row in rows):
            raise Refused(400, ["This API key is already registered. Please use a different API key."])
        same = [row for row in rows if row["name"] == body["name"]]
        if any(row["instanceId"] == instance for row in same):
            raise Refused(400, ["This credential name is already in use. Please choose a different name."])
        with _or("Error creating openai creds"):
            _writable(body, ("name", "apiKey"))
            if same:
                raise WriteFailed
        now = _now()
        row = {**self._new(), "name": body["name"], "apiKey": body["apiKey"], "createdAt": now, "updatedAt": now}
        self.credentials[row["id"]] = {**row, "instanceId": instance}
        self._changed()
        return self.credentials[row["id"]]

    def find_credentials(self, instance: str) -> list[Row]:
        def bots(id: str) -> list[Row]:
            return [row for row in self.bots.values() if row["openaiCredsId"] == id]

        rows = self.credentials.values()
        return [{**row, "OpenaiAssistant": bots(row["id"])} for row in rows if row["instanceId"] == instance]

    def delete_credentials(self, instance: str, id: str) -> Row:
        if id not in self.credentials or self.credentials[id]["instanceId"] != instance:
            raise Refused(500, "Openai Creds not found")
        if any(row["openaiCredsId"] == id for row in self.settings.values()):
            raise Refused(500, "Error deleting openai creds")
        del self.credentials[id]
        for bot in [row for row in self.bots.values() if row["openaiCredsId"] == id]:
            self._drop_bot(bot["id"])
        self._changed()
        return {"openaiCreds": {"id": id}}

    # Settings

    def set_settings(self, instance: str, body: Row) -> Row:
        with _or("Error setting default settings"):
            row = self._written_settings(instance, body)
        self._changed()
        return {**row, "fallbackId": row["openaiIdFallback"]}

    def _written_settings(self, instance: str, body: Row) -> Row:
        creds, old = body.get("openaiCredsId"), self.settings.get(instance)
        if "fallbackId" in body and (creds or old is None):
            raise WriteFailed  # the ORM takes a relation or a bare id, not one of each
        if not creds and old is None:
            raise WriteFailed
        held = (row["openaiCredsId"] for key, row in self.settings.items() if key != instance)
        if creds and (creds not in self.credentials or creds in held):
            raise WriteFailed
        if body.get("fallbackId") is not None and body["fallbackId"] not in self.bots:
            raise WriteFailed
        _writable(body, _SETTINGS)
        now = _now()
        row = old or {
            **self._new(),
            **dict.fromkeys(_SETTINGS),
            "splitMessages": False,
            "timePerChar": 50,
            "speechToText": False,
            "createdAt": now,
            "updatedAt": now,
            "openaiCredsId": creds,
            "openaiIdFallback": None,
            "instanceId": instance,
        }
        row |= {field: body[field] for field in _SETTINGS if field in body}
        row |= {"openaiCredsId": creds or row["openaiCredsId"], "updatedAt": now}
        row["openaiIdFallback"] = body.get("fallbackId", row["openaiIdFallback"])
        self.settings[instance] = row
        return row

    def fetch_settings(self, instance: str) -> Row:
        if (row := self.settings.get(instance)) is None:
            return _UNSET
        fallback = self.bots.get(row["openaiIdFallback"])
        return {**row, "Fallback": fallback, "fallbackId": row["openaiIdFallback"], "fallback": fallback}

    def ignore(self, instance: str, body: Row) -> Row:
        if (row := self.settings.get(instance)) is None:
            raise Refused(500, "Error setting default settings")
        jids = row["ignoreJids"] or []
        if body["action"] == "add":
            jids = jids if body["remoteJid"] in jids else [*jids, body["remoteJid"]]
        else:
            jids = [jid for jid in jids if jid != body["remoteJid"]]
        row["ignoreJids"] = jids
        self._changed()
        return {"ignoreJids": jids}

    # Bots

    def create_bot(self, instance: str, body: Row) -> Row:
        if fault := self._lacking(body):
            raise Refused(500, fault)
        if body["botType"] == "chatCompletion" and abs(body["maxTokens"]) > 2**31 - 1:
            raise Refused(500, "\nInvalid `this.prismaRepository.integrationSession.findFirst()` invocation")
        if self._twin(instance, body):
            raise Refused(500, "Openai Bot already exists")
        if instance not in self.settings:
            self.set_settings(instance, _first_settings(body))
        if fault := self._taken(instance, body):
            raise Refused(500, fault)
        with _or("Error creating Openai"):
            self._check_bot(body)
        settings, now = self.settings[instance], _now()
        copied = {field: settings[field] for field in _COPIED if body.get(field) is None}
        row = {
            **self._new(),
            **{field: body.get(field) for field in _BOT},
            **copied,
            "createdAt": now,
            "updatedAt": now,
            "openaiCredsId": body["openaiCredsId"],
            "instanceId": instance,
        }
        self.bots[row["id"]] = row
        self._changed()
        return row

    def update_bot(self, instance: str, id: str, body: Row) -> Row:
        with _or("Error updating Openai"):
            if id not in self.bots or self.bots[id]["instanceId"] != instance:
                raise WriteFailed
            if self._lacking(body) or self._twin(instance, body, id) or self._taken(instance, body, id):
                raise WriteFailed
            self._check_bot(body)
        row = self.bots.pop(id)  # written anew: it comes last in the listing, as in a heap
        row |= {field: body[field] for field in _BOT if field in body}
        row |= {"openaiCredsId": body["openaiCredsId"], "updatedAt": _now()}
        self.bots[id] = row
        self._changed()
        return row

    def find_bots(self, instance: str) -> list[Row]:
        return [row for row in self.bots.values() if row["instanceId"] == instance]

    def delete_bot(self, instance: str, id: str) -> Row:
        if id not in self.bots or self.bots[id]["instanceId"] != instance:
            raise Refused(500, "Error deleting Openai bot")
        self._drop_bot(id)
        self._changed()
        return {"bot": {"id": id}}

    def _drop_bot(self, id: str) -> None:
        del self.bots[id]
        for row in self.settings.values():
            if row["openaiIdFallback"] == id:
                row["openaiIdFallback"] = None

    def _lacking(self, body: Row) -> str | None:
        if body["botType"] == "assistant":
            return None if body.get("assistantId") else "Assistant ID is required"
        if not body.get("model"):
            return "Model is required"
        return None if body.get("maxTokens") else "Max tokens is required"

    def _others(self, instance: str, id: str | None) -> Iterator[Row]:
        return (row for key, row in self.bots.items() if row["instanceId"] == instance and key != id)

    def _twin(self, instance: str, body: Row, id: str | None = None) -> bool:
        same = ("botType", "assistantId") if body["botType"] == "assistant" else ("botType", "model", "maxTokens")
        return any(all(row[field] == body[field] for field in same) for row in self._others(instance, id))

    def _taken(self, instance: str, body: Row, id: str | None = None) -> str | None:
        """Why the trigger cannot be had."""
        others = list(self._others(instance, id))
        operator, value = body.get("triggerOperator"), body.get("triggerValue")
        match body["triggerType"]:
            case "all" if any(row["enabled"] and row["triggerType"] == "all" for row in others):
                return 'You already have a Openai with an "All" trigger, you cannot have more bots while it is active'
            case "keyword" if not operator or not value:
                return "Trigger operator and value are required"
            case "keyword" if any((row["triggerOperator"], row["triggerValue"]) == (operator, value) for row in others):
                return "Trigger already exists"
            case "advanced" if not value:
                return "Trigger value is required"
            case "advanced" if any(row["triggerValue"] == value for row in others):
                return "Trigger already exists"
        return None

    def _check_bot(self, body: Row) -> None:
        if body["openaiCredsId"] not in self.credentials:
            raise WriteFailed
        _writable(body, _BOT)


def _first_settings(bot: Row) -> Row:
    """The settings that the first bot of an instance makes; its zeros and empty texts do not count."""
    falsy = ("expire", "keywordFinish", "delayMessage", "unknownMessage", "debounceTime", "ignoreJids")
    made = {field: bot.get(field) or _UNSET[field] for field in falsy}
    made |= {field: bot.get(field, _UNSET[field]) for field in ("listeningFromMe", "stopBotFromMe", "keepOpen")}
    return {**made, "openaiCredsId": bot["openaiCredsId"], "speechToText": False}


def _writable(body: Mapping[str, Any], columns: tuple[str, ...]) -> None:
    """Raises WriteFailed for what the columns cannot hold."""
    for name in columns:
        value = body.get(name)
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if any("\0" in text for text in texts) or (isinstance(value, str) and len(value) > _LENGTHS.get(name, 2**30)):
            raise WriteFailed
        if name == "timePerChar" and not (value is None or (isinstance(value, int) and not isinstance(value, bool))):
            raise WriteFailed
        if name == "splitMessages" and not (value is None or isinstance(value, bool)):
            raise WriteFailed
        if isinstance(value, int | float) and abs(value) > 2**31 - 1:
            raise WriteFailed


@contextmanager
def _or(message: str) -> Iterator[None]:
    try:
        yield
    except WriteFailed:
        raise Refused(500, message) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
