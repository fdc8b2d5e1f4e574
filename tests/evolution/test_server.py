"""What the recording does not show of the server: rules read from the source, its file, its faults, its command."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.evolution.faults import KINDS, Kind
from tests.evolution.rules import Refused, Row, Store
from tests.evolution.serve import KEY, Server, serving

EVOLUTION = {"instanceName": "bistro", "integration": "EVOLUTION"}


class Bistro:
    """A store with one instance and one account, `make` for bots on it."""

    def __init__(self) -> None:
        self.store = Store()
        self.store.create_instance(EVOLUTION)
        self.id = self.store.instances["bistro"]["id"]
        self.creds = self.store.create_credentials(self.id, {"name": "main", "apiKey": "sk-1"})["id"]
        self.tokens = 0

    def body(self, **fields: Any) -> Row:
        self.tokens += 1
        chat = {"enabled": True, "botType": "chatCompletion", "model": "gpt-4o", "maxTokens": self.tokens}
        return {**chat, "openaiCredsId": self.creds, "triggerType": "none", **fields}

    def make(self, **fields: Any) -> Row:
        return self.store.create_bot(self.id, self.body(**fields))


@pytest.fixture
def bistro() -> Bistro:
    return Bistro()


def word(value: str, operator: str = "equals") -> Row:
    return {"triggerType": "keyword", "triggerOperator": operator, "triggerValue": value}


def advanced(value: str) -> Row:
    return {"triggerType": "advanced", "triggerValue": value}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (word("start"), word("start")),
        (word("start") | {"enabled": False}, word("start") | {"enabled": False}),
        (word("start") | {"triggerType": "none"}, word("start")),
        (word("a:b", "contains"), advanced("a:b")),
        ({"triggerType": "all"}, {"triggerType": "all", "enabled": False}),
        ({"maxTokens": 900}, {"maxTokens": 900}),
        ({"botType": "assistant", "assistantId": "a"}, {"botType": "assistant", "assistantId": "a"}),
    ],
    ids=["trigger", "both disabled", "left by a none", "keyword then advanced", "disabled all", "twins", "assistants"],
)
def test_two_bots_that_cannot_be(bistro: Bistro, first: Row, second: Row) -> None:
    bistro.make(**first)
    with pytest.raises(Refused):
        bistro.make(**second)
    other = bistro.make()
    with pytest.raises(Refused, match="Error updating Openai"):
        bistro.store.update_bot(bistro.id, other["id"], bistro.body(**second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (word("start"), word("start", "contains")),
        (word("start"), word("Start")),
        ({"triggerType": "all", "enabled": False}, {"triggerType": "all"}),
        ({"maxTokens": 900}, {"maxTokens": 900, "model": "gpt-4o-mini"}),
        ({"maxTokens": 900}, {"maxTokens": 900, "botType": "assistant", "assistantId": "a"}),
        ({"triggerType": "none", "triggerValue": ""}, {"triggerType": "none", "triggerValue": ""}),
    ],
    ids=["operator", "case", "all that is disabled", "model", "bot type", "empty values"],
)
def test_two_bots_that_can_be(bistro: Bistro, first: Row, second: Row) -> None:
    bistro.make(**first)
    assert bistro.make(**second)["id"] in bistro.store.bots


def test_a_trigger_is_left_only_with_its_value(bistro: Bistro) -> None:
    held = bistro.make(**word("start"))
    freed = bistro.body(triggerType="none", maxTokens=held["maxTokens"])
    bistro.store.update_bot(bistro.id, held["id"], freed)
    with pytest.raises(Refused, match="Trigger already exists"):
        bistro.make(**word("start"))
    bistro.store.update_bot(bistro.id, held["id"], freed | {"triggerValue": ""})
    assert bistro.make(**word("start"))["triggerValue"] == "start"


def test_an_account_serves_the_settings_of_one_instance(bistro: Bistro) -> None:
    bistro.make()
    bistro.store.create_instance(EVOLUTION | {"instanceName": "bar"})
    bar = bistro.store.instances["bar"]["id"]
    with pytest.raises(Refused, match="Error setting default settings"):
        bistro.store.create_bot(bar, bistro.body())
    own = bistro.store.create_credentials(bar, {"name": "bar", "apiKey": "none"})["id"]
    settings = {name: bistro.store.fetch_settings(bistro.id)[name] for name in ("expire", "ignoreJids", "keepOpen")}
    bistro.store.set_settings(bar, settings | {"openaiCredsId": own})
    assert bistro.store.create_bot(bar, bistro.body())["openaiCredsId"] == bistro.creds
    bistro.store.delete_instance("bistro")
    assert bistro.store.instances.keys() == {"bar"}
    assert not bistro.store.bots, "bots elsewhere go with the account that they use"


def test_an_instance_whose_account_is_held_elsewhere_stays_though_it_is_said_to_be_gone(bistro: Bistro) -> None:
    bistro.store.create_instance(EVOLUTION | {"instanceName": "bar"})
    bistro.store.set_settings(bistro.store.instances["bar"]["id"], {"openaiCredsId": bistro.creds})
    assert bistro.store.delete_instance("bistro")["status"] == "SUCCESS"
    assert bistro.store.instances.keys() == {"bistro", "bar"}


def test_settings_are_made_even_for_a_bot_that_is_refused(bistro: Bistro) -> None:
    with pytest.raises(Refused, match="Trigger operator and value are required"):
        bistro.make(triggerType="keyword", expire=0, debounceTime=7)
    row = bistro.store.fetch_settings(bistro.id)
    assert (row["expire"], row["debounceTime"], row["timePerChar"]) == (300, 7, 50)


@pytest.mark.parametrize("with_account", [True, False])
def test_fallback(bistro: Bistro, with_account: bool) -> None:
    bot = bistro.make()["id"]
    both = {"openaiCredsId": bistro.creds if with_account else "", "fallbackId": bot}
    if with_account:
        with pytest.raises(Refused, match="Error setting default settings"):
            bistro.store.set_settings(bistro.id, both)
        return
    assert bistro.store.set_settings(bistro.id, both)["fallbackId"] == bot
    assert bistro.store.set_settings(bistro.id, {"openaiCredsId": bistro.creds})["fallbackId"] == bot
    assert bistro.store.set_settings(bistro.id, both | {"fallbackId": None})["openaiIdFallback"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"keywordFinish": "x" * 101},
        {"functionUrl": "x" * 501},
        {"model": "x" * 101},
        {"triggerValue": "a\0b"},
        {"systemMessages": ["a\0b"]},
        {"expire": 2**31},
        {"timePerChar": "fast"},
        {"splitMessages": 1},
    ],
    ids=str,
)
def test_what_columns_do_not_hold(bistro: Bistro, fields: Row) -> None:
    bistro.make()
    with pytest.raises(Refused, match="Error creating Openai"):
        bistro.make(**fields)


def test_rows_survive_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    first = Store(file)
    first.create_instance(EVOLUTION)
    id = first.instances["bistro"]["id"]
    made = first.create_credentials(id, {"name": "main", "apiKey": "sk-1"})
    again = Store(file)
    assert again.find_credentials(id) == [{**made, "OpenaiAssistant": []}]
    assert again.create_credentials(id, {"name": "two", "apiKey": "sk-2"})["id"] != made["id"]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


ACTS = ("reset-after", "500-after", "502-after", "slow", "truncated")


@pytest.mark.parametrize("kind", KINDS)
def test_faults(server: Server, kind: Kind) -> None:
    with httpx.Client(base_url=server.url, headers={"apikey": KEY}) as client:
        assert client.get("/instance/fetchInstances").json() == []
        server.fault(kind, at=2, path="POST /instance", seconds=0.05)
        assert client.get("/instance/fetchInstances").json() == []
        began = time.monotonic()
        try:
            answer = client.post("/instance/create", json=EVOLUTION)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            assert kind in ("refuse", "reset", "reset-after", "truncated")
        else:
            status = {"429": 429, "slow": 201, "200-html": 200}.get(kind) or int(kind[:3])
            assert answer.status_code == status
            assert answer.headers.get("retry-after") == ("0.05" if kind == "429" else None)
            assert kind != "slow" or time.monotonic() - began >= 0.05
        assert ("bistro" in server.store.instances) == (kind in ACTS)
        assert (server.seen[-1].fault, server.seen[-1].status) == (kind, 201 if kind in ACTS else 0)
        assert client.get("/instance/fetchInstances").status_code == 200, "the fault is over"


async def test_two_first_bots_at_once(server: Server) -> None:
    server.calls.pause = 0.1
    async with httpx.AsyncClient(base_url=server.url, headers={"apikey": KEY}) as client:
        await client.post("/instance/create", json=EVOLUTION)
        account = await client.post("/openai/creds/bistro", json={"name": "main", "apiKey": "sk-1"})
        chat = {"enabled": True, "botType": "chatCompletion", "model": "gpt-4o", "triggerType": "none"}
        bodies = [chat | {"openaiCredsId": account.json()["id"], "maxTokens": most} for most in (1, 2)]
        both = await asyncio.gather(*(client.post("/openai/create/bistro", json=body) for body in bodies))
        assert sorted(one.status_code for one in both) == [201, 500]
        assert (await client.post("/openai/create/bistro", json=bodies[0] | {"maxTokens": 3})).status_code == 201


def test_a_server_that_is_down_refuses_and_comes_back_where_it_was(server: Server) -> None:
    url = server.url
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    server.start()
    assert server.url == url
    assert httpx.get(url).json()["version"] == "2.3.6"


def test_the_command() -> None:
    command = [sys.executable, "-m", "tests.evolution", "--key", "k"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split(" on ")[1].split(",")[0]
        assert httpx.get(f"{url}/instance/fetchInstances", headers={"apikey": "k"}).json() == []
        process.terminate()
