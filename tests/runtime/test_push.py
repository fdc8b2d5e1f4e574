"""Posting to a webhook: what is sent, and what a bad answer means."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.egress import Gate
from reconciler.model import Instance
from reconciler.runtime.channels.push import NotTaken, Webhooks, event
from reconciler.store.outbox import Push
from tests.llm.fake_openai import fake_openai
from tests.talk.rows import STAMP

PUSH = Push(1, "inst", "ana", "ID1", "hello", 1_700_000_000.25, 0)


def instance(webhook):
    return Instance(id="inst", name="Bistro_01", webhook=webhook, created_at=STAMP, updated_at=STAMP)


async def post(webhook, seconds=60.0):
    webhooks = Webhooks(seconds, gate=Gate(["127.0.0.1"]))
    try:
        return await webhooks.post(instance(webhook), PUSH)
    finally:
        await webhooks.close()


async def test_the_event_that_is_posted():
    async with fake_openai() as taker:
        taker.answers = [(200, {}, {})]
        await post(taker.url + "/hook")
        path, headers, body = taker.seen[0]
    assert path == "/hook"
    assert headers["idempotency-key"] == "ID1"
    assert "apikey" not in str(headers).lower() + str(body).lower()
    assert body == event(instance(taker.url), PUSH)
    assert body == {
        "event": "send.message",
        "instance": "Bistro_01",
        "data": {
            "key": {"id": "ID1", "remoteJid": "ana", "fromMe": True},
            "message": {"conversation": "hello"},
            "messageType": "conversation",
            "messageTimestamp": 1_700_000_000,
            "instanceId": "inst",
        },
        "date_time": "2023-11-14T22:13:20.250Z",
    }


@pytest.mark.parametrize(
    ("url", "text", "kind", "message"),
    [
        ("https://x/a.jpg", "The terrace", "imageMessage", {"imageMessage": {"caption": "The terrace"}}),
        ("https://x/a.pdf", "", "documentMessage", {"documentMessage": {}}),
        ("https://x/a", "", "documentMessage", {"documentMessage": {}}),
    ],
)
def test_a_file_is_posted_as_its_kind(url, text, kind, message):
    data = event(instance("http://x"), Push(1, "inst", "ana", "ID1", text, 0.0, 0, url))["data"]
    assert (data["messageType"], data["message"]) == (kind, {**message, "mediaUrl": url})


@pytest.mark.parametrize(
    ("case", "answer", "final"),
    [
        ("500", (500, {}, {}), False),
        ("429", (429, {}, {}), False),
        ("404", (404, {}, {}), True),
        ("a redirect is not followed", (302, {"location": "http://127.0.0.1:1"}, b""), False),
        ("reset", "reset", False),
        ("no answer", "hang", False),
    ],
)
async def test_not_taken(case, answer, final):
    async with fake_openai() as taker:
        taker.answers = [answer]
        with pytest.raises(NotTaken) as caught:
            await post(taker.url, 0.1 if answer == "hang" else 60.0)
        assert len(taker.seen) == 1
    assert caught.value.final is final


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "http://x:port/"])
async def test_no_address(address):
    with pytest.raises(NotTaken) as caught:
        await post(address)
    assert caught.value.final


async def test_an_address_that_hangs_takes_no_connection_of_another():
    webhooks = Webhooks(60.0, gate=Gate(["127.0.0.1"]))
    async with fake_openai() as hangs, fake_openai() as taker, asyncio.timeout(120):
        hangs.answers, taker.answers = ["hang"], [(200, {}, {})]
        hanging = [asyncio.create_task(webhooks.post(instance(hangs.url), PUSH)) for _ in range(120)]
        while len(hangs.seen) < 100:  # noqa: ASYNC110 - a fake server has no event for it
            await asyncio.sleep(0.01)
        await webhooks.post(instance(taker.url), PUSH)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    await webhooks.close()


async def test_closing_without_a_post():
    await Webhooks().close()


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"key": {"id": "WA1", "fromMe": True}, "status": "PENDING"}, "WA1"),
        ({}, None),
        ({"key": {"id": 7}}, None),
        (b"OK", None),
        (b"", None),
        (b"x" * 100_000, None),  # taken is taken, however much it says
    ],
)
async def test_the_id_under_which_it_was_taken_is_read_where_the_answer_names_one(answer, named, monkeypatch):
    monkeypatch.setattr("reconciler.runtime.channels.push._NAMED", 60.0)
    async with fake_openai() as taker:
        taker.answers = [(201, {}, answer)]
        assert await post(taker.url) == named
