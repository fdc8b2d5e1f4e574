"""Sessions: which chats talk with a bot, and switching one chat. After it `store/chats.py`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from reconciler.model import Session
from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, Rows, Streamed, answer_rows, more, page
from reconciler.store.rows import timestamp

PART: Final = 100  # sessions read at once


async def change_status(call: Call) -> Response:
    """Open, pause, close or delete a chat's session; `count` is how many sessions that touched."""
    body = await valid_body(call.request, "http/change-status")
    jid, status = body["remoteJid"], body["status"]
    count = await call.served.chats.set_status(call.instance.id, jid, status, time.time())
    call.served.wake()
    shown: dict[str, Any] = {"remoteJid": jid, "status": status}
    if status == "delete":
        return json({"bot": shown})
    if status != "closed":
        shown["session"] = {"count": count}
    return json({"bot": {"instanceName": call.instance.name, "bot": shown}})


async def find(call: Call) -> Response:
    """The sessions of a bot, oldest first."""
    limit, offset = page(call)
    id, instance_id, chats = call.path("openaiBotId"), call.instance.id, call.served.chats
    await call.served.store.fleet.bot(instance_id, id)  # 404 for a bot that is not this instance's
    if limit >= 0:
        rows, _ = await chats.sessions_part(instance_id, id, _shown, 0, limit, offset)
        return Rows(rows, more(call, limit, offset, len(rows)))
    first, place = await chats.sessions_part(instance_id, id, _shown, 0, PART)

    async def rest() -> AsyncIterator[list[bytes]]:
        after, rows = place, first
        while len(rows) == PART:
            rows, after = await chats.sessions_part(instance_id, id, _shown, after, PART)
            if rows:
                yield rows

    return Streamed(first, rest(), {})


async def count(call: Call) -> Response:
    """How many sessions each bot has, by their status; bots without any are left out. It names nobody."""
    limit, offset = page(call)
    counts = await call.served.chats.counted(call.instance.id, limit, offset)
    return await answer_rows(counts, more(call, limit, offset, len(counts)))


def _shown(session: Session) -> bytes:
    return msgspec.json.encode(_row(session))


def _row(session: Session) -> dict[str, Any]:
    """A session as it is answered; `context` is JSON in a text, as clients of this API expect it."""
    history = [{"role": said.role, "content": said.text} for said in session.history]
    return {
        "id": session.id,
        "sessionId": session.jid,
        "remoteJid": session.jid,
        "pushName": session.push_name,
        "status": session.status,
        "awaitUser": session.await_user,
        "context": msgspec.json.encode({"history": history}).decode(),
        "type": "openai",
        "failure": session.failure,
        "createdAt": timestamp(session.created_at),
        "updatedAt": timestamp(session.active_at),
        "instanceId": session.instance_id,
        "parameters": None,
        "botId": session.bot_id,
    }


ENDPOINTS = (
    Endpoint("POST", "/openai/changeStatus/{instance}", change_status, "http/change-status", answer="status-changed"),
    Endpoint(
        "GET",
        "/openai/fetchSessions/{openaiBotId}/{instance}",
        find,
        personal=True,
        says=(400,),
        query=PAGED,
        answer="sessions",
    ),
    Endpoint("GET", "/openai/countSessions/{instance}", count, says=(400,), query=PAGED, answer="counts"),
)
