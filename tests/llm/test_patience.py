"""One request: what a cancelled one leaves behind, and what an account's circuit learns of each end."""

from __future__ import annotations

import asyncio
import time

import pytest

from reconciler.llm.answer import ModelFailed
from reconciler.llm.breaker import LIMIT, Breakers
from reconciler.llm.patience import Patience


class Server:
    def __init__(self):
        self.now = 0.0
        self.asked = asyncio.Event()
        self.breakers = Breakers(rest=10.0, clock=lambda: self.now)
        self.patience = Patience(self.breakers, pause=0.001)

    async def hang(self, timeout):
        self.asked.set()
        await asyncio.Event().wait()

    async def ask(self, send, seconds=5.0):
        deadline = time.monotonic() + seconds
        async with asyncio.timeout(seconds):
            return await self.patience.ask("a", send, deadline)

    def open(self):
        for _ in range(LIMIT):
            self.breakers.failed("a", False, "no")


async def test_requests_that_hang_until_the_deadline_open_the_circuit():
    server = Server()
    for _ in range(LIMIT):
        with pytest.raises(TimeoutError):
            await server.ask(server.hang, seconds=0.01)
    with pytest.raises(ModelFailed, match="the last: the model server did not answer in time"):
        await server.ask(server.hang)


async def test_a_probe_that_the_runtime_gave_up_at_its_end_lets_the_next_through():
    server = Server()
    server.open()
    server.now += 10
    task = asyncio.create_task(server.ask(server.hang))
    await server.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.breakers.admit("a") is True


async def test_a_request_that_the_runtime_gave_up_counts_for_nothing():
    server = Server()
    for _ in range(LIMIT):
        task = asyncio.create_task(server.ask(server.hang))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.breakers.admit("a") is False


async def test_an_answer_that_is_none_of_the_apis_is_an_answer():
    server = Server()
    server.open()
    server.now += 10

    async def nonsense(timeout):
        raise ValueError("no JSON")

    with pytest.raises(ValueError):
        await server.ask(nonsense)
    assert server.breakers.admit("a") is False
