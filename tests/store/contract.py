"""What any store of chats must do, whatever it is made of: the turn engine's promises rest on these.

A test module of a store gives a fixture `world`: see `World`. Everything goes through the methods of the store; two
`Chats` of one world are two processes on one set of data, of which the engine lets only one live on SQLite, and any
number elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
import pytest

from reconciler.model import Heard, Session, Spoken
from reconciler.store.chats import DONE, WAITING, Chats
from reconciler.store.leases import Claim, Ending, Settling
from reconciler.store.outbox import Saying

NOW = 10_000.0
LEASE = 30.0
HOOKED = {"inst": True}
PLAIN = {"inst": False}


class World(Protocol):
    """One set of data with the instance `inst` and its bots `one` and `two`."""

    chats: Chats

    def another(self) -> Chats:
        """The same data as another process sees it."""
        ...


def heard(id: str, jid: str = "ana", text: str = "hi", at: float = NOW, **fields) -> Heard:
    given = {"from_me": False, "push_name": "Ana", "kind": "conversation", **fields}
    return Heard(id=id, instance_id="inst", jid=jid, text=text, at=at, **given)


def session(claim: Claim, bot: str = "one", id: str = "s1", **fields) -> Session:
    given = {"status": "opened", "created_at": NOW, "active_at": NOW, **fields}
    return Session(id=id, instance_id=claim.instance_id, jid=claim.jid, bot_id=bot, **given)


def settling(
    claim: Claim, *, start: Session | None = None, hold: bool = True, turn_at: float = NOW, **more
) -> Settling:
    given = {
        "session": None, "starts": (start,) if start else (), "ends": {},
        "states": {one.seq: WAITING for one in claim.inbox}, "first_at": NOW, **more,
    }  # fmt: skip
    return Settling(claim=claim, turn_at=turn_at, hold=hold, **given)


def ending(claim: Claim, own: Session, *texts: str, delay: float = 0.0) -> Ending:
    sayings = tuple(Saying(f"r{claim.epoch}-{n}", text, delay) for n, text in enumerate(texts))
    history = (*own.history, Spoken("user", "hi", NOW), *(Spoken("assistant", text, NOW) for text in texts))
    remembered = msgspec.structs.replace(own, history=history)
    seqs = [one.seq for one in claim.inbox]
    return Ending(claim=claim, session=remembered, consumed=seqs, state=DONE, sayings=sayings)


async def claimed(chats: Chats, now: float = NOW, lease: float = LEASE) -> Claim:
    (one,), _ = await chats.claim(now, 10, lease)
    return one


async def begun(chats: Chats, now: float = NOW, lease: float = LEASE) -> tuple[Claim, Session]:
    """A chat with one message, claimed, its session started, its turn under way."""
    await chats.accept([heard("m1")])
    claim = await claimed(chats, now, lease)
    own = session(claim)
    assert await chats.settle(settling(claim, start=own))
    return claim, own


async def said(chats: Chats, jid: str = "ana") -> list[str | None]:
    return [one.text for one in await chats.transcript("inst", jid, None, 100) if one.bot_id]


class ChatsContract:
    """Inherit, and give the fixture `world`."""

    # --- accept: once, and with a wake -------------------------------------------------------------------------

    async def test_a_message_is_new_once_whoever_brings_it(self, world):
        other = world.another()
        found = await asyncio.gather(*(chats.accept([heard("m1")]) for chats in (world.chats, other) * 10))
        assert sum(new for (new,) in found) == 1
        assert len(await world.chats.transcript("inst", "ana", None, 10)) == 1

    async def test_an_accepted_message_is_due_at_once_for_every_process(self, world):
        await world.chats.accept([heard("m1"), heard("m2", "bob")])
        claims, _ = await world.another().claim(NOW, 10, LEASE)
        assert {(one.jid, one.inbox[0].heard.id) for one in claims} == {("ana", "m1"), ("bob", "m2")}

    async def test_a_claim_is_limited_and_says_when_the_next_is_due(self, world):
        await world.chats.accept([heard("m1"), heard("m2", "bob")])
        claims, due = await world.chats.claim(NOW, 1, LEASE)
        assert len(claims) == 1
        assert due is not None
        assert due <= NOW

    # --- one worker at a time ----------------------------------------------------------------------------------

    async def test_a_chat_is_one_workers_only(self, world):
        await world.chats.accept([heard(f"m{n}", f"c{n}") for n in range(20)])
        other = world.another()
        found = await asyncio.gather(*(chats.claim(NOW, 3, LEASE) for chats in (world.chats, other) * 5))
        jids = [one.jid for claims, _ in found for one in claims]
        assert len(jids) == len(set(jids)) == 20

    async def test_messages_that_come_meanwhile_wait_for_the_next_claim_in_order(self, world):
        claim, own = await begun(world.chats)
        await world.chats.accept([heard("m2"), heard("m3")])
        assert await world.chats.claim(NOW, 10, LEASE) == ([], NOW + LEASE)
        assert await world.chats.finish(ending(claim, own, "re"), NOW)
        again = await claimed(world.chats)
        assert [one.heard.id for one in again.inbox] == ["m2", "m3"]
        assert again.epoch > claim.epoch

    async def test_a_debounced_chat_is_due_at_its_turn(self, world):
        await world.chats.accept([heard("m1")])
        claim = await claimed(world.chats)
        assert await world.chats.settle(settling(claim, start=session(claim), hold=False, turn_at=NOW + 5))
        assert await world.chats.claim(NOW + 4.9, 10, LEASE) == ([], NOW + 5)
        again = await claimed(world.another(), NOW + 5)
        assert (again.turn_at, again.inbox[0].state) == (NOW + 5, WAITING)

    # --- dead, and only seemingly dead, workers ----------------------------------------------------------------

    async def test_a_dead_workers_chat_is_taken_over_when_its_lease_ran_out(self, world):
        claim, own = await begun(world.chats)
        other = world.another()
        assert (await other.claim(NOW + LEASE - 1, 10, LEASE))[0] == []
        again = await claimed(other, NOW + LEASE)
        assert again.session == own
        assert [one.heard.id for one in again.inbox] == ["m1"]
        assert again.turn_at is not None, "that a turn is due is known after the crash"
        assert again.epoch > claim.epoch

    async def test_whoever_starts_alone_takes_over_at_once(self, world):
        await begun(world.chats)
        other = world.another()
        assert await other.take_over() == 1
        assert (await claimed(other)).jid == "ana"

    async def test_a_lease_that_is_renewed_is_kept(self, world):
        claim, own = await begun(world.chats)
        await world.chats.renew([claim], NOW + 2 * LEASE)
        assert (await world.another().claim(NOW + LEASE + 1, 10, LEASE))[0] == []
        assert await world.chats.finish(ending(claim, own, "re"), NOW + LEASE + 1)

    async def test_whoever_claims_keeps_what_it_works_on_however_long_it_stood_still(self, world):
        claim, own = await begun(world.chats)
        assert await world.chats.claim(NOW + 5 * LEASE, 10, LEASE, [claim]) == ([], NOW + 6 * LEASE)
        assert await world.chats.finish(ending(claim, own, "re"), NOW + 5 * LEASE)

    async def test_a_worker_that_was_only_paused_writes_nothing_when_it_wakes(self, world):
        claim, own = await begun(world.chats)
        other = world.another()
        again = await claimed(other, NOW + LEASE)
        before = await world.chats.session("inst", "ana")
        assert not await world.chats.finish(ending(claim, own, "late"), NOW + LEASE)
        assert not await world.chats.settle(settling(claim, start=session(claim, id="s2")))
        assert not await world.chats.retry(claim, NOW + LEASE)
        assert not await world.chats.give_up(claim)
        await world.chats.give_back(claim)
        await world.chats.renew([claim], NOW + 10 * LEASE)
        assert await world.chats.session("inst", "ana") == before
        assert (await other.claim(NOW + LEASE, 10, LEASE))[0] == [], "the new lease stands"
        assert await other.finish(ending(again, own, "right"), NOW + LEASE)
        await other.say(PLAIN, NOW + LEASE, 10)
        assert await said(world.chats) == ["right"]

    async def test_nor_after_the_other_has_finished_or_the_chat_was_forgotten(self, world):
        claim, own = await begun(world.chats)
        other = world.another()
        assert await other.finish(ending(await claimed(other, NOW + LEASE), own, "right"), NOW + LEASE)
        assert not await world.chats.finish(ending(claim, own, "late"), NOW + LEASE)
        assert await other.forget("inst", "ana") == 1
        await other.accept([heard("m9")])
        await claimed(other, NOW + LEASE)
        assert not await world.chats.finish(ending(claim, own, "late"), NOW + LEASE)
        assert await said(world.chats) == []

    async def test_given_back_is_due_at_once_and_tried_again_is_due_later(self, world):
        claim, _ = await begun(world.chats)
        await world.chats.give_back(claim)
        again = await claimed(world.chats)
        assert await world.chats.retry(again, NOW + 7)
        assert await world.chats.claim(NOW + 6, 10, LEASE) == ([], NOW + 7)
        assert (await claimed(world.chats, NOW + 7)).attempts == 1

    async def test_given_up_messages_are_not_heard_again(self, world):
        claim, _ = await begun(world.chats)
        assert await world.chats.give_up(claim)
        assert await world.chats.claim(NOW + 10 * LEASE, 10, LEASE) == ([], None)

    # --- a turn's end is one thing -----------------------------------------------------------------------------

    async def test_finish_writes_all_or_nothing(self, world):
        claim, own = await begun(world.chats)
        done = ending(claim, own, "one", "two")
        twice = msgspec.structs.replace(done, sayings=(*done.sayings, None))
        with pytest.raises(AttributeError):  # a bug in the middle of the transaction
            await world.chats.finish(twice, NOW)
        assert (await world.chats.session("inst", "ana")).history == ()
        assert (await world.chats.due_instances(NOW))[0] == []
        assert await world.chats.finish(done, NOW)
        assert len((await world.chats.session("inst", "ana")).history) == 3
        assert (await world.chats.due_instances(NOW))[0] == ["inst"]
        assert await world.chats.claim(NOW + 10 * LEASE, 10, LEASE) == ([], None), "consumed, and nothing more is due"

    async def test_a_turn_ends_once(self, world):
        claim, own = await begun(world.chats)
        other = world.another()
        done = ending(claim, own, "re")
        assert sorted(await asyncio.gather(*(chats.finish(done, NOW) for chats in (world.chats, other)))) == [
            False,
            True,
        ]
        await world.chats.say(PLAIN, NOW, 10)
        assert await said(world.chats) == ["re"]

    async def test_a_session_that_is_not_open_any_more_remembers_and_says_nothing(self, world):
        claim, own = await begun(world.chats)
        assert await world.another().set_status("inst", "ana", "paused", NOW) == 1
        assert await world.chats.finish(ending(claim, own, "late"), NOW)
        assert (await world.chats.session("inst", "ana")).history == ()
        await world.chats.say(PLAIN, NOW, 10)
        assert await said(world.chats) == []

    async def test_what_was_heard_of_a_session_that_was_switched_is_heard_anew(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "re"), NOW)
        await world.chats.accept([heard("m2")])
        again = await claimed(world.chats)
        await world.another().set_status("inst", "ana", "paused", NOW)
        assert not await world.chats.settle(settling(again, session=own))
        third = await claimed(world.chats)
        assert third.session.status == "paused"
        assert [one.heard.id for one in third.inbox] == ["m2"]

    # --- the outbox --------------------------------------------------------------------------------------------

    async def test_a_reply_is_said_exactly_once_in_order_by_however_many(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "one", "two", "three"), NOW)
        other = world.another()
        await asyncio.gather(*(chats.say(PLAIN, NOW, 10) for chats in (world.chats, other) * 5))
        assert await said(world.chats) == ["one", "two", "three"]

    async def test_delays_are_rows_with_a_due_time(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "one", "two", delay=2.0), NOW)
        other = world.another()
        assert await other.say(PLAIN, NOW, 10) == ([], NOW + 2)
        assert await other.say(PLAIN, NOW + 2, 10) == ([("inst", "ana")], NOW + 4)
        await other.say(PLAIN, NOW + 4, 10)
        assert await said(other) == ["one", "two"]

    async def test_what_a_session_still_had_to_say_goes_with_it(self, world):
        for to in ("paused", "closed", "delete"):
            await world.chats.forget("inst", "ana")
            claim, own = await begun(world.chats)
            await world.chats.finish(ending(claim, own, "re", delay=5.0), NOW)
            assert await world.chats.set_status("inst", "ana", to, NOW) == 1
            await world.chats.say(PLAIN, NOW + 9, 10)
            assert await said(world.chats) == []

    async def test_while_a_humans_message_is_unheard_nothing_is_said(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "re"), NOW)
        await world.another().accept([heard("h1", from_me=True)])
        assert (await world.chats.say(PLAIN, NOW, 10))[0] == []
        again = await claimed(world.chats)
        await world.chats.settle(settling(again, hold=False, turn_at=None, states={again.inbox[0].seq: DONE}))
        assert (await world.chats.say(PLAIN, NOW + 1, 10))[0] == [("inst", "ana")]

    async def test_pushes_are_kept_until_they_are_over_oldest_first(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "one", "two"), NOW)
        await world.chats.say(HOOKED, NOW, 10)
        other = world.another()
        (first,), _ = await other.due_pushes(NOW, 10)
        assert (first.text, first.attempts) == ("one", 0)
        await other.end_push(first.seq, NOW + 3, NOW)
        assert await other.due_pushes(NOW + 2, 10) == ([], NOW + 3)
        (first,), _ = await world.chats.due_pushes(NOW + 3, 10)
        assert first.attempts == 1
        await world.chats.end_push(first.seq, None, NOW + 3)
        (second,), _ = await other.due_pushes(NOW + 3, 10)
        assert second.text == "two"

    async def test_our_own_messages_are_known_by_what_carried_them(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, " re "), NOW)
        await world.chats.say(HOOKED, NOW, 10)
        await world.another().accept([heard("WA1", from_me=True, at=NOW + 60)])
        again = await claimed(world.chats, NOW + 60)
        assert again.in_flight
        assert not again.echoes(heard("WA1", text="other", at=NOW + 60))
        assert again.echoes(heard("WA9", text=" re", at=NOW + 60)), "on its way it is known by its text, however long"
        await world.chats.give_back(again)
        (push,), _ = await world.chats.due_pushes(NOW + 60, 10)
        await world.chats.end_push(push.seq, None, NOW + 60, "WA1")
        again = await claimed(world.chats, NOW + 500)
        assert not again.in_flight
        assert again.echoes(heard("WA1", text="other", at=NOW + 400)), "by its id it is known whenever it comes"
        for id, seconds, ours in (("WA9", 69, True), ("WA9", 71, False)):
            assert again.echoes(heard(id, text="re", at=NOW + seconds)) is ours, "it counts when the message came"

    async def test_what_was_just_sent_and_comes_back_holds_no_reply(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "one", "two", "three", delay=1.0), NOW)
        for number, echo in enumerate([heard("e1", text="one", from_me=True), heard("WA2", text="?", from_me=True)], 1):
            assert (await world.chats.say(HOOKED, NOW + number, 10))[0] == [("inst", "ana")]
            (push,), _ = await world.chats.due_pushes(NOW + number, 10)
            await world.chats.end_push(push.seq, None, NOW + number, f"WA{number}")
            await world.chats.accept([msgspec.structs.replace(echo, at=NOW + number)])
        assert (await world.chats.say(HOOKED, NOW + 3, 10))[0] == [("inst", "ana")]
        assert await said(world.chats) == ["one", "two", "three"]

    async def test_parts_that_were_held_keep_their_order(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "one", "two", delay=0.01), NOW)
        await world.chats.accept([heard("h1", from_me=True)])
        assert (await world.chats.say(PLAIN, NOW + 0.01, 10))[0] == []
        again = await claimed(world.chats)
        await world.chats.settle(settling(again, hold=False, turn_at=None, states={again.inbox[0].seq: DONE}))
        due: float | None = NOW + 0.01
        while due is not None:
            _, due = await world.chats.say(PLAIN, due + 0.01, 10)
        assert await said(world.chats) == ["one", "two"]

    # --- what goes ---------------------------------------------------------------------------------------------

    async def test_retention_takes_what_is_old_and_done_and_leaves_what_is_open(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own), NOW)
        await world.chats.accept([heard("m2", "bob")])
        assert await world.chats.instances() == ["inst"]
        assert await world.another().sweep("inst", NOW) == 0
        assert await world.another().sweep("inst", NOW + 1) > 0
        assert await world.chats.session("inst", "ana") is None
        assert await world.chats.transcript("inst", "ana", None, 10) == []
        assert (await claimed(world.chats)).inbox[0].heard.id == "m2"

    async def test_retention_trims_what_a_session_remembers(self, world):
        claim, own = await begun(world.chats)
        old = msgspec.structs.replace(own, history=(Spoken("user", "old", NOW - 500),))
        await world.chats.finish(ending(claim, old, "re"), NOW)
        assert await world.chats.sweep("inst", NOW - 100) == 0, "a young session remembers what it was given"
        await world.chats.sweep("inst", NOW)
        assert await world.chats.session("inst", "ana") is not None

    async def test_a_customer_is_forgotten_at_once_and_no_other(self, world):
        claim, own = await begun(world.chats)
        await world.chats.finish(ending(claim, own, "re", delay=3.0), NOW)
        await world.chats.accept([heard("m2", "bob")])
        assert await world.another().forget("inst", "ana") == 1
        assert await world.chats.session("inst", "ana") is None
        await world.chats.say(PLAIN, NOW + 9, 10)
        assert await world.chats.transcript("inst", "ana", None, 10) == []
        assert len(await world.chats.transcript("inst", "bob", None, 10)) == 1
        assert await world.chats.accept([heard("m1")]) == [True], "not even the message's id is known any more"

    async def test_sessions_expire_only_in_chats_that_sleep(self, world):
        claim, own = await begun(world.chats)
        assert await world.chats.talking() == [("inst", "one")]
        assert await world.chats.expire("inst", "one", NOW + 1, False) == 0
        await world.chats.finish(ending(claim, own), NOW)
        assert await world.chats.expire("inst", "two", NOW + 1, False) == 0
        assert await world.chats.expire("inst", "one", NOW, False) == 0
        assert await world.another().expire("inst", "one", NOW + 1, True) == 1
        assert (await world.chats.session("inst", "ana")).status == "closed"
        assert await world.chats.expire("inst", "one", NOW + 1, True) == 0
        assert await world.chats.expire("inst", "one", NOW + 1, False) == 1
        assert (await world.chats.sessions_part("inst", "one", lambda one: one, 0, 100))[0] == []

    # --- what a turn has paid for ------------------------------------------------------------------------------

    async def test_a_turns_rounds_are_kept_until_it_ends(self, world):
        claim, own = await begun(world.chats)
        turn = f"{own.id}:m1"
        await world.chats.keep(turn, "round 0", "paid")
        await world.another().keep(turn, "round 0", "paid again")
        other = world.another()
        assert await other.recall(turn) == {"round 0": "paid"}
        assert await other.recall(f"{own.id}:m2") == {}
        assert await world.chats.finish(ending(claim, own, "re"), NOW)
        assert await other.recall(turn) == {}

    async def test_nothing_is_kept_of_a_session_that_is_gone(self, world):
        _, own = await begun(world.chats)
        await world.chats.keep(f"{own.id}:m1", "round 0", "paid")
        await world.another().forget("inst", "ana")
        await world.chats.keep(f"{own.id}:m1", "round 1", "late")
        assert await world.chats.recall(f"{own.id}:m1") == {}
