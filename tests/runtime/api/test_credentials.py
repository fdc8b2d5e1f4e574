"""Credentials and assistants over HTTP: keys never come out, names are unique, what is in use stays."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from reconciler.model import same_secret
from tests.runtime.conftest import Server, Tenant

KEY = "sk-0123456789abcd"


def test_keys_go_in_and_never_come_out(client: httpx.Client, make: Callable[..., Tenant], server: Server) -> None:
    tenant = make()
    row = tenant.credentials(key=KEY, baseUrl="https://api.example.com/v1", organization="org", description="main")
    assert row["apiKey"] == "sk-…abcd"
    assert same_secret(row["fingerprint"], KEY)
    assert (row["baseUrl"], row["organization"], row["project"]) == ("https://api.example.com/v1", "org", None)
    answer = client.get(f"/openai/creds/{tenant.name}")
    assert answer.json() == [row]
    assert KEY not in answer.text
    assert KEY.encode() not in server.store.db.path.read_bytes()
    assert KEY.encode() not in server.store.db.path.with_name("runtime.db-wal").read_bytes()


def test_names_are_unique_in_the_instance(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    answer = client.post(f"/openai/creds/{tenant.name}", json={"name": "creds_123", "apiKey": "other"})
    assert answer.status_code == 409
    make().credentials()
    tenant.credentials("second", KEY)
    second = client.get(f"/openai/creds/{tenant.name}").json()[1]
    path = f"/openai/creds/{second['id']}/{tenant.name}"
    assert client.put(path, json={"name": "creds_123"}).status_code == 409


def test_a_new_key_under_the_same_id(client: httpx.Client, tenant: Tenant) -> None:
    (row,) = client.get(f"/openai/creds/{tenant.name}").json()
    path = f"/openai/creds/{row['id']}/{tenant.name}"
    renamed = client.put(path, json={"name": "renamed", "baseUrl": "builtin:demo"}).json()
    assert (renamed["name"], renamed["fingerprint"]) == ("renamed", row["fingerprint"])
    assert client.put(path, json={"apiKey": KEY}).json()["fingerprint"] == row["fingerprint"]
    rekeyed = client.put(path, json={"apiKey": "sk-another-key-wxyz", "baseUrl": None}).json()
    assert rekeyed["apiKey"] == "sk-…wxyz"
    assert rekeyed["baseUrl"] is None
    assert same_secret(rekeyed["fingerprint"], "sk-another-key-wxyz")
    assert client.put(path, json={"apiKey": None}).status_code == 400
    assert client.put(path, json={"baseUrl": "http://[::1]/v1"}).status_code == 422
    assert client.put(f"/openai/creds/nosuch/{tenant.name}", json={}).status_code == 404


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({}, ["apiKey is required", "name is required"]),
        ({"name": 1, "apiKey": True}, ["apiKey is not of type string", "name is not of type string"]),
        ({"name": "", "apiKey": ""}, ["apiKey must not be empty", "name must not be empty"]),
        ({"name": "n" * 256, "apiKey": "k"}, ["name is longer than 255 characters (256)"]),
    ],
)
def test_faults(client: httpx.Client, tenant: Tenant, fields: dict[str, object], messages: list[str]) -> None:
    answer = client.post(f"/openai/creds/{tenant.name}", json=fields)
    assert (answer.status_code, answer.json()["response"]["message"]) == (400, messages)


def test_what_is_in_use_stays(client: httpx.Client, tenant: Tenant) -> None:
    (row,) = client.get(f"/openai/creds/{tenant.name}").json()
    path = f"/openai/creds/{row['id']}/{tenant.name}"
    bot = tenant.bot()
    client.post(f"/openai/settings/{tenant.name}", json={"openaiCredsId": "creds_123"})
    answer = client.delete(path)
    assert answer.status_code == 409
    assert "1 bot and the settings" in answer.text
    client.delete(f"/openai/delete/{bot['id']}/{tenant.name}")
    assert client.delete(path).status_code == 409
    client.post(f"/openai/settings/{tenant.name}", json={"openaiCredsId": None})
    assert client.delete(path).json() == {"openaiCreds": {"id": row["id"]}}
    assert client.delete(path).status_code == 404


def test_assistants(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    base = f"/openai/assistants/{{}}/{tenant.name}"
    body = {"assistantId": "asst_123", "instructions": "You are the concierge.", "model": "gpt-4o"}
    row = client.post(base.format("create"), json=body).json()
    assert {**row, **body} == row
    assert (row["tools"], row["metadata"], row["description"]) == (None, None, None)
    assert client.post(base.format("create"), json=body).status_code == 409
    assert client.post(base.format("create"), json={"model": "x"}).status_code == 400
    second = client.post(base.format("create"), json={"assistantId": "asst_456"}).json()
    assert client.get(base.format("find")).json() == [row, second]
    one = base.format("{}/" + row["id"])
    assert client.get(one.format("fetch")).json() == row
    changed = client.put(one.format("update"), json={"model": None, "description": "x"}).json()
    assert (changed["model"], changed["description"], changed["instructions"]) == (None, "x", body["instructions"])
    assert client.put(one.format("update"), json={"assistantId": "asst_456"}).status_code == 409
    assert client.put(one.format("update"), json={"temperature": 3}).status_code == 400
    assert client.delete(one.format("delete")).json() == {"assistant": {"id": row["id"]}}
    for method, verb in (("GET", "fetch"), ("PUT", "update"), ("DELETE", "delete")):
        extra = {"json": {}} if method == "PUT" else {}
        assert client.request(method, one.format(verb), **extra).status_code == 404
        foreign = f"/openai/assistants/{verb}/{second['id']}/{make().name}"
        assert client.request(method, foreign, **extra).status_code == 404


def test_models(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    path = f"/openai/getModels/{tenant.name}"
    assert client.get(path).status_code == 404
    assert client.get(path, params={"openaiCredsId": "creds_123"}).json()[0]["owned_by"] == "creds_123"
    client.post(f"/openai/settings/{tenant.name}", json={"openaiCredsId": "creds_123"})
    assert client.get(f"{path}?openaiCredsId=").json()[0]["id"] == "gpt-4o"
    refused = tenant.credentials("refused", "sk-refused-by-provider")
    tenant.credentials("silent", "sk-silent-provider")
    assert client.get(path, params={"openaiCredsId": refused["id"]}).status_code == 502
    assert client.get(path, params={"openaiCredsId": "silent"}).status_code == 504
    foreign = make().credentials("theirs")["id"]
    assert client.get(path, params={"openaiCredsId": foreign}).status_code == 404
