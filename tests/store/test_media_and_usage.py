"""Files of messages until their turn is over, and what turns took."""

from __future__ import annotations

import pytest

from reconciler.model import Media
from reconciler.store.usage import Record, Usage
from tests.store.standing import Stand
from tests.talk.rows import everyone, session

PHOTO = Media(kind="image", mime="image/png", data=b"\x89PNG")


@pytest.fixture
def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    yield stand
    stand.close()


async def count(stand, table):
    return await stand.db.read(lambda c: c.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def test_a_file_is_kept_beside_its_message_and_read_once_more(stand):
    await stand.bots()
    await stand.hear("look", media=PHOTO)
    await stand.hear("text only")
    claims, _ = await stand.chats.claim(stand.now, 10, 30)
    seqs = [one.seq for one in claims[0].inbox]
    assert [one.heard.media for one in claims[0].inbox] == [None, None]
    assert await stand.chats.media(seqs, 100) == {seqs[0]: PHOTO}
    assert await stand.chats.media([], 100) == {}


@pytest.mark.parametrize("case", ["ignored", "answered", "forgotten", "of an instance that goes"])
async def test_a_file_goes_when_its_message_is_done_with(stand, case):
    await stand.bots(*([everyone()] if case == "answered" else []))
    await stand.hear("look", media=PHOTO)
    assert await count(stand, "media") == 1
    if case == "forgotten":
        await stand.chats.forget("inst", "ana")
    elif case == "of an instance that goes":
        await stand.db.write(lambda c: c.execute("DELETE FROM instances"))
    else:
        await stand.work()
        await stand.later(3)
    assert await count(stand, "media") == 0


async def test_of_many_files_the_newest_are_read(stand):
    await stand.bots()
    for size in (5, 3, 4):
        await stand.hear(None, media=Media(kind="audio", mime="audio/ogg", data=b"x" * size))
    assert sorted(await stand.chats.media([1, 2, 3], 8)) == [2, 3]


async def test_files_that_are_still_to_be_fetched_are_bounded_too(stand):
    await stand.bots()
    for kind in ("audio", "image", "audio", "audio"):
        await stand.hear(None, media=Media(kind=kind, mime=f"{kind}/x", url="https://files.example/v"))
    assert sorted(await stand.chats.media([1, 2, 3, 4], 2 << 20)) == [2, 3, 4]


async def test_the_same_message_twice_keeps_one_file(stand):
    await stand.bots()
    assert await stand.hear("look", id="m1", media=PHOTO)
    assert not await stand.hear("look", id="m1", media=PHOTO)
    assert await count(stand, "media") == 1


async def test_what_was_heard_becomes_the_messages_text(stand):
    await stand.bots()
    await stand.hear(None)
    await stand.chats.read_out({1: "half a pair \ud800"})
    assert (await stand.chats.transcript("inst", "ana", None, 10))[0].text == "half a pair ?"


async def test_usage_is_summed_by_bot_and_model(stand):
    await stand.bots(everyone("a"), everyone("b"))

    def write(connection):
        from reconciler.store import usage

        for bot, at, record in [
            ("a", 1.0, Record(outcome="answered", model="m", input=10, output=2, cached=5, calls=1, seconds=0.5)),
            ("a", 2.0, Record(outcome="failed", failure="no", model="m", input=3, seconds=1.0)),
            ("a", 3.0, Record(outcome="unread")),
            ("b", 4.0, Record(outcome="truncated", model="n", output=9)),
            ("b", 5.0, Record(outcome="answered", model="n")),
        ]:
            usage.keep(connection, session(bot), record, at)

    await stand.db.write(write)
    none = {"input": 0, "output": 0, "cached": 0, "calls": 0, "seconds": 0.0}
    assert await stand.chats.usage("inst", 0, 5.0) == [
        Usage(**{**none, "bot_id": "a", "model": None, "turns": 1, "failed": 0}),
        Usage(bot_id="a", model="m", turns=2, failed=1, input=13, output=2, cached=5, calls=1, seconds=1.5),
        Usage(**{**none, "bot_id": "b", "model": "n", "turns": 1, "failed": 0, "output": 9}),
    ]
    assert await stand.chats.usage("other", 0, 5.0) == []
    assert await stand.chats.sweep("inst", 5.0) == 4
    assert await count(stand, "turns") == 1


async def test_turns_outlast_a_customer_who_is_forgotten(stand):
    await stand.bots(everyone())

    def write(connection):
        from reconciler.store import usage

        usage.keep(connection, session("all"), Record(outcome="answered"), 1.0)

    await stand.db.write(write)
    await stand.chats.forget("inst", "ana")
    assert await count(stand, "turns") == 1
    columns = await stand.db.read(lambda c: [row[1] for row in c.execute("PRAGMA table_info(turns)")])
    assert not {"jid", "push_name", "text"} & set(columns)
