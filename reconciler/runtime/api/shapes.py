"""What the API answers when all goes well, as JSON Schema: rows as `model.py` has them, and what is put around them.

The route table names these shapes; `api/describe.py` puts those that are used into the OpenAPI document. An answer may
hold more than its shape says, so that a client must not choke on a field it does not know.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from reconciler.model import Assistant, Bot, Credentials, Instance, Settings

Shape = dict[str, Any]

TEXT: Final[Shape] = {"type": "string"}
MAYBE: Final[Shape] = {"type": ["string", "null"]}
NUMBER: Final[Shape] = {"type": "integer"}
FLAG: Final[Shape] = {"type": "boolean"}
NOTHING: Final[Shape] = {"type": "null"}
ANY: Final[Shape] = {"type": "object"}


def fields(**properties: Shape) -> Shape:
    """An object with all of these fields."""
    return {"type": "object", "required": list(properties), "properties": properties}


def some(shape: Shape, **properties: Shape) -> Shape:
    """An object that may have these fields too."""
    return {**shape, "properties": {**shape["properties"], **properties}}


def of(name: str) -> Shape:
    """The shape of this name."""
    return {"$ref": f"#/components/schemas/{component(name)}"}


def component(name: str) -> str:
    """What a shape is called in the document, beside the bodies of `schemas/http`."""
    return f"{name}-answer"


def many(shape: Shape) -> Shape:
    return {"type": "array", "items": shape}


def _row(kind: type[msgspec.Struct], **more: Shape) -> Shape:
    """A row as its struct in `model.py` has it; rows are complete, so every field is there."""
    _, components = msgspec.json.schema_components((kind,))
    made = components[kind.__name__]
    told = {name: _plain({**one}) for name, one in made["properties"].items()} | more
    return fields(**told)


def _plain(shape: Shape) -> Shape:
    """One type with null beside it, where msgspec says a choice of the two; no defaults, for nothing is left out."""
    shape.pop("default", None)
    choice = shape.get("anyOf", [])
    if len(choice) == 2 and {"type": "null"} in choice:
        (one,) = [each for each in choice if each != {"type": "null"}]
        if isinstance(one.get("type"), str):
            return {**one, "type": [one["type"], "null"]}
    if "enum" in shape and None in shape["enum"]:
        return {"type": ["string", "null"], "enum": [*(each for each in shape["enum"] if each is not None), None]}
    return {"type": "string", **shape} if "enum" in shape else shape


_STATE: Final = {"type": "string", "enum": ["open"]}
_CREATED: Final = fields(
    instanceName=TEXT,
    instanceId=TEXT,
    integration=TEXT,
    webhookWaBusiness=NOTHING,
    accessTokenWaBusiness=TEXT,
    status=TEXT,
)
_TOKEN: Final = fields(id=TEXT, name=TEXT, access=TEXT, instance=MAYBE, createdAt=TEXT)
_SAID: Final = some(
    fields(id=TEXT, fromMe=FLAG, text=MAYBE, timestamp=NUMBER), mediaUrl=TEXT, botId=TEXT
)  # what is unset is left out
_INSTANCE: Final = _row(
    Instance, connectionStatus=_STATE, ownerJid=MAYBE, profileName=MAYBE, profilePicUrl=MAYBE, businessId=MAYBE
)
_LISTED: Final = fields(
    **_INSTANCE["properties"],
    clientName=TEXT,
    Setting=ANY,
    _count=fields(Message=NUMBER, Contact=NUMBER, Chat=NUMBER),
)
_SETTINGS: Final = _row(Settings, fallbackId=MAYBE)
_FALLBACK: Final = {"anyOf": [of("bot"), {"type": "null"}]}
_OWN: Final = ("id", "createdAt", "updatedAt", "instanceId", "openaiCredsId", "openaiIdFallback")
_CHANGE: Final = some(fields(status=NUMBER, id=TEXT, row={"type": ["object", "null"]}), ref=TEXT)
_SESSION: Final = fields(
    id=TEXT,
    sessionId=TEXT,
    remoteJid=TEXT,
    pushName=MAYBE,
    status={"type": "string", "enum": ["opened", "paused", "closed"]},
    awaitUser=FLAG,
    context={"type": "string", "description": 'JSON in a text: `{"history": [{"role", "content"}]}`.'},
    type=TEXT,
    failure=MAYBE,
    createdAt=TEXT,
    updatedAt=TEXT,
    instanceId=TEXT,
    parameters=NOTHING,
    botId=TEXT,
)

SHAPES: Final[dict[str, Shape]] = {
    "bot": _row(Bot),
    "bots": many(of("bot")),
    "bot-deleted": fields(bot=fields(id=TEXT)),
    "credentials": _row(Credentials),
    "credentials-list": many(of("credentials")),
    "credentials-deleted": fields(openaiCreds=fields(id=TEXT)),
    "assistant": _row(Assistant),
    "assistants": many(of("assistant")),
    "assistant-deleted": fields(assistant=fields(id=TEXT)),
    "settings": _SETTINGS,
    "settings-shown": some(
        fields(
            **{name: one for name, one in _SETTINGS["properties"].items() if name not in _OWN},
            Fallback=_FALLBACK,
            fallback=_FALLBACK,
        ),
        **{name: _SETTINGS["properties"][name] for name in _OWN},  # left out while no settings are set
    ),
    "ignored": fields(ignoreJids=many(TEXT)),
    "status-changed": fields(
        bot=some(
            {"type": "object", "properties": {}},
            remoteJid=TEXT,
            status=TEXT,
            instanceName=TEXT,
            bot=some(fields(remoteJid=TEXT, status=TEXT), session=fields(count=NUMBER)),
        )
    ),
    "session": _SESSION,
    "sessions": many(of("session")),
    "counts": many(fields(botId=TEXT, opened=NUMBER, paused=NUMBER, closed=NUMBER)),
    "models": many(some(fields(id=TEXT), object=TEXT, created=NUMBER, owned_by=TEXT, shutdown_date=MAYBE)),
    "instance": _INSTANCE,
    "instance-created": fields(
        instance=_CREATED, hash=TEXT, webhook=ANY, websocket=ANY, rabbitmq=ANY, nats=ANY, sqs=ANY, settings=ANY
    ),
    "instances": many(some(_LISTED, token=TEXT, webhookSecret=TEXT)),  # these two with the global key
    "instance-deleted": fields(status=TEXT, error=FLAG, response=fields(message=TEXT)),
    "connection-state": fields(instance=fields(instanceName=TEXT, state=_STATE)),
    "message-taken": fields(messageId=TEXT),
    "message-sent": fields(
        key=fields(remoteJid=TEXT, fromMe=FLAG, id=TEXT),
        pushName=TEXT,
        status=TEXT,
        message=fields(conversation=MAYBE),
        contextInfo=NOTHING,
        messageType=TEXT,
        messageTimestamp=NUMBER,
        instanceId=TEXT,
        source=TEXT,
    ),
    "transcript": many(_SAID),
    "chat-forgotten": fields(chat=fields(remoteJid=TEXT, messages=NUMBER)),
    "token-made": fields(**_TOKEN["properties"], token=TEXT),
    "tokens": many(_TOKEN),
    "token-deleted": fields(token=fields(id=TEXT)),
    "token-rotated": fields(instance=fields(instanceName=TEXT, instanceId=TEXT), hash=TEXT),
    "chat-token-made": fields(remoteJid=TEXT, token=TEXT, expiresAt=TEXT),
    "fleet-part": fields(
        etag=TEXT,
        instance=of("instance"),
        credentials=many(of("credentials")),
        settings={"anyOf": [of("settings"), {"type": "null"}]},
        assistants=many(of("assistant")),
        bots=many(of("bot")),
    ),
    "fleet": some(fields(instances=many(of("fleet-part"))), unchanged=many(TEXT)),
    "changes-made": fields(etag=TEXT, changes=many(_CHANGE)),
    "status": fields(status=TEXT),
    "verified": fields(status=NUMBER, message=TEXT),
    "welcome": fields(status=NUMBER, message=TEXT, version=TEXT, clientName=TEXT, manager=TEXT, documentation=TEXT),
}
