"""The web channel: a customer writes, reads the chat, follows it as it goes on, and can be forgotten.

Before it come the chat page and programs; after it `store/chats.py` and, through `wake`, the turn engine.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from reconciler.model import Heard
from reconciler.runtime.answers import Response, json, unauthorized
from reconciler.runtime.body import valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.channels import web
from reconciler.runtime.lists import answer_rows, following, whole
from reconciler.store.changes import gone
from reconciler.store.chats import Said

_MOST: Final = 1000  # messages in one answer
_USUAL: Final = 100


async def accept(call: Call, heard: Heard) -> None:
    """Stores a message durably, then wakes who answers and who watches."""
    try:
        (new,) = await call.served.chats.accept([heard])
    except sqlite3.IntegrityError as error:
        raise gone() from error
    if new:
        call.served.wake()
        call.served.notices.publish((heard.instance_id, heard.jid))


async def write(call: Call) -> Response:
    """A customer writes; 202 as soon as the message is stored. The same messageId twice is one message."""
    body = await valid_body(call.request, "http/chat-message")
    if call.caller is not None and call.caller.jid not in (None, body["remoteJid"]):
        return unauthorized()
    id = body.get("messageId") or uuid.uuid4().hex.upper()
    await accept(call, web.heard(body, call.instance.id, id, time.time()))
    return json({"messageId": id}, 202)


async def read(call: Call) -> Response:
    """The chat so far, oldest first; `?after=` a message's id, `?limit=` at most 1000."""
    limit = whole("limit", call.query("limit") or str(_USUAL), _MOST)
    said = await call.served.chats.transcript(call.instance.id, call.path("remoteJid"), call.query("after"), limit)
    newer = call.query("after") is not None and len(said) == limit
    return await answer_rows(said, following(call, after=said[-1].id, limit=limit) if newer else {})


async def follow(call: Call) -> Response:
    """The chat so far and what comes, as server-sent events; resumes after `Last-Event-ID` (or `?after=`).

    The stream ends when its key opens the chat no more, or the instance is deleted.
    """
    served, jid = call.served, call.path("remoteJid")
    instance_id = call.instance.id
    start = call.request.headers.get("last-event-id") or call.query("after")

    async def events() -> AsyncIterator[bytes]:
        after = start
        with served.notices.listen((instance_id, jid)) as news:
            while True:
                news.clear()
                while said := await served.chats.transcript(instance_id, jid, after, _USUAL):
                    after = said[-1].id
                    yield b"".join(_event(one) for one in said)
                await news.wait()

    def opens() -> bool:
        there = served.store.fleet.directory.by_id(instance_id) is not None
        return there and served.keys.found(call.request) == call.caller

    return served.streams.response(events, opens)


async def forget(call: Call) -> Response:
    """Forget a customer: messages, sessions, history."""
    jid = call.path("remoteJid")
    count = await call.served.chats.forget(call.instance.id, jid)
    call.served.notices.publish((call.instance.id, jid))
    return json({"chat": {"remoteJid": jid, "messages": count}})


def _event(said: Said) -> bytes:
    id = "".join(character for character in said.id if character.isprintable())
    return f"id: {id}\ndata: ".encode() + msgspec.json.encode(said) + b"\n\n"


ENDPOINTS = (
    Endpoint("POST", "/chat/{instance}", write, "http/chat-message", chat=True, ok=202, answer="message-taken"),
    Endpoint(
        "GET",
        "/chat/{instance}/{remoteJid}",
        read,
        chat=True,
        says=(400,),
        query=("after", "limit"),
        answer="transcript",
    ),
    Endpoint(
        "GET", "/chat/{instance}/{remoteJid}/events", follow, chat=True, query=("after",), answer="text/event-stream"
    ),
    Endpoint("DELETE", "/chat/{instance}/{remoteJid}", forget, answer="chat-forgotten"),
)
