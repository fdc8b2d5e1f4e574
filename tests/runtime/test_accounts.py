"""Many instances, each with credentials of its own, answering through real model clients at once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from reconciler.egress import Gate
from reconciler.llm.breaker import LIMIT
from reconciler.llm.models import Models
from reconciler.model import Account, Heard, Secret
from tests.llm.fake_openai import chat, error, fake_openai
from tests.store.standing import Stand
from tests.talk.rows import everyone, line


@pytest.fixture
async def fake():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    stand.model = Models(None, seconds=60, pause=0.001, gate=Gate(["127.0.0.1"]))
    stand.engine = stand.new_engine()
    yield stand
    await stand.model.close()
    stand.close()


async def instance(stand, n, url, **fields):
    """An instance `i<n>` whose one bot's credentials have a key that names it."""
    whole = line(everyone(f"bot{n}", instance_id=f"i{n}", debounce_time=0, **fields))
    own = Account(
        id="creds", name="main", api_key=Secret(f"sk-tenant-{n}"), base_url=url, organization=None, project=f"prj-{n}"
    )
    row = msgspec.structs.replace(whole.instance, id=f"i{n}")
    await stand.lines.put(msgspec.structs.replace(whole, instance=row, accounts={"creds": own}))


async def write(stand, n, text):
    heard = Heard(
        id=stand.fresh(), instance_id=f"i{n}", jid="ana", from_me=False, push_name=None, kind="conversation",
        text=text, at=stand.now,
    )  # fmt: skip
    await stand.chats.accept([heard])


async def test_200_instances_at_once_each_with_its_own_key(stand, fake, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leaked: yes")
    fake.answers = [chat("At eight.")]
    await asyncio.gather(*(instance(stand, n, fake.url, delay_message=0) for n in range(200)))
    await asyncio.gather(*(write(stand, n, f"I am {n}") for n in range(200)))
    await stand.work()
    assert len(fake.seen) == 200
    for _, headers, body in fake.seen:
        n = body["messages"][-1]["content"].removeprefix("I am ")
        assert headers["authorization"] == f"Bearer sk-tenant-{n}"
        assert headers["openai-project"] == f"prj-{n}"
        assert "openai-organization" not in headers
        assert "leaked" not in str(headers).lower()
    for n in range(200):
        assert [one.text for one in await stand.chats.transcript(f"i{n}", "ana", None, 9)] == [f"I am {n}", "At eight."]


async def test_an_open_circuit_is_unknown_message_at_once_and_the_session_says_why(stand, fake):
    fake.answers = [error(503)]
    await instance(stand, 1, fake.url, unknown_message="Sorry?", delay_message=0)
    await instance(stand, 2, fake.url, unknown_message="Sorry?", delay_message=0)
    for _ in range(LIMIT):
        await write(stand, 1, "hi")
        await stand.work()
    sent = len(fake.seen)
    await write(stand, 1, "still there?")
    await stand.work()
    assert len(fake.seen) == sent
    said = [one.text for one in await stand.chats.transcript("i1", "ana", None, 99) if one.bot_id]
    assert said == ["Sorry?"] * (LIMIT + 1)
    failure = (await stand.chats.session("i1", "ana")).failure
    assert failure.startswith(f"{LIMIT} requests in a row failed, so none is sent for")
    assert failure.endswith("the model server answered 503")
    fake.answers = [chat("Here.")]
    await write(stand, 2, "and you?")  # another tenant of the same server is not held back
    await stand.work()
    assert (await stand.chats.transcript("i2", "ana", None, 9))[-1].text == "Here."
