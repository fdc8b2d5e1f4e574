"""Assistants: what bots of type assistant run, named as the bots' calls are. After it `store/fleet.py`."""

from __future__ import annotations

from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import Fields, fitting, merged, read_body, valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, answer_list, answer_row, match

_BODY = "http/assistant"


async def create(call: Call) -> Response:
    """Create an assistant."""
    body = await valid_body(call.request, _BODY)
    return answer_row(call, await call.served.store.fleet.create_assistant(call.instance.id, body), 201)


async def find(call: Call) -> Response:
    """All assistants of the instance, oldest first."""
    return await answer_list(call, call.served.store.fleet.assistants)


async def fetch(call: Call) -> Response:
    """One assistant."""
    return answer_row(call, await call.served.store.fleet.assistant(call.instance.id, call.path("id")))


async def update(call: Call) -> Response:
    """Change an assistant; a field left out keeps its value, null unsets it."""
    patch = await read_body(call.request, _BODY)

    def merge(before: Fields) -> Fields:
        return fitting(_BODY, merged(before, patch))

    fleet = call.served.store.fleet
    return answer_row(call, await fleet.update_assistant(call.instance.id, call.path("id"), merge, match(call)))


async def delete(call: Call) -> Response:
    """Delete an assistant."""
    id = call.path("id")
    await call.served.store.fleet.delete_assistant(call.instance.id, id, match(call))
    return json({"assistant": {"id": id}})


ENDPOINTS = (
    Endpoint("POST", "/openai/assistants/create/{instance}", create, _BODY, ok=201, says=(409,), answer="assistant"),
    Endpoint("GET", "/openai/assistants/find/{instance}", find, says=(304, 400), query=PAGED, answer="assistants"),
    Endpoint("GET", "/openai/assistants/fetch/{id}/{instance}", fetch, says=(304,), answer="assistant"),
    Endpoint("PUT", "/openai/assistants/update/{id}/{instance}", update, _BODY, says=(409, 412), answer="assistant"),
    Endpoint("DELETE", "/openai/assistants/delete/{id}/{instance}", delete, says=(412,), answer="assistant-deleted"),
)
