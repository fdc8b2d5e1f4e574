"""The open endpoints, the console's session, the API's description of itself."""

from __future__ import annotations

import re

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reconciler.runtime.app import ENDPOINTS
from reconciler.runtime.keys import COOKIE, Keys
from tests.runtime.conftest import KEY, Server, Tenant


def test_who_answers_here(nobody: httpx.Client, server: Server) -> None:
    body = nobody.get("/").json()
    assert set(body) == {"status", "message", "version", "clientName", "manager", "documentation"}
    assert body["documentation"] == f"{server.url}/docs"


def test_browsers_get_the_page(nobody: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(_: Request) -> Response:
        return HTMLResponse("<p>hello</p>")

    served = msgspec.structs.replace(server.app.state.served, page=page)
    headers = {"Accept": "text/html,application/xhtml+xml"}
    route = next(route for route in server.app.routes if getattr(route, "path", "") == "/")
    assert nobody.get("/", headers=headers).headers["content-type"] == "application/json"
    monkeypatch.setattr(route.endpoint, "served", served)
    assert nobody.get("/", headers=headers).text == "<p>hello</p>"
    assert nobody.get("/").headers["content-type"] == "application/json"


def test_health(nobody: httpx.Client, server: Server) -> None:
    assert nobody.get("/healthz").json() == {"status": "ok"}
    assert nobody.get("/readyz").json() == {"status": "ready"}
    server.ready = False
    try:
        answer = nobody.get("/readyz")
    finally:
        server.ready = True
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["response"]["message"] == ["not ready: the first reconcile pass has not ended yet"]


def test_metrics(nobody: httpx.Client, tenant: Tenant) -> None:
    answer = nobody.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'route="/openai/creds/{instance}",status="201"' in answer.text
    assert tenant.name not in answer.text


def test_checking_a_key(nobody: httpx.Client, client: httpx.Client) -> None:
    assert client.post("/verify-creds").json() == {"status": 200, "message": "Credentials are valid"}
    assert nobody.post("/verify-creds").status_code == 401


def test_the_consoles_session(server: Server, tenant: Tenant) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as browser:
        for key in ("wrong", tenant.token, 5, None):
            assert browser.post("/console/login", json={"key": key}).status_code == 401
        answer = browser.post("/console/login", data={"key": KEY})
        assert answer.json() == {"status": "success"}
        said = answer.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=strict" in said
        assert "max-age=43200" in said
        assert KEY not in answer.headers["set-cookie"]
        assert browser.get(f"/openai/find/{tenant.name}").status_code == 200
        assert browser.get("/openai/find/nosuch").status_code == 404
        wrong = {"apikey": "wrong"}
        assert browser.get(f"/openai/find/{tenant.name}", headers=wrong).status_code == 401
        browser.post("/console/logout")
        assert browser.get(f"/openai/find/{tenant.name}").status_code == 401
        assert httpx.get(f"{server.url}/fleet", cookies={COOKIE: "forged"}).status_code == 401


def test_another_global_key_ends_the_consoles_sessions(server: Server) -> None:
    def opens(key: str) -> bool:
        headers = [(b"cookie", f"{COOKIE}={session}".encode())]
        return Keys(key, server.store).found(Request({"type": "http", "headers": headers})) is not None

    session = Keys("the key before", server.store).session("the key before")
    assert session is not None
    assert opens("the key before")
    assert not opens(KEY)


def test_the_api_describes_itself(nobody: httpx.Client) -> None:
    document = nobody.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert operation["summary"]
        assert len(operation["parameters"]) == len(re.findall(r"\{", endpoint.path)) + len(endpoint.query)
    text = nobody.get("/openapi.json").text
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in document["components"]["schemas"]
    assert "fields.schema.json" not in text
    assert document["components"]["schemas"]["bot"]["properties"]["maxTokens"]["type"] == ["integer", "null"]
    page = nobody.get("/docs").text
    assert "/openai/changeStatus/{instance}" in page
    assert "<script" not in page
