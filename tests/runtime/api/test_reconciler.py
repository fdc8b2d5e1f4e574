"""`/reconciler/*`: the loop beside the runtime, through HTTP, with a real history; and push webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from reconciler import shape
from reconciler.reconcile.history import History
from reconciler.reconcile.holds import Rollback
from reconciler.reconcile.locks import the_one_loop
from reconciler.reconcile.wake import FOLDER, knock, knocked
from reconciler.runtime.api.hook import concerns
from tests.runtime.conftest import HOOK_SECRET, KEY, Server, Tenant


class Beside(Server):
    """A server with a loop's data folder of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "runtime.db")
        self.data = folder / "loop"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    running = Beside(tmp_path_factory.mktemp("beside"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server: Beside) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"apikey": KEY}, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def nobody(server: Beside) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


def fits(schema: str, answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    assert shape.faults(f"http/{schema}", answer.json()) == ()
    return answer.json()


def test_status_and_passes(client: httpx.Client, server: Beside) -> None:
    (one,) = fits("reconciler-status", client.get("/reconciler/status"))
    assert (one["target"], one["sync"], one["health"], one["loopRuns"]) == ("local", "Synced", "Healthy", False)
    assert fits("reconciler-status", client.get("/reconciler/status?target=local")) == [one]
    answer = client.get("/reconciler/status?target=nope")
    assert (answer.status_code, "there are local" in answer.text) == (404, True)
    with History(server.data / "loop.db") as history:
        for _ in range(3):
            history.end(history.begin("local", None, "interval"), "unavailable", "it does not answer")
        history.targets.drifting("local", [("Bot", "bistro", "a", "maxTokens")])
    (one,) = fits("reconciler-status", client.get("/reconciler/status"))
    assert (one["sync"], [drift["field"] for drift in one["drift"]]) == ("OutOfSync", ["maxTokens"])
    rows = fits("reconciler-passes", client.get("/reconciler/passes"))
    assert [row["id"] for row in rows] == [4, 3, 2, 1]
    page = fits("reconciler-passes", client.get("/reconciler/passes?limit=2&target=local"))
    assert [row["id"] for row in page] == [4, 3]
    page = fits("reconciler-passes", client.get("/reconciler/passes?limit=2&before=3"))
    assert [row["id"] for row in page] == [2, 1]
    for wrong in ("limit=0", "limit=1001", "limit=x", "before=0", "before=99999999999999999999"):
        assert client.get(f"/reconciler/passes?{wrong}").status_code == 400
    shown = fits("reconciler-pass", client.get("/reconciler/passes/1"))
    assert (shown["pass"], shown["steps"]) == (rows[-1], [])
    for unknown in ("99", "x", "-1", "9" * 30):
        assert client.get(f"/reconciler/passes/{unknown}").status_code == 404


def test_asking_a_loop(client: httpx.Client, server: Beside) -> None:
    answer = client.post("/reconciler/sync", json={})
    assert (answer.status_code, "no loop runs" in answer.text) == (503, True)
    with the_one_loop(server.data), History(server.data / "loop.db") as history:
        asked = fits("reconciler-request", client.post("/reconciler/sync", json={"target": "local"}), 202)
        where = f"/reconciler/requests/{asked['request']}"
        assert fits("reconciler-request", client.get(where))["pass"] is None
        assert history.requests.asked("local") == [asked["request"]]
        number = history.begin("local", "d" * 40, "sync")
        history.end(number, "unchanged")
        history.requests.answer([asked["request"]], "local", number)
        assert fits("reconciler-request", client.get(where))["pass"]["outcome"] == "unchanged"
        back = {"to": "HEAD~3", "allow": ["delete:3"]}
        asked = fits("reconciler-request", client.post("/reconciler/rollback", json=back), 202)
        assert history.requests.rollback(history.requests.asked("local")) == (
            asked["request"],
            Rollback(to="HEAD~3", allow=("delete:3",)),
        )
        assert not client.get("/reconciler/status").json()[0]["loopRuns"], "a loop runs, and follows other targets"
        history.targets.follow(("local",))
        assert client.get("/reconciler/status").json()[0]["loopRuns"]
    for body in ({"target": "nope"}, {"target": 1}, {"to": "--option"}, {"allow": ["everything"]}):
        assert client.post("/reconciler/rollback", json=body).status_code in (400, 404)
    for unknown in ("99", "x"):
        assert client.get(f"/reconciler/requests/{unknown}").status_code == 404


def test_a_suspension(client: httpx.Client, server: Beside) -> None:
    assert client.post("/reconciler/resume", json={}).status_code == 409
    for body in ({}, {"reason": "  "}, {"reason": "x", "target": "nope"}):
        assert client.post("/reconciler/suspend", json=body).status_code in (400, 404)
    held = fits("reconciler-held", client.post("/reconciler/suspend", json={"reason": " incident 12 "}))
    assert held["suspended"]["reason"] == "incident 12"
    (one,) = fits("reconciler-status", client.get("/reconciler/status"))
    assert (one["health"], one["suspended"]) == ("Suspended", held["suspended"])
    assert fits("reconciler-held", client.post("/reconciler/resume", json={}))["suspended"] is None


def test_who_may(client: httpx.Client, nobody: httpx.Client, server: Beside) -> None:
    tenant = Tenant(client, "theirs")
    reads = client.post("/tokens", json={"name": "CI", "access": "read"}).json()["token"]
    one = client.post("/tokens", json={"name": "one", "access": "read", "instance": "theirs"}).json()["token"]
    for where in ("status", "passes", "passes/1", "requests/1"):
        assert nobody.get(f"/reconciler/{where}").status_code == 401
        assert nobody.get(f"/reconciler/{where}", headers={"apikey": tenant.token}).status_code == 401
        assert nobody.get(f"/reconciler/{where}", headers={"apikey": one}).status_code == 401
        assert nobody.get(f"/reconciler/{where}", headers={"apikey": reads}).status_code in (200, 404)
    for where in ("sync", "suspend", "resume", "rollback"):
        for key in (tenant.token, reads, one):
            answer = nobody.post(f"/reconciler/{where}", json={"reason": "x"}, headers={"apikey": key})
            assert answer.status_code == 401
    assert not client.get("/reconciler/status").json()[0]["suspended"]


def test_without_a_loop(client: httpx.Client, server: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    served = msgspec.structs.replace(server.app.state.served, loop=None)
    for route in server.app.routes:
        if getattr(route, "path", "").startswith("/reconciler"):
            monkeypatch.setattr(route.endpoint, "served", served)
    for method, where in (("GET", "status"), ("POST", "sync")):
        answer = client.request(method, f"/reconciler/{where}", json={})
        assert (answer.status_code, "`reconciler up` starts both" in answer.text) == (404, True)
    assert push(client, "gitlab").status_code == 404


# --- push webhooks ---------------------------------------------------------------------------------------------------

EVENTS = {
    "github": "X-GitHub-Event",
    "gitlab": "X-Gitlab-Event",
    "gitea": "X-Gitea-Event",
    "forgejo": "X-Forgejo-Event",
}
SIGNATURES = {"github": "X-Hub-Signature-256", "gitea": "X-Gitea-Signature", "forgejo": "X-Forgejo-Signature"}


def push(
    client: httpx.Client,
    forge: str,
    event: str = "",
    body: Any = None,
    secret: str = HOOK_SECRET,
    content: bytes | None = None,
    kind: str = "application/json",
) -> httpx.Response:
    if content is None:
        content = json.dumps(body or {"ref": "refs/heads/main"}).encode()
    headers = {"Content-Type": kind, EVENTS[forge]: event or ("Push Hook" if forge == "gitlab" else "push")}
    if forge == "gitlab":
        headers["X-Gitlab-Token"] = secret
    else:
        made = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
        headers[SIGNATURES[forge]] = f"sha256={made}" if forge == "github" else made
    return client.post(f"/reconciler/hook/{forge}", content=content, headers=headers)


@pytest.mark.parametrize("forge", sorted(EVENTS))
def test_a_signed_push_wakes_the_loop_and_nothing_else(nobody: httpx.Client, server: Beside, forge: str) -> None:
    with History(server.data / "loop.db") as history:
        asked = history.requests.asked("local")
    for _ in range(2):  # a replay costs one look
        knock(server.data)
        (mark,) = (server.data / FOLDER).glob("push")
        os.utime(mark, ns=(1, 1))  # the clock of files is too coarse to tell two that follow each other
        assert fits("reconciler-hook", push(nobody, forge))["looks"]
        assert knocked(server.data) > 1
    with History(server.data / "loop.db") as history:
        assert history.requests.asked("local") == asked  # it asks for no pass, so a suspension holds
    for wrong in (
        push(nobody, forge, secret="another-secret-of-nobody"),
        push(nobody, forge, secret=""),
        nobody.post(f"/reconciler/hook/{forge}", json={"ref": "refs/heads/main"}),
        nobody.post(f"/reconciler/hook/{forge}", json={}, headers={"apikey": KEY}),
    ):
        assert wrong.status_code == 401
        assert wrong.json()["response"]["message"] == ["Unauthorized"]


def test_what_a_signature_covers(nobody: httpx.Client, server: Beside) -> None:
    signed = push(nobody, "github").request
    headers = {name: value for name, value in signed.headers.items() if name != "content-length"}
    assert nobody.post("/reconciler/hook/github", content=signed.content, headers=headers).status_code == 200
    before = knocked(server.data)
    answer = nobody.post("/reconciler/hook/github", content=signed.content + b" ", headers=headers)
    assert answer.status_code == 401
    assert nobody.post("/reconciler/hook/gitea", content=signed.content, headers=headers).status_code == 401
    assert nobody.post("/reconciler/hook/nope", content=signed.content).status_code == 404
    assert push(nobody, "github", content=b"x" * ((1 << 20) + 1)).status_code == 413
    assert knocked(server.data) == before


def test_other_events_forms_and_broken_bodies(nobody: httpx.Client, server: Beside) -> None:
    before = knocked(server.data)
    assert push(nobody, "github", "ping").json() == {"looks": False, "message": "pong"}
    assert not push(nobody, "github", "issues").json()["looks"]
    assert knocked(server.data) == before
    form = urlencode({"payload": json.dumps({"ref": "refs/heads/main"})}).encode()
    assert push(nobody, "github", content=form, kind="application/x-www-form-urlencoded").json()["looks"]
    for broken in (b"", b"{", b"[]", b"\xff", b"payload=%ff"):
        assert push(nobody, "gitea", content=broken).json()["looks"]


def test_a_forge_that_never_stops_is_slowed_down(
    nobody: httpx.Client, server: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.app.state.served.hooks, "burst", 2.0)
    answers = [push(nobody, "gitlab") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert int(answers[-1].headers["retry-after"]) >= 1


CONCERNS = [
    ({"ref": "refs/heads/main"}, "main", True),
    ({"ref": "refs/heads/main"}, "refs/heads/main", True),
    ({"ref": "refs/heads/side"}, "main", False),
    ({"ref": "refs/tags/v1"}, "v1", True),
    ({"ref": "refs/tags/v2"}, "v1", False),
    ({"ref": "refs/heads/main", "repository": {"default_branch": "main"}}, "HEAD", True),
    ({"ref": "refs/heads/side", "repository": {"default_branch": "main"}}, "HEAD", False),
    ({"ref": "refs/heads/side", "project": {"default_branch": "main"}, "repository": {}}, "HEAD", False),
    ({"ref": "refs/heads/side", "repository": "x"}, "HEAD", True),
    ({"ref": 1}, "main", True),
    ({}, "main", True),
    ({"ref": "refs/heads/side"}, None, True),
]


@pytest.mark.parametrize(("payload", "wanted", "expected"), CONCERNS)
def test_which_pushes_concern_us(payload: dict[str, Any], wanted: str | None, expected: bool) -> None:
    assert concerns(payload, wanted) is expected
