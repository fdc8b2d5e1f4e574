"""Settings over HTTP: defaults, partial changes, the fallback bot, ignored chats."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.runtime.conftest import Tenant

DEFAULTS = {
    "expire": 0,
    "keywordFinish": None,
    "delayMessage": 1000,
    "unknownMessage": None,
    "listeningFromMe": False,
    "stopBotFromMe": False,
    "keepOpen": False,
    "debounceTime": 1000,
    "ignoreJids": [],
    "splitMessages": False,
    "timePerChar": 0,
    "speechToText": False,
}


def test_defaults_where_none_are_set(client: httpx.Client, tenant: Tenant) -> None:
    expected = {**DEFAULTS, "Fallback": None, "fallbackId": "", "fallback": None}
    assert client.get(f"/openai/fetchSettings/{tenant.name}").json() == expected


def test_a_field_left_out_keeps_its_value(client: httpx.Client, tenant: Tenant) -> None:
    path = f"/openai/settings/{tenant.name}"
    first = client.post(path, json={"expire": 20, "keywordFinish": "#EXIT", "openaiCredsId": "creds_123"}).json()
    rest = ("id", "createdAt", "updatedAt", "openaiCredsId", "openaiIdFallback", "instanceId", "fallbackId")
    assert set(first) == {*DEFAULTS, *rest}
    assert first["openaiCredsId"] == client.get(f"/openai/creds/{tenant.name}").json()[0]["id"]
    second = client.post(path, json={"keywordFinish": None, "openaiCredsId": "", "debounceTime": 5}).json()
    changed = {"keywordFinish": None, "debounceTime": 5, "updatedAt": second["updatedAt"]}
    assert second == {**first, **changed}
    assert client.post(path, json={}).status_code == 200
    fetched = client.get(f"/openai/fetchSettings/{tenant.name}").json()
    assert fetched["debounceTime"] == 5
    assert fetched["Fallback"] is None


def test_the_fallback_bot(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    path, bot = f"/openai/settings/{tenant.name}", tenant.bot()
    assert client.post(path, json={"fallbackId": bot["id"]}).json()["openaiIdFallback"] == bot["id"]
    fetched = client.get(f"/openai/fetchSettings/{tenant.name}").json()
    assert fetched["Fallback"] == fetched["fallback"] == bot
    assert client.post(path, json={"expire": 5}).json()["fallbackId"] == bot["id"]
    assert client.post(path, json={"fallbackId": ""}).json()["fallbackId"] is None
    client.post(path, json={"fallbackId": bot["id"]})
    client.delete(f"/openai/delete/{bot['id']}/{tenant.name}")
    fetched = client.get(f"/openai/fetchSettings/{tenant.name}").json()
    assert (fetched["fallbackId"], fetched["openaiIdFallback"], fetched["fallback"]) == (None, None, None)
    other = make()
    other.credentials()
    for id in ("nosuch", other.bot()["id"]):
        assert client.post(path, json={"fallbackId": id}).status_code == 422


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"expire": "20"}, 400),
        ({"keywordFinish": ["x"]}, 400),
        ({"ignoreJids": "x"}, 400),
        ({"speechToText": 1}, 400),
        ({"unknownMessage": "x" * 1001}, 400),
        ({"openaiCredsId": "nosuch"}, 422),
    ],
)
def test_faults_change_nothing(client: httpx.Client, tenant: Tenant, fields: dict[str, object], status: int) -> None:
    before = client.get(f"/openai/fetchSettings/{tenant.name}").json()
    assert client.post(f"/openai/settings/{tenant.name}", json={"timePerChar": 7, **fields}).status_code == status
    assert client.get(f"/openai/fetchSettings/{tenant.name}").json() == before


def test_ignoring_chats(client: httpx.Client, tenant: Tenant) -> None:
    path = f"/openai/ignoreJid/{tenant.name}"
    steps = [
        ("a@s.whatsapp.net", "add", ["a@s.whatsapp.net"]),
        ("@g.us", "add", ["a@s.whatsapp.net", "@g.us"]),
        ("@g.us", "add", ["a@s.whatsapp.net", "@g.us"]),
        ("a@s.whatsapp.net", "remove", ["@g.us"]),
        ("absent", "remove", ["@g.us"]),
    ]
    for jid, action, expected in steps:
        answer = client.post(path, json={"remoteJid": jid, "action": action})
        assert (answer.status_code, answer.json()) == (200, {"ignoreJids": expected})
    assert client.get(f"/openai/fetchSettings/{tenant.name}").json()["ignoreJids"] == ["@g.us"]
    assert client.post(path, json={"remoteJid": "x", "action": "forget"}).status_code == 400
    assert client.post(path, json={}).json()["response"]["message"] == ["action is required", "remoteJid is required"]
