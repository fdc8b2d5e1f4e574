"""What an event does to a chat; each case is named for the rule of docs/conversation.md that it holds to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Heard
from reconciler.talk.decide import (
    Answer,
    Collect,
    Discard,
    End,
    Ignore,
    MessageHeard,
    Rehear,
    Start,
    StatusChanged,
    TurnDue,
    decide,
    turn_due,
)
from reconciler.talk.effective import effective
from tests.talk.rows import advanced, bot, everyone, keyword, line, session

NOW = 2000.0


def heard(text="hi", from_me=False, jid="ana", first_at=None, echo=False):
    message = Heard(
        id="m1", instance_id="inst", jid=jid, from_me=from_me, push_name="Ana", kind="conversation", text=text, at=NOW
    )
    return MessageHeard(message, "fresh", first_at, echo)


def names(actions):
    return [type(action).__name__ for action in actions]


OPEN = session("all", active_at=NOW - 10)
PAUSED = session("all", "paused", active_at=NOW - 10)
CLOSED = session("all", "closed", active_at=NOW - 10)
OLD = session("all", active_at=NOW - 61)
# (rule, line, session, event, actions, status after or None)
CASES = [
    ("2 the Settings ignore the chat", line(everyone(), ignore_jids=("ana",)), None, heard(), ["Ignore"], None),
    ("2 ignored though a session is open", line(everyone(), ignore_jids=("ana",)), OPEN, heard(), ["Ignore"], "opened"),
    ("2 all groups", line(everyone(), ignore_jids=("@g.us",)), None, heard(jid="1@g.us"), ["Ignore"], None),
    (
        "2 all single chats",
        line(everyone(), ignore_jids=("@s.whatsapp.net",)),
        None,
        heard(jid="1@s.whatsapp.net"),
        ["Ignore"],
        None,
    ),
    (
        "2 a group is no single chat",
        line(everyone(), ignore_jids=("@g.us",)),
        None,
        heard(),
        ["Start", "Collect"],
        "opened",
    ),
    ("2 the bot ignores the chat", line(everyone(ignore_jids=("ana",))), None, heard(), ["Ignore"], None),
    ("2 the session's bot ignores it", line(everyone(ignore_jids=("ana",))), OPEN, heard(), ["Ignore"], "opened"),
    ("3 our echo", line(everyone(stop_bot_from_me=True)), OPEN, heard(from_me=True, echo=True), ["Ignore"], "opened"),
    ("3 our echo without a session", line(everyone()), None, heard(from_me=True, echo=True), ["Ignore"], None),
    ("4 expired: deleted", line(everyone(expire=60)), OLD, heard(), ["End", "Discard", "Start", "Collect"], "opened"),
    (
        "4 expired: first message again",
        line(keyword("equals", "x", "all", expire=60)),
        OLD,
        heard(),
        ["End", "Discard", "Ignore"],
        None,
    ),
    ("4 not yet expired", line(everyone(expire=61)), OLD, heard(), ["Collect"], "opened"),
    ("4 expire 0 is never", line(everyone(expire=0)), OLD, heard(), ["Collect"], "opened"),
    (
        "4 a paused session expires",
        line(everyone(expire=5)),
        PAUSED,
        heard(),
        ["End", "Discard", "Start", "Collect"],
        "opened",
    ),
    (
        "4 a closed one that expired stays as it is",
        line(everyone(expire=5)),
        CLOSED,
        heard(),
        ["Start", "Collect"],
        "opened",
    ),
    ("4 its bot disabled", line(everyone(enabled=False)), OPEN, heard(), ["End", "Discard", "Ignore"], None),
    ("4 its bot deleted", line(everyone("b")), OPEN, heard(), ["End", "Discard", "Start", "Collect"], "opened"),
    (
        "5 a human takes over",
        line(everyone(stop_bot_from_me=True)),
        OPEN,
        heard(from_me=True),
        ["Discard", "Ignore"],
        "paused",
    ),
    (
        "5 takes over though listening",
        line(everyone(stop_bot_from_me=True, listening_from_me=True)),
        OPEN,
        heard(from_me=True),
        ["Discard", "Ignore"],
        "paused",
    ),
    ("5 not listening", line(everyone()), OPEN, heard(from_me=True), ["Ignore"], "opened"),
    ("5 not listening, no session", line(everyone()), None, heard(from_me=True), ["Ignore"], None),
    ("5 not listening, no bot", line(), None, heard(from_me=True), ["Ignore"], None),
    ("5 listening", line(everyone(listening_from_me=True)), OPEN, heard(from_me=True), ["Collect"], "opened"),
    (
        "5 listening, no session",
        line(everyone(listening_from_me=True)),
        None,
        heard(from_me=True),
        ["Start", "Collect"],
        "opened",
    ),
    (
        "5 stopBotFromMe without a session",
        line(everyone(stop_bot_from_me=True)),
        None,
        heard(from_me=True),
        ["Ignore"],
        None,
    ),
    ("6 paused stays paused", line(everyone()), PAUSED, heard(), ["Ignore"], "paused"),
    ("6 paused: no keyword opens it", line(everyone(), keyword("equals", "hi")), PAUSED, heard(), ["Ignore"], "paused"),
    (
        "6 paused: not even the finish word ends it",
        line(everyone(keyword_finish="hi")),
        PAUSED,
        heard(),
        ["Ignore"],
        "paused",
    ),
    ("7 closed is silent", line(everyone()), CLOSED, heard(), ["Ignore"], "closed"),
    (
        "7 closed: the fallback does not answer",
        line(everyone(), bot("f", trigger_type="none"), fallback="f"),
        CLOSED,
        heard(),
        ["Ignore"],
        "closed",
    ),
    (
        "7 closed: a keyword starts anew",
        line(everyone(), keyword("equals", "hi")),
        CLOSED,
        heard(),
        ["Start", "Collect"],
        "opened",
    ),
    (
        "7 closed: an advanced rule starts anew",
        line(everyone(), advanced("contains:hi")),
        CLOSED,
        heard(),
        ["Start", "Collect"],
        "opened",
    ),
    (
        "7 closed: fromMe starts nothing",
        line(everyone(listening_from_me=True), keyword("equals", "hi")),
        CLOSED,
        heard(from_me=True),
        ["Ignore"],
        "closed",
    ),
    ("7 closed: fromMe leaves it", line(everyone()), CLOSED, heard(from_me=True), ["Ignore"], "closed"),
    ("8 finish word deletes", line(everyone(keyword_finish=" HI ")), OPEN, heard(), ["Discard", "End"], None),
    (
        "8 finish word closes with keepOpen",
        line(everyone(keyword_finish="hi", keep_open=True)),
        OPEN,
        heard(),
        ["Discard", "End"],
        "closed",
    ),
    ("8 finish word from the Settings", line(everyone(), keyword_finish="hi"), OPEN, heard(), ["Discard", "End"], None),
    (
        "8 finish word is the whole text",
        line(everyone(keyword_finish="hi")),
        OPEN,
        heard("hi you"),
        ["Collect"],
        "opened",
    ),
    (
        "8 without a session it is a first message",
        line(everyone(keyword_finish="hi")),
        None,
        heard(),
        ["Start", "Collect"],
        "opened",
    ),
    (
        "9 an open session keeps its bot",
        line(everyone(), keyword("equals", "hi")),
        OPEN,
        heard(),
        ["Collect"],
        "opened",
    ),
    ("9 nobody's message", line(keyword("equals", "x")), None, heard(), ["Ignore"], None),
    (
        "9 unreadable: an open session takes it",
        line(everyone(keyword_finish="x")),
        OPEN,
        heard(None),
        ["Collect"],
        "opened",
    ),
    ("9 unreadable: `all` takes it", line(everyone()), None, heard(None), ["Start", "Collect"], "opened"),
    ("9 unreadable: a keyword does not", line(keyword("contains", "a")), None, heard(None), ["Ignore"], None),
    ("14 a due turn is answered", line(everyone()), OPEN, TurnDue(), ["Answer"], "opened"),
    ("14 paused before its turn", line(everyone()), PAUSED, TurnDue(), ["Discard"], "paused"),
    ("14 closed before its turn", line(everyone()), CLOSED, TurnDue(), ["Discard"], "closed"),
    ("14 disabled before its turn", line(everyone(enabled=False)), OPEN, TurnDue(), ["End", "Rehear"], None),
    ("14 deleted before its turn", line(), OPEN, TurnDue(), ["End", "Rehear"], None),
    ("14 session gone before its turn", line(everyone()), None, TurnDue(), ["Rehear"], None),
    ("status: nothing to switch", line(everyone()), None, StatusChanged("paused"), [], None),
    ("status: paused", line(everyone()), OPEN, StatusChanged("paused"), ["Discard"], "paused"),
    ("status: closed", line(everyone()), OPEN, StatusChanged("closed"), ["Discard"], "closed"),
    ("status: opened again", line(everyone()), CLOSED, StatusChanged("opened"), [], "opened"),
    ("status: delete", line(everyone()), PAUSED, StatusChanged("delete"), ["End", "Discard"], None),
]


@pytest.mark.parametrize(("rule", "fleet", "before", "event", "actions", "status"), CASES, ids=[c[0] for c in CASES])
def test_rule(rule, fleet, before, event, actions, status):
    after, done = decide(fleet, before, event, NOW)
    assert names(done) == actions
    assert (after and after.status) == status


def test_a_session_begins_with_what_is_known():
    (after, (start, collect)) = decide(line(everyone(debounce_time=500)), None, heard(), NOW)
    assert start == Start(after)
    assert (after.id, after.bot_id, after.push_name, after.created_at) == ("fresh", "all", "Ana", NOW)
    assert collect == Collect(NOW + 0.5)


def test_ends_say_whether_they_keep_and_why():
    kept = decide(line(everyone(expire=60, keep_open=True)), OLD, heard(), NOW)[1]
    assert kept[0] == End("s1", keep=True, why="expired")
    assert decide(line(everyone("b")), OPEN, heard(), NOW)[1][0] == End("s1", keep=False, why="bot gone")
    gone = line(everyone(enabled=False, keep_open=True))
    assert decide(gone, OPEN, TurnDue(), NOW)[1] == (End("s1", keep=True, why="bot gone"), Rehear())


def test_messages_keep_open_and_paused_sessions_alive_but_not_closed_ones():
    fleet = line(everyone())
    assert decide(fleet, OPEN, heard(), NOW)[0].active_at == NOW
    assert decide(fleet, OPEN, heard(from_me=True), NOW)[0].active_at == NOW
    assert decide(fleet, PAUSED, heard(), NOW)[0].active_at == NOW
    assert decide(fleet, CLOSED, heard(), NOW)[0].active_at == NOW - 10
    assert decide(fleet, CLOSED, heard(from_me=True), NOW)[0].active_at == NOW - 10
    assert decide(fleet, CLOSED, StatusChanged("opened"), NOW)[0].active_at == NOW


def test_the_name_of_the_business_is_not_the_customers():
    fleet = line(everyone(listening_from_me=True))
    assert decide(fleet, None, heard(from_me=True), NOW)[0].push_name is None


def test_answers_with_the_sessions_bot():
    one = everyone()
    assert decide(line(one), OPEN, TurnDue(), NOW) == (OPEN, (Answer(one),))
    assert decide(line(one), PAUSED, TurnDue(), NOW)[1] == (Discard(),)
    assert decide(line(), None, heard(), NOW)[1] == (Ignore("nobody answers it"),)


@pytest.mark.parametrize(
    ("rule", "first", "last", "debounce", "due"),
    [
        ("10 none", 100, 100, 0, 100),
        ("10 after the last message", 100, 103, 1000, 104),
        ("10 at most ten times after the first", 100, 109.5, 1000, 110),
        ("10 at most 30 s after the first", 100, 129, 5000, 130),
        ("10 but never before debounceTime", 100, 100, 40_000, 140),
        ("10 a long wait counts from the first", 100, 120, 40_000, 140),
    ],
)
def test_debounce(rule, first, last, debounce, due):
    assert turn_due(first, last, debounce) == due


def test_the_wait_counts_from_the_first_message_that_waits():
    (collect,) = decide(line(everyone(debounce_time=1000)), OPEN, heard(first_at=NOW - 9.5), NOW)[1]
    assert collect == Collect(NOW + 0.5)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.integers(0, 60_000))
def test_a_turn_is_never_put_off_for_ever(gaps, debounce):
    at, first = 0.0, gaps[0]
    for gap in gaps:
        at += gap
        due = turn_due(first, at, debounce)
        assert due <= first + max(debounce / 1000, min(debounce / 100, 30)) + 1e-9
        if due <= at:
            break


EVENTS = st.sampled_from(
    [
        *(heard(text, from_me) for text in ("hi", "start", "stop", None) for from_me in (False, True)),
        TurnDue(),
        *map(StatusChanged, ("opened", "paused", "closed", "delete")),
    ]
)


@given(st.lists(EVENTS, min_size=1, max_size=12))
def test_paused_never_answers_and_finished_never_speaks(events):
    fleet = line(everyone(keyword_finish="stop", keep_open=True, stop_bot_from_me=True, expire=0))
    state, now = None, NOW
    for event in events:
        now += 1
        before = state
        state, actions = decide(fleet, state, event, now)
        if any(isinstance(action, Answer | Collect) for action in actions):
            assert state is not None
            assert state.status == "opened"
            assert before is None or before.status == "opened"
        assert (
            before is None
            or state is None
            or isinstance(event, StatusChanged)
            or before.status != "paused"
            or (state.status == "paused")
        )


def test_effective_values_are_those_of_the_rows_however_many_there_were():
    for number in range(5000):
        own = effective(everyone(delay_message=number), None)
        assert own.delay_message == number
