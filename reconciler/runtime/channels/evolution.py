"""The universal inbound message of Evolution API -> Heard. PURE.

Before it comes `POST /webhook/evolution`, after it the inbox. The content has WhatsApp's own message types; what
can be read as text is taken out here, everything else gives no text and keeps its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.model import Heard

# Messages that only wrap another one.
_WRAPPERS: Final = (
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "documentWithCaptionMessage",
    "deviceSentMessage",
)
_CAPTIONED: Final = ("imageMessage", "videoMessage", "documentMessage")


def heard(payload: Mapping[str, Any], instance_id: str, at: float) -> Heard | None:
    """The message of a payload that fits `schemas/http/webhook-evolution`, or None where it holds none.

    `at` is seconds since the epoch when it arrived.
    """
    key, message = payload.get("key"), payload.get("message")
    if not isinstance(key, Mapping) or not isinstance(message, Mapping) or not message:
        return None
    content = _unwrapped(message)
    return Heard(
        id=key["id"],
        instance_id=instance_id,
        jid=key["remoteJid"],
        from_me=bool(key.get("fromMe")),
        push_name=payload.get("pushName") or None,
        kind=payload.get("messageType") or next((name for name in content if name.endswith("Message")), "conversation"),
        text=_text(content),
        at=at,
    )


def _unwrapped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(len(_WRAPPERS)):
        inner = next((_at(message, name, "message") for name in _WRAPPERS if name in message), None)
        if not isinstance(inner, Mapping):
            break
        message = inner
    return message


def _text(message: Mapping[str, Any]) -> str | None:
    """What a person reads in the message: its text, caption, or the words of the chosen answer."""
    found = [
        message.get("conversation"),
        _at(message, "extendedTextMessage", "text"),
        *(_at(message, name, "caption") for name in _CAPTIONED),
        _at(message, "listResponseMessage", "title"),
        _at(message, "listResponseMessage", "singleSelectReply", "selectedRowId"),
        _at(message, "buttonsResponseMessage", "selectedDisplayText"),
        _at(message, "buttonsResponseMessage", "selectedButtonId"),
        _at(message, "templateButtonReplyMessage", "selectedDisplayText"),
        _at(message, "templateButtonReplyMessage", "selectedId"),
    ]
    return next((text for text in found if isinstance(text, str) and text.strip()), None)


def _at(message: Mapping[str, Any], *path: str) -> Any:
    value: Any = message
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
