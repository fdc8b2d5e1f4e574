"""A turn that a crash cut off is tried again: what it had paid for and done is not paid for and done twice."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.llm.answer import ModelFailed, Usage
from reconciler.llm.models import Models
from tests.llm.fake_openai import chat, error, fake_openai, function_call, output_text, response, tool_call
from tests.llm.test_models import HERE, TOOL, account, request
from tests.store.standing import Stand
from tests.talk.rows import everyone, line

CHAT = [chat(None, [tool_call(), tool_call("f", '{"a": 2}', "call2")]), chat(None, [tool_call(id="call3")])]
RESPONSES = [response(function_call(), function_call("f", '{"a": 2}', "call2")), response(function_call(call_id="c3"))]
LAST = {"chat": chat("At eight."), "responses": response(output_text("At eight."))}


class Memo:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}

    async def recall(self, turn):
        return dict(self.kept.get(turn, {}))

    async def keep(self, turn, name, value):
        self.kept.setdefault(turn, {}).setdefault(name, value)


async def until(so):
    async with asyncio.timeout(120):
        while not so():  # noqa: ASYNC110 - a fake server has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("api", "rounds"), [("chat", CHAT), ("responses", RESPONSES)])
async def test_rounds_that_were_paid_for_are_not_asked_again(api, rounds):
    memo = Memo()
    async with fake_openai() as fake, fake_openai() as functions:
        functions.answers = [(200, {}, {"free": 3})]
        asked = request(api, tools=(TOOL,), function_url=functions.url)
        fake.answers = [*rounds, error(400)]
        models = Models(None, gate=HERE, seconds=60, pause=0.01, memo=memo)
        with pytest.raises(ModelFailed):
            await models.answer(account(fake.url), asked)
        await models.close()
        before = [body for _, _, body in fake.seen]
        assert (len(before), len(functions.seen)) == (3, 3)
        fake.answers = [LAST[api]]
        models = Models(None, gate=HERE, seconds=60, pause=0.01, memo=memo)
        found = await models.answer(account(fake.url), asked)
        await models.close()
        assert (len(fake.seen), len(functions.seen)) == (4, 3)
        assert fake.seen[3][2] == before[2], "the model is asked what it was asked when the process died"
        assert found.text == "At eight."
        assert [call.name for call in found.calls] == ["f", "f", "f"]
        assert found.usage == Usage(9, 6)


async def test_a_call_that_was_cut_off_is_made_again_under_the_same_key():
    memo = Memo()
    async with fake_openai() as fake, fake_openai() as functions:
        asked = request(tools=(TOOL,), function_url=functions.url)
        fake.answers, functions.answers = CHAT[:1], ["hang"]
        models = Models(None, gate=HERE, seconds=60, pause=0.01, memo=memo)
        task = asyncio.create_task(models.answer(account(fake.url), asked))
        await until(lambda: functions.seen)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        fake.answers, functions.answers = [LAST["chat"]], [(200, {}, {"free": 3})]
        await models.answer(account(fake.url), asked)
        await models.close()
        assert len(fake.seen) == 2
        first, again, other = (headers["idempotency-key"] for _, headers, _ in functions.seen)
        assert first == again != other


async def test_without_functions_nothing_is_recalled():
    class Never(Memo):
        async def recall(self, turn):
            raise AssertionError

    async with fake_openai() as fake:
        fake.answers = [LAST["chat"]]
        models = Models(None, gate=HERE, memo=Never())
        assert (await models.answer(account(fake.url), request())).text == "At eight."
        await models.close()


async def test_the_runtime_keeps_rounds_over_a_crash_and_forgets_them_with_the_turn(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    async with fake_openai() as fake, fake_openai() as functions:
        functions.answers = [(200, {}, {"free": 3})]
        bot = everyone(debounce_time=0, delay_message=0, tools=(TOOL,), function_url=functions.url)
        await stand.lines.put(line(bot, base_url=fake.url))
        fake.answers = [CHAT[0], "hang"]
        stand.model = Models(None, gate=HERE, memo=stand.chats)
        stand.engine = stand.new_engine()
        await stand.hear("hi")
        await stand.engine.claim()
        await until(lambda: len(fake.seen) == 2)
        await stand.engine._abandon()
        await stand.hear("and tomorrow?")  # joins the turn that is tried again
        fake.answers = [LAST["chat"]]
        stand.engine = stand.new_engine()
        await stand.work()
        await stand.later(1)
        assert await stand.replies() == ["At eight."]
        assert (len(fake.seen), len(functions.seen)) == (3, 2)
        asked = fake.seen[2][2]["messages"]
        assert asked[0]["content"] == "hi\nand tomorrow?"
        assert [each["role"] for each in asked] == ["user", "assistant", "tool", "tool"], "rounds are not asked again"
        assert await stand.db.read(lambda c: c.execute("SELECT count(*) FROM memos").fetchone()[0]) == 0
        await stand.model.close()
    stand.close()
