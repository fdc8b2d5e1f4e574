"""How much each key and address may ask: buckets by a clock of the test, then over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.runtime import limits as module
from reconciler.runtime.limits import Buckets, Limits
from tests.runtime.conftest import KEY, Server

JSON = {"Content-Type": "application/json"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket() -> None:
    clock = Clock()
    buckets = Buckets(50, 200, clock)
    for _ in range(200):
        assert buckets.wait("a") == 0
        buckets.take("a")
    assert buckets.wait("a") == pytest.approx(0.02)
    assert buckets.wait("b") == 0
    clock.now += 1
    taken = 0
    while not buckets.wait("a"):
        buckets.take("a")
        taken += 1
    assert taken == 50
    clock.now += 3600
    assert buckets.wait("a") == 0


def test_what_is_given_back_can_be_taken_again() -> None:
    buckets = Buckets(1, 2, Clock())
    buckets.give("a")
    buckets.take("a")
    buckets.take("a")
    assert buckets.wait("a") == 1
    buckets.give("a")
    assert buckets.wait("a") == 0
    buckets.give("a")
    buckets.give("a")
    for _ in range(2):
        assert buckets.wait("a") == 0
        buckets.take("a")
    assert buckets.wait("a") == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 10)
    limits = Limits(1, 2, 3, Clock())
    for number in range(100):
        limits.call(number)
        limits.wrong(f"10.0.0.{number}")
        limits.right("10.0.0.1", str(number))
    assert max(len(limits._calls._levels), len(limits._failures._levels), len(limits._right)) == 10


def test_wrong_keys_slow_down_their_address() -> None:
    clock = Clock()
    limits = Limits(failures=6, clock=clock)
    limits.right("10.0.0.1", "known")
    for _ in range(6):
        assert limits.tries("10.0.0.1", "guess") == 0
        limits.wrong("10.0.0.1")
    assert limits.tries("10.0.0.1", "guess") == 10
    assert limits.tries("10.0.0.1", "known") == 0
    assert limits.tries("10.0.0.2", "known") == 0
    clock.now += 10
    assert limits.tries("10.0.0.1", "guess") == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1%eth0", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("odd:", "odd:", True),
    ],
)
def test_whom_an_address_stands_for(one: str, other: str, same: bool) -> None:
    limits = Limits(failures=1, clock=Clock())
    limits.wrong(one)
    assert bool(limits.tries(other, "k")) is same


def test_no_limits() -> None:
    limits = Limits(0, 0, 0, Clock())
    for _ in range(500):
        limits.wrong("a")
        assert limits.call("x") == limits.tries("a", "k") == 0


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "runtime.db", Limits(rate=2, burst=5, failures=3, clock=Clock()))
    yield running
    running.stop()


def first(status: int, ask: Callable[[], httpx.Response], most: int) -> tuple[int, httpx.Response]:
    for number in range(most):
        if (answer := ask()).status_code == status:
            return number, answer
    raise AssertionError(f"no {status} in {most} answers")


def test_over_http(limited: Server) -> None:
    with httpx.Client(base_url=limited.url, timeout=60) as client:
        token = client.post("/instance/create", json={"instanceName": "A"}, headers={"apikey": KEY}).json()["hash"]
        own, all_ = {"apikey": token}, {"apikey": KEY}
        number, answer = first(429, lambda: client.get("/openai/find/A", headers=own), 20)
        assert number == 5
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"] == "Too Many Requests"
        assert {client.get("/openai/find/A", headers=all_).status_code for _ in range(30)} == {200}
        assert client.get("/nosuch", headers=own).status_code == 429
        assert {client.get("/healthz", headers={"apikey": "wrong"}).status_code for _ in range(10)} == {200}
        assert {client.get("/openai/find/A").status_code for _ in range(10)} == {401}  # no key: nothing is guessed


@pytest.mark.parametrize("how", ["header", "no route", "path", "login"])
def test_guessing(limited: Server, how: str) -> None:
    with httpx.Client(base_url=limited.url, timeout=60) as client:
        client.post("/instance/create", json={"instanceName": "A", "token": "TOKEN-OF-A"}, headers={"apikey": KEY})
        own = {"apikey": "TOKEN-OF-A"}  # a key that is right does not make another's guessing free
        tries = {
            "header": lambda: client.get("/fleet", headers={"apikey": "guess"}),
            "no route": lambda: client.get("/nosuch", headers={"apikey": "guess"}),
            "path": lambda: client.post("/webhook/evolution/guess", json={}, headers=own),
            "login": lambda: client.post("/console/login", json={"key": "guess"}, headers=own),
        }
        number, answer = first(429, tries[how], 10)
        assert number == 3
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert tries["header"]().status_code == 429
        # Who worked from here before goes on working; a right key that is new here has to wait.
        assert client.get("/fleet", headers={"apikey": KEY}).status_code == 200
        assert client.post("/console/login", json={"key": KEY}).status_code == 429


async def test_guessing_at_once(limited: Server) -> None:
    """Whose bodies are on their way at the same time have no more tries than who sends one after another."""
    async with httpx.AsyncClient(base_url=limited.url, timeout=60) as client:
        for _ in range(5):  # what is right, or no key, takes nothing away
            assert (await client.post("/console/login", json={"key": KEY})).status_code == 200
            assert (await client.post("/console/login", content="{", headers=JSON)).status_code == 400
        waiting, told = asyncio.Event(), 0

        async def slowly() -> AsyncIterator[bytes]:
            nonlocal told
            yield b'{"key": '
            told += 1
            if told == 10:
                waiting.set()
            await waiting.wait()
            yield b'"guess"}'

        answers = await asyncio.gather(
            *(client.post("/console/login", content=slowly(), headers=JSON) for _ in range(10))
        )
        assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 7
