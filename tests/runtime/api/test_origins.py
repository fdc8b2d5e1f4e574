"""Web pages of other origins: a key opens, the console's cookie does not."""

from __future__ import annotations

import httpx
import pytest

from tests.runtime.conftest import KEY, Server, Tenant

ORIGIN = "https://manager.example.com"


@pytest.mark.parametrize("path", ["/openai/create/x", "/openai/find/x", "/verify-creds", "/nothing", "/", "/fleet"])
def test_a_preflight_says_yes_and_nothing_else(nobody: httpx.Client, path: str) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "apikey,content-type",
    }
    answer = nobody.options(path, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "apikey,content-type"
    assert {"GET", "PUT", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(","))
    assert "access-control-allow-credentials" not in answer.headers


def test_every_answer_may_be_read_by_any_page(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    headers = {"Origin": ORIGIN}
    for answer in (
        client.get(f"/openai/find/{tenant.name}", headers=headers),
        client.post(f"/openai/create/{tenant.name}", json={}, headers=headers),
        client.get("/nothing", headers=headers),
        nobody.get("/openai/find/x", headers=headers),
        client.patch("/fleet", headers=headers),
    ):
        assert answer.headers["access-control-allow-origin"] == "*", answer.url
        assert answer.headers["access-control-expose-headers"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "here"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "here"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": ORIGIN}, 401),
        ({"Origin": "null"}, 401),
        ({"Origin": "http://127.0.0.1:1"}, 401),
        ({"Sec-Fetch-Site": "same-site"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 401),
    ],
)
def test_the_cookie_counts_on_the_consoles_own_pages_alone(
    server: Server, tenant: Tenant, headers: dict[str, str], status: int
) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as browser:
        assert browser.post("/console/login", json={"key": KEY}).status_code == 200
        sent = {name: server.url if value == "here" else value for name, value in headers.items()}
        assert browser.get(f"/openai/find/{tenant.name}", headers=sent).status_code == status
        # The key opens from everywhere, whatever the browser says of the page.
        assert browser.get(f"/openai/find/{tenant.name}", headers={**sent, "apikey": KEY}).status_code == 200


def test_paths_as_that_servers_clients_write_them(client: httpx.Client, tenant: Tenant, server: Server) -> None:
    id = tenant.bot()["id"]
    assert client.get(f"/OpenAI/FIND/{tenant.name}/").json()[0]["id"] == id
    assert client.get(f"/OPENAI/fetch/{id}/{tenant.name}").json()["id"] == id
    assert client.get(f"/openai/find/{tenant.name.upper()}").status_code == 404
    assert client.get(f"/openai/fetch/{id.upper()}/{tenant.name}").status_code == 404
    secret = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()[0]["webhookSecret"]
    assert client.post(f"/WEBHOOK/evolution/{secret}", json={}).status_code == 200
    assert secret not in server.log.getvalue()
