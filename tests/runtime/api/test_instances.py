"""Instances over HTTP: what their rows show to whom, names and numbers that are taken, updates, deletes."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from reconciler.errors import Rejected
from tests.runtime.conftest import KEY, Server, Tenant


def test_creating_answers_as_clients_expect(client: httpx.Client) -> None:
    answer = client.post(
        "/instance/create",
        json={
            "instanceName": "Shapes 01",
            "integration": "EVOLUTION",
            "number": "553841662881",
            "webhook": {"url": "https://example.com/replies", "byEvents": False},
            "qrcode": True,
        },
    )
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"instance", "hash", "webhook", "websocket", "rabbitmq", "nats", "sqs", "settings"}
    assert body["instance"] == {
        "instanceName": "Shapes 01",
        "instanceId": body["instance"]["instanceId"],
        "integration": "EVOLUTION",
        "webhookWaBusiness": None,
        "accessTokenWaBusiness": "",
        "status": "open",
    }
    assert body["webhook"] == {"webhookUrl": "https://example.com/replies"}
    assert len(body["hash"]) == 36
    assert client.get("/instance/connectionState/Shapes 01").json() == {
        "instance": {"instanceName": "Shapes 01", "state": "open"}
    }


def test_rows_show_tokens_to_the_global_key_alone(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    (row,) = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()
    wanted = "id name connectionStatus integration number token ownerJid profileName profilePicUrl createdAt updatedAt"
    assert {*wanted.split(), "Setting", "_count"} <= set(row)
    assert row["token"] == tenant.token
    assert row["_count"] == {"Message": 0, "Contact": 0, "Chat": 0}
    assert client.get("/instance/fetchInstances", params={"instanceId": tenant.id}).json() == [row]
    assert row in client.get("/instance/fetchInstances").json()
    (own,) = nobody.get("/instance/fetchInstances", headers={"apikey": tenant.token}).json()
    assert own == {name: value for name, value in row.items() if name not in ("token", "webhookSecret")}
    client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": "hi"})
    (row,) = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()
    assert row["_count"] == {"Message": 1, "Contact": 1, "Chat": 1}


def test_one_that_is_not_there_or_not_ones_own(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    params = {"instanceName": "nosuch"}
    assert client.get("/instance/fetchInstances", params=params).status_code == 404
    answer = nobody.get("/instance/fetchInstances", params=params, headers={"apikey": tenant.token})
    assert answer.status_code == 401
    assert nobody.post("/instance/create", json={}, headers={"apikey": tenant.token}).status_code == 401
    assert nobody.post("/verify-creds", headers={"apikey": tenant.token}).status_code == 401


def test_what_is_taken(client: httpx.Client, make: Callable[..., Tenant]) -> None:
    first = make(number="551100001", token="token-0001")
    for taken in ({"instanceName": first.name}, {"number": "551100001"}, {"token": "token-0001"}, {"token": KEY}):
        answer = client.post("/instance/create", json={"instanceName": f"{first.name} twin", **taken})
        assert answer.status_code == 409, taken
        assert "token-0001" not in answer.text
    assert first.token == "token-0001"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"instanceName": ""}, 400),
        ({"instanceName": "a/b"}, 400),
        ({"instanceName": "x", "integration": "FAX"}, 400),
        ({"instanceName": "x", "token": "short"}, 400),
        ({"instanceName": "x", "webhook": "nowhere"}, 400),
        ({"instanceName": "x", "webhook": {"url": 5}}, 400),
        ({"instanceName": "x", "webhook": "http://10.0.0.7/hook"}, 422),
        ({"instanceName": "x", "retention": 0}, 400),
    ],
)
def test_faults(client: httpx.Client, fields: dict[str, object], status: int) -> None:
    assert client.post("/instance/create", json=fields).status_code == status


def test_updating(client: httpx.Client, make: Callable[..., Tenant]) -> None:
    tenant = make(number="551100002", webhook="https://example.com/a")
    other = make(number="551100003")
    path = f"/instance/update/{tenant.name}"
    row = client.put(path, json={"retention": 86400, "number": "551100004", "instanceName": "ignored"}).json()
    assert (row["name"], row["retention"], row["number"]) == (tenant.name, 86400, "551100004")
    assert row["webhook"] == "https://example.com/a"
    assert client.put(path, json={"webhook": {"url": "https://example.com/b"}}).json()["webhook"].endswith("/b")
    assert client.put(path, json={"webhook": None, "retention": None}).json()["webhook"] is None
    assert client.put(path, json={"number": "551100003"}).status_code == 409
    assert client.put(path, json={"webhook": "http://localhost/x"}).status_code == 422
    inbound = {"key": {"id": "1", "remoteJid": "5511@s.whatsapp.net"}, "message": {"conversation": "x"}}
    for number, status in (("551100004", 200), ("551100002", 404), ("551100003", 200)):
        assert client.post("/webhook/evolution", json={"numberId": number, **inbound}).status_code == status
    client.put(f"/instance/update/{other.name}", json={"number": None})
    assert client.put(path, json={"number": "551100003"}).status_code == 200


def test_deleting_takes_everything_along(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    tenant.bot()
    client.post(f"/openai/settings/{tenant.name}", json={"openaiCredsId": "creds_123"})
    client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": "hi"})
    gone = {"status": "SUCCESS", "error": False, "response": {"message": "Instance deleted"}}
    headers = {"apikey": tenant.token}
    assert nobody.delete(f"/instance/delete/{tenant.name}", headers=headers).json() == gone
    assert client.get(f"/openai/find/{tenant.name}").status_code == 404
    assert nobody.get("/instance/fetchInstances", headers=headers).status_code == 401
    Tenant(client, tenant.name).credentials()


def test_an_instance_that_goes_while_it_is_listed(
    client: httpx.Client, tenant: Tenant, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = server.store.fleet
    counts = fleet.counts

    async def deleting(instance_id: str | None) -> dict[str, tuple[int, int]]:
        await fleet.delete_instance(tenant.id)
        return await counts(instance_id)

    monkeypatch.setattr(fleet, "counts", deleting)
    answer = client.get("/instance/fetchInstances", params={"instanceName": tenant.name})
    assert [row["id"] for row in answer.json()] == [tenant.id]
    with pytest.raises(Rejected, match="does not exist any more"):
        server.app.state.served.keys.chat_token(tenant.id, "ana", 1.0)


def test_a_changed_instance_has_an_etag(client: httpx.Client, tenant: Tenant) -> None:
    path = f"/instance/update/{tenant.name}"
    first = client.put(path, json={"retention": 86400})
    second = client.put(path, json={"retention": 90000}, headers={"If-Match": first.headers["etag"]})
    assert (second.status_code, second.json()["retention"]) == (200, 90000)
    assert client.put(path, json={"retention": 1}, headers={"If-Match": first.headers["etag"]}).status_code == 412
