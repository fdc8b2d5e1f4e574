"""What is carried to a webhook, and what comes back from there: our own echo, or a human."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest

from reconciler.llm.answer import Answer
from reconciler.runtime.channels.push import NotTaken
from reconciler.runtime.sending import ATTEMPTS, EACH, POSTS
from tests.store.standing import Stand, polled, thinks
from tests.talk.rows import everyone, line


@pytest.fixture
def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    yield stand
    stand.close()


async def test_pushes_replies_and_what_the_business_says(stand):
    await stand.lines.put(line(everyone(debounce_time=0, delay_message=0), instance={"webhook": "http://127.0.0.1/x"}))
    await stand.talk("hi")
    await stand.talk("from us", from_me=True, send=True)
    await stand.talk("from the phone", from_me=True)
    assert [text for _, text in stand.posted] == ["re: hi", "from us"]


async def test_what_the_business_sends_does_not_wait_for_the_turn_that_runs(stand):
    await stand.bots(everyone(debounce_time=0), instance={"webhook": "http://127.0.0.1/x"})
    thinking, may = thinks(stand, "late")
    await stand.hear("hi")
    await stand.engine.claim()
    await thinking.wait()
    await stand.hear("I am here", from_me=True, send=True)
    await stand.engine.sender.push()
    await stand.engine.sender.idle()
    assert [text for _, text in stand.posted] == ["I am here"]
    may.set()
    await stand.engine.idle()


async def two_parts(account, request):
    return Answer("one\n\ntwo")


async def test_push_keeps_order_and_tries_again(stand):
    await stand.lines.put(
        line(everyone(debounce_time=0, delay_message=0, split_messages=True), instance={"webhook": "http://x"})
    )
    stand.model.answer = two_parts
    stand.refusals = [NotTaken("answered 503", final=False), RuntimeError("bug")]
    await stand.talk("hi", seconds=8)
    assert [text for _, text in stand.posted] == ["one", "two"]


async def test_push_is_given_up(stand):
    await stand.lines.put(line(everyone(debounce_time=0, delay_message=0), instance={"webhook": "http://x"}))
    stand.refusals = [NotTaken("answered 404", final=True)]
    await stand.talk("hi", seconds=2)
    assert stand.posted == []
    stand.refusals = [NotTaken("answered 503", final=False)] * ATTEMPTS
    await stand.talk("again", seconds=1)
    for _ in range(ATTEMPTS):
        stand.now += 200
        await stand.work()
    assert stand.posted == []
    assert stand.refusals == []


async def test_a_webhook_that_hangs_holds_up_no_other_instance(stand):
    for name in ("hangs", "works"):
        whole = line(everyone(f"of {name}", instance_id=name, debounce_time=0, delay_message=0))
        row = msgspec.structs.replace(whole.instance, id=name, webhook=f"http://{name}")
        await stand.lines.put(msgspec.structs.replace(whole, instance=row))
    never, posted = asyncio.Event(), Counter()

    async def post(instance, push):
        posted[instance.id] += 1
        if instance.id == "hangs":
            await never.wait()

    stand.post = post
    for name, chats in (("hangs", 3 * POSTS), ("works", 2 * EACH)):
        for number in range(chats):
            await stand.hear("hi", jid=f"c{number}", instance_id=name)
    while await stand.engine.claim() == 0:
        await stand.engine.idle()
    await stand.engine.idle()
    while await stand.engine.sender.say() == 0:
        pass

    async def others():
        await stand.engine.sender.push()
        return posted["works"] == 2 * EACH

    await polled(others)
    assert posted["hangs"] == EACH
    await stand.engine.sender.stop(wait=False)


# --- echoes (docs/conversation.md, "Our own echo") ----------------------------------------------------------------


async def test_an_echo_is_not_a_human(stand):
    await stand.bots(everyone(stop_bot_from_me=True, debounce_time=0, delay_message=0))
    await stand.talk("hi", seconds=1)
    await stand.talk("re: hi", seconds=1, from_me=True)
    assert (await stand.session()).status == "opened"
    await stand.talk("re: hi", seconds=1, from_me=True, send=True)
    assert (await stand.session()).status == "paused"


async def test_the_echo_that_is_faster_than_the_transcript_is_the_reply(stand):
    await stand.bots(everyone(debounce_time=0, delay_message=1000))
    await stand.hear("hi", id="m1")
    await stand.work()
    reply = await stand.db.read(lambda c: c.execute("SELECT id FROM outbox").fetchone()[0])
    await stand.hear("re: hi", id=reply, from_me=True)
    await stand.work()
    await stand.later(2)
    texts = [said.text for said in await stand.chats.transcript("inst", "ana", None, 10)]
    assert texts == ["hi", "re: hi"]


@pytest.fixture
async def hooked(stand):
    await stand.bots(
        everyone(stop_bot_from_me=True, debounce_time=0, delay_message=0), instance={"webhook": "http://hook"}
    )
    return stand


async def said_and_flying(stand):
    """Says a reply whose push stays under way; gives the event that lets it end, and under which id it was taken."""
    landed, took = asyncio.Event(), []

    async def post(instance, push):
        await landed.wait()
        return took[0] if took else None

    stand.post = post
    await stand.hear("hi")
    await stand.engine.claim()
    await stand.engine.idle()
    await stand.engine.sender.say()
    await stand.engine.sender.push()
    return landed, took


async def look(stand):
    await stand.engine.claim()
    await stand.engine.idle()


async def test_a_message_of_ours_is_held_while_a_send_is_in_flight_and_known_by_its_id(hooked):
    landed, took = await said_and_flying(hooked)
    await hooked.hear("re: *hi*", id="WA1", from_me=True)
    await look(hooked)
    assert (await hooked.session()).status == "opened"
    took.append("WA1")
    landed.set()
    await hooked.engine.sender.idle()
    hooked.now += 0.25
    await look(hooked)
    assert (await hooked.session()).status == "opened"
    await hooked.talk("more", seconds=1)
    assert hooked.model.asked == ["hi", "more"]


async def test_in_flight_it_is_known_by_its_text_at_once(hooked):
    landed, _ = await said_and_flying(hooked)
    hooked.now += 15
    await hooked.hear(" re: hi ", from_me=True)
    await look(hooked)
    assert await hooked.db.read(lambda c: c.execute("SELECT count(*) FROM messages WHERE state < 2").fetchone()[0]) == 0
    assert (await hooked.session()).status == "opened"
    landed.set()
    await hooked.engine.sender.idle()
    hooked.now += 9
    await hooked.hear("re: hi", from_me=True)
    await look(hooked)
    assert (await hooked.session()).status == "opened"


async def test_an_echo_that_waited_behind_a_long_turn_is_still_our_own(hooked):
    await hooked.talk("hi", seconds=1)
    thinking, may = thinks(hooked, "at last")
    await hooked.hear("more")
    await hooked.engine.claim()
    await thinking.wait()
    await hooked.hear("re: hi", from_me=True)
    hooked.now += 60
    may.set()
    await hooked.later(1)
    assert (await hooked.session()).status == "opened"
    assert await hooked.replies() == ["re: hi", "at last"]


async def test_an_echo_that_comes_late_is_known_by_its_id(hooked):
    landed, took = await said_and_flying(hooked)
    took.append("WA1")
    landed.set()
    await hooked.engine.sender.idle()
    hooked.now += 3600
    await hooked.hear("re: *hi*", id="WA1", from_me=True)
    await look(hooked)
    assert (await hooked.session()).status == "opened"


async def test_a_human_who_writes_while_a_send_is_in_flight_takes_over_once_it_has_landed(hooked):
    landed, took = await said_and_flying(hooked)
    await hooked.hear("I am here", from_me=True)
    await hooked.hear("hello?")
    await look(hooked)
    assert (await hooked.session()).status == "opened"
    assert hooked.model.asked == ["hi"]
    took.append("WA1")
    landed.set()
    await hooked.engine.sender.idle()
    await hooked.later(1)
    assert (await hooked.session()).status == "paused"
    assert hooked.model.asked == ["hi"]


async def test_a_message_of_ours_is_held_ten_seconds_at_most(hooked):
    landed, _ = await said_and_flying(hooked)
    await hooked.hear("I am here", from_me=True)
    for _ in range(39):
        hooked.now += 0.25
        await look(hooked)
    assert (await hooked.session()).status == "opened"
    hooked.now += 0.25
    await look(hooked)
    assert (await hooked.session()).status == "paused"
    landed.set()
    await hooked.engine.sender.idle()
