"""Keys that are made here: what each opens, and that it opens nothing else; how they end."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from reconciler.runtime.api import chat
from reconciler.runtime.app import ENDPOINTS
from reconciler.runtime.call import Endpoint
from tests.runtime.api.test_guard import named, path
from tests.runtime.conftest import BOT, Server, Tenant


@pytest.fixture
def token(client: httpx.Client, tenant: Tenant) -> str:
    answer = client.post("/tokens", json={"name": f"CI of {tenant.name}", "access": "read"})
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["token"]
    return key


def test_another_token_for_an_instance(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    chat_token = client.post(f"/chat/{tenant.name}/ana/token", json={}).json()["token"]
    answer = client.post(f"/instance/token/{tenant.name}")
    assert answer.status_code == 200
    assert answer.json()["instance"] == {"instanceName": tenant.name, "instanceId": tenant.id}
    new = answer.json()["hash"]
    assert new != tenant.token
    find = f"/openai/find/{tenant.name}"
    assert nobody.get(find, headers={"apikey": tenant.token}).status_code == 401
    assert nobody.get(f"/chat/{tenant.name}/ana", headers={"apikey": chat_token}).status_code == 401
    assert nobody.get(find, headers={"apikey": new}).status_code == 200
    (row,) = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()
    assert row["token"] == new
    assert nobody.post(f"/instance/token/{tenant.name}", headers={"apikey": new}).status_code == 401
    assert client.post("/instance/token/nosuch").status_code == 404


def test_a_token_that_reads(client: httpx.Client, nobody: httpx.Client, tenant: Tenant, token: str) -> None:
    bot, own = tenant.bot(), {"apikey": token}
    for where in ("/fleet", f"/openai/find/{tenant.name}", f"/openai/fetch/{bot['id']}/{tenant.name}"):
        assert nobody.get(where, headers=own).status_code == 200
    assert nobody.get("/openai/find/nosuch", headers=own).status_code == 404
    rows = nobody.get("/instance/fetchInstances", headers=own)
    assert tenant.id in rows.text
    assert tenant.token not in rows.text
    assert "webhookSecret" not in rows.text
    answer = nobody.post(f"/openai/create/{tenant.name}", json=BOT, headers=own)
    assert answer.status_code == 401
    assert answer.json()["response"]["message"][0].startswith("This token only reads")
    answer = nobody.get(f"/chat/{tenant.name}/ana", headers=own)
    assert answer.status_code == 401
    assert answer.json()["response"]["message"][0].startswith("This token reads what is configured")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_what_reads_changes_nothing(
    nobody: httpx.Client, tenant: Tenant, token: str, endpoint: Endpoint, server: Server
) -> None:
    if endpoint.access == "open":
        return
    answer = nobody.request(endpoint.method, path(endpoint, tenant.name), headers={"apikey": token})
    closed = endpoint.method != "GET" or endpoint.access == "global" or "/chat/" in endpoint.path
    assert (answer.status_code == 401) == (closed or "fetchSessions" in endpoint.path)


def test_a_token_that_reads_one_instance(
    client: httpx.Client, nobody: httpx.Client, make: Callable[..., Tenant]
) -> None:
    mine, other = make(), make()
    body = {"name": f"of {mine.name}", "access": "read", "instance": mine.name}
    made = client.post("/tokens", json=body).json()
    own = {"apikey": made["token"]}
    assert [part["instance"]["id"] for part in nobody.get("/fleet", headers=own).json()["instances"]] == [mine.id]
    assert nobody.get(f"/openai/find/{mine.name}", headers=own).status_code == 200
    for where in (
        f"/openai/find/{other.name}?instance={mine.name}",
        "/openai/find/nosuch",
        f"/fleet?instance={other.name}",
    ):
        assert nobody.get(where, headers=own).status_code == 401
    assert nobody.get("/tokens", headers=own).status_code == 401
    shown = [row for row in client.get("/tokens").json() if row["id"] == made["id"]]
    assert shown == [{name: made[name] for name in ("id", "name", "access", "instance", "createdAt")}]
    assert shown[0]["instance"] == mine.name
    client.delete(f"/instance/delete/{mine.name}")
    assert nobody.get("/fleet", headers=own).status_code == 401
    assert made["id"] not in client.get("/tokens").text


def test_tokens_end(client: httpx.Client, nobody: httpx.Client, token: str) -> None:
    id = client.get("/tokens").json()[-1]["id"]
    assert token not in client.get("/tokens").text
    assert client.delete(f"/tokens/{id}").json() == {"token": {"id": id}}
    assert nobody.get("/fleet", headers={"apikey": token}).status_code == 401
    assert client.delete(f"/tokens/{id}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"name": "x", "access": "write"}, 400, "access is not one of"),
        ({"access": "read"}, 400, "name is required"),
        ({"name": " ", "access": "read"}, 400, "name is not as it should be"),
        ({"name": "x", "access": "read", "instance": "nosuch"}, 404, 'The "nosuch" instance does not exist'),
    ],
)
def test_tokens_that_cannot_be(client: httpx.Client, body: dict[str, str], status: int, said: str) -> None:
    answer = client.post("/tokens", json=body)
    assert answer.status_code == status
    assert answer.json()["response"]["message"][0].startswith(said)


def test_names_of_tokens_are_unique(client: httpx.Client) -> None:
    body = {"name": "twice", "access": "read"}
    assert client.post("/tokens", json=body).status_code == 201
    assert client.post("/tokens", json=body).status_code == 409


async def test_tokens_outlive_a_restart(tmp_path) -> None:
    from reconciler.store.sqlite import open_store

    store = open_store(tmp_path / "runtime.db", "secret")
    made, key = await store.tokens.create("n", "read", None)
    store.close()
    store = open_store(tmp_path / "runtime.db", "secret")
    assert store.tokens.find(key) == made
    assert key.encode() not in (tmp_path / "runtime.db").read_bytes()
    store.close()


def test_a_token_of_a_chat(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    answer = nobody.post(f"/chat/{tenant.name}/ana/token", json={"seconds": 60}, headers={"apikey": tenant.token})
    assert answer.status_code == 201, answer.text
    assert answer.json()["remoteJid"] == "ana"
    assert answer.json()["expiresAt"].endswith("Z")
    own = {"apikey": answer.json()["token"]}
    said = {"remoteJid": "ana", "text": "hi"}
    assert nobody.post(f"/chat/{tenant.name}", json=said, headers=own).status_code == 202
    assert nobody.get(f"/chat/{tenant.name}/ana", headers=own).json()[0]["text"] == "hi"
    with nobody.stream("GET", f"/chat/{tenant.name}/ana/events", headers=own) as stream:
        assert stream.status_code == 200
    assert nobody.post(f"/chat/{tenant.name}", json={**said, "remoteJid": "bia"}, headers=own).status_code == 401
    assert nobody.get(f"/chat/{tenant.name}/bia", headers=own).status_code == 401
    assert nobody.get(f"/chat/{tenant.name}/bia/events?token={own['apikey']}", headers=own).status_code == 401
    assert nobody.get(f"/chat/{tenant.name}/ana", params={"token": own["apikey"]}).status_code == 401


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_a_chats_token_opens_nothing_else(
    client: httpx.Client, nobody: httpx.Client, tenant: Tenant, endpoint: Endpoint
) -> None:
    if endpoint.access == "open" or endpoint.chat:
        return
    token = client.post(f"/chat/{tenant.name}/nosuch/token", json={}).json()["token"]
    answer = nobody.request(endpoint.method, path(endpoint, tenant.name), headers={"apikey": token})
    assert answer.status_code == 401


def test_a_chats_token_ends(
    client: httpx.Client, nobody: httpx.Client, make: Callable[..., Tenant], server: Server
) -> None:
    tenant, other = make(), make()
    keys = server.app.state.served.keys
    late = keys.chat_token(tenant.id, "ana", 1.0)
    assert nobody.get(f"/chat/{tenant.name}/ana", headers={"apikey": late}).status_code == 401
    fresh = client.post(f"/chat/{tenant.name}/ana/token", json={}).json()["token"]
    assert nobody.get(f"/chat/{other.name}/ana", headers={"apikey": fresh}).status_code == 401
    client.delete(f"/instance/delete/{tenant.name}")
    assert nobody.get(f"/chat/{tenant.name}/ana", headers={"apikey": fresh}).status_code == 401
    for seconds in (0, "x", 31536001):
        assert client.post(f"/chat/{other.name}/ana/token", json={"seconds": seconds}).status_code == 400
    assert chat.ENDPOINTS
