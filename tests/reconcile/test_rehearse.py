"""Conversations on a simulated clock: what each expectation says, and that the rules are those of the runtime."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import InvalidBots
from reconciler.llm.answer import Answer, Call, ModelFailed
from reconciler.llm.demo import answer as demo
from reconciler.model import DEFAULTS, DEMO, Desired, Object, Place, Ref
from reconciler.reconcile.rehearse import asking, line_of, rehearse, with_models

BOT = {
    "enabled": True, "description": None, "botType": "chatCompletion", "credentials": "main", "assistantId": None,
    "functionUrl": None, "model": "m", "systemMessages": ["We open at eight."], "assistantMessages": None,
    "userMessages": None, "maxTokens": 9, "triggerType": "keyword", "triggerOperator": "equals",
    "triggerValue": "start", **DEFAULTS, "ignoreJids": [], "keywordFinish": "stop", "unknownMessage": "Sorry?",
    "tools": None, "temperature": None, "reasoningEffort": None,
}  # fmt: skip
KEYS = {"apiKey": {"env": "KEY"}, "baseUrl": None, "organization": None, "project": None, "whenMissing": None}
AT = Place("bots/a.yaml", 7, 1)


def fleet(turns: list[dict[str, Any]], *bots: tuple[str, dict[str, Any]], **more: Any) -> tuple[Desired, Object]:
    def made(kind: Any, name: str, spec: dict[str, Any]) -> Object:
        return Object(ref=Ref(kind, "bistro", name), spec=spec, at=AT)

    instance = {"instanceName": "Bistro", "integration": "WEB", "number": None, "webhook": None, "retention": None}
    talk = made("Conversation", "talk", {"turns": turns})
    objects = (
        made("Instance", "bistro", {**instance, **more.get("instance", {})}),
        made("Credentials", "main", {**KEYS, **more.get("keys", {})}),
        *(made("Settings", "settings", each) for each in more.get("settings", ())),
        *(made("Bot", name, {**BOT, **fields}) for name, fields in (bots or (("one", {}),))),
        talk,
    )
    return Desired(commit=None, source="", objects=objects), talk


async def play(turns, *bots, answer=None, **more):
    desired, talk = fleet(turns, *bots, **more)

    async def ask(account, request):
        return answer(request) if answer else None

    return await rehearse(desired, talk, ask, lambda one, where: Place("here", 1 + where[2], 1))


def turn(user, expect=None, **more):
    return {"user": user, **({"expect": expect} if expect else {}), **more}


def echo(request):
    return Answer(f"re: {request.messages[-1].text}")


def messages(outcome):
    return [f"{one.turn} {one.expectation}: {one.message}" for one in outcome.failures]


ALL = {"triggerType": "all", "triggerOperator": None, "triggerValue": None}
PASSING = [
    ("routing", [turn("hello", {"status": "none", "silent": True}), turn("start", {"bot": "one", "status": "opened"})],
     [("one", {})]),
    ("the more specific bot answers", [turn("start", {"bot": "one"})], [("all", ALL), ("one", {})]),
    ("an open session keeps its bot", [turn("hi", {"bot": "all"}), turn("start", {"bot": "all"})],
     [("all", ALL), ("one", {})]),
    ("finish deletes", [turn("start"), turn(" STOP", {"silent": True, "status": "ended"})], [("one", {})]),
    ("finish keeps", [turn("start"), turn("stop", {"silent": True, "status": "closed"}),
                      turn("hi", {"silent": True, "status": "closed"}), turn("start", {"status": "opened"})],
     [("one", {"keepOpen": True})]),
    ("expire", [turn("start"), turn("still", {"bot": "one"}, after=50_000),
                turn("late", {"status": "ended"}, after=70_000)],
     [("one", {"expire": 60})]),
    ("debounce joins", [turn(["start", "a", "b"], {"contains": ["re: start", "a"], "matches": "start\na\nb"})],
     [("one", {})]),
    ("without debounce each is answered", [turn(["start", "a"], {"contains": ["re: start", "re: a"]})],
     [("one", {"debounceTime": 0})]),
    ("a human takes over", [turn("start"), {"human": "I am here", "expect": {"silent": True, "status": "paused"}},
                            turn("hi", {"silent": True, "status": "paused"})],
     [("one", {"stopBotFromMe": True})]),
    ("a human is not a customer", [{"human": "start", "expect": {"silent": True, "status": "none"}}], [("one", {})]),
    ("accents and case", [turn("start", {"contains": ["RÉ:"], "excludes": ["bye"], "unknown": False})], [("one", {})]),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "bots"), [case[1:] for case in PASSING], ids=[case[0] for case in PASSING])
async def test_what_holds(turns, bots):
    outcome = await play(turns, *bots, answer=echo)
    assert messages(outcome) == []
    assert outcome.verdict == "passed"


FAILING = [
    ({"bot": "two"}, "expected 'two', but 'one' answered (asked in this order: one (equals))"),
    ({"status": "closed"}, "expected closed, but the session is opened"),
    ({"silent": True}, "expected silence, but was sent: \"re: start\" (bot 'one')"),
    ({"contains": ["x", "re"]}, "'x' not in the reply: \"re: start\""),
    ({"excludes": ["START", "y"]}, "'START' in the reply: \"re: start\""),
    ({"matches": "^x"}, '/^x/ is not found in the reply: "re: start"'),
    ({"calls": "f"}, "expected a call of 'f', but the model called no function"),
    ({"unknown": True}, 'expected the unknownMessage, but the reply is: "re: start"'),
]


@pytest.mark.parametrize(("expect", "message"), FAILING, ids=[next(iter(case[0])) for case in FAILING])
async def test_what_does_not_hold_is_told_with_its_place(expect, message):
    outcome = await play([turn("start", expect)], ("one", {}), ("two", {"triggerValue": "two"}), answer=echo)
    assert [one.message for one in outcome.failures] == [message]
    assert outcome.failures[0].at == Place("here", 1, 1)
    assert outcome.verdict == "failed"


async def test_silence_says_why():
    outcome = await play([turn("hi", {"bot": "one", "silent": False, "contains": ["x"]})], answer=echo)
    assert messages(outcome) == [
        "1 bot: expected 'one', but nobody answered (nobody answers it)",
        "1 silent: expected a reply, but nothing was sent (nobody answers it)",
        "1 contains: 'x' not in the reply: nothing was sent (nobody answers it)",
    ]


async def test_without_a_model_only_what_it_says_is_open():
    outcome = await play([turn("start", {"bot": "one", "silent": False, "contains": ["x"], "calls": "f"})])
    assert [(one.expectation, one.incomplete) for one in outcome.failures] == [("contains", True), ("calls", True)]
    assert outcome.verdict == "incomplete"
    (fault,) = (await play([turn("start", {"silent": True})])).failures
    assert fault.message == "expected silence, but a model would have answered (bot 'one')"


async def test_a_failing_model_is_the_unknown_message():
    def fails(request):
        raise ModelFailed("answered 500")

    turns = [turn("start", {"unknown": True, "contains": ["sorry"]}), turn("x", {"unknown": False})]
    outcome = await play(turns, answer=fails)
    assert messages(outcome) == ["2 unknown: the reply is the unknownMessage (the model failed: answered 500)"]
    outcome = await play([turn("start", {"silent": True})], ("one", {"unknownMessage": None}), answer=fails)
    assert outcome.verdict == "passed"
    outcome = await play([turn("start", {"unknown": True})], ("one", {"credentials": "gone"}), answer=echo)
    assert outcome.verdict == "passed"


async def test_calls_and_history():
    seen = []

    def calls(request):
        seen.append([one.text for one in request.messages])
        return Answer("ok", calls=(Call("book", False),))

    outcome = await play([turn("start", {"calls": "book"}), turn("more", {"calls": "cook"})], answer=calls)
    assert messages(outcome) == ["2 calls: expected a call of 'cook', but the model called 'book'"]
    assert seen[1] == ["We open at eight.", "start", "ok", "more"]


async def test_time_goes_on_by_delays_so_that_expiry_counts_from_the_reply():
    bot = ("one", {"delayMessage": 5000, "expire": 10})
    outcome = await play([turn("start"), turn("x", {"status": "opened"}, after=8000)], bot, answer=echo)
    assert outcome.verdict == "passed"


async def test_phone_lines_have_phone_chats():
    bot = ("one", {"ignoreJids": ["@s.whatsapp.net"]})
    outcome = await play([turn("start", {"silent": True})], bot, instance={"integration": "EVOLUTION"}, answer=echo)
    assert outcome.verdict == "passed"


async def test_modes():
    desired, talk = fleet([turn("start", {"contains": ["eight"], "calls": "f"}), turn("When do you open?")])

    async def models(account, request):
        return demo(request) if account.base_url == DEMO else Answer("live")

    async def verdicts(mode, variables=None, desired=desired):
        outcome = await rehearse(
            with_models(desired, mode, variables or {}, None), talk, asking(models), lambda one, where: AT
        )
        return [(one.expectation, one.incomplete) for one in outcome.failures]

    assert await verdicts("none") == [("contains", True), ("calls", True)]
    assert ("calls", True) in await verdicts("demo")
    assert await verdicts("live", {"KEY": "sk-123"}) == [("contains", False), ("calls", False)]
    with pytest.raises(InvalidBots):
        await verdicts("live")
    missing, _ = fleet([], keys={"whenMissing": DEMO})
    assert await verdicts("live", desired=missing) == [("contains", True), ("calls", True)]
    named, _ = fleet([], keys={"baseUrl": DEMO})
    assert ("calls", True) in await verdicts("none", desired=named)


def test_a_line_of_a_desired_state():
    settings = {"credentials": None, **DEFAULTS, "speechToText": False, "fallbackBot": "two"}
    line = line_of(fleet([], ("two", {}), ("one", {}), settings=[settings])[0], "bistro")
    assert [bot.id for bot in line.bots] == ["two", "one"]
    assert line.settings.openai_id_fallback == "two"
    assert line.accounts["main"].api_key.value == ""
