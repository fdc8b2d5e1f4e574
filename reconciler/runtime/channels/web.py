"""The web channel: what a customer or a colleague writes -> Heard. PURE.

Before it come `POST /chat/{instance}` and `POST /message/sendText/{instance}`, after it the inbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model import Heard, Instance

KIND = "conversation"


def heard(body: Mapping[str, Any], instance_id: str, message_id: str, at: float) -> Heard:
    """A customer's message that fits `schemas/http/chat-message`; `at` is seconds since the epoch."""
    return Heard(
        id=message_id,
        instance_id=instance_id,
        jid=body["remoteJid"],
        from_me=False,
        push_name=body.get("pushName") or None,
        kind=KIND,
        text=body["text"],
        at=at,
    )


def written(body: Mapping[str, Any], instance: Instance, message_id: str, at: float) -> Heard:
    """A message of the business itself that fits `schemas/http/send-text`."""
    return Heard(
        id=message_id,
        instance_id=instance.id,
        jid=chat_id(body["number"], instance),
        from_me=True,
        push_name=None,
        kind=KIND,
        text=body["text"],
        at=at,
        send=True,
    )


def chat_id(number: str, instance: Instance) -> str:
    """The chat that a number means: on a phone line its WhatsApp id, on the web channel the chat of that name."""
    digits = number.removeprefix("+")
    if instance.integration == "WEB" or not digits.isdecimal():
        return number
    return f"{digits}@s.whatsapp.net"
