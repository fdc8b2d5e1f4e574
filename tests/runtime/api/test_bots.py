"""Bots over HTTP: the documentation's example, updates, faults, triggers that collide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.runtime.conftest import BOT, Tenant

# The documentation's example request, as it is written there.
EXAMPLE = """{
    "enabled": true,
    "openaiCredsId": "creds_123",
    "botType": "assistant",
    "assistantId": "asst_123",
    "functionUrl": "https://example.com/functions",
    "model": "gpt-4o",
    "systemMessages": ["You are a helpful restaurant assistant"],
    "assistantMessages": ["Hello! How can I help you today?"],
    "userMessages": ["Hi", "Hello"],
    "maxTokens": 1000,
    "triggerType": "keyword",
    "triggerOperator": "equals",
    "triggerValue": "start",
    "expire": 3600,
    "keywordFinish": "stop",
    "delayMessage": 1000,
    "unknownMessage": "I dont understand. Please try again.",
    "listeningFromMe": false,
    "stopBotFromMe": true,
    "keepOpen": true,
    "debounceTime": 500,
    "ignoreJids": []
  }"""
ROW = [
    "id",
    "enabled",
    "description",
    "botType",
    "assistantId",
    "functionUrl",
    "model",
    "systemMessages",
    "assistantMessages",
    "userMessages",
    "maxTokens",
    "expire",
    "keywordFinish",
    "delayMessage",
    "unknownMessage",
    "listeningFromMe",
    "stopBotFromMe",
    "keepOpen",
    "debounceTime",
    "splitMessages",
    "timePerChar",
    "ignoreJids",
    "triggerType",
    "triggerOperator",
    "triggerValue",
    "createdAt",
    "updatedAt",
    "openaiCredsId",
    "instanceId",
]


def messages(answer: httpx.Response) -> list[str]:
    body = answer.json()
    assert body["status"] == answer.status_code
    assert set(body) == {"status", "error", "response"}
    found: list[str] = body["response"]["message"]
    assert isinstance(found, list)
    return found


def test_the_documentations_example_as_it_is_written(client: httpx.Client, tenant: Tenant) -> None:
    answer = client.post(f"/openai/create/{tenant.name}", content=EXAMPLE, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    row = answer.json()
    assert set(row) == {*ROW, "tools", "temperature", "reasoningEffort"}
    sent = answer.request.read()
    for name, value in httpx.Response(200, content=sent).json().items():
        if name != "openaiCredsId":
            assert row[name] == value
    assert row["openaiCredsId"] == client.get(f"/openai/creds/{tenant.name}").json()[0]["id"]
    assert row["instanceId"] == tenant.id
    assert row["description"] is None
    assert len(row["id"]) == 25
    assert row["createdAt"].endswith("Z")
    assert len(row["createdAt"]) == 24
    assert client.get(f"/openai/fetch/{row['id']}/{tenant.name}").json() == row
    assert client.get(f"/openai/find/{tenant.name}").json() == [row]


def test_bots_are_listed_oldest_first(client: httpx.Client, tenant: Tenant) -> None:
    made = [tenant.bot(triggerValue=f"word {n}")["id"] for n in range(20)]
    assert [row["id"] for row in client.get(f"/openai/find/{tenant.name}/").json()] == made == sorted(made)


FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"systemMessages": [1, "a", None]}, ["systemMessages[0] is not of type string", "systemMessages[2] is not of"]),
    ({"maxTokens": "1000"}, ["maxTokens is not of type integer"]),
    ({"maxTokens": 10.5}, ["maxTokens is not of type integer"]),
    ({"maxTokens": 0}, ["maxTokens is less than 1"]),
    ({"maxTokens": 3_000_000_000}, ["maxTokens is more than 2147483647"]),
    ({"enabled": "true"}, ["enabled is not of type boolean"]),
    ({"enabled": None}, ["enabled is required"]),
    ({"triggerType": "sometimes"}, ["triggerType is not one of all, keyword, none, advanced"]),
    ({"triggerOperator": "equal"}, ["triggerOperator is not one of equals, contains"]),
    ({"triggerOperator": None}, ["triggerOperator is required"]),
    ({"triggerValue": None}, ["triggerValue is required"]),
    ({"model": None}, ["model is required"]),
    ({"botType": "assistant"}, ["assistantId is required"]),
    ({"description": "d" * 256}, ["description is longer than 255 characters (256)"]),
    ({"functionUrl": "ftp://example.com"}, ["functionUrl is not as it should be"]),
    ({"ignoreJids": "x"}, ["ignoreJids is not of type array"]),
    ({"model": "a\0b"}, ["model holds a NUL character"]),
    (
        {"enabled": "x", "botType": "x", "triggerType": 1, "maxTokens": "x"},
        ["botType is", "enabled is", "maxTokens is", "triggerType is"],
    ),
]


@pytest.mark.parametrize(("fields", "expected"), FAULTS, ids=lambda value: str(value)[:50])
def test_every_fault_is_named(client: httpx.Client, tenant: Tenant, fields: Any, expected: list[str]) -> None:
    answer = client.post(f"/openai/create/{tenant.name}", json={**BOT, **fields})
    assert answer.status_code == 400
    found = messages(answer)
    assert len(found) == len(expected)
    for said, start in zip(found, expected, strict=True):
        assert said.startswith(start)
    assert client.get(f"/openai/find/{tenant.name}").json() == []


UNPROCESSABLE = [
    ({"triggerOperator": "regex", "triggerValue": "(["}, "triggerValue: RE2 refuses this pattern"),
    ({"triggerOperator": "regex", "triggerValue": "(?=a)"}, "triggerValue: RE2 refuses this pattern"),
    ({"triggerType": "advanced", "triggerValue": "pizza"}, "triggerValue: "),
    ({"functionUrl": "http://127.0.0.1/f"}, "functionUrl names a private address"),
    ({"functionUrl": "http://169.254.169.254/latest"}, "functionUrl names a private address"),
    ({"openaiCredsId": "nosuch"}, "openaiCredsId is neither"),
]


@pytest.mark.parametrize(("fields", "expected"), UNPROCESSABLE, ids=lambda value: str(value)[:50])
def test_what_is_well_formed_but_cannot_be(client: httpx.Client, tenant: Tenant, fields: Any, expected: str) -> None:
    answer = client.post(f"/openai/create/{tenant.name}", json={**BOT, **fields})
    assert answer.status_code == 422
    assert messages(answer)[0].startswith(expected)


def test_an_allowed_private_address_may_be_named(client: httpx.Client, tenant: Tenant) -> None:
    assert tenant.bot(functionUrl="http://127.0.0.1:9000/f")["functionUrl"] == "http://127.0.0.1:9000/f"


def test_credentials_of_another_instance(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    foreign = make().credentials("theirs")["id"]
    answer = client.post(f"/openai/create/{tenant.name}", json={**BOT, "openaiCredsId": foreign})
    assert answer.status_code == 422


COLLIDING = [
    ({"triggerValue": "start"}, {"triggerValue": "  START "}, 409),
    ({"triggerValue": "start"}, {"triggerValue": "started"}, 201),
    ({"triggerValue": "start"}, {"triggerOperator": "contains"}, 201),
    ({"triggerValue": "start"}, {"enabled": False}, 201),
    ({"enabled": False}, {"triggerValue": "start"}, 201),
    ({"triggerType": "all"}, {"triggerType": "all"}, 409),
    ({"triggerType": "none"}, {"triggerType": "none"}, 201),
    (
        {"triggerType": "advanced", "triggerValue": "contains:pizza exact:x"},
        {"triggerType": "advanced", "triggerValue": "exact:x contains:pizza"},
        409,
    ),
]


@pytest.mark.parametrize(("first", "second", "status"), COLLIDING)
def test_enabled_bots_share_no_trigger(
    client: httpx.Client, tenant: Tenant, first: Any, second: Any, status: int
) -> None:
    holder = tenant.bot(description="the first", **first)
    answer = client.post(f"/openai/create/{tenant.name}", json={**BOT, **second})
    assert answer.status_code == status
    if status == 409:
        assert holder["id"] in messages(answer)[0]
        assert "the first" in messages(answer)[0]


def test_another_instance_may_have_the_same_trigger(tenant: Tenant, make: Callable[..., Tenant]) -> None:
    other = make()
    other.credentials()
    assert tenant.bot()["triggerValue"] == other.bot()["triggerValue"]


def test_an_update_keeps_what_is_left_out_and_checks_the_whole(client: httpx.Client, tenant: Tenant) -> None:
    row = tenant.bot(description="before", systemMessages=["a", "b"])
    path = f"/openai/update/{row['id']}/{tenant.name}"
    changed = client.put(path, json={"description": "after", "systemMessages": None}).json()
    assert changed == {**row, "description": "after", "systemMessages": None, "updatedAt": changed["updatedAt"]}
    assert changed["updatedAt"] >= row["updatedAt"]
    answer = client.put(path, json={"triggerOperator": None, "description": "lost"})
    assert (answer.status_code, messages(answer)) == (400, ["triggerOperator is required"])
    assert client.get(f"/openai/fetch/{row['id']}/{tenant.name}").json() == changed
    assert client.put(path, json={"id": "mine", "instanceId": "x", "nonsense": {}}).json()["id"] == row["id"]


def test_an_update_can_collide(client: httpx.Client, tenant: Tenant) -> None:
    tenant.bot(triggerValue="one")
    second = tenant.bot(triggerValue="two")
    path = f"/openai/update/{second['id']}/{tenant.name}"
    assert client.put(path, json={"triggerValue": "ONE"}).status_code == 409
    assert client.put(path, json={"triggerValue": "ONE", "enabled": False}).status_code == 200
    assert client.put(path, json={"enabled": True}).status_code == 409


def test_deleting(client: httpx.Client, tenant: Tenant) -> None:
    row = tenant.bot()
    path = f"/openai/delete/{row['id']}/{tenant.name}"
    assert client.delete(path).json() == {"bot": {"id": row["id"]}}
    assert client.delete(path).status_code == 404
    assert client.get(f"/openai/fetch/{row['id']}/{tenant.name}").status_code == 404
    assert client.put(f"/openai/update/{row['id']}/{tenant.name}", json={}).status_code == 404
    tenant.bot()


def test_another_instances_bot_is_not_there(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    other = make()
    other.credentials()
    id = other.bot()["id"]
    for method, path in (("GET", "fetch"), ("PUT", "update"), ("DELETE", "delete")):
        body = {"json": {}} if method == "PUT" else {}
        answer = client.request(method, f"/openai/{path}/{id}/{tenant.name}?instanceName={other.name}", **body)
        assert answer.status_code == 404


def test_a_form_is_read_as_its_schema_wants(client: httpx.Client, tenant: Tenant) -> None:
    form = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in BOT.items()}
    answer = client.post(
        f"/openai/create/{tenant.name}",
        data={
            **form,
            "systemMessages[]": ["a", "b"],
            "tools[0]": '{"type": "function", "name": "check_table"}',
            "temperature": "0.5",
            "foo": "bar",
        },
    )
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert row["tools"] == [{"type": "function", "name": "check_table"}]
    assert (row["enabled"], row["maxTokens"], row["temperature"]) == (True, 300, 0.5)
    assert row["systemMessages"] == ["a", "b"]
    for twice in ("model=a&model=b", "maxTokens=x&temperature=nan"):
        answer = client.post(
            f"/openai/create/{tenant.name}",
            content=twice,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 400
