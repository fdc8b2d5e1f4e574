"""The universal inbound message of Evolution API -> Heard. PURE.

Before it comes `POST /webhook/evolution`, after it the inbox. The content has WhatsApp's own message types; what
can be read as text is taken out here, and the file that comes with it; everything else keeps its kind alone.
Source: WhatsApp's message types as Baileys has them (`WAProto`); `base64` and `mediaUrl` are Evolution API's own.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.model import Heard, Media

MEDIA_LIMIT: Final = 5 << 20  # bytes of a file
DOCUMENT_LIMIT: Final = 16 << 10  # bytes of a document that is read as text: what a history can hold
_URL_LIMIT: Final = 2048
_CARDS: Final = 10  # contacts of one message that are read

# Messages that only wrap another one.
_WRAPPERS: Final = (
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "documentWithCaptionMessage",
    "deviceSentMessage",
)
_CAPTIONED: Final = ("imageMessage", "videoMessage", "documentMessage")
# What is not said by anybody: receipts, keys, deletions; and a reaction, which asks for no answer.
_SILENT: Final = frozenset(
    {
        "protocolMessage",
        "senderKeyDistributionMessage",
        "messageContextInfo",
        "reactionMessage",
        "encReactionMessage",
        "pollUpdateMessage",
        "base64",
        "mediaUrl",
    }
)
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})  # what OpenAI's models see
_TEXTS: Final = re.compile(r"text/[\w.+-]+|application/(json|xml|yaml|x-yaml|csv)", re.ASCII)


def heard(payload: Mapping[str, Any], instance_id: str, at: float) -> Heard | None:
    """The message of a payload that fits `schemas/http/webhook-evolution`, or None where it holds none.

    `at` is seconds since the epoch when it arrived.
    """
    key, message = payload.get("key"), payload.get("message")
    if not isinstance(key, Mapping) or not isinstance(message, Mapping) or not message:
        return None
    content = _unwrapped(message)
    if not content.keys() - _SILENT:
        return None
    return Heard(
        id=key["id"],
        instance_id=instance_id,
        jid=key["remoteJid"],
        from_me=bool(key.get("fromMe")),
        push_name=payload.get("pushName") or None,
        kind=payload.get("messageType") or next((name for name in content if name.endswith("Message")), "conversation"),
        text=_text(content),
        at=at,
        media=_media(content, message),
    )


def _unwrapped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(len(_WRAPPERS)):
        inner = next((_at(message, name, "message") for name in _WRAPPERS if name in message), None)
        if not isinstance(inner, Mapping):
            break
        message = inner
    return message


# --- text ----------------------------------------------------------------------------------------------------


def _text(message: Mapping[str, Any]) -> str | None:
    """What a person reads in the message: its text, caption, the words of the chosen answer, a place, a contact."""
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
        _at(message, "interactiveResponseMessage", "body", "text"),
        *(
            _place(place)
            for name in ("locationMessage", "liveLocationMessage")
            if isinstance(place := message.get(name), Mapping)
        ),
        _contacts(message),
    ]
    return next((text for text in found if isinstance(text, str) and text.strip()), None)


def _place(place: Mapping[str, Any]) -> str | None:
    """`Location: Bistro, 1 Main St (-23.5, -46.6)`."""
    latitude, longitude = place.get("degreesLatitude"), place.get("degreesLongitude")
    numbers = all(isinstance(one, int | float) for one in (latitude, longitude))
    named = [text for text in (_word(place, "name"), _word(place, "address"), _word(place, "caption")) if text]
    if numbers and named:
        return f"Location: {', '.join(named)} ({latitude}, {longitude})"
    if numbers:
        return f"Location: {latitude}, {longitude}"
    return f"Location: {', '.join(named)}" if named else None


def _contacts(message: Mapping[str, Any]) -> str | None:
    """A line for each contact: `Contact: Ana Silva, +55 11 98888-7777, ana@example.com`."""
    several = _at(message, "contactsArrayMessage", "contacts")
    cards = [message.get("contactMessage"), *(several[:_CARDS] if isinstance(several, list) else ())]
    lines = []
    for card in cards:
        if isinstance(card, Mapping):
            vcard = _word(card, "vcard") or ""
            name = _word(card, "displayName") or next(iter(_fields(vcard, "FN")), None)
            parts = [part for part in (name, *_fields(vcard, "TEL"), *_fields(vcard, "EMAIL")) if part]
            if parts:
                lines.append(f"Contact: {', '.join(parts)}")
    return "\n".join(lines) or None


def _fields(vcard: str, name: str) -> list[str]:
    """The values of a field of a vCard (RFC 6350), which may be in a group and have parameters."""
    found = re.findall(rf"^(?:[\w-]+\.)?{name}(?:;[^:\r\n]*)?:([^\r\n]+)", vcard[:10_000], re.IGNORECASE | re.MULTILINE)
    return [value.strip() for value in found[:5] if value.strip()]


def _word(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value.strip() or None if isinstance(value, str) else None


# --- files ---------------------------------------------------------------------------------------------------


def _media(content: Mapping[str, Any], outer: Mapping[str, Any]) -> Media | None:
    """The file of a message that can be looked at, listened to or read; None for others, and for one that is too large.

    WhatsApp's own `url` is encrypted and of no use; the server that holds the line adds `base64` or `mediaUrl`.
    """
    for name, make in _MAKERS.items():
        if isinstance(own := content.get(name), Mapping):
            mime = (_word(own, "mimetype") or "").partition(";")[0].strip().lower()
            data = _bytes(content.get("base64") or outer.get("base64") or own.get("base64"))
            url = None if data else _url(content.get("mediaUrl") or outer.get("mediaUrl") or own.get("mediaUrl"))
            return make(own, mime, data, url) if data or url else None
    return None


def _image(_own: Mapping[str, Any], mime: str, data: bytes | None, url: str | None) -> Media | None:
    mime = mime or "image/jpeg"
    return Media(kind="image", mime=mime, data=data, url=url) if mime in _IMAGES else None


def _audio(_own: Mapping[str, Any], mime: str, data: bytes | None, url: str | None) -> Media | None:
    return Media(kind="audio", mime=mime or "audio/ogg", data=data, url=url)


def _document(own: Mapping[str, Any], mime: str, data: bytes | None, url: str | None) -> Media | None:
    if not _TEXTS.fullmatch(mime) or (data is not None and len(data) > DOCUMENT_LIMIT):
        return None
    name = _word(own, "fileName") or _word(own, "title")
    return Media(kind="document", mime=mime, data=data, url=url, name=name and name[:255])


_MAKERS: Final[dict[str, Callable[[Mapping[str, Any], str, bytes | None, str | None], Media | None]]] = {
    "imageMessage": _image,
    "audioMessage": _audio,
    "documentMessage": _document,
}


def _bytes(value: object) -> bytes | None:
    if not isinstance(value, str) or not value:
        return None
    if value.startswith("data:"):
        value = value.partition(",")[2]
    if len(value) > MEDIA_LIMIT * 4 / 3 + 4:
        return None
    try:
        data = binascii.a2b_base64(value, strict_mode=True)  # as b64decode(validate=True), nearly twice as fast
    except (binascii.Error, ValueError):
        return None
    return data if 0 < len(data) <= MEDIA_LIMIT else None


def _url(value: object) -> str | None:
    sound = isinstance(value, str) and len(value) <= _URL_LIMIT and re.match(r"https?://[^\s/]", value)
    return str(value) if sound else None


def _at(message: Mapping[str, Any], *path: str) -> Any:
    value: Any = message
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
