"""Bots: create, list, fetch, update, delete. After it `store/fleet.py`."""

from __future__ import annotations

from reconciler.errors import Rejected
from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import Fields, fitting, merged, read_body, valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, answer_list, answer_row, match
from reconciler.runtime.urls import check_urls

_BODY = "http/bot"


async def create(call: Call) -> Response:
    """Create a bot."""
    body = fit_to_run(call, await valid_body(call.request, _BODY))
    return answer_row(call, await call.served.store.fleet.create_bot(call.instance.id, body), 201)


async def find(call: Call) -> Response:
    """All bots of the instance, oldest first."""
    return await answer_list(call, call.served.store.fleet.bots)


async def fetch(call: Call) -> Response:
    """One bot."""
    return answer_row(call, await call.served.store.fleet.bot(call.instance.id, call.path("openaiBotId")))


async def update(call: Call) -> Response:
    """Change a bot: a field left out keeps its value, null unsets it, and the whole that results must be valid."""
    patch = await read_body(call.request, _BODY)

    def merge(before: Fields) -> Fields:
        return fit_to_run(call, fitting(_BODY, merged(before, patch)))

    fleet = call.served.store.fleet
    return answer_row(call, await fleet.update_bot(call.instance.id, call.path("openaiBotId"), merge, match(call)))


async def delete(call: Call) -> Response:
    """Delete a bot and its sessions."""
    id = call.path("openaiBotId")
    await call.served.store.fleet.delete_bot(call.instance.id, id, match(call))
    return json({"bot": {"id": id}})


def fit_to_run(call: Call, body: Fields) -> Fields:
    """422 for a pattern that RE2 refuses, a rule that cannot be read, a functionUrl that may not be called."""
    from reconciler.talk.match import check_advanced, check_regex

    fault = None
    if body["triggerType"] == "keyword" and body["triggerOperator"] == "regex":
        fault = check_regex(body["triggerValue"])
    elif body["triggerType"] == "advanced":
        fault = check_advanced(body["triggerValue"])
    if fault is not None:
        raise Rejected(422, f"triggerValue: {fault}")
    check_urls(call.served.allow_private_urls, functionUrl=body.get("functionUrl"))
    return body


ENDPOINTS = (
    Endpoint("POST", "/openai/create/{instance}", create, _BODY, ok=201, says=(409, 422), answer="bot"),
    Endpoint("GET", "/openai/find/{instance}", find, says=(304, 400), query=PAGED, answer="bots"),
    Endpoint("GET", "/openai/fetch/{openaiBotId}/{instance}", fetch, says=(304,), answer="bot"),
    Endpoint("PUT", "/openai/update/{openaiBotId}/{instance}", update, _BODY, says=(409, 412, 422), answer="bot"),
    Endpoint("DELETE", "/openai/delete/{openaiBotId}/{instance}", delete, says=(412,), answer="bot-deleted"),
)
