"""Payloads of the channels as Heard."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import Instance
from reconciler.runtime.channels import evolution, web

KEY = {"id": "1", "remoteJid": "5511@s.whatsapp.net", "fromMe": False}

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
