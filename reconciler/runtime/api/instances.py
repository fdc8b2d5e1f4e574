"""Instances: create, list, state, change, delete. After it `store/fleet.py`."""

from __future__ import annotations

from typing import Any, Final

from reconciler.errors import Rejected
from reconciler.runtime.answers import Response, json, unauthorized
from reconciler.runtime.body import Fields, fitting, merged, read_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, answer_found, answer_row, match, part, quoted
from reconciler.runtime.urls import check_urls
from reconciler.store.directory import Held

_BODY = "http/instance"

# What a phone line can be set to on an Evolution API server; here it has these values and cannot be changed.
_LINE: Final = {
    "rejectCall": False,
    "msgCall": "",
    "groupsIgnore": False,
    "alwaysOnline": False,
    "readMessages": False,
    "readStatus": False,
    "syncFullHistory": False,
    "wavoipToken": "",
}


# What an Evolution API server also says of an instance; there is none of it here.
_ABSENT: Final = dict.fromkeys(
    (
        "disconnectionReasonCode",
        "disconnectionObject",
        "disconnectionAt",
        "Chatwoot",
        "Proxy",
        "Rabbitmq",
        "Nats",
        "Sqs",
        "Websocket",
    )
)


async def create(call: Call) -> Response:
    """Create an instance; `hash` is its token, the ETag its state."""
    body = fit_to_run(call, fitting(_BODY, flat_webhook(merged({}, await read_body(call.request, _BODY)))))
    if call.served.keys.is_global(body.get("token", "")):
        raise Rejected(409, "This token is in use: choose another, or leave it out")
    instance, token = await call.served.store.fleet.create_instance(body)
    shown = {
        "instance": {
            "instanceName": instance.name,
            "instanceId": instance.id,
            "integration": instance.integration,
            "webhookWaBusiness": None,
            "accessTokenWaBusiness": "",
            "status": "open",
        },
        "hash": token,
        "webhook": {"webhookUrl": instance.webhook} if instance.webhook else {},
        "websocket": {},
        "rabbitmq": {},
        "nats": {},
        "sqs": {},
        "settings": _LINE,
    }
    return json(shown, 201, {"ETag": quoted(call.served.store.fleet.version_of(instance.id))})


async def find(call: Call) -> Response:
    """All instances with the global key, token and webhook secret of each among it; its own with an instance's key.

    `?instanceName=` and `?instanceId=` choose one.
    """
    assert call.caller is not None
    fleet = call.served.store.fleet
    name, id = call.query("instanceName"), call.query("instanceId")
    chosen = [
        held
        for held in fleet.directory.all()
        if call.caller.opens(held.instance.id) and name in (None, held.instance.name) and id in (None, held.instance.id)
    ]
    if not chosen and (name or id):
        if call.caller.instance_id is not None:
            return unauthorized()
        raise Rejected(404, f'The "{name or id}" instance does not exist')
    one = chosen[0].instance.id if len(chosen) == 1 else None
    shown, headers = part(call, chosen)
    counts = await fleet.counts(one)
    everything = call.caller.everything
    rows = (_row(call, held, everything, *counts.get(held.instance.id, (0, 0))) for held in shown)
    return await answer_found(call, rows, headers)


async def state(call: Call) -> Response:
    """Whether the instance's channel is connected: here always `open`."""
    return json({"instance": {"instanceName": call.instance.name, "state": "open"}})


async def update(call: Call) -> Response:
    """Change integration, number, webhook or retention; a field left out keeps its value, null unsets it."""
    patch = await read_body(call.request, _BODY)
    name = call.instance.name

    def merge(before: Fields) -> Fields:
        return patched(call, name, before, patch)

    return answer_row(call, await call.served.store.fleet.update_instance(call.instance.id, merge, match(call)))


async def delete(call: Call) -> Response:
    """Delete an instance with everything in it."""
    await call.served.store.fleet.delete_instance(call.instance.id, match(call))
    call.served.store.tokens.let_go(call.instance.id)
    call.served.streams.review()
    return json({"status": "SUCCESS", "error": False, "response": {"message": "Instance deleted"}})


def _row(call: Call, held: Held, everything: bool, messages: int, chats: int) -> dict[str, Any]:
    row, id = held.row, held.instance.id
    token, secret = call.served.store.fleet.secrets_of(held) if everything else (None, None)
    setting = {"createdAt": row["createdAt"], "updatedAt": row["createdAt"], "instanceId": id}
    shown = {
        **row,
        "token": token,
        "webhookSecret": secret,
        "clientName": "reconciler",
        **_ABSENT,
        "Setting": {"id": id, **_LINE, **setting},
        "_count": {"Message": messages, "Contact": chats, "Chat": chats},
    }
    if not everything:
        del shown["token"], shown["webhookSecret"]
    return shown


def patched(call: Call, name: str, before: Fields, patch: Fields) -> Fields:
    """The fields to be of the instance `name`: name and token cannot be changed here."""
    taken = {field: value for field, value in patch.items() if field not in ("instanceName", "token")}
    return fit_to_run(call, fitting(_BODY, flat_webhook(merged({**before, "instanceName": name}, taken))))


def flat_webhook(body: Fields) -> Fields:
    """`webhook` as an address, also where it came as an object with one."""
    webhook = body.get("webhook")
    if not isinstance(webhook, dict):
        return body
    url = webhook.get("url")
    return merged(body, {"webhook": url or None})


def fit_to_run(call: Call, body: Fields) -> Fields:
    check_urls(call.served.allow_private_urls, webhook=body.get("webhook"))
    return body


ENDPOINTS = (
    Endpoint("POST", "/instance/create", create, _BODY, "global", ok=201, says=(409, 422), answer="instance-created"),
    Endpoint(
        "GET",
        "/instance/fetchInstances",
        find,
        access="any",
        says=(304, 400, 404),
        query=("instanceName", "instanceId", *PAGED),
        answer="instances",
    ),
    Endpoint("GET", "/instance/connectionState/{instance}", state, answer="connection-state"),
    Endpoint("PUT", "/instance/update/{instance}", update, _BODY, says=(409, 412, 422), answer="instance"),
    Endpoint("DELETE", "/instance/delete/{instance}", delete, says=(412,), answer="instance-deleted"),
)
