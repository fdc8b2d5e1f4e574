"""Credentials: store, list, change, delete. Keys go in and never come out. After it `store/fleet.py`."""

from __future__ import annotations

from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import Fields, fitting, merged, read_body, valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, answer_list, answer_row, match
from reconciler.runtime.urls import check_urls

_BODY = "http/credentials"


async def create(call: Call) -> Response:
    """Store credentials. The answer shows the key's mask and fingerprint."""
    body = await valid_body(call.request, _BODY)
    check_urls(call.served.allow_private_urls, baseUrl=body.get("baseUrl"))
    return answer_row(call, await call.served.store.fleet.create_credentials(call.instance.id, body), 201)


async def find(call: Call) -> Response:
    """All credentials of the instance, oldest first."""
    return await answer_list(call, call.served.store.fleet.credentials)


async def update(call: Call) -> Response:
    """A new key, base URL or name under the same id; a field left out keeps its value."""
    patch = await read_body(call.request, _BODY)

    def merge(before: Fields) -> Fields:
        body = fitting(_BODY, merged(before, patch))
        check_urls(call.served.allow_private_urls, baseUrl=body.get("baseUrl"))
        return body

    id = call.path("openaiCredsId")
    fleet = call.served.store.fleet
    return answer_row(call, await fleet.update_credentials(call.instance.id, id, merge, match(call)))


async def delete(call: Call) -> Response:
    """Delete credentials that nothing uses."""
    id = call.path("openaiCredsId")
    await call.served.store.fleet.delete_credentials(call.instance.id, id, match(call))
    return json({"openaiCreds": {"id": id}})


ENDPOINTS = (
    Endpoint("POST", "/openai/creds/{instance}", create, _BODY, ok=201, says=(409, 422), answer="credentials"),
    Endpoint("GET", "/openai/creds/{instance}", find, says=(304, 400), query=PAGED, answer="credentials-list"),
    Endpoint(
        "PUT", "/openai/creds/{openaiCredsId}/{instance}", update, _BODY, says=(409, 412, 422), answer="credentials"
    ),
    Endpoint(
        "DELETE", "/openai/creds/{openaiCredsId}/{instance}", delete, says=(409, 412), answer="credentials-deleted"
    ),
)
