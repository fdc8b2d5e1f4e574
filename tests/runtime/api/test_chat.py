"""The web channel, messages of the business, inbound webhooks and sessions over HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from reconciler.model import Session, Spoken
from reconciler.runtime import keys
from reconciler.runtime.streams import Streams
from tests.runtime.conftest import KEY, Server, Tenant


def say(client: httpx.Client, tenant: Tenant, text: str, jid: str = "ana", **fields: str) -> str:
    answer = client.post(f"/chat/{tenant.name}", json={"remoteJid": jid, "text": text, **fields})
    assert answer.status_code == 202
    id: str = answer.json()["messageId"]
    return id


def test_a_customer_writes_and_reads(client: httpx.Client, tenant: Tenant, server: Server) -> None:
    woken = server.woken
    ids = [say(client, tenant, f"message {n}") for n in range(5)]
    assert server.woken == woken + 5
    say(client, tenant, "again", messageId=ids[0])
    say(client, tenant, "elsewhere", jid="ben")
    assert server.woken == woken + 6
    path = f"/chat/{tenant.name}/ana"
    rows = client.get(path).json()
    assert [row["id"] for row in rows] == ids
    assert rows[0] == {"id": ids[0], "fromMe": False, "text": "message 0", "timestamp": rows[0]["timestamp"]}
    assert abs(rows[0]["timestamp"] - time.time()) < 60
    assert [row["id"] for row in client.get(path, params={"after": ids[2]}).json()] == ids[3:]
    assert [row["id"] for row in client.get(path, params={"after": ids[0], "limit": 2}).json()] == ids[1:3]
    for limit in ("0", "1001", "-1", "x", "9" * 400, "00000100" + "0" * 30, "٣"):
        assert client.get(path, params={"limit": limit}).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"remoteJid": "ana"}, {"remoteJid": "a b", "text": "x"}, {"remoteJid": "a", "text": ""}]
)
def test_faults(client: httpx.Client, tenant: Tenant, body: dict[str, str]) -> None:
    assert client.post(f"/chat/{tenant.name}", json=body).status_code == 400


def test_forgetting(client: httpx.Client, tenant: Tenant) -> None:
    say(client, tenant, "hi")
    say(client, tenant, "hi")
    path = f"/chat/{tenant.name}/ana"
    assert client.delete(path).json() == {"chat": {"remoteJid": "ana", "messages": 2}}
    assert client.get(path).json() == []


@pytest.mark.parametrize(
    ("integration", "number", "jid"),
    [
        ("WEB", "5511988887777", "5511988887777"),
        ("EVOLUTION", "5511988887777", "5511988887777@s.whatsapp.net"),
        ("EVOLUTION", "+5511988887777", "5511988887777@s.whatsapp.net"),
        ("WHATSAPP-BAILEYS", "120363@g.us", "120363@g.us"),
    ],
)
def test_the_business_writes(
    client: httpx.Client, make: Callable[..., Tenant], integration: str, number: str, jid: str
) -> None:
    tenant = make(integration=integration)
    answer = client.post(f"/message/sendText/{tenant.name}", json={"number": number, "text": "A colleague will come."})
    assert answer.status_code == 201
    body = answer.json()
    assert body == {
        "key": {"remoteJid": jid, "fromMe": True, "id": body["key"]["id"]},
        "pushName": "",
        "status": "PENDING",
        "message": {"conversation": "A colleague will come."},
        "contextInfo": None,
        "messageType": "conversation",
        "messageTimestamp": body["messageTimestamp"],
        "instanceId": tenant.id,
        "source": "unknown",
    }
    (row,) = client.get(f"/chat/{tenant.name}/{jid}").json()
    assert (row["fromMe"], row["id"]) == (True, body["key"]["id"])


def until(look: Callable[[], bool]) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Following:
    """Reads server-sent events in a thread of its own."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.events: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.ended = threading.Event()
        self.client = httpx.Client(timeout=60)
        self.response = self.client.send(self.client.build_request("GET", url, headers=headers), stream=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        id = ""
        try:
            for line in self.response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    id = value
                elif name == "data":
                    self.events.append((id, json.loads(value)["text"]))
                elif line.startswith(":"):
                    self.comments.append(line)
        except httpx.HTTPError:
            pass
        self.ended.set()

    def wait(self, count: int) -> list[tuple[str, str]]:
        until(lambda: len(self.events) >= count)
        return self.events

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it may have ended by itself
            self.response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self.thread.join(120)
        self.client.close()


def test_following_a_chat(client: httpx.Client, tenant: Tenant, server: Server) -> None:
    first = say(client, tenant, "one")
    url = f"{server.url}/chat/{tenant.name}/ana/events"
    following = Following(url, {"apikey": KEY})
    assert following.response.headers["content-type"].startswith("text/event-stream")
    assert following.wait(1) == [(first, "one")]
    second = say(client, tenant, "two")
    say(client, tenant, "elsewhere", jid="ben")
    third = say(client, tenant, "three")
    assert following.wait(3) == [(first, "one"), (second, "two"), (third, "three")]
    resumed = Following(url, {"apikey": tenant.token, "Last-Event-ID": first})
    assert resumed.wait(2) == [(second, "two"), (third, "three")]
    assert client.head(f"/chat/{tenant.name}/ana/events").status_code == 200
    streams: Streams = server.app.state.served.streams
    until(lambda: len(streams._open) == 2)
    following.close()
    resumed.close()
    until(lambda: not streams._open)
    until(lambda: not server.notices._listeners)


def test_a_stream_ends_with_the_key_it_was_opened_with(
    client: httpx.Client, make: Callable[..., Tenant], server: Server
) -> None:
    tenant, other = make(), make()
    url = f"{server.url}/chat/{tenant.name}/ana/events"
    chats_key = client.post(f"/chat/{tenant.name}/ana/token", json={}).json()["token"]
    say(client, tenant, "one")
    ending = [Following(url, {"apikey": key}) for key in (tenant.token, chats_key)]
    staying = Following(url, {"apikey": KEY})
    elsewhere = Following(f"{server.url}/chat/{other.name}/ana/events", {"apikey": other.token})
    for one in (*ending, staying):
        one.wait(1)
    client.post(f"/instance/token/{tenant.name}")
    for one in ending:
        assert one.ended.wait(120)
    say(client, tenant, "two")
    say(client, other, "there")
    assert [text for _, text in staying.wait(2)] == ["one", "two"]
    assert [text for _, text in elsewhere.wait(1)] == ["there"]
    assert [len(one.events) for one in ending] == [1, 1]
    client.delete(f"/instance/delete/{tenant.name}")
    assert staying.ended.wait(120)
    assert not elsewhere.ended.is_set()
    for one in (*ending, staying, elsewhere):
        one.close()


def test_a_stream_ends_when_its_key_runs_out(
    client: httpx.Client, tenant: Tenant, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = client.post(f"/chat/{tenant.name}/ana/token", json={"seconds": 60}).json()["token"]
    following = Following(f"{server.url}/chat/{tenant.name}/ana/events", {"apikey": key})
    say(client, tenant, "one")
    following.wait(1)
    now = time.time()
    monkeypatch.setattr(keys, "time", SimpleNamespace(time=lambda: now + 61))
    say(client, tenant, "two")
    assert following.ended.wait(120)
    assert [text for _, text in following.events] == ["one"]
    following.close()


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    running = Server(tmp_path / "runtime.db")
    running.app.state.served.streams.ping = 0.02
    with httpx.Client(base_url=running.url, headers={"apikey": KEY}, timeout=60) as client:
        tenant = Tenant(client, "streaming")
        following = Following(f"{running.url}/chat/{tenant.name}/ana/events", {"apikey": KEY})
        say(client, tenant, "one")
        following.wait(1)
        until(lambda: ": ping" in following.comments)
        running.stop()
        assert following.ended.wait(120)
        following.close()


INBOUND = {
    "key": {"remoteJid": "5511988887777@s.whatsapp.net", "fromMe": False, "id": "B329F7"},
    "pushName": "Ana",
    "message": {"conversation": "start"},
    "messageType": "conversation",
}


def test_inbound_messages(
    client: httpx.Client, nobody: httpx.Client, make: Callable[..., Tenant], server: Server
) -> None:
    tenant = make(integration="EVOLUTION", number="553841662899")
    other = make(integration="EVOLUTION", number="553841662898")
    body = {"numberId": "553841662899", **INBOUND}
    assert client.post("/webhook/evolution", json=body).json() == {"status": "success"}
    assert client.post("/webhook/evolution", json=body).json() == {"status": "success"}
    path = f"/chat/{tenant.name}/5511988887777@s.whatsapp.net"
    assert [row["text"] for row in client.get(path).json()] == ["start"]
    assert nobody.post("/webhook/evolution", json=body, headers={"apikey": tenant.token}).status_code == 200
    assert nobody.post("/webhook/evolution", json=body, headers={"apikey": other.token}).status_code == 401
    assert nobody.post("/webhook/evolution", json=body).status_code == 401
    assert client.post("/webhook/evolution", json={"numberId": "553841662899"}).json() == {"status": "success"}
    assert client.post("/webhook/evolution", json={"numberId": "1", **INBOUND}).status_code == 404
    assert client.post("/webhook/evolution", json={}).status_code == 400
    assert client.post("/webhook/evolution", json={**body, "key": {"id": 5}}).status_code == 400


def test_inbound_messages_with_the_secret_in_the_path(
    client: httpx.Client, nobody: httpx.Client, tenant: Tenant
) -> None:
    (row,) = client.get("/instance/fetchInstances", params={"instanceName": tenant.name}).json()
    path = f"/webhook/evolution/{row['webhookSecret']}"
    assert nobody.post(path, json=INBOUND).json() == {"status": "success"}
    assert nobody.post(path + "x", json=INBOUND).status_code == 401
    assert nobody.post(path, json={"key": 5}).status_code == 400
    assert len(client.get(f"/chat/{tenant.name}/5511988887777@s.whatsapp.net").json()) == 1


def test_switching_a_chat(client: httpx.Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    path, jid = f"/openai/changeStatus/{tenant.name}", "5511@s.whatsapp.net"
    for status in ("opened", "paused"):
        shown = {"remoteJid": jid, "status": status, "session": {"count": 0}}
        answer = client.post(path, json={"remoteJid": jid, "status": status})
        assert answer.json()["bot"]["instanceName"] == tenant.name
        assert answer.json()["bot"]["bot"].keys() == shown.keys()
    closed = {"bot": {"instanceName": tenant.name, "bot": {"remoteJid": jid, "status": "closed"}}}
    assert client.post(path, json={"remoteJid": jid, "status": "closed"}).json() == closed
    deleted = {"bot": {"remoteJid": jid, "status": "delete"}}
    assert client.post(path, json={"remoteJid": jid, "status": "delete"}).json() == deleted
    answer = client.post(path, json={"remoteJid": jid, "status": "sleeping"})
    assert answer.status_code == 400
    assert answer.json()["response"]["message"][0].startswith("status is not one of opened, closed, paused, delete")


@pytest.fixture
def one_session(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def part(
        _: object, instance_id: str, bot_id: str, shown: Callable[[Session], bytes], *place: int
    ) -> tuple[list[bytes], int]:
        said = (Spoken("user", "start", at=1), Spoken("assistant", "Hello!", at=2))
        session = Session(
            id="s1",
            instance_id=instance_id,
            jid="5511@s.whatsapp.net",
            bot_id=bot_id,
            status="opened",
            push_name="Ana",
            history=said,
            await_user=True,
            created_at=1.5,
            active_at=2.25,
        )
        return [shown(session)], 1

    monkeypatch.setattr(type(server.store.chats), "sessions_part", part)


def test_sessions(client: httpx.Client, tenant: Tenant, one_session: None, make: Callable[..., Tenant]) -> None:
    bot = tenant.bot()
    assert client.get(f"/openai/fetchSessions/{bot['id']}/{tenant.name}").json() == [
        {
            "id": "s1",
            "sessionId": "5511@s.whatsapp.net",
            "remoteJid": "5511@s.whatsapp.net",
            "pushName": "Ana",
            "status": "opened",
            "awaitUser": True,
            "context": '{"history":[{"role":"user","content":"start"},{"role":"assistant","content":"Hello!"}]}',
            "type": "openai",
            "failure": None,
            "createdAt": "1970-01-01T00:00:01.500Z",
            "updatedAt": "1970-01-01T00:00:02.250Z",
            "instanceId": tenant.id,
            "parameters": None,
            "botId": bot["id"],
        }
    ]
    assert client.get(f"/openai/fetchSessions/nosuch/{tenant.name}").status_code == 404
    assert client.get(f"/openai/fetchSessions/{bot['id']}/{make().name}").status_code == 404
