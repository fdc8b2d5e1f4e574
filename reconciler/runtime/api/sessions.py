"""Sessions: which chats talk with a bot, and switching one chat. After it `store/chats.py`."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from reconciler.model import Session
from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.store.rows import timestamp


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
    """The sessions of a bot."""
    id = call.path("openaiBotId")
    await call.served.store.fleet.bot(call.instance.id, id)  # 404 for a bot that is not this instance's
    return json([_row(session) for session in await call.served.chats.sessions(call.instance.id, id)])


async def count(call: Call) -> Response:
    """How many sessions each bot has, by their status; bots without any are left out. It names nobody."""
    return json(await call.served.chats.counted(call.instance.id))


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
    Endpoint("GET", "/openai/fetchSessions/{openaiBotId}/{instance}", find, personal=True, answer="sessions"),
    Endpoint("GET", "/openai/countSessions/{instance}", count, answer="counts"),
)
