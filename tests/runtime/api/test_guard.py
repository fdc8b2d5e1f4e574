"""Keys before everything, for every endpoint; wrong methods, unknown paths, bodies that are no bodies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.runtime.app import ENDPOINTS
from reconciler.runtime.call import Endpoint
from tests.runtime.conftest import BOT, KEY, Server, Tenant

GUARDED = [endpoint for endpoint in ENDPOINTS if endpoint.access != "open"]
SCOPED = [endpoint for endpoint in ENDPOINTS if endpoint.access == "instance"]
JSON = {"Content-Type": "application/json"}


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def path(endpoint: Endpoint, instance: str) -> str:
    return re.sub(r"\{\w+\}", "nosuch", endpoint.path.replace("{instance}", instance))


@pytest.mark.parametrize("endpoint", GUARDED, ids=named)
@pytest.mark.parametrize("key", [None, "", "wrong", KEY.upper(), KEY + " x", "é"])
def test_without_a_right_key_nothing_is_looked_at(
    nobody: httpx.Client, server: Server, endpoint: Endpoint, key: str | None
) -> None:
    headers = {**JSON, **({"apikey": key.encode()} if key is not None else {})}
    existing = server.store.fleet.directory.all()
    names = ["nosuch", existing[0].instance.name] if existing else ["nosuch"]
    answers = [
        nobody.request(endpoint.method, path(endpoint, name) + f"?apikey={KEY}", content=b"{bad", headers=headers)
        for name in names
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json() == {"status": 401, "error": "Unauthorized", "response": {"message": ["Unauthorized"]}}


@pytest.mark.parametrize("endpoint", SCOPED, ids=named)
def test_a_token_opens_its_instance_alone(
    nobody: httpx.Client, tenant: Tenant, make: Callable[..., Tenant], endpoint: Endpoint
) -> None:
    headers = {"apikey": tenant.token}
    for name in (make().name, "nosuch"):
        where = path(endpoint, name) + f"?instanceName={tenant.name}&instance={tenant.name}"
        assert nobody.request(endpoint.method, where, headers=headers).status_code == 401
    if not endpoint.path.endswith("/events"):
        assert nobody.request(endpoint.method, path(endpoint, tenant.name), headers=headers).status_code != 401


@pytest.mark.parametrize("endpoint", SCOPED, ids=named)
def test_an_unknown_instance(client: httpx.Client, endpoint: Endpoint) -> None:
    answer = client.request(endpoint.method, path(endpoint, "nosuch"))
    assert answer.status_code == 404
    assert answer.json()["response"]["message"] == ['The "nosuch" instance does not exist']


def test_wrong_methods_and_unknown_paths(client: httpx.Client, nobody: httpx.Client, tenant: Tenant) -> None:
    answer = client.post(f"/openai/find/{tenant.name}", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = client.patch(f"/openai/creds/x/{tenant.name}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, PUT")
    assert nobody.delete("/healthz").status_code == 405
    answer = client.get(f"/openai/nothing/{tenant.name}")
    assert (answer.status_code, answer.json()["response"]["message"]) == (
        404,
        [f"Cannot GET /openai/nothing/{tenant.name}"],
    )
    assert nobody.get("/openai/nothing/x").status_code == 401
    head = client.head(f"/openai/find/{tenant.name}")
    assert (head.status_code, head.content) == (200, b"")


DEEP = b'{"name": ' + b"[" * 2000 + b"]" * 2000 + b"}"
BODIES: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("no JSON", b"{bad", JSON, 400, "the body is not JSON"),
    ("cut off", b'{"name": "x",', JSON, 400, "the body is not JSON"),
    ("a list", b"[]", JSON, 400, "the body is not of type object"),
    ("a text", b'"x"', JSON, 400, "the body is not of type object"),
    ("null", b"null", JSON, 400, "the body is not of type object"),
    ("a key twice", b'{"name": "a", "apiKey": "k", "name": "b"}', JSON, 400, "'name' is given twice"),
    ("not UTF-8", b'{"name": "\xff"}', JSON, 400, "the body is not UTF-8 (byte 11)"),
    ("NaN", b'{"name": NaN}', JSON, 400, "the body is not JSON: NaN"),
    ("infinite", b'{"name": 1e999}', JSON, 400, "the body holds a number out of range"),
    ("huge", b'{"name": ' + b"9" * 5000 + b"}", JSON, 400, "the body holds a number out of range"),
    ("a NUL", b'{"name": "a\\u0000b", "apiKey": "k"}', JSON, 400, "name holds a NUL character"),
    ("half a pair", b'{"name": "\\ud800", "apiKey": "k"}', JSON, 400, "name holds half of a surrogate pair"),
    ("deep", DEEP, JSON, 400, "the body is nested deeper than 100"),
    ("deeper", b"[" * 200_000, JSON, 400, "the body is"),
    ("nothing", b"", JSON, 400, "apiKey is required"),
    ("nothing at all", b"", {}, 400, "apiKey is required"),
    ("text", b'{"name": "n"}', {"Content-Type": "text/plain"}, 415, "send the body as"),
    ("no type", b'{"name": "n"}', {}, 415, "send the body as"),
    ("too large", b'{"name": "' + b"x" * (1 << 20) + b'"}', JSON, 413, "the body is larger than"),
]


@pytest.mark.parametrize(("case", "body", "headers", "status", "said"), BODIES, ids=[case[0] for case in BODIES])
def test_bodies(
    client: httpx.Client, tenant: Tenant, case: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = client.post(f"/openai/creds/{tenant.name}", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["response"]["message"][0].startswith(said)


def test_a_body_without_a_length_is_bounded_too(client: httpx.Client, tenant: Tenant) -> None:
    chunks = (b"x" * 65536 for _ in range(20))
    assert client.post(f"/openai/creds/{tenant.name}", content=chunks, headers=JSON).status_code == 413


def test_of_very_many_faults_the_first_are_said(client: httpx.Client, tenant: Tenant) -> None:
    """A body of a million bytes was answered with fourteen, and everybody else waited."""
    wrong = {**BOT, "ignoreJids": [1] * 150}
    messages = client.post(f"/openai/create/{tenant.name}", json=wrong).json()["response"]["message"]
    assert (len(messages), messages[-1]) == (101, "there may be more: these are the first 100")
    changes = [{"action": "create", "kind": "Bot", "body": wrong}] * 12
    answer = client.post(f"/fleet/{tenant.name}", json={"changes": changes}).json()["response"]
    assert len(answer["changes"]) == 10
    assert answer["message"][-1] == "changes[9]: the changes after this one were not looked at"


def test_escapes_that_are_fine_pass(client: httpx.Client, tenant: Tenant) -> None:
    body = json.dumps({**BOT, "systemMessages": ["olá 👋", "\n\t"], "tools": None})
    assert "\\u" in body
    answer = client.post(f"/openai/create/{tenant.name}", content=body, headers=JSON)
    assert answer.json()["systemMessages"] == ["olá 👋", "\n\t"]


def test_a_bug_says_its_id_and_nothing_else(
    client: httpx.Client, tenant: Tenant, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise ValueError("an inside matter")

    monkeypatch.setattr(type(server.store.fleet), "bots", broken)
    answer = client.get(f"/openai/find/{tenant.name}")
    assert answer.status_code == 500
    (said,) = answer.json()["response"]["message"]
    assert "inside" not in answer.text
    id = said.split()[-1]
    assert id == answer.headers["x-request-id"]
    logged = [json.loads(line) for line in server.log.getvalue().splitlines()]
    assert any(line["event"] == "bug" and line["id"] == id and "inside" in line["exception"] for line in logged)


def test_the_access_log_has_no_secrets(
    client: httpx.Client, nobody: httpx.Client, tenant: Tenant, server: Server
) -> None:
    rows = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()
    secret = rows[0]["webhookSecret"]
    assert nobody.post(f"/webhook/evolution/{secret}", json={"numberId": "1"}).json() == {"status": "success"}
    client.get(f"/openai/find/{tenant.name}?apikey={KEY}", headers={"X-Request-Id": "mine-1"})
    client.get(f"/openai/find/{tenant.name}", headers={"X-Request-Id": "not mine\x7f"})
    log = server.log.getvalue()
    for hidden in (secret, KEY, tenant.token, "sk-0123456789abcd", "not mine"):
        assert hidden not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line.get("path") == "/webhook/evolution/…" and line["status"] == 200 for line in lines)
    assert any(line["id"] == "mine-1" and line["method"] == "GET" and line["ms"] >= 0 for line in lines)
