"""What may be connected to: addresses are looked up, checked and connected to in one step, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
from collections.abc import Sequence

import httpcore
import httpcore2
import httpx
import httpx2
import pytest

from reconciler.egress import Forbidden, Gate, forbidden, named, public, resolve, transport
from reconciler.llm.answer import ModelFailed
from reconciler.llm.models import Models
from reconciler.model import Instance
from reconciler.runtime.channels.push import NotTaken, Webhooks
from reconciler.store.outbox import Push
from tests.llm.fake_openai import chat, fake_openai, tool_call
from tests.llm.test_models import TOOL, account, request
from tests.talk.rows import STAMP

BOTH = [(httpx, httpcore), (httpx2, httpcore2)]

ADDRESSES = [
    ("8.8.8.8", True),
    ("2606:4700::1111", True),
    ("127.0.0.1", False),
    ("10.1.2.3", False),
    ("172.16.0.1", False),
    ("192.168.0.1", False),
    ("100.64.0.1", False),
    ("169.254.169.254", False),
    ("0.0.0.0", False),
    ("224.0.0.1", False),
    ("255.255.255.255", False),
    ("::", False),
    ("::1", False),
    ("fe80::1", False),
    ("fd00::1", False),
    ("ff02::1", False),
    ("::ffff:127.0.0.1", False),
    ("::ffff:169.254.169.254", False),
    ("::127.0.0.1", False),
    ("64:ff9b::10.0.0.1", False),
    ("64:ff9b::8.8.8.8", True),
    ("2002:7f00:1::", False),
    ("2002:808:808::", True),
    ("64:ff9b:1::10.0.0.1", False),
    ("::ffff:0:127.0.0.1", False),
    ("fec0::1", False),
    ("5f00::1", False),
    ("3fff::1", False),
    ("2001:db8::1", False),
    ("192.0.0.9", False),
    ("192.88.99.1", False),
]


@pytest.mark.parametrize(("text", "open_"), ADDRESSES)
def test_addresses(text: str, open_: bool) -> None:
    assert public(ipaddress.ip_address(text)) is open_


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ([], False),
        (["*"], True),
        (["models.internal"], True),
        (["models.internal:8000"], True),
        (["Models.Internal"], True),
        (["models.internal:8001"], False),
        (["10.0.0.7"], True),
        (["10.0.0.7:8000"], True),
        (["10.0.0.0/24"], True),
        (["10.0.1.0/24", "no network/9", "10.0.0.8"], False),
    ],
)
async def test_what_an_operator_allows(allowed: list[str], expected: bool) -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("Models.internal.", 8000)
        return ["10.0.0.7"]

    gate = Gate(allowed, lookup)
    if expected:
        assert await gate.addresses("Models.internal.", 8000) == ["10.0.0.7"]
    else:
        with pytest.raises(Forbidden, match="--allow-private-url"):
            await gate.addresses("Models.internal.", 8000)


def test_addresses_of_version_6_are_named_with_brackets_too() -> None:
    address = ipaddress.ip_address("fd00::1")
    assert named("fd00::1", 80, address, ["[fd00::1]:80"])
    assert named("box", None, address, ["fd00::/8"])
    assert not named("box", None, None, ["fd00::/8"])


async def test_only_what_is_public_of_a_name_is_used() -> None:
    async def lookup(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1", "8.8.8.8", "fe80::1%lo"]

    assert await Gate((), lookup).addresses("mixed.example", 443) == ["8.8.8.8"]


async def test_names_are_looked_up_once_for_each_address() -> None:
    assert "127.0.0.1" in await resolve("localhost", 80)
    assert len(set(await resolve("127.0.0.1", 80))) == 1


def lookups(*answers: Sequence[str]):
    """A name server that gives other answers each time, as one does that rebinds."""
    asked = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return answers[min(len(asked), len(answers)) - 1]

    return lookup, asked


@pytest.mark.parametrize(("http", "core"), BOTH, ids=["httpx", "httpx2"])
async def test_a_name_that_turns_private_is_not_called(http, core) -> None:
    """Rebinding: the name is public when it is stored; what counts is the address that is connected to."""
    async with fake_openai() as server:
        port = int(server.url.rpartition(":")[2])
        lookup, asked = lookups(["127.0.0.1"])
        async with http.AsyncClient(transport=transport(http, core, Gate((), lookup), 1000)) as client:
            with pytest.raises(http.ConnectError) as caught:
                await client.get(f"http://shop.example:{port}/")
    assert "leads to a private address" in str(forbidden(caught.value))
    assert forbidden(ValueError("x")) is None
    assert asked == [("shop.example", port)]
    assert server.seen == []


@pytest.mark.parametrize(("http", "core"), BOTH, ids=["httpx", "httpx2"])
async def test_the_checked_address_is_the_one_connected_to(http, core) -> None:
    """The name keeps its place in the request; nobody asks for its address a second time."""
    async with fake_openai() as server:
        server.answers = [(200, {}, b"hello")]
        port = int(server.url.rpartition(":")[2])
        lookup, asked = lookups(["127.0.0.2", "127.0.0.1"], ["10.0.0.1"])
        gate = Gate(["127.0.0.0/8"], lookup)
        async with http.AsyncClient(transport=transport(http, core, gate, 1000)) as client:
            assert (await client.get(f"http://shop.example:{port}/")).text == "hello"
    assert len(asked) == 1
    assert server.seen[0][1]["host"] == f"shop.example:{port}"
    assert server.seen[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize(("http", "core"), BOTH, ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("case", "answer", "error"),
    [
        ("a redirect is an answer", (302, {"location": "http://10.0.0.1/"}, b""), None),
        ("too large", (200, {}, b"x" * 2000), "ReadError"),
        ("packed", (200, {"content-encoding": "gzip"}, gzip.compress(b"x" * 2000)), "DecodingError"),
        ("just fits", (200, {}, b"x" * 1000), None),
    ],
)
async def test_answers_are_bounded(http, core, case, answer, error) -> None:
    async with fake_openai() as server:
        server.answers = [answer]
        gate = Gate(["127.0.0.1"])
        async with http.AsyncClient(transport=transport(http, core, gate, 1000), trust_env=False) as client:
            if error is None:
                assert (await client.get(server.url)).status_code == answer[0]
            else:
                with pytest.raises(getattr(http, error)):
                    await client.get(server.url)
    assert len(server.seen) == 1


@pytest.mark.parametrize(("http", "core"), BOTH, ids=["httpx", "httpx2"])
async def test_names_that_lead_nowhere(http, core) -> None:
    async def slow(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        raise AssertionError

    async def none(_host: str, _port: int) -> Sequence[str]:
        return []

    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    for lookup, error in ((slow, http.ConnectTimeout), (none, http.ConnectError), (unknown, http.ConnectError)):
        through = transport(http, core, Gate((), lookup), 1000)
        async with http.AsyncClient(transport=through, timeout=0.05) as client:
            with pytest.raises(error):
                await client.get("http://shop.example/")
    with pytest.raises(core.ConnectError):
        await through._pool._network_backend.connect_unix_socket("/run/x")
    await through._pool._network_backend.sleep(0)


async def test_functions_webhooks_and_models_go_through_the_gate() -> None:
    instance = Instance(id="i", name="B", webhook="http://127.0.0.1:9/", created_at=STAMP, updated_at=STAMP)
    webhooks, closed = Webhooks(seconds=1), Models(None, seconds=5, pause=0.001)
    try:
        with pytest.raises(NotTaken, match="leads to a private address"):
            await webhooks.post(instance, Push(1, "i", "ana", "ID", "hello", 1.0, 0))
        async with fake_openai() as server:
            with pytest.raises(ModelFailed, match="leads to a private address"):
                await closed.answer(account(server.url), request())
            assert server.seen == []
            # What the operator's own environment names is not asked.
            own = Models(server.url, seconds=5, pause=0.001)
            server.answers = [chat(None, [tool_call()]), chat("fine")]
            for base_url in (None, server.url):
                await own.answer(account(base_url), request(tools=(TOOL,), function_url="http://127.0.0.1:9/"))
            await own.close()
            assert "leads to a private address" in str(server.seen[1][2]["messages"][-1]["content"])
    finally:
        await webhooks.close()
        await closed.close()
