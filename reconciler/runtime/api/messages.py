"""Messages of the business itself, sent by hand. After it the inbox, as for every message."""

from __future__ import annotations

import time
import uuid

from reconciler.runtime.answers import Response, json
from reconciler.runtime.api.chat import accept
from reconciler.runtime.body import valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.channels import web


async def send_text(call: Call) -> Response:
    """Send a text as the business: a human's message, with all that follows for the chat's bot."""
    body = await valid_body(call.request, "http/send-text")
    heard = web.written(body, call.instance, uuid.uuid4().hex.upper(), time.time())
    await accept(call, heard)
    shown = {
        "key": {"remoteJid": heard.jid, "fromMe": True, "id": heard.id},
        "pushName": "",
        "status": "PENDING",
        "message": {"conversation": heard.text},
        "contextInfo": None,
        "messageType": heard.kind,
        "messageTimestamp": int(heard.at),
        "instanceId": call.instance.id,
        "source": "unknown",
    }
    return json(shown, 201)


ENDPOINTS = (
    Endpoint("POST", "/message/sendText/{instance}", send_text, "http/send-text", ok=201, answer="message-sent"),
)
