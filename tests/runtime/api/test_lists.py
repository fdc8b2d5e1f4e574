"""ETags, 304, If-Match, pages, compression: what spares a client and a server work, and loses no change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.runtime.conftest import KEY, Server, Tenant

LISTS = ["/openai/find/{}", "/openai/creds/{}", "/openai/assistants/find/{}", "/openai/fetchSettings/{}"]


def bots(tenant: Tenant, count: int) -> list[str]:
    return [tenant.bot(triggerValue=f"word {number}")["id"] for number in range(count)]


@pytest.mark.parametrize("path", LISTS)
def test_who_has_seen_it_gets_304_until_it_changes(
    client: httpx.Client,
    tenant: Tenant,
    make: Callable[..., Tenant],
    server: Server,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = client.get(path.format(tenant.name))
    etag = first.headers["etag"]
    other = make()
    other.credentials()  # another instance's change is none of this one's
    with monkeypatch.context() as patch:
        patch.setattr(server.store.db, "read", None)  # nothing is read for a 304
        for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            again = client.get(path.format(tenant.name), headers={"If-None-Match": header})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    tenant.bot()
    changed = client.get(path.format(tenant.name), headers={"If-None-Match": etag})
    assert (changed.status_code, changed.headers["etag"] != etag) == (200, True)


def test_a_row_has_an_etag_of_its_own(client: httpx.Client, tenant: Tenant) -> None:
    one, other = bots(tenant, 2)
    path = f"/openai/fetch/{one}/{tenant.name}"
    etag = client.get(path).headers["etag"]
    client.put(f"/openai/update/{other}/{tenant.name}", json={"description": "another bot's change"})
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    answer = client.put(f"/openai/update/{one}/{tenant.name}", json={"description": "mine"})
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 200
    assert client.get(path).headers["etag"] == answer.headers["etag"]


def test_instances(client: httpx.Client, tenant: Tenant) -> None:
    params = {"instanceName": tenant.name}
    etag = client.get("/instance/fetchInstances", params=params).headers["etag"]
    headers = {"If-None-Match": etag}
    assert client.get("/instance/fetchInstances", params=params, headers=headers).status_code == 304
    client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": "hello"})  # counted in the row
    assert client.get("/instance/fetchInstances", params=params, headers=headers).status_code == 200


CHANGES: list[tuple[str, str, str, dict[str, Any] | None]] = [
    ("bot", "PUT", "/openai/update/{bot}/{name}", {"description": "x"}),
    ("bot", "DELETE", "/openai/delete/{bot}/{name}", None),
    ("credentials", "PUT", "/openai/creds/{credentials}/{name}", {"description": "x"}),
    ("credentials", "DELETE", "/openai/creds/{spare}/{name}", None),
    ("assistant", "PUT", "/openai/assistants/update/{assistant}/{name}", {"description": "x"}),
    ("assistant", "DELETE", "/openai/assistants/delete/{assistant}/{name}", None),
    ("settings", "POST", "/openai/settings/{name}", {"expire": 5}),
    ("instance", "PUT", "/instance/update/{name}", {"retention": 86400}),
    ("instance", "DELETE", "/instance/delete/{name}", None),
]


@pytest.mark.parametrize(("kind", "method", "path", "body"), CHANGES, ids=[f"{c[1]} {c[0]}" for c in CHANGES])
def test_a_lost_race_changes_nothing(
    client: httpx.Client, tenant: Tenant, kind: str, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assistant = client.post(
        f"/openai/assistants/create/{tenant.name}", json={"assistantId": "asst_1", "instructions": "Be kind."}
    )
    assert assistant.status_code == 201, assistant.text
    ids = {
        "name": tenant.name,
        "bot": tenant.bot()["id"],
        "credentials": client.get(f"/openai/creds/{tenant.name}").json()[0]["id"],
        "spare": tenant.credentials("spare")["id"],
        "assistant": assistant.json()["id"],
    }
    before = client.get(f"/fleet?instance={tenant.name}")
    for stale in ('"nothing"', '"nothing", W/"else"', ""):
        lost = client.request(method, path.format(**ids), json=body, headers={"If-Match": stale})
        assert lost.status_code == 412, lost.text
        assert "fetch it again" in lost.json()["response"]["message"][0]
    assert client.get(f"/fleet?instance={tenant.name}").content == before.content
    current = client.get(f"/openai/find/{tenant.name}").headers["etag"]  # the instance's state stands for each row's
    won = client.request(method, path.format(**ids), json=body, headers={"If-Match": f'"x", {current}'})
    assert won.status_code == 200, won.text


def test_any_row_matches_the_star_but_one_that_is_not_there(client: httpx.Client, tenant: Tenant) -> None:
    (id,) = bots(tenant, 1)
    headers = {"If-Match": "*"}
    path = f"/openai/update/{id}/{tenant.name}"
    assert client.put(path, json={"enabled": False}, headers=headers).status_code == 200
    assert client.put(f"/openai/update/nosuch/{tenant.name}", json={}, headers=headers).status_code == 404
    assert client.post(f"/openai/settings/{tenant.name}", json={"expire": 1}, headers=headers).status_code == 412


async def test_of_two_writers_at_once_one_wins(server: Server, tenant: Tenant) -> None:
    """Many writers with one ETag, over real connections: one change is made, whoever made it."""
    (id,) = bots(tenant, 1)
    async with httpx.AsyncClient(base_url=server.url, headers={"apikey": KEY}, timeout=60) as client:
        for _ in range(5):
            etag = (await client.get(f"/openai/fetch/{id}/{tenant.name}")).headers["etag"]
            answers = await asyncio.gather(
                *(
                    client.put(
                        f"/openai/update/{id}/{tenant.name}",
                        json={"description": f"writer {number}"},
                        headers={"If-Match": etag},
                    )
                    for number in range(8)
                )
            )
            assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
            (won,) = [answer.json() for answer in answers if answer.status_code == 200]
            assert (await client.get(f"/openai/fetch/{id}/{tenant.name}")).json() == won


def test_pages(client: httpx.Client, tenant: Tenant) -> None:
    ids = bots(tenant, 7)

    def listed(query: str) -> list[str]:
        answer = client.get(f"/openai/find/{tenant.name}{query}")
        assert answer.status_code == 200
        return [row["id"] for row in answer.json()]

    assert listed("") == ids
    assert listed("?limit=3") == listed("?page=1&limit=3") == ids[:3]
    assert listed("?page=3&limit=3") == ids[6:]
    assert listed("?page=4&limit=3") == []
    assert listed("?page=1") == ids
    assert [row["name"] for row in client.get(f"/openai/creds/{tenant.name}?limit=1").json()] == ["creds_123"]
    assert len(client.get("/instance/fetchInstances?limit=1").json()) == 1


LONG = "1" + "0" * 30  # after zeros: a number that no database takes


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=²",
        f"page={LONG}",
        "limit=0",
        "limit=1001",
        "limit=1.5",
        f"limit=00000{LONG}",
    ],
)
def test_pages_that_are_none(client: httpx.Client, tenant: Tenant, query: str) -> None:
    for path in (f"/openai/find/{tenant.name}", "/instance/fetchInstances"):
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert "is not a number from 1 to" in answer.json()["response"]["message"][0]


def test_a_long_list_comes_in_pieces_and_compressed(client: httpx.Client, tenant: Tenant) -> None:
    for number in range(12):
        tenant.bot(triggerValue=f"long {number}", systemMessages=["olá 👋 " * 3000])
    path = f"/openai/find/{tenant.name}"
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert plain.json() == packed.json()
    assert int(plain.headers["content-length"]) == len(plain.content) > 300_000
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] == plain.headers["etag"]
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert packed.num_bytes_downloaded < 40_000
    etag = packed.headers["etag"]
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert client.head(path).status_code == 200


def test_short_answers_and_streams_are_not_compressed(client: httpx.Client, tenant: Tenant) -> None:
    headers = {"Accept-Encoding": "gzip"}
    assert "content-encoding" not in client.get(f"/openai/fetchSettings/{tenant.name}", headers=headers).headers
    client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": "hello " * 1000})
    with client.stream("GET", f"/chat/{tenant.name}/ana/events", headers=headers) as stream:
        assert "content-encoding" not in stream.headers
        for line in stream.iter_lines():
            if line.startswith("data: "):
                assert json.loads(line[6:])["text"].startswith("hello")
                break
