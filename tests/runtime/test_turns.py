"""The engine with a clock that stands still and a model that repeats: docs/conversation.md as a customer sees it."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.errors import Unavailable
from reconciler.llm.answer import Answer, ModelFailed
from reconciler.runtime.turns import ATTEMPTS
from tests.store.standing import Stand, polled, thinks
from tests.talk.rows import bot, everyone, keyword, line


@pytest.fixture
def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    yield stand
    stand.close()


async def test_keyword_opens_and_the_session_needs_no_keyword(stand):
    await stand.bots(keyword("equals", "start"))
    await stand.talk("hello")
    assert await stand.session() is None
    await stand.talk("start")
    await stand.talk("more")
    assert await stand.replies() == ["re: start", "re: more"]
    session = await stand.session()
    assert (session.status, session.push_name, session.await_user) == ("opened", "Ana", True)
    assert [entry.text for entry in session.history] == ["start", "re: start", "more", "re: more"]
    assert [each.text for each in stand.model.requests[1].messages] == ["start", "re: start", "more"]


async def test_a_known_message_is_nothing(stand):
    await stand.bots(everyone())
    assert await stand.hear("hi", id="m1")
    assert not await stand.hear("hi", id="m1")
    await stand.work()
    await stand.later(3)
    assert not await stand.hear("hi", id="m1")
    await stand.later(3)
    assert await stand.replies() == ["re: hi"]


async def test_debounce_joins_messages_and_survives_a_restart(stand):
    await stand.bots(everyone(debounce_time=2000, delay_message=0))
    for text in ("a", "b", "c"):
        await stand.hear(text)
        await stand.work()
        await stand.later(1)
    stand.engine = stand.new_engine()
    await stand.later(0.75)
    assert stand.model.asked == []
    await stand.later(0.5)
    assert stand.model.asked == ["a\nb\nc"]


async def test_debounce_has_a_cap(stand):
    await stand.bots(everyone(debounce_time=1000, delay_message=0))
    for _ in range(15):
        await stand.hear("x")
        await stand.work()
        await stand.later(0.75)
    assert len(stand.model.asked) == 1


async def test_reply_waits_its_delay_and_parts_come_in_order(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=1000, time_per_char=100, split_messages=True))
    stand.model.answer = lambda account, request: _answer("abcde\n\nfghij")
    await stand.hear("hi")
    await stand.work()
    assert await stand.replies() == []
    await stand.later(1.5)
    assert await stand.replies() == ["abcde"]
    await stand.later(1.25)
    assert await stand.replies() == ["abcde"]
    await stand.later(0.25)
    assert await stand.replies() == ["abcde", "fghij"]


async def test_a_link_to_a_media_file_is_sent_as_that_media(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    stand.model.answer = lambda account, request: _answer("Look: ![The terrace](https://x/a.jpg)")
    await stand.talk("hi")
    said = [each for each in await stand.chats.transcript("inst", "ana", None, 10) if each.from_me]
    assert [(each.text, each.media_url) for each in said] == [("Look:", None), ("The terrace", "https://x/a.jpg")]
    assert (await stand.session()).history[-1].text == "Look: ![The terrace](https://x/a.jpg)"


async def _answer(text):
    return Answer(text)


async def test_finish_ends_without_a_word(stand):
    await stand.bots(everyone(keyword_finish="Stop", debounce_time=0))
    await stand.talk("hi")
    await stand.hear("wait")
    await stand.work()  # its reply waits for delayMessage
    await stand.talk(" STOP ")
    assert await stand.session() is None
    assert await stand.replies() == ["re: hi"]
    assert stand.model.asked == ["hi", "wait"]


async def test_keep_open_stays_silent_until_a_keyword(stand):
    await stand.bots(everyone(keyword_finish="stop", keep_open=True), keyword("equals", "start", "k"))
    await stand.talk("hi")
    await stand.talk("stop")
    await stand.talk("anyone?")
    assert (await stand.session()).status == "closed"
    await stand.talk("start")
    assert await stand.replies() == ["re: hi", "re: start"]
    assert [each.status for each in (await stand.chats.sessions_part("inst", "all", lambda one: one, 0, 100))[0]] == [
        "closed"
    ]
    assert [each.status for each in (await stand.chats.sessions_part("inst", "k", lambda one: one, 0, 100))[0]] == [
        "opened"
    ]


async def test_a_human_takes_over_before_the_reply_is_said(stand):
    await stand.bots(everyone(stop_bot_from_me=True, debounce_time=0))
    await stand.hear("hi")
    await stand.work()
    assert stand.model.asked == ["hi"]
    await stand.hear("I am here", from_me=True, send=True)
    await stand.later(3)
    assert await stand.replies() == []
    assert (await stand.session()).status == "paused"
    await stand.talk("hello?")
    assert stand.model.asked == ["hi"]


async def test_nothing_is_said_while_a_humans_message_is_unheard(stand):
    await stand.bots(everyone(stop_bot_from_me=True, debounce_time=0, delay_message=0))
    await stand.hear("hi")
    await stand.engine.claim()
    await stand.engine.idle()
    await stand.hear("I am here", from_me=True)
    await stand.engine.sender.say()
    assert await stand.replies() == []
    await stand.later(1)
    assert await stand.replies() == []


async def test_change_status(stand):
    await stand.bots(everyone(debounce_time=0))
    assert await stand.chats.set_status("inst", "ana", "paused", stand.now) == 0
    await stand.talk("one")
    await stand.hear("two")
    await stand.work()
    assert await stand.chats.set_status("inst", "ana", "paused", stand.now) == 1
    await stand.later(3)
    await stand.talk("three")
    assert await stand.replies() == ["re: one"]
    assert await stand.chats.set_status("inst", "ana", "opened", stand.now) == 1
    await stand.talk("four")
    assert await stand.replies() == ["re: one", "re: four"]
    assert await stand.chats.set_status("inst", "ana", "delete", stand.now) == 1
    assert await stand.session() is None


async def test_status_switched_while_the_model_thinks(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    thinking, answer = thinks(stand, "late")
    await stand.hear("hi")
    await stand.engine.claim()
    await thinking.wait()
    await stand.chats.set_status("inst", "ana", "closed", stand.now)
    answer.set()
    await stand.engine.idle()
    await stand.later(1)
    assert await stand.replies() == []
    assert (await stand.session()).history == ()


async def test_a_message_during_a_turn_starts_the_next(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    thinking, answer = thinks(stand, "ok")
    await stand.hear("one")
    await stand.engine.claim()
    await thinking.wait()
    await stand.hear("two")
    await stand.engine.claim()
    assert stand.model.asked == ["one"]
    answer.set()
    await stand.work()
    await stand.later(1)
    assert stand.model.asked == ["one", "two"]


async def test_chats_do_not_wait_for_one_another(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    never = asyncio.Event()

    async def stuck(account, request):
        if request.jid == "stuck":
            await never.wait()
        return Answer("ok")

    stand.model.answer = stuck
    await stand.hear("x", jid="stuck")
    await stand.hear("y", jid="free")
    await stand.engine.claim()

    async def said():
        await stand.engine.sender.say()
        return await stand.replies("free")

    await polled(said)
    assert await stand.replies("free") == ["ok"]
    never.set()
    await stand.engine.idle()


async def test_expired_session_begins_anew(stand):
    await stand.bots(keyword("equals", "start", expire=60))
    await stand.talk("start")
    await stand.later(30)
    await stand.talk("still here")
    stand.now += 61
    await stand.talk("too late")
    assert await stand.replies() == ["re: start", "re: still here"]
    assert await stand.session() is None


async def test_unreadable_gets_unknown_message(stand):
    await stand.bots(everyone(unknown_message="Sorry?"))
    await stand.talk(None)
    assert await stand.replies() == ["Sorry?"]
    assert stand.model.asked == []


async def test_a_model_that_fails_is_recorded_and_never_shown(stand):
    await stand.bots(everyone(unknown_message="Sorry?"))
    stand.model.fails = [ModelFailed("answered 401")]
    await stand.talk("hi")
    session = await stand.session()
    assert await stand.replies() == ["Sorry?"]
    assert session.failure == "answered 401"
    assert [entry.text for entry in session.history] == ["hi"]
    await stand.talk("again")
    assert (await stand.session()).failure is None


async def test_silence_where_there_is_no_unknown_message(stand):
    await stand.bots(everyone())
    stand.model.fails = [ModelFailed("answered 401")]
    await stand.talk("hi")
    assert await stand.replies() == []


async def test_credentials_that_are_gone_are_a_failure(stand):
    await stand.bots(everyone(openai_creds_id="gone"))
    await stand.talk("hi")
    assert "credentials" in (await stand.session()).failure


async def test_our_own_error_is_tried_again_then_given_up(stand):
    await stand.bots(everyone(unknown_message="Sorry?"))
    stand.model.fails = [RuntimeError("bug")] * (ATTEMPTS - 1)
    await stand.talk("hi", seconds=30)
    assert await stand.replies() == ["re: hi"]
    stand.model.fails = [RuntimeError("bug")] * ATTEMPTS
    await stand.talk("oh", seconds=40)
    assert await stand.replies() == ["re: hi", "Sorry?"]
    assert "an error of the runtime" in (await stand.session()).failure
    await stand.talk("and now")
    assert (await stand.replies())[-1] == "re: and now"


async def test_an_error_while_hearing_stops_one_chat_only(stand, monkeypatch):
    await stand.bots(everyone())
    import reconciler.runtime.turns as turns

    real = turns.look

    def look(line, claim, now, fresh):
        if claim.jid == "bad":
            raise RuntimeError("bug")
        return real(line, claim, now, fresh)

    monkeypatch.setattr(turns, "look", look)
    await stand.hear("x", jid="bad")
    await stand.talk("hi", seconds=40)
    assert await stand.replies() == ["re: hi"]
    states = await stand.db.read(lambda c: c.execute("SELECT state FROM messages WHERE jid = 'bad'").fetchall())
    assert [tuple(row) for row in states] == [(3,)]


async def test_a_store_that_is_away_for_a_moment_costs_no_answer(stand, monkeypatch):
    stand.engine = stand.new_engine(pause=0.01)
    await stand.bots(everyone())
    real, fails = stand.chats.finish, [Unavailable("disk full")] * 2

    async def finish(done, now):
        if fails:
            raise fails.pop()
        return await real(done, now)

    monkeypatch.setattr(stand.chats, "finish", finish)
    await stand.talk("hi")
    assert await stand.replies() == ["re: hi"]
    assert stand.model.asked == ["hi"]


async def test_an_answer_waits_for_the_store_however_long_it_is_away(stand, monkeypatch):
    stand.engine = stand.new_engine(pause=0.001, lease=5)
    await stand.bots(everyone(delay_message=0))
    real, fails = stand.chats.finish, [Unavailable("disk full")] * (2 * ATTEMPTS)

    async def finish(done, now):
        if fails:
            stand.now += 2  # longer than the lease, in sum
            raise fails.pop()
        return await real(done, now)

    monkeypatch.setattr(stand.chats, "finish", finish)
    monkeypatch.setattr("reconciler.runtime.turns.PATIENCE", 0.001)
    await stand.talk("hi")
    assert await stand.replies() == ["re: hi"]
    assert stand.model.asked == ["hi"]


async def test_a_bot_that_is_deleted_while_its_model_thinks_leaves_the_message_to_another(stand):
    await stand.bots(everyone("a", debounce_time=0, delay_message=0))
    thinking, answer = thinks(stand, "late")
    await stand.hear("hi")
    await stand.engine.claim()
    await thinking.wait()
    await stand.bots(everyone("b", debounce_time=0, delay_message=0))
    del stand.model.answer
    answer.set()
    await stand.later(1)
    assert await stand.replies() == ["re: hi"]
    assert (await stand.session()).bot_id == "b"


async def test_a_chat_that_is_forgotten_and_comes_back_while_its_model_thinks(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    thinking, _ = thinks(stand, "of somebody forgotten")
    await stand.hear("hi")
    await stand.engine.claim()
    await thinking.wait()
    assert await stand.chats.forget("inst", "ana") == 1
    del stand.model.answer
    await stand.talk("I am new")
    assert await stand.replies() == ["re: I am new"]
    assert [entry.text for entry in (await stand.session()).history] == ["I am new", "re: I am new"]


async def test_a_deleted_bot_ends_its_session_and_the_message_is_a_first_one(stand):
    await stand.bots(everyone("a"))
    await stand.talk("hi")
    await stand.hear("more")
    await stand.work()  # waits for its turn
    await stand.bots(everyone("b"))
    await stand.later(5)
    assert (await stand.session()).bot_id == "b"
    assert await stand.replies() == ["re: hi", "re: more"]


async def test_a_disabled_bot_does_not_answer_what_waited(stand):
    await stand.bots(everyone("a"))
    await stand.hear("hi")
    await stand.work()
    await stand.bots(everyone("a", enabled=False))
    await stand.later(5)
    assert stand.model.asked == []
    assert await stand.session() is None


async def test_a_bot_that_is_switched_off_says_nothing_more(stand):
    await stand.bots(everyone("a", debounce_time=0, split_messages=True))
    stand.model.answer = lambda account, request: _answer("one\n\ntwo")
    await stand.hear("hi")
    await stand.work()
    await stand.later(1)
    assert await stand.replies() == ["one"]
    await stand.bots(everyone("a", enabled=False))
    await stand.later(3)
    await stand.bots(everyone("a"))
    await stand.later(3)
    assert await stand.replies() == ["one"]


async def test_a_deleted_instance_is_no_error(stand):
    await stand.bots(everyone())
    await stand.hear("hi")
    stand.lines.all.clear()
    await stand.work()
    assert stand.model.asked == []


async def test_a_lease_that_ran_out_cannot_write(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    await stand.hear("hi")
    (old,), _ = await stand.chats.claim(stand.now, 10, 5)
    stand.now += 6
    await stand.later(1)
    assert await stand.replies() == ["re: hi"]
    assert not await stand.chats.retry(old, stand.now)
    assert not await stand.chats.give_up(old)
    await stand.chats.give_back(old)
    await stand.chats.renew([old], stand.now + 100)
    await stand.talk("next")
    assert await stand.replies() == ["re: hi", "re: next"]


async def test_a_turn_outlasts_a_process_and_a_store_that_stood_still(stand, monkeypatch):
    stand.engine = stand.new_engine(lease=5)
    await stand.bots(everyone(debounce_time=0, delay_message=0))
    thinking, may = thinks(stand, "ok")
    await stand.hear("hi")
    await stand.engine.claim()
    await thinking.wait()
    for _ in range(3):
        stand.now += 60
        await stand.engine.claim()
    real, fails = stand.chats.claim, [Unavailable("disk full")]

    async def away(*arguments):
        if fails:
            raise fails.pop()
        return await real(*arguments)

    monkeypatch.setattr(stand.chats, "claim", away)
    stand.now += 60
    with pytest.raises(Unavailable):
        await stand.engine.claim()
    await stand.engine.claim()
    may.set()
    await stand.later(1)
    assert stand.model.asked == ["hi"], "what is paid for once is not asked again"
    assert await stand.replies() == ["ok"]


async def test_sweep_keeps_the_instances_retention(stand):
    await stand.lines.put(line(everyone(), instance={"retention": 3600}))
    await stand.talk("old")
    await stand.talk("other", jid="bob")
    stand.now += 3000
    await stand.talk("new")
    stand.now += 700
    await stand.engine.sweep()
    texts = [said.text for said in await stand.chats.transcript("inst", "ana", None, 10)]
    assert texts == ["new", "re: new"]
    assert [entry.text for entry in (await stand.session()).history] == ["new", "re: new"]
    assert await stand.session("bob") is None
    assert await stand.chats.instances() == ["inst"]


async def test_fallback_answers_and_a_none_bot_waits(stand):
    await stand.bots(bot("reserve", trigger_type="none"), keyword("equals", "hi", "greets"), fallback="reserve")
    await stand.talk("what?")
    assert (await stand.session()).bot_id == "reserve"


# --- sessions that nobody wrote in for too long ----------------------------------------------------------------


async def test_an_expired_session_is_not_shown_as_open(stand):
    await stand.bots(everyone("a", expire=60), keyword("equals", "keep", "k", expire=60, keep_open=True))
    await stand.talk("hi", jid="ana")
    await stand.talk("keep", jid="bob")
    await stand.engine.expire()
    assert (await stand.session("ana")).status == "opened"
    stand.now += 61
    await stand.engine.expire()
    assert await stand.session("ana") is None
    assert (await stand.session("bob")).status == "closed"
    await stand.talk("keep", jid="bob")
    assert await stand.replies("bob") == ["re: keep", "re: keep"]


async def test_expiry_waits_for_a_message_that_came_in_time(stand):
    await stand.bots(everyone(expire=60))
    await stand.talk("hi")
    stand.now += 59
    await stand.hear("in time")
    stand.now += 10
    await stand.engine.expire()
    await stand.later(3)
    assert (await stand.session()).history[0].text == "hi"


async def test_without_expire_a_session_stays(stand):
    await stand.bots(everyone())
    await stand.talk("hi")
    stand.now += 1e7
    await stand.engine.expire()
    assert (await stand.session()).status == "opened"
