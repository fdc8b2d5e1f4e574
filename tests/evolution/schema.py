"""The JSON schemas of Evolution API's OpenAI calls, and its validator's messages in its order.

Before it comes `app`, which has a body as an object; after it `rules`, which may rely on the types of these fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One property: its JSON type, the values it may have, the type of its items."""

    type: str
    enum: tuple[str, ...] = ()
    items: str = ""


class Schema(NamedTuple):
    """A body: properties, and those that it must have and, where nothing else is sent, may not be empty texts."""

    fields: Mapping[str, Field]
    required: tuple[str, ...]


_TEXT, _INTEGER, _FLAG, _TEXTS = Field("string"), Field("integer"), Field("boolean"), Field("array", items="string")

BOT = Schema(
    {
        "enabled": _FLAG,
        "description": _TEXT,
        "openaiCredsId": _TEXT,
        "botType": Field("string", ("assistant", "chatCompletion")),
        "assistantId": _TEXT,
        "functionUrl": _TEXT,
        "model": _TEXT,
        "systemMessages": _TEXTS,
        "assistantMessages": _TEXTS,
        "userMessages": _TEXTS,
        "maxTokens": _INTEGER,
        "triggerType": Field("string", ("all", "keyword", "none", "advanced")),
        "triggerOperator": Field("string", ("equals", "contains", "startsWith", "endsWith", "regex")),
        "triggerValue": _TEXT,
        "expire": _INTEGER,
        "keywordFinish": _TEXT,
        "delayMessage": _INTEGER,
        "unknownMessage": _TEXT,
        "listeningFromMe": _FLAG,
        "stopBotFromMe": _FLAG,
        "keepOpen": _FLAG,
        "debounceTime": _INTEGER,
        "ignoreJids": _TEXTS,
    },
    ("enabled", "openaiCredsId", "botType", "triggerType"),
)
CREDENTIALS = Schema({"name": _TEXT, "apiKey": _TEXT}, ("name", "apiKey"))
STATUS = Schema(
    {"remoteJid": _TEXT, "status": Field("string", ("opened", "closed", "paused", "delete"))}, ("remoteJid", "status")
)
IGNORE = Schema({"remoteJid": _TEXT, "action": Field("string", ("add", "remove"))}, ("remoteJid", "action"))
SETTINGS = Schema(
    {
        "openaiCredsId": _TEXT,
        "expire": _INTEGER,
        "keywordFinish": _TEXT,
        "delayMessage": _INTEGER,
        "unknownMessage": _TEXT,
        "listeningFromMe": _FLAG,
        "stopBotFromMe": _FLAG,
        "keepOpen": _FLAG,
        "debounceTime": _INTEGER,
        "speechToText": _FLAG,
        "ignoreJids": _TEXTS,
        "openaiIdFallback": _TEXT,
    },
    (
        "openaiCredsId",
        "expire",
        "keywordFinish",
        "delayMessage",
        "unknownMessage",
        "listeningFromMe",
        "stopBotFromMe",
        "keepOpen",
        "debounceTime",
        "ignoreJids",
    ),
)


def faults(schema: Schema, body: Mapping[str, Any]) -> list[str]:
    """What the validator says of a body; empty if it fits."""
    found = []
    for name, field in schema.fields.items():
        if name not in body:
            continue
        value = body[name]
        if not fits(value, field.type):
            found.append(f"{name} is not of a type(s) {field.type}")
        elif field.items:
            wrong = (i for i, item in enumerate(value) if not fits(item, field.items))
            found.extend(f"{name}[{i}] is not of a type(s) {field.items}" for i in wrong)
        if field.enum and value not in field.enum:
            found.append(f"{name} is not one of enum values: {','.join(field.enum)}")
    found.extend(f'instance requires property "{name}"' for name in schema.required if name not in body)
    if body.keys() <= set(schema.required):
        found.extend(f'The "{name}" cannot be empty' for name in schema.required if body.get(name) == "")
    return found


def fits(value: Any, type: str) -> bool:
    """Whether a JSON value has a JSON type; 10.0 is an integer."""
    match type:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
        case _:
            return isinstance(value, list)
