"""The chats' store: inbox, transcript, status, forgetting; what a lease may write."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from reconciler.model import Heard
from reconciler.store.leases import Settling
from tests.store.standing import Stand
from tests.talk.rows import everyone, keyword


@pytest.fixture
async def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    yield stand
    stand.close()


async def counts(stand):
    def look(connection):
        tables = ("messages", "chats", "sessions", "outbox", "pushes")
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}

    return await stand.db.read(look)


async def test_accept_tells_new_from_known(stand):
    def heard(id):
        return Heard(id=id, instance_id="inst", jid="ana", from_me=False, push_name=None, kind="c", text="x", at=1.0)

    assert await stand.chats.accept([heard("a"), heard("b"), heard("a")]) == [True, True, False]
    assert await stand.chats.accept([heard("b")]) == [False]
    with pytest.raises(sqlite3.IntegrityError):
        await stand.chats.accept([msgspec.structs.replace(heard("c"), instance_id="gone")])


async def test_half_a_surrogate_pair_is_stored_as_a_question_mark(stand):
    await stand.hear("a\ud800b é")
    assert [said.text for said in await stand.chats.transcript("inst", "ana", None, 9)] == ["a?b é"]


async def test_transcript_pages(stand):
    for number in range(5):
        await stand.hear(str(number), id=f"m{number}")
    await stand.hear("other", jid="bob")

    async def page(after, limit):
        return [said.text for said in await stand.chats.transcript("inst", "ana", after, limit)]

    assert await page(None, 100) == ["0", "1", "2", "3", "4"]
    assert await page(None, 2) == ["3", "4"]
    assert await page("m1", 2) == ["2", "3"]
    assert await page("m4", 2) == []
    assert await page("unknown", 1) == ["4"]


async def test_a_transcript_row_on_the_wire(stand):
    await stand.talk("hi", id="m1")
    rows = msgspec.to_builtins(await stand.chats.transcript("inst", "ana", None, 9))
    assert rows[0] == {"id": "m1", "fromMe": False, "text": "hi", "timestamp": 10_000}
    assert rows[1] | {"id": ""} == {"id": "", "fromMe": True, "text": "re: hi", "timestamp": 10_000, "botId": "all"}


async def test_forget_leaves_nothing_and_fences_the_turn_that_runs(stand):
    await stand.talk("hi")
    await stand.talk("other", jid="bob")
    await stand.hear("more")
    (claim,), _ = await stand.chats.claim(stand.now, 9, 30)
    assert await stand.chats.forget("inst", "ana") == 3
    assert not await stand.chats.retry(claim, stand.now)
    await stand.talk("again")
    assert await stand.replies() == ["re: again"]
    assert await stand.replies("bob") == ["re: other"]
    (entry, _) = (await stand.session()).history
    assert entry.text == "again"


async def test_deleting_the_instance_deletes_its_chats(stand):
    await stand.talk("hi")
    await stand.hear("more")
    await stand.db.write(lambda c: c.execute("DELETE FROM instances").rowcount)
    assert set((await counts(stand)).values()) == {0}


async def test_deleting_a_bot_deletes_its_sessions_not_the_transcript(stand):
    await stand.talk("hi")
    await stand.bots(keyword("equals", "x"))
    assert await stand.session() is None
    assert (await counts(stand))["messages"] == 2


async def test_what_was_heard_of_a_session_that_was_switched_is_heard_anew(stand):
    await stand.talk("hi")
    await stand.hear("more")
    (claim,), _ = await stand.chats.claim(stand.now, 9, 30)
    await stand.chats.set_status("inst", "ana", "paused", stand.now)
    settling = Settling(
        claim=claim, session=msgspec.structs.replace(claim.session, active_at=stand.now + 9), starts=(), ends={},
        states={claim.inbox[0].seq: 1}, first_at=1.0, turn_at=1.0, hold=False,
    )  # fmt: skip
    assert not await stand.chats.settle(settling)
    await stand.later(2)
    assert (await stand.session()).status == "paused"
    assert await stand.replies() == ["re: hi"]


async def test_a_held_turn_is_known_after_a_crash(stand):
    """Between settling and the model's answer the process dies: the next one answers."""
    await stand.hear("hi")

    class Died(BaseException):
        pass

    stand.model.fails = [Died()]
    await stand.engine.claim()
    ((_, task),) = stand.engine._working.values()
    with pytest.raises(Died):
        await task
    stand.engine = stand.new_engine()
    await stand.chats.take_over()
    await stand.work()
    await stand.later(1)
    assert await stand.replies() == ["re: hi"]


async def test_sweep_leaves_what_is_not_answered(stand):
    await stand.hear("waiting")
    assert await stand.chats.sweep("inst", stand.now + 1) == 0
    await stand.talk("hi")
    assert await stand.chats.sweep("inst", stand.now + 1) > 0
    assert set((await counts(stand)).values()) == {0}


async def test_a_sweep_goes_in_pages_and_misses_none(stand, monkeypatch):
    monkeypatch.setattr("reconciler.store.sweep._ROWS", 2)
    for number in range(5):
        await stand.hear("hi", jid=f"old{number}")
        await stand.hear("hi", jid=f"young{number}")
    await stand.later(1)
    before = stand.now + 50
    stand.now += 100
    for number in range(5):
        await stand.hear("again", jid=f"young{number}")
    await stand.later(1)
    await stand.chats.sweep("inst", before)
    assert await counts(stand) == {"messages": 10, "chats": 5, "sessions": 5, "outbox": 0, "pushes": 0}
    for number in range(5):
        assert [each.text for each in (await stand.session(f"young{number}")).history] == ["again", "re: again"]
