"""The engine as a process runs it: it stops within its grace, gives back what it holds, and errors do not end it."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.errors import Unavailable
from tests.store.standing import Stand, carries, polled, thinks
from tests.talk.rows import everyone


@pytest.fixture
def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    yield stand
    stand.close()


async def test_runs_stops_and_gives_back(stand, monkeypatch):
    stand.engine = stand.new_engine(lease=0.3)
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    renewed, real = asyncio.Event(), stand.chats.renew

    async def renew(claims, until):
        await real(claims, until)
        renewed.set()

    monkeypatch.setattr(stand.chats, "renew", renew)
    thinks(stand, "never")
    running = asyncio.create_task(stand.engine.run())
    async with asyncio.timeout(120):
        with stand.notices.listen(("inst", "ana")) as news:
            await stand.hear("hi")
            stand.engine.wake()
            await news.wait()
        await renewed.wait()
        await stand.engine.stop(0.01)
        await running
    del stand.model.answer
    stand.engine = stand.new_engine()
    await stand.work()
    assert await stand.replies() == ["re: hi"]


async def test_a_running_turn_ends_within_the_grace_and_is_said(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    thinking, may = thinks(stand, "at last")
    running = asyncio.create_task(stand.engine.run())
    await stand.hear("hi")
    async with asyncio.timeout(120):
        await thinking.wait()
        stopping = asyncio.create_task(stand.engine.stop(20))
        await stand.engine._stopping.wait()
        for _ in range(20):  # of the loop: a stop that does not wait is over by then, or has cancelled the turn
            await asyncio.sleep(0)
        assert not stopping.done()
        may.set()
        await stopping
        await running
    stand.engine = stand.new_engine()
    await stand.work()
    assert stand.model.asked == ["hi"]
    assert await stand.replies() == ["at last"]


async def test_chats_are_given_back_even_by_a_store_that_takes_its_time(stand, monkeypatch):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    real = stand.chats.give_back

    async def slow(claim):
        for _ in range(50):
            await asyncio.sleep(0)
        await real(claim)

    thinking, _ = thinks(stand, "never")
    monkeypatch.setattr(stand.chats, "give_back", slow)
    running = asyncio.create_task(stand.engine.run())
    await stand.hear("hi")
    async with asyncio.timeout(120):
        await thinking.wait()
        await asyncio.gather(stand.engine.stop(0), stand.engine.stop(0.01))
        await running
    del stand.model.answer
    stand.engine = stand.new_engine()
    await stand.work()
    assert await stand.replies() == ["re: hi"]


async def test_what_is_claimed_while_it_stops_is_given_back(stand, monkeypatch):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    asked, may, real = asyncio.Event(), asyncio.Event(), stand.chats.claim

    async def slow(*arguments):
        found = await real(*arguments)
        asked.set()
        await may.wait()
        return found

    monkeypatch.setattr(stand.chats, "claim", slow)
    await stand.hear("hi")
    running = asyncio.create_task(stand.engine.run())
    async with asyncio.timeout(120):
        await asked.wait()
        stopping = asyncio.create_task(stand.engine.stop(20))
        await stand.engine._stopped.wait()
        may.set()
        await stopping
        await running
    assert stand.model.asked == []
    assert await stand.db.read(lambda c: tuple(c.execute("SELECT leased, due_at FROM chats").fetchone())) == (0, 0)


async def test_a_chat_that_could_not_be_given_back_is_taken_over_at_the_next_start(stand, monkeypatch):
    await stand.bots(everyone(debounce_time=0, delay_message=0))

    async def away(claim):
        raise Unavailable("disk full")

    monkeypatch.setattr(stand.chats, "give_back", away)
    thinking, _ = thinks(stand, "never")
    running = asyncio.create_task(stand.engine.run())
    await stand.hear("hi")
    async with asyncio.timeout(120):
        await thinking.wait()
        await stand.engine.stop(0)
        await running
    del stand.model.answer
    stand.engine = stand.new_engine()
    await stand.chats.take_over()
    await stand.work()
    assert await stand.replies() == ["re: hi"]


async def test_a_stop_does_not_wait_for_a_sweep(stand, monkeypatch):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    await stand.hear("hi")
    sweeping = asyncio.Event()

    async def long(instance_id, before):
        sweeping.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(stand.chats, "sweep", long)
    running = asyncio.create_task(stand.engine.run())
    async with asyncio.timeout(120):
        await sweeping.wait()
        await stand.engine.stop(20)
        await running


async def test_a_post_under_way_arrives_before_the_engine_has_stopped(stand):
    """Cut off, it would be posted again at the next start."""
    await stand.bots(everyone(debounce_time=0, delay_message=0), instance={"webhook": "http://hook"})
    begun, may, posted = carries(stand)
    running = asyncio.create_task(stand.engine.run())
    await stand.hear("hi")
    async with asyncio.timeout(120):
        await begun.wait()
        stopping = asyncio.create_task(stand.engine.stop(0))
        await stand.engine._stopped.wait()
        may.set()
        await stopping
        await running
    stand.engine = stand.new_engine()
    await stand.later(1)
    assert posted == ["re: hi"]


async def test_a_post_that_never_arrives_is_cut_off_and_due_again(stand, monkeypatch):
    monkeypatch.setattr("reconciler.runtime.sending.SECONDS", 0.01)
    await stand.bots(everyone(debounce_time=0, delay_message=0), instance={"webhook": "http://hook"})
    begun, _, _ = carries(stand)
    running = asyncio.create_task(stand.engine.run())
    await stand.hear("hi")
    async with asyncio.timeout(120):
        await begun.wait()
        await stand.engine.stop(0)
        await running
    del stand.post
    stand.engine = stand.new_engine()
    await stand.work()
    assert [text for _, text in stand.posted] == ["re: hi"]


async def test_errors_of_a_step_do_not_end_the_engine(stand, monkeypatch):
    stand.engine = stand.new_engine(pause=0.01)
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    real, fails = stand.chats.claim, [Unavailable("disk full"), RuntimeError("bug")]

    async def claim(*arguments):
        if fails:
            raise fails.pop(0)
        return await real(*arguments)

    monkeypatch.setattr(stand.chats, "claim", claim)
    await stand.hear("hi")
    running = asyncio.create_task(stand.engine.run())
    await polled(stand.replies)
    await stand.engine.stop(1)
    await running
    assert await stand.replies() == ["re: hi"]
