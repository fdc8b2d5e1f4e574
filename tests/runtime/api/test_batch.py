"""`POST /fleet/{instance}`: all or none, judged as a whole, bound to what was read, applied once."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.runtime.conftest import BOT, Server, Tenant

Changes = list[dict[str, Any]]


def apply(client: httpx.Client, tenant: Tenant, *changes: dict[str, Any], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/fleet/{tenant.name}", json={"changes": list(changes)}, headers=named)


def part(client: httpx.Client, tenant: Tenant) -> dict[str, Any]:
    (found,) = client.get("/fleet", params={"instance": tenant.name}).json()["instances"]
    return dict(found)


def etag(client: httpx.Client, tenant: Tenant) -> str:
    return client.get("/fleet", params={"instance": tenant.name}).headers["etag"]


def bot(action: str = "create", id: str | None = None, ref: str | None = None, **body: Any) -> dict[str, Any]:
    base = BOT if action == "create" else {}
    return {"action": action, "kind": "Bot", "id": id, "ref": ref, "body": {**base, **body}}


def credentials(ref: str | None = None, **body: Any) -> dict[str, Any]:
    return {"action": "create", "kind": "Credentials", "ref": ref, "body": {"name": "main", "apiKey": "sk-1", **body}}


def test_a_whole_instance_in_one_request(client: httpx.Client, make: Callable[..., Tenant]) -> None:
    tenant = make()
    answer = apply(
        client,
        tenant,
        {"action": "update", "kind": "Settings", "body": {"openaiCredsId": "$main", "fallbackId": "$any", "expire": 5}},
        bot(ref="$any", openaiCredsId="$main", triggerType="all", triggerOperator=None, triggerValue=None),
        bot(openaiCredsId="main"),
        {"action": "create", "kind": "Assistant", "body": {"assistantId": "a"}},
        credentials("$main"),
        {"action": "update", "kind": "Instance", "body": {"retention": 86400}},
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    settings, fallback, by_name, assistant, main, instance = body["changes"]
    assert [one["status"] for one in body["changes"]] == [200, 201, 201, 201, 201, 200]
    assert (fallback["ref"], main["ref"]) == ("$any", "$main")
    assert settings["row"]["openaiCredsId"] == main["id"] == fallback["row"]["openaiCredsId"]
    assert by_name["row"]["openaiCredsId"] == main["id"]
    assert settings["row"]["openaiIdFallback"] == fallback["id"]
    assert "sk-1" not in answer.text
    found = part(client, tenant)
    assert found["instance"] == instance["row"]
    assert found["instance"]["retention"] == 86400
    assert found["settings"] == settings["row"]
    assert found["credentials"] == [main["row"]]
    assert found["assistants"] == [assistant["row"]]
    assert sorted(row["id"] for row in found["bots"]) == sorted([fallback["id"], by_name["id"]])
    assert body["etag"] == answer.headers["etag"] == found["etag"] == etag(client, tenant)
    state = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()[0]
    assert state["retention"] == 86400


def test_a_swap_of_triggers_names_and_assistants(client: httpx.Client, tenant: Tenant) -> None:
    one, two = tenant.bot(), tenant.bot(triggerValue="stop")
    (first,) = client.get(f"/openai/creds/{tenant.name}").json()
    second = tenant.credentials("other")
    thinkers = [client.post(f"/openai/assistants/create/{tenant.name}", json={"assistantId": id}).json() for id in "ab"]
    swaps: Changes = [bot("update", one["id"], triggerValue="stop"), bot("update", two["id"], triggerValue="start")]
    for kind, field, pair in (("Credentials", "name", (first, second)), ("Assistant", "assistantId", thinkers)):
        for row, other in (pair, reversed(pair)):
            swaps.append({"action": "update", "kind": kind, "id": row["id"], "body": {field: other[field]}})
    answer = apply(client, tenant, *swaps)
    assert answer.status_code == 200, answer.text
    found = part(client, tenant)
    assert {row["id"]: row["triggerValue"] for row in found["bots"]} == {one["id"]: "stop", two["id"]: "start"}
    assert {row["id"]: row["name"] for row in found["credentials"]} == {first["id"]: "other", second["id"]: "creds_123"}
    assert {row["id"]: row["assistantId"] for row in found["assistants"]} == {
        thinkers[0]["id"]: "b",
        thinkers[1]["id"]: "a",
    }


def test_everything_is_replaced(client: httpx.Client, tenant: Tenant) -> None:
    """The old credentials go last, when no bot uses them; the new ones take their name, the new bot its trigger."""
    old = tenant.bot()
    answer = apply(
        client,
        tenant,
        {"action": "delete", "kind": "Credentials", "id": old["openaiCredsId"]},
        bot(openaiCredsId="new"),
        {"action": "delete", "kind": "Bot", "id": old["id"]},
        credentials("new", name="creds_123"),
    )
    assert answer.status_code == 200, answer.text
    assert [one["row"] is None for one in answer.json()["changes"]] == [True, False, True, False]
    assert answer.json()["changes"][0]["id"] == old["openaiCredsId"]
    found = part(client, tenant)
    assert [len(found[name]) for name in ("credentials", "bots")] == [1, 1]


def cases(tenant: Tenant, row: dict[str, Any]) -> list[tuple[str, Changes, int, list[str]]]:
    id = row["id"]
    return [
        (
            "trigger taken",
            [bot(triggerValue="x"), bot()],
            409,
            [f"changes[1]: The trigger is taken by the enabled bot {id}"],
        ),
        (
            "name taken",
            [credentials(name="creds_123")],
            409,
            ['changes[0]: The credentials name "creds_123" is already'],
        ),
        (
            "still in use",
            [{"action": "delete", "kind": "Credentials", "id": row["openaiCredsId"]}],
            409,
            ["changes[0]: These credentials are in use by 2 bots"],
        ),
        ("unknown bot", [bot("update", "nosuch")], 404, ['changes[0]: The bot "nosuch" does not exist']),
        (
            "unknown credentials",
            [bot(triggerValue="x", openaiCredsId="no")],
            422,
            ["changes[0]: openaiCredsId is neither"],
        ),
        ("a regex", [bot(triggerOperator="regex", triggerValue="(")], 422, ["changes[0]: triggerValue: "]),
        ("a private address", [bot(functionUrl="http://10.0.0.1/")], 422, ["changes[0]: functionUrl names a private"]),
        (
            "also in credentials",
            [credentials(baseUrl="http://10.0.0.1/")],
            422,
            ["changes[0]: baseUrl names a private"],
        ),
        (
            "and in the instance",
            [{"action": "update", "kind": "Instance", "body": {"webhook": "http://10.0.0.1/"}}],
            422,
            ["changes[0]: webhook names a private"],
        ),
        (
            "faults of every change at once",
            [bot(maxTokens=0, model=5), bot("update", id, enabled="yes"), bot(triggerType="never")],
            400,
            ["changes[0]: body.maxTokens is", "changes[0]: body.model is", "changes[2]: body.triggerType is"],
        ),
        ("the result must be whole", [bot("update", id, model=None)], 400, ["changes[0]: body.model is required"]),
        ("no changes", [], 400, ["changes has fewer than 1 entries"]),
        ("no kind", [{"action": "create"}], 400, ["changes[0].kind is required"]),
        ("an action", [{"action": "put", "kind": "Bot"}], 400, ["changes[0].action is not one of"]),
        (
            "not possible",
            [{"action": "delete", "kind": "Settings"}],
            400,
            ["changes[0]: action delete is not possible"],
        ),
        ("no id", [{"action": "delete", "kind": "Bot"}], 400, ["changes[0]: id is required"]),
        ("an id too much", [bot(id="x")], 400, ["changes[0]: id is not possible here: it is made"]),
        (
            "an id of the only one",
            [{"action": "update", "kind": "Settings", "id": "x"}],
            400,
            ["changes[0]: id is not possible: one Settings only"],
        ),
        (
            "one object twice",
            [bot("update", id, description="x"), {"action": "delete", "kind": "Bot", "id": id}],
            400,
            ["changes[1]: the object is that of changes[0] too"],
        ),
        ("one ref twice", [bot(ref="a"), bot(ref="a")], 400, ["changes[1]: the ref is that of changes[0] too"]),
        (
            "what follows from a fault is none of its own",
            [bot(triggerValue="x", openaiCredsId="m", ref="b"), credentials("m", name="creds_123")],
            409,
            ["changes[1]: The credentials name"],
        ),
        (
            "the first fault gives the status",
            [bot("update", "nosuch"), bot()],
            404,
            ['changes[0]: The bot "nosuch"', "changes[1]: The trigger is taken"],
        ),
    ]


@pytest.mark.parametrize("number", range(22))
def test_what_fails_changes_nothing(client: httpx.Client, tenant: Tenant, number: int) -> None:
    row = tenant.bot()
    table = cases(tenant, row)
    assert len(table) == 22
    case, changes, status, said = table[number]
    before = client.get("/fleet", params={"instance": tenant.name})
    good = bot(triggerValue="fine", openaiCredsId=row["openaiCredsId"])
    answer = apply(client, tenant, *changes, *([good] if changes else []), Idempotency_Key="k")
    assert answer.status_code == status, (case, answer.text)
    messages = answer.json()["response"]["message"]
    assert len(messages) == len(said), (case, messages)
    for message, start in zip(messages, said, strict=True):
        assert message.startswith(start), case
    told = answer.json()["response"].get("changes", [])
    assert {one["index"] for one in told} == {
        int(n) for text in messages for n in re.findall(r"^changes\[(\d+)\]: ", text)
    }
    for one in told:
        assert one["message"]
        assert one["status"] in (400, 404, 409, 422)
    after = client.get("/fleet", params={"instance": tenant.name})
    assert (after.text, after.headers["etag"]) == (before.text, before.headers["etag"])
    assert apply(client, tenant, good, Idempotency_Key="k").status_code == 200  # a refusal does not use up the key


def test_a_stale_plan_is_refused(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    other = make()
    read = etag(client, tenant)
    other.credentials()  # another instance's change takes nothing away
    assert apply(client, tenant, bot(), If_Match=f'"x", {read}').status_code == 200
    answer = apply(client, tenant, bot(triggerValue="x"), If_Match=read)
    assert answer.status_code == 412
    assert answer.json()["response"]["message"][0].startswith("The instance has changed since it was read")
    assert apply(client, tenant, bot(triggerValue="x"), If_Match="W/" + read).status_code == 412
    assert len(part(client, tenant)["bots"]) == 1
    weak = "W/" + etag(client, tenant)  # as a proxy that compresses makes it
    assert apply(client, tenant, bot(triggerValue="w"), If_Match=weak).status_code == 200
    assert apply(client, tenant, bot(triggerValue="x"), If_Match="*").status_code == 200
    assert apply(client, tenant, bot(triggerValue="y"), If_Match=part(client, tenant)["etag"]).status_code == 200


def test_a_request_is_applied_once(client: httpx.Client, tenant: Tenant, make: Callable[..., Tenant]) -> None:
    read = etag(client, tenant)
    first = apply(client, tenant, bot(), credentials(), Idempotency_Key="one", If_Match=read)
    version = etag(client, tenant)
    again = apply(client, tenant, bot(), credentials(), Idempotency_Key="one", If_Match=read)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])
    assert etag(client, tenant) == version
    answer = apply(client, tenant, bot(), Idempotency_Key="one")
    assert answer.status_code == 422
    assert answer.json()["response"]["message"][0].startswith("This Idempotency-Key came with another request")
    third = make()
    assert apply(client, third, credentials(), Idempotency_Key="one").status_code == 200  # each instance has its own
    for key in ("x" * 256, "a b", "é".encode()):
        bad = client.post(f"/fleet/{tenant.name}", json={"changes": []}, headers={"Idempotency-Key": key})
        assert bad.status_code == 400


def test_after_a_day_a_key_is_free_again(client: httpx.Client, tenant: Tenant, server: Server) -> None:
    assert apply(client, tenant, bot(), Idempotency_Key="one").status_code == 200

    def age(c: sqlite3.Connection) -> None:
        c.execute("UPDATE answers SET at=at-86401 WHERE instance_id=?", (tenant.id,))

    server.store.db.submit(age).result()
    assert apply(client, tenant, bot(triggerValue="x"), Idempotency_Key="one").status_code == 200


def test_two_writers_at_once(client: httpx.Client, tenant: Tenant) -> None:
    """Ten plans of one reading: one is applied. Ten sendings of one request: applied once, answered alike."""
    read, answers = etag(client, tenant), []

    def write(number: int, **headers: str) -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as own:
            answers.append(apply(own, tenant, bot(triggerValue=f"w{number}"), **headers))

    def together(*calls: Callable[[], None]) -> None:
        threads = [threading.Thread(target=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(*(lambda number=number: write(number, If_Match=read) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    answers.clear()
    together(*(lambda: write(99, Idempotency_Key="same") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(part(client, tenant)["bots"]) == 2


def test_the_engine_is_told(client: httpx.Client, tenant: Tenant, server: Server) -> None:
    woken = server.woken
    assert apply(client, tenant, bot()).status_code == 200
    assert server.woken == woken + 1


def test_a_body_may_be_larger_than_others(client: httpx.Client, tenant: Tenant) -> None:
    many = [bot(triggerValue=f"t{number}", systemMessages=["x" * 20_000]) for number in range(100)]
    answer = apply(client, tenant, *many)
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["changes"]) == 100
    padded = b'{"changes": [], "x": "' + b"x" * (16 << 20) + b'"}'
    headers = {"Content-Type": "application/json"}
    assert client.post(f"/fleet/{tenant.name}", content=padded, headers=headers).status_code == 413
