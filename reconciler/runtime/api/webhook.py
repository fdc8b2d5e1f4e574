"""Inbound messages from an Evolution API server. After it the inbox and, through `wake`, the turn engine."""

from __future__ import annotations

import time
from typing import Final

from reconciler.errors import Rejected
from reconciler.model import Instance
from reconciler.runtime.answers import Response, json, unauthorized
from reconciler.runtime.api.chat import accept
from reconciler.runtime.body import fitting, merged, read_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.channels import evolution

_BODY: Final = "http/webhook-evolution"
_LIMIT: Final = 8 << 20  # bytes of a body: a file of 5 MiB in base64, and what is around it


async def by_number(call: Call) -> Response:
    """A message for the instance whose number is `numberId`; answered once it is stored."""
    assert call.caller is not None
    body = fitting(_BODY, merged({}, await read_body(call.request, _BODY, _LIMIT)))
    instance = call.served.store.fleet.instance_by_number(body["numberId"])
    if not call.caller.opens(instance.id if instance else None):
        return unauthorized()
    if instance is None:
        raise Rejected(404, f'No instance has the number "{body["numberId"]}"')
    return await _take(call, body, instance)


async def by_secret(call: Call) -> Response:
    """A message for the instance whose webhook secret is in the path; the secret is the key."""
    instance = call.served.store.fleet.instance_by_secret(call.path("secret"))
    if instance is None:
        return unauthorized()
    read = merged({}, await read_body(call.request, _BODY, _LIMIT))
    return await _take(call, fitting(_BODY, {"numberId": "", **read}), instance)


async def _take(call: Call, body: dict[str, object], instance: Instance) -> Response:
    heard = evolution.heard(body, instance.id, time.time())
    if heard is not None:
        await accept(call, heard)
    return json({"status": "success"})


ENDPOINTS = (
    Endpoint("POST", "/webhook/evolution", by_number, _BODY, "any", says=(404,), answer="status"),
    Endpoint(
        "POST", "/webhook/evolution/{secret}", by_secret, _BODY, "open", guessed="path", says=(404,), answer="status"
    ),
)
