"""`GET /fleet`: everything in one answer, an ETag that moves with every change and only then, scopes."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.conftest import Tenant


def test_everything_of_an_instance(client: httpx.Client, tenant: Tenant) -> None:
    bot = tenant.bot()
    assistant = client.post(f"/openai/assistants/create/{tenant.name}", json={"assistantId": "a"}).json()
    params = {"instance": tenant.name}
    (part,) = client.get("/fleet", params=params).json()["instances"]
    credentials = client.get(f"/openai/creds/{tenant.name}").json()
    assert part["instance"]["id"] == tenant.id
    assert "token" not in part["instance"]
    rest = {"credentials": credentials, "settings": None, "assistants": [assistant], "bots": [bot]}
    etag = client.get("/fleet", params=params).headers["etag"]
    assert part == {"etag": etag, "instance": part["instance"], **rest}
    settings = client.post(f"/openai/settings/{tenant.name}", json={"expire": 5}).json()
    (part,) = client.get("/fleet", params=params).json()["instances"]
    assert part["settings"] == settings
    assert part in client.get("/fleet").json()["instances"]


def test_the_etag_moves_with_every_change(client: httpx.Client, tenant: Tenant) -> None:
    seen = {client.get("/fleet").headers["etag"]}
    path = f"/{{}}/{tenant.name}"
    bot = tenant.bot()

    def moved() -> None:
        etag = client.get("/fleet").headers["etag"]
        assert etag not in seen
        assert client.get("/fleet", headers={"If-None-Match": etag}).status_code == 304
        seen.add(etag)

    moved()
    for method, where, body in (
        ("PUT", f"/openai/update/{bot['id']}/{tenant.name}", {"description": "x"}),
        ("POST", path.format("openai/settings"), {"expire": 5}),
        ("POST", path.format("openai/ignoreJid"), {"remoteJid": "x", "action": "add"}),
        ("POST", path.format("openai/creds"), {"name": "n", "apiKey": "k"}),
        ("POST", path.format("openai/assistants/create"), {"assistantId": "n"}),
        ("PUT", path.format("instance/update"), {"retention": 5}),
    ):
        assert client.request(method, where, json=body).status_code < 300
        moved()
    etag = client.get("/fleet").headers["etag"]
    client.put(f"/openai/update/{bot['id']}/{tenant.name}", json={"maxTokens": 0})
    client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": "hi"})
    assert client.get("/fleet", headers={"If-None-Match": f'W/"x", {etag}'}).status_code == 304
    client.delete(f"/openai/delete/{bot['id']}/{tenant.name}")
    moved()
    client.delete(f"/instance/delete/{tenant.name}")
    moved()
    assert tenant.id not in client.get("/fleet").text


def test_scopes(client: httpx.Client, nobody: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    other, own = make(), {"apikey": tenant.token}
    (part,) = nobody.get("/fleet", headers=own).json()["instances"]
    assert part["instance"]["id"] == tenant.id
    assert nobody.get("/fleet", headers=own, params={"instance": tenant.name}).status_code == 200
    for name in (other.name, "nosuch"):
        assert nobody.get("/fleet", headers=own, params={"instance": name}).status_code == 401
    assert client.get("/fleet", params={"instance": "nosuch"}).status_code == 404
    tags = [
        client.get("/fleet").headers["etag"],
        client.get("/fleet", params={"instance": tenant.name}).headers["etag"],
        client.get("/fleet", params={"instance": other.name}).headers["etag"],
    ]
    assert len(set(tags)) == 3
    answer = client.get("/fleet", params={"instance": other.name}, headers={"If-None-Match": tags[1]})
    assert answer.status_code == 200


@given(st.text(max_size=30))
def test_any_if_none_match_is_survived(text: str) -> None:
    from reconciler.runtime.api.fleet import _same

    assert _same(text, '"a"') == any(tag.strip().removeprefix("W/") in ('"a"', "*") for tag in text.split(",") if tag)


def test_only_what_has_changed_since_an_earlier_answer(client: httpx.Client, tenant: Tenant) -> None:
    other = Tenant(client, f"{tenant.name}-beside")
    whole = client.get("/fleet")
    since = whole.headers["etag"]
    tags = {part["instance"]["id"]: part["etag"] for part in whole.json()["instances"]}
    tenant.credentials("later")
    answer = client.get("/fleet", params={"since": since})
    changed, unchanged = answer.json()["instances"], answer.json()["unchanged"]
    assert [part["instance"]["id"] for part in changed] == [tenant.id]
    assert unchanged == [tag for id, tag in tags.items() if id != tenant.id]
    assert answer.headers["etag"] == client.get("/fleet").headers["etag"]
    client.delete(f"/instance/delete/{other.name}")
    left = client.get("/fleet", params={"since": f"W/{answer.headers['etag']}"}).json()
    assert left == {"instances": [], "unchanged": [changed[0]["etag"] if tag == tags[tenant.id] else tag
                                                   for id, tag in tags.items() if id != other.id]}  # fmt: skip
    now = client.get("/fleet")
    seen = {"If-None-Match": now.headers["etag"]}
    assert client.get("/fleet", params={"since": since}, headers=seen).status_code == 304


def test_since_a_state_that_is_not_known_everything_is_sent(client: httpx.Client, tenant: Tenant) -> None:
    whole = client.get("/fleet")
    own, _, count = whole.headers["etag"].strip('"').rpartition("-")
    for since in (f"another-{count}", f"{own}-{int(count) + 1}", f"{own}-{'9' * 40}", f"{own}-²", own, "", tenant.id):
        assert client.get("/fleet", params={"since": since}).json() == whole.json()
    part = client.get("/fleet", params={"since": f"{own}-{count}", "instance": tenant.name}).json()
    assert [one["instance"]["id"] for one in part["instances"]] == [tenant.id]
    assert "unchanged" not in part
