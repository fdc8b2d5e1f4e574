"""Payloads of the channels as Heard."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from reconciler.model import Instance, Media
from reconciler.runtime.channels import evolution, web

KEY = {"id": "1", "remoteJid": "5511@s.whatsapp.net", "fromMe": False}

CARD = "BEGIN:VCARD\nVERSION:3.0\nFN:Ana Silva\nitem1.TEL;waid=5511:+55 11 98888-7777\nEMAIL:ana@example.com\nEND:VCARD"
CONTACT = "Contact: Ana, +55 11 98888-7777, ana@example.com"

MESSAGES: list[tuple[str, dict[str, Any], str | None]] = [
    ("conversation", {"conversation": "start"}, "start"),
    ("extendedTextMessage", {"extendedTextMessage": {"text": "extended"}}, "extended"),
    ("imageMessage", {"imageMessage": {"url": "x", "caption": "what is this?"}, "base64": "aGk="}, "what is this?"),
    ("imageMessage", {"imageMessage": {"url": "x"}}, None),
    ("videoMessage", {"videoMessage": {"caption": "look"}}, "look"),
    ("documentMessage", {"documentMessage": {"caption": "my doc"}}, "my doc"),
    (
        "documentWithCaptionMessage",
        {"documentWithCaptionMessage": {"message": {"documentMessage": {"caption": "inside"}}}},
        "inside",
    ),
    ("ephemeralMessage", {"ephemeralMessage": {"message": {"conversation": "gone soon"}}}, "gone soon"),
    ("ephemeralMessage", {"ephemeralMessage": {"message": 5}}, None),
    ("listResponseMessage", {"listResponseMessage": {"title": "Pizza"}}, "Pizza"),
    ("listResponseMessage", {"listResponseMessage": {"singleSelectReply": {"selectedRowId": "row1"}}}, "row1"),
    ("buttonsResponseMessage", {"buttonsResponseMessage": {"selectedButtonId": "btn1"}}, "btn1"),
    (
        "buttonsResponseMessage",
        {"buttonsResponseMessage": {"selectedButtonId": "btn1", "selectedDisplayText": "Yes"}},
        "Yes",
    ),
    ("templateButtonReplyMessage", {"templateButtonReplyMessage": {"selectedId": "t1"}}, "t1"),
    ("interactiveResponseMessage", {"interactiveResponseMessage": {"body": {"text": "Book"}}}, "Book"),
    (
        "locationMessage",
        {"locationMessage": {"degreesLatitude": -23.5, "degreesLongitude": -46.6}},
        "Location: -23.5, -46.6",
    ),
    (
        "locationMessage",
        {"locationMessage": {"degreesLatitude": 1, "degreesLongitude": 2, "name": "Bistro", "address": " 1 Main St "}},
        "Location: Bistro, 1 Main St (1, 2)",
    ),
    ("liveLocationMessage", {"liveLocationMessage": {"caption": "on my way"}}, "Location: on my way"),
    ("locationMessage", {"locationMessage": {"degreesLatitude": "x"}}, None),
    ("contactMessage", {"contactMessage": {"displayName": "Ana", "vcard": CARD}}, CONTACT),
    ("contactMessage", {"contactMessage": {"vcard": CARD}}, CONTACT.replace("Ana,", "Ana Silva,")),
    (
        "contactsArrayMessage",
        {"contactsArrayMessage": {"contacts": [{"displayName": "Ana"}, 5, {}, {"displayName": "Rui"}]}},
        "Contact: Ana\nContact: Rui",
    ),
    ("audioMessage", {"audioMessage": {"url": "x"}}, None),
    ("stickerMessage", {"stickerMessage": {"url": "x"}}, None),
    ("conversation", {"conversation": "   "}, None),
    ("conversation", {"conversation": 5}, None),
]


@pytest.mark.parametrize(("kind", "message", "text"), MESSAGES)
def test_what_can_be_read(kind: str, message: dict[str, Any], text: str | None) -> None:
    payload = {"numberId": "1", "key": KEY, "pushName": "Ana", "message": message, "messageType": kind}
    heard = evolution.heard(payload, "i", 5.0)
    assert heard is not None
    assert (heard.id, heard.jid, heard.from_me, heard.push_name) == ("1", KEY["remoteJid"], False, "Ana")
    assert (heard.kind, heard.text, heard.at, heard.send) == (kind, text, 5.0, False)


def of(message: dict[str, Any], **fields: Any) -> Media | None:
    heard = evolution.heard({"key": KEY, "message": message, **fields}, "i", 5.0)
    assert heard is not None
    return heard.media


URL = "https://files.example/cat.jpg"
PICTURE = {"imageMessage": {"url": "https://mmg.example/x.enc", "mimetype": "image/jpeg"}}
VOICE = {"audioMessage": {"mimetype": "audio/ogg; codecs=opus"}}
NOTES = {"documentMessage": {"mimetype": "text/plain", "fileName": "menu.txt"}}
SHEET = {"documentMessage": {"mimetype": "application/pdf", "fileName": "menu.pdf"}}
LIMIT = evolution.MEDIA_LIMIT
BIG = base64.b64encode(b"x" * (LIMIT + 1)).decode()
LARGEST = base64.b64encode(b"x" * LIMIT).decode()
LONG = base64.b64encode(b"x" * (evolution.DOCUMENT_LIMIT + 1)).decode()
BY_URL = Media(kind="image", mime="image/jpeg", url=URL)
HELLO = Media(kind="image", mime="image/jpeg", data=b"hello")

FILES: list[tuple[str, dict[str, Any], Media | None]] = [
    ("image by URL", {**PICTURE, "mediaUrl": URL}, BY_URL),
    ("image in base64", {**PICTURE, "base64": "aGVsbG8="}, HELLO),
    ("base64 rather than a URL", {**PICTURE, "mediaUrl": URL, "base64": "aGVsbG8="}, HELLO),
    ("base64 with its type before it", {**PICTURE, "base64": "data:image/jpeg;base64,aGVsbG8="}, HELLO),
    ("image of no type", {"imageMessage": {}, "mediaUrl": URL}, BY_URL),
    ("image of a type that no model sees", {"imageMessage": {"mimetype": "image/tiff"}, "mediaUrl": URL}, None),
    ("neither URL nor base64", PICTURE, None),
    ("no base64", {**PICTURE, "base64": "***"}, None),
    ("no base64 but a URL", {**PICTURE, "base64": "***", "mediaUrl": URL}, BY_URL),
    ("empty", {**PICTURE, "base64": "data:,"}, None),
    ("as large as may be", {**PICTURE, "base64": LARGEST}, Media(kind="image", mime="image/jpeg", data=b"x" * LIMIT)),
    ("too large", {**PICTURE, "base64": BIG}, None),
    ("far too large", {**PICTURE, "base64": BIG + BIG}, None),
    ("no http", {**PICTURE, "mediaUrl": "file:///etc/passwd"}, None),
    ("a number", {**PICTURE, "mediaUrl": 5, "base64": 5}, None),
    ("a very long URL", {**PICTURE, "mediaUrl": URL + "x" * 3000}, None),
    ("voice", {**VOICE, "base64": "aGVsbG8="}, Media(kind="audio", mime="audio/ogg", data=b"hello")),
    ("voice of no type", {"audioMessage": {}, "mediaUrl": URL}, Media(kind="audio", mime="audio/ogg", url=URL)),
    (
        "text document",
        {**NOTES, "base64": "aGVsbG8="},
        Media(kind="document", mime="text/plain", data=b"hello", name="menu.txt"),
    ),
    ("text document too long", {**NOTES, "base64": LONG}, None),
    ("other document", {**SHEET, "base64": "aGVsbG8="}, None),
    ("inside a wrapper", {"viewOnceMessage": {"message": PICTURE}, "base64": "aGVsbG8="}, HELLO),
    ("sticker", {"stickerMessage": {"mimetype": "image/webp"}, "base64": "aGVsbG8="}, None),
    ("text", {"conversation": "x", "base64": "aGVsbG8="}, None),
]


@pytest.mark.parametrize(("case", "message", "media"), FILES, ids=[case for case, _, _ in FILES])
def test_files(case: str, message: dict[str, Any], media: Media | None) -> None:
    assert of(message) == media


@pytest.mark.parametrize(
    "message",
    [
        {"protocolMessage": {"type": 0}},
        {"reactionMessage": {"text": "👍"}},
        {"senderKeyDistributionMessage": {}, "messageContextInfo": {}},
        {"ephemeralMessage": {"message": {"protocolMessage": {}}}},
    ],
)
def test_what_nobody_said_is_no_message(message: dict[str, Any]) -> None:
    assert evolution.heard({"key": KEY, "message": message}, "i", 5.0) is None


def test_a_text_among_keys_is_a_message() -> None:
    message = {"senderKeyDistributionMessage": {}, "conversation": "hi", "messageContextInfo": {}}
    heard = evolution.heard({"key": KEY, "message": message}, "i", 5.0)
    assert heard is not None
    assert heard.text == "hi"


def test_payloads_without_a_type_or_a_message() -> None:
    heard = evolution.heard({"key": {**KEY, "fromMe": True}, "message": {"audioMessage": {}}}, "i", 5.0)
    assert heard is not None
    assert (heard.kind, heard.from_me, heard.push_name) == ("audioMessage", True, None)
    heard = evolution.heard({"key": KEY, "message": {"conversation": "x"}}, "i", 5.0)
    assert heard is not None
    assert heard.kind == "conversation"
    for payload in ({}, {"key": KEY}, {"key": KEY, "message": {}}, {"message": {"conversation": "x"}}):
        assert evolution.heard(payload, "i", 5.0) is None


def test_what_the_business_writes_is_sent() -> None:
    instance = Instance(id="i", name="n", integration="EVOLUTION", created_at="", updated_at="")
    written = web.written({"number": "5511", "text": "x"}, instance, "m", 1.0)
    assert (written.jid, written.from_me, written.send) == ("5511@s.whatsapp.net", True, True)
    heard = web.heard({"remoteJid": "ana", "text": "x", "pushName": "Ana"}, "i", "m", 1.0)
    assert (heard.jid, heard.from_me, heard.send, heard.push_name) == ("ana", False, False, "Ana")
