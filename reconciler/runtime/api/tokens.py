"""Keys that are made here: another token for an instance, tokens that read, tokens of one chat.

After it `store/tokens.py`, `store/fleet.py` and `runtime/keys.py`. Each is shown once, in the answer that makes it.
"""

from __future__ import annotations

import time
from typing import Any, Final

from reconciler.errors import Rejected
from reconciler.model import Instance
from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, answer_rows, part
from reconciler.store.rows import timestamp
from reconciler.store.tokens import Token

_DAY: Final = 24 * 3600


async def create(call: Call) -> Response:
    """Create a token that reads, of all instances or of one; `token` is shown in this answer only."""
    body = await valid_body(call.request, "http/token")
    instance = _named(call, body["instance"]) if "instance" in body else None
    made, key = await call.served.store.tokens.create(body["name"], body["access"], instance.id if instance else None)
    return json({**_row(call, made), "token": key}, 201)


async def find(call: Call) -> Response:
    """All tokens that read, oldest first, without what opens."""
    tokens, headers = part(call, call.served.store.tokens.all())
    return await answer_rows((_row(call, token) for token in tokens), headers)


async def delete(call: Call) -> Response:
    """Delete a token: it opens nothing from then on."""
    id = call.path("id")
    await call.served.store.tokens.delete(id)
    return json({"token": {"id": id}})


async def rotate(call: Call) -> Response:
    """Give an instance another token, `hash`; the one it had and all tokens of its chats stop at once.

    So do the event streams that were opened with them.
    """
    instance = _named(call, call.path("instance"))
    token = await call.served.store.fleet.rotate_token(instance.id)
    call.served.streams.review()
    return json({"instance": {"instanceName": instance.name, "instanceId": instance.id}, "hash": token})


async def of_chat(call: Call) -> Response:
    """Make a token that opens this chat alone, for `seconds` (a day where they are left out)."""
    body = await valid_body(call.request, "http/chat-token")
    until = time.time() + body.get("seconds", _DAY)
    jid = call.path("remoteJid")
    token = call.served.keys.chat_token(call.instance.id, jid, until)
    return json({"remoteJid": jid, "token": token, "expiresAt": timestamp(until)}, 201)


def _named(call: Call, name: str) -> Instance:
    if (instance := call.served.store.fleet.instance(name)) is None:
        raise Rejected(404, f'The "{name}" instance does not exist')
    return instance


def _row(call: Call, token: Token) -> dict[str, Any]:
    instance = call.served.store.fleet.directory.by_id(token.instance_id)
    return {
        "id": token.id,
        "name": token.name,
        "access": token.access,
        "instance": instance.name if instance else None,
        "createdAt": token.created_at,
    }


ENDPOINTS = (
    Endpoint("POST", "/tokens", create, "http/token", "global", ok=201, says=(404, 409), answer="token-made"),
    Endpoint("GET", "/tokens", find, access="global", says=(400,), query=PAGED, answer="tokens"),
    Endpoint("DELETE", "/tokens/{id}", delete, access="global", says=(404,), answer="token-deleted"),
    Endpoint("POST", "/instance/token/{instance}", rotate, access="global", says=(404,), answer="token-rotated"),
    Endpoint(
        "POST", "/chat/{instance}/{remoteJid}/token", of_chat, "http/chat-token", ok=201, answer="chat-token-made"
    ),
)
