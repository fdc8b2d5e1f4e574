"""Lists of any length: they come by pages, and hold nobody up: neither the loop, nor what else is read."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from starlette.middleware import gzip

from reconciler.runtime import lists
from reconciler.runtime.api import sessions
from reconciler.store import leases
from tests.runtime.conftest import KEY, Server, Tenant

COUNT = 20_000
HISTORY = json.dumps(
    [{"role": "user", "text": "olá 👋 " * 20, "at": 1.0}, {"role": "assistant", "text": "x" * 300, "at": 2.0}]
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("long") / "runtime.db")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"apikey": KEY}, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def bot(server: Server, client: httpx.Client) -> tuple[str, str]:
    """An instance and its bot, which has 20,000 sessions."""
    tenant = Tenant(client, "Long")
    tenant.credentials()
    id = tenant.bot()["id"]
    fill(server, tenant.id, id, COUNT)
    return tenant.name, id


def fill(server: Server, instance_id: str, bot_id: str, count: int) -> None:
    def write(c: sqlite3.Connection) -> None:
        c.executemany(
            f"INSERT INTO sessions ({leases._SESSION}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (
                (f"{bot_id}-{n}", instance_id, f"chat-{n}", bot_id, "opened", "Ana", HISTORY, 1, None, 1.0 + n, 2.0 + n)
                for n in range(count)
            ),
        )

    server.store.db.submit(write).result()


def small(client: httpx.Client, name: str) -> None:
    """Requests of every kind that others make: memory, reads, lists, writes."""
    for path in ("/healthz", f"/openai/fetchSettings/{name}", f"/openai/find/{name}?limit=1", f"/chat/{name}/ana"):
        assert client.get(path).status_code == 200, path
    assert client.post(f"/chat/{name}", json={"remoteJid": "ana", "text": "hello"}).status_code == 202


def test_a_long_list_in_flight_holds_nobody_up(client: httpx.Client, bot: tuple[str, str]) -> None:
    name, id = bot
    headers = {"Accept-Encoding": "identity"}
    with client.stream("GET", f"/openai/fetchSessions/{id}/{name}", headers=headers) as stream:
        assert stream.status_code == 200
        assert "content-length" not in stream.headers, "it is read while it is sent"
        pieces = stream.iter_bytes(1 << 16)
        read = [next(pieces)]  # the client takes no more for now: the rest waits
        for _ in range(3):
            small(client, name)
        read += pieces
    whole = json.loads(b"".join(read))
    assert len(b"".join(read)) > 10 << 20
    assert [row["remoteJid"] for row in whole] == [f"chat-{n}" for n in range(COUNT)]


def test_what_is_read_and_encoded_for_a_list_is_done_aside(
    client: httpx.Client, server: Server, bot: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list stands still in the middle of its encoding until the others have been answered."""
    name, id = bot
    begun, go_on, threads = threading.Event(), threading.Event(), set()
    shown = sessions._shown

    def standing(session: Any) -> bytes:
        threads.add(threading.current_thread())
        if session.jid == "chat-5050":
            begun.set()
            assert go_on.wait(60)
        return shown(session)

    monkeypatch.setattr(sessions, "_shown", standing)
    answers: list[httpx.Response] = []
    path = f"/openai/fetchSessions/{id}/{name}"
    asking = threading.Thread(
        target=lambda: answers.append(httpx.get(server.url + path, headers=client.headers, timeout=60))
    )
    asking.start()
    try:
        assert begun.wait(60)
        for path in ("/healthz", f"/openai/fetchSettings/{name}", f"/chat/{name}/ana"):
            assert client.get(path).status_code == 200, path
        assert client.post(f"/chat/{name}", json={"remoteJid": "ana", "text": "hello"}).status_code == 202
        assert answers == []
    finally:
        go_on.set()
        asking.join(60)
    assert len(answers[0].json()) == COUNT
    assert {thread.name.rpartition("_")[0] for thread in threads} == {"store-list"}


@pytest.mark.parametrize(
    "path",
    [
        "/instance/fetchInstances",
        "/tokens",
        "/openai/getModels/{name}?openaiCredsId=creds_123",
        "/openai/countSessions/{name}",
        "/chat/{name}/ana",
        "/reconciler/passes",
        "/reconciler/status",
        "/openai/fetchSessions/{id}/{name}?limit=1",
    ],
)
def test_no_list_is_encoded_in_the_loop(
    client: httpx.Client, server: Server, bot: tuple[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/tokens", json={"name": "ci", "access": "read"})
    client.post(f"/chat/{bot[0]}", json={"remoteJid": "ana", "text": "hello"})
    threads = set()

    class Encoding:
        def __getattr__(self, name: str) -> Any:
            return getattr(msgspec.json, name)

        def encode(self, data: object, **options: Any) -> bytes:
            threads.add(threading.current_thread())
            return msgspec.json.encode(data, **options)

    class Msgspec:
        json = Encoding()

        def __getattr__(self, name: str) -> Any:
            return getattr(msgspec, name)

    for module in (lists, sessions, __import__("reconciler.runtime.answers", fromlist=["x"])):
        monkeypatch.setattr(module, "msgspec", Msgspec())
    answer = client.get(path.format(name=bot[0], id=bot[1]))
    assert answer.status_code == 200, answer.text
    assert answer.json()
    assert threads
    assert server.thread not in threads


def test_what_is_compressed_is_compressed_aside(
    client: httpx.Client, server: Server, bot: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[threading.Thread, list[int]] = {}
    real = gzip.zlib.compressobj

    class Compressor:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._real = real(*arguments, **options)

        def compress(self, data: bytes) -> bytes:
            sizes.setdefault(threading.current_thread(), []).append(len(data))
            return self._real.compress(data)

        def flush(self, *arguments: Any) -> bytes:
            return self._real.flush(*arguments)

    class Zlib:
        compressobj = Compressor

        def __getattr__(self, name: str) -> Any:
            return getattr(__import__("zlib"), name)

    monkeypatch.setattr(gzip, "zlib", Zlib())
    packed = client.get(f"/openai/fetchSessions/{bot[1]}/{bot[0]}", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.json()) == COUNT
    assert sum(map(sum, sizes.values())) > 10 << 20
    assert max(sizes.get(server.thread, [0])) < 16 << 10
    assert max(size for found in sizes.values() for size in found) < 1 << 20, "piece by piece"


def pages(client: httpx.Client, path: str) -> list[list[Any]]:
    """Every page, by the links that name the next one."""
    found = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        link = answer.headers.get("link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link[1:].partition(">")[0]
        assert len(found) < 50
    return found


def test_every_list_comes_by_pages(client: httpx.Client, server: Server) -> None:
    tenant = Tenant(client, "Páginas e 1")
    made = [tenant.credentials(f"creds_{n}") for n in range(5)]
    ids = [tenant.bot(openaiCredsId=made[0]["id"], triggerValue=f"w{n}")["id"] for n in range(5)]
    for n in range(5):
        body = {"assistantId": f"asst_{n}", "instructions": "Be kind."}
        assert client.post(f"/openai/assistants/create/{tenant.name}", json=body).status_code == 201
        client.post("/tokens", json={"name": f"token {n}", "access": "read"})
        fill(server, tenant.id, ids[n], 5)
        Tenant(client, f"paged {n}")
    for path in (
        f"/openai/find/{tenant.name}",
        f"/openai/creds/{tenant.name}",
        f"/openai/assistants/find/{tenant.name}",
        f"/openai/fetchSessions/{ids[0]}/{tenant.name}",
        f"/openai/countSessions/{tenant.name}",
        "/instance/fetchInstances",
        "/tokens",
    ):
        whole = client.get(path)
        assert "link" not in whole.headers, path
        assert len(whole.json()) >= 5, path
        got = pages(client, f"{path}?limit=2")
        assert [row for page in got for row in page] == whole.json(), path
        assert {len(page) for page in got[:-1]} == {2}, path
        for wrong in ("limit=0", "limit=1001", "page=x"):
            assert client.get(f"{path}?{wrong}").status_code == 400, path
    models = f"/openai/getModels/{tenant.name}?openaiCredsId={made[0]['id']}"
    assert [len(page) for page in pages(client, f"{models}&limit=1")] == [1, 0], "the link keeps what was asked for"
    assert client.get(f"{models}&limit=0").status_code == 400
    one = client.get(f"/instance/fetchInstances?instanceName={tenant.name}&limit=1&apikey={KEY}")
    assert KEY not in one.headers["link"]
    assert "instanceName=" in one.headers["link"]


def test_a_chat_is_read_on_by_its_links(client: httpx.Client, make: Callable[..., Tenant]) -> None:
    tenant = make(name="Chat by pages")
    for n in range(7):
        client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": str(n), "messageId": f"m{n}"})
    path = f"/chat/{tenant.name}/ana"
    assert "link" not in client.get(f"{path}?limit=2").headers, "the newest: nothing comes after them"
    assert [row["id"] for page in pages(client, f"{path}?after=m0&limit=2") for row in page] == [
        f"m{n}" for n in range(1, 7)
    ]


def test_a_list_that_is_asked_for_by_its_head_alone_is_not_read_to_its_end(
    client: httpx.Client, bot: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    count, shown = [], sessions._shown
    monkeypatch.setattr(sessions, "_shown", lambda session: count.append(1) or shown(session))
    answer = client.head(f"/openai/fetchSessions/{bot[1]}/{bot[0]}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(count) <= sessions.PART
    assert client.get(f"/openai/fetchSessions/nosuch/{bot[0]}").status_code == 404


async def test_a_client_that_leaves_ends_the_reading(server: Server, bot: tuple[str, str]) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"apikey": KEY}, timeout=60) as client:
        for _ in range(5):
            async with client.stream("GET", f"/openai/fetchSessions/{bot[1]}/{bot[0]}") as stream:
                await anext(stream.aiter_raw())
        answers = await asyncio.gather(*(client.get("/healthz") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
