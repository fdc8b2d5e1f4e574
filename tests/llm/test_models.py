"""The port to models: one contract for the demo and for OpenAI's two APIs, and how a real server may misbehave."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import httpx2
import msgspec
import openai
import pytest

from reconciler.egress import Gate
from reconciler.errors import Rejected
from reconciler.llm.answer import ModelFailed, Usage
from reconciler.llm.asking import ROUNDS
from reconciler.llm.breaker import LIMIT, REST
from reconciler.llm.models import Models
from reconciler.llm.patience import retry_after
from reconciler.model import DEMO, Account, Secret
from reconciler.talk.prompt import Request, Utterance
from tests.llm.fake_openai import chat, error, fake_openai, function_call, output_text, response, tool_call

KEY = "sk-test-0123456789"
HERE = Gate(["127.0.0.1"])
TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}


@pytest.fixture
async def fake():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def models():
    models = Models(None, gate=HERE, seconds=60, pause=0.001)
    yield models
    await models.close()


def account(url, **fields):
    return Account(
        **{"id": "creds", "name": "main", "api_key": Secret(KEY), "organization": None, "project": None, **fields},
        base_url=url,
    )


def request(api="chat", **fields):
    defaults = {
        "model": "gpt-x",
        "instructions": "We open at eight." if api == "responses" else None,
        "messages": (Utterance("user", "when do you open?"),),
        "max_tokens": 100,
        "temperature": None,
        "reasoning_effort": None,
        "tools": (),
        "function_url": None,
        "key": "s1:m1",
        "jid": "ana",
        "push_name": "Ana",
    }
    return Request(api=api, **{**defaults, **fields})


GOOD = {"chat": chat("At eight."), "responses": response(output_text("At eight."))}


@pytest.mark.parametrize("api", ["chat", "responses", "demo"])
async def test_contract_answers_with_text_and_usage(models, fake, api):
    fake.answers = [GOOD.get(api)]
    asked = request("responses" if api == "demo" else api)
    found = await models.answer(account(DEMO if api == "demo" else fake.url), asked)
    assert "eight" in found.text
    assert found.usage.input > 0
    assert found.usage.output > 0
    assert found.calls == ()


async def test_chat_completion_on_the_wire(models, fake, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "http://leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leaked: yes")
    fake.answers = [GOOD["chat"]]
    await models.answer(account(fake.url), request(temperature=0.5, reasoning_effort="low"))
    path, headers, body = fake.seen[0]
    assert path == "/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert not [name for name in headers if name.startswith("openai-") or name == "x-leaked"]
    assert body == {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "when do you open?"}],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "reasoning_effort": "low",
    }


async def test_organization_and_project_are_the_accounts(models, fake):
    fake.answers = [GOOD["chat"]]
    await models.answer(account(fake.url, organization="org", project="prj"), request(max_tokens=None))
    _, headers, body = fake.seen[0]
    assert (headers["openai-organization"], headers["openai-project"]) == ("org", "prj")
    assert "max_completion_tokens" not in body


async def test_operators_address_holds_for_credentials_without_one(fake):
    models = Models(fake.url)
    fake.answers = [GOOD["chat"]]
    assert (await models.answer(account(None), request())).text == "At eight."
    await models.close()


async def test_responses_on_the_wire(models, fake):
    fake.answers = [GOOD["responses"]]
    tools = (TOOL, {"type": "file_search", "vectorStoreIds": ["vs"]}, {"type": "web_search"})
    await models.answer(account(fake.url), request("responses", tools=tools, temperature=1.0, reasoning_effort="low"))
    path, _, body = fake.seen[0]
    assert path == "/responses"
    assert body["store"] is False
    assert (body["instructions"], body["max_output_tokens"]) == ("We open at eight.", 100)
    assert (body["temperature"], body["reasoning"]) == (1.0, {"effort": "low"})
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False},
        {"type": "file_search", "vector_store_ids": ["vs"]},
        {"type": "web_search"},
    ]


async def test_responses_with_nothing_but_a_model(models, fake):
    fake.answers = [GOOD["responses"]]
    await models.answer(account(fake.url), request("responses", instructions=None, max_tokens=None))
    assert sorted(fake.seen[0][2]) == ["input", "model", "store"]


async def test_max_tokens_where_the_server_knows_nothing_else(models, fake):
    fake.answers = [error(400, param="max_completion_tokens"), GOOD["chat"]]
    await models.answer(account(fake.url), request())
    await models.answer(account(fake.url), request())
    bounds = [[name for name in body if "max" in name] for _, _, body in fake.seen]
    assert bounds == [["max_completion_tokens"], ["max_tokens"], ["max_tokens"]]


UNFIT = [
    ("chat", "temperature", {"param": "temperature", "code": "unsupported_value"}),
    ("chat", "temperature", {"message": "Unsupported value: 'temperature' does not support 0.5 with this model."}),
    ("chat", "reasoning_effort", {"param": "reasoning_effort"}),
    ("chat", "reasoning_effort", {"message": "Unrecognized request argument supplied: reasoning_effort"}),
    ("responses", "temperature", {"param": "temperature"}),
    ("responses", "reasoning", {"param": "reasoning.effort"}),
    ("responses", "metadata", {"param": "metadata"}),
    ("responses", "include", {"message": "Encrypted content is not supported with this model."}),
]


@pytest.mark.parametrize(("api", "option", "said"), UNFIT)
async def test_what_a_model_refuses_is_left_out_from_then_on(models, fake, api, option, said):
    fake.answers = [error(400, **said), GOOD[api]]
    asked = request(api, temperature=0.5, reasoning_effort="low", metadata={"k": "v"}, tools=(TOOL,))
    await models.answer(account(fake.url), asked)
    await models.answer(account(fake.url), asked)
    assert [option in body for _, _, body in fake.seen] == [True, False, False]
    await models.answer(account(fake.url, api_key=Secret("sk-another-account")), asked)
    await models.answer(account(fake.url), msgspec.structs.replace(asked, model="gpt-y"))
    assert [option in body for _, _, body in fake.seen[3:]] == [True, True]


async def test_several_refusals_in_a_row(models, fake):
    fake.answers = [error(400, param="max_completion_tokens"), error(400, param="temperature"), GOOD["chat"]]
    await models.answer(account(fake.url), request(temperature=0.5))
    assert sorted(fake.seen[-1][2]) == ["max_tokens", "messages", "model"]


async def test_a_bound_that_is_refused_by_its_old_name_goes_back_to_the_new(models, fake):
    said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    fake.answers = [error(400, param="max_completion_tokens"), GOOD["chat"], error(400, message=said), GOOD["chat"]]
    await models.answer(account(fake.url), request())
    await models.answer(account(fake.url), request())
    names = [next(name for name in body if "max" in name) for _, _, body in fake.seen]
    assert names == ["max_completion_tokens", "max_tokens", "max_tokens", "max_completion_tokens"]


async def test_other_refusals_change_nothing(models, fake):
    for bad in (error(400, param="messages"), error(400, message="no"), error(404, param="temperature")):
        fake.answers = [bad]
        with pytest.raises(ModelFailed):
            await models.answer(account(fake.url), request(temperature=0.5))
    assert len(fake.seen) == 3


async def test_that_other_name_is_tried_once_only(models, fake):
    fake.answers = [error(400, param="max_completion_tokens")]
    with pytest.raises(ModelFailed, match="400"):
        await models.answer(account(fake.url), request())
    assert len(fake.seen) == 2


RETRIED = [
    ("429", error(429, "rate_limit_exceeded")),
    ("500", error(500)),
    ("503", error(503)),
    ("reset", "reset"),
]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(("case", "bad"), RETRIED, ids=[case for case, _ in RETRIED])
async def test_retried(models, fake, api, case, bad):
    fake.answers = [bad, bad, GOOD[api]]
    assert (await models.answer(account(fake.url), request(api))).text == "At eight."
    assert len(fake.seen) == 3


async def test_retry_after_is_a_minimum(models, fake):
    fake.answers = [error(429, retry_after="0.1"), GOOD["chat"]]
    start = time.monotonic()
    await models.answer(account(fake.url), request())
    assert time.monotonic() - start >= 0.1


async def test_retry_after_past_the_deadline_is_not_waited_for(models, fake):
    fake.answers = [error(429, retry_after="3600")]
    with pytest.raises(ModelFailed, match="429"):
        await models.answer(account(fake.url), request())
    assert len(fake.seen) == 1


REFUSED = [
    ("no key in it", error(401, "invalid_api_key", message=f"Incorrect API key: {KEY}"), "401 (invalid_api_key)"),
    ("no quota", error(429, "insufficient_quota"), "429 (insufficient_quota)"),
    ("no such model", error(404, "model_not_found"), "404"),
    ("empty", chat(""), "empty"),
    ("blank", chat("  "), "empty"),
    ("refused", chat(None, refusal="I can't"), "refused"),
    ("filtered", chat("half of", finish_reason="content_filter"), "content filter"),
    ("filtered before it came", error(400, "content_filter"), "400 (content_filter)"),
    ("cut off at once", chat("", finish_reason="length"), "raise maxTokens"),
    ("no choices", (200, {}, {"id": "x", "choices": []}), "shape"),
    ("not the API", (200, {}, ["what"]), "shape"),
    ("no JSON", (200, {}, b"{"), "shape|read"),
    ("a redirect is not followed", (302, {"location": "http://127.0.0.1:1/"}, b""), "302"),
]


@pytest.mark.parametrize(("case", "bad", "said"), REFUSED, ids=[case for case, _, _ in REFUSED])
async def test_failed(models, fake, case, bad, said):
    import re

    fake.answers = [bad]
    with pytest.raises(ModelFailed) as caught:
        await models.answer(account(fake.url), request())
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), str(caught.value))
    assert KEY not in str(caught.value)
    assert len(fake.seen) == 1


async def test_responses_refused_and_empty(models, fake):
    refusal = {**output_text(""), "content": [{"type": "refusal", "refusal": "no"}]}
    cut, filtered = {"reason": "max_output_tokens"}, {"reason": "content_filter"}
    fake.answers = [
        response(refusal),
        response(),
        response(status="incomplete", incomplete_details=cut),
        response(output_text("half of"), status="incomplete", incomplete_details=filtered),
        response(status="failed", error={"code": "server_error", "message": KEY}),
        response(status="failed"),
    ]
    for said in ("refused", "empty", "raise maxTokens", "content filter", r"\(server_error\)", "no reason given"):
        with pytest.raises(ModelFailed, match=said):
            await models.answer(account(fake.url), request("responses"))


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_answer_that_is_cut_off_is_said_as_far_as_it_came(models, fake, api):
    details = {"reason": "max_output_tokens"}
    cut = response(output_text("We open"), status="incomplete", incomplete_details=details)
    fake.answers = [chat("We open", finish_reason="length") if api == "chat" else cut, GOOD[api]]
    found = await models.answer(account(fake.url), request(api))
    assert (found.text, found.truncated) == ("We open", True)
    assert not (await models.answer(account(fake.url), request(api))).truncated


async def test_a_failure_tells_what_it_took(models, fake):
    fake.answers = [chat(None, [tool_call()]), chat("")]
    with pytest.raises(ModelFailed) as caught:
        await models.answer(account(fake.url), request(tools=(TOOL,)))
    assert caught.value.usage == Usage(6, 4)


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_usage_of_an_answer(models, fake, api):
    status, headers, body = GOOD[api]
    names = ("prompt_tokens", "completion_tokens") if api == "chat" else ("input_tokens", "output_tokens")
    details = "prompt_tokens_details" if api == "chat" else "input_tokens_details"
    more = {} if api == "chat" else {"output_tokens_details": {"reasoning_tokens": 0}}
    usage = {names[0]: 30, names[1]: 5, "total_tokens": 35, details: {"cached_tokens": 20}, **more}
    fake.answers = [(status, headers, {**body, "usage": usage}), (status, headers, {**body, "usage": None})]
    assert (await models.answer(account(fake.url), request(api))).usage == Usage(30, 5, 20)
    assert (await models.answer(account(fake.url), request(api))).usage == Usage()


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_images_on_the_wire(models, fake, api):
    fake.answers = [GOOD[api]]
    url = "data:image/png;base64,AA=="
    for text in ("what is this?", ""):
        await models.answer(account(fake.url), request(api, messages=(Utterance("user", text, (url,)),)))
    seen = [body.get("input") or body["messages"] for _, _, body in fake.seen]
    if api == "chat":
        image, said = {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is this?"}
    else:
        image = {"type": "input_image", "image_url": url, "detail": "auto"}
        said = {"type": "input_text", "text": "what is this?"}
    assert [each[0]["content"] for each in seen] == [[said, image], [image]]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_history_follows_the_tokens_that_the_api_counts(models, fake, api):
    status, headers, body = GOOD[api]
    names = ("prompt_tokens", "completion_tokens") if api == "chat" else ("input_tokens", "output_tokens")
    usage = {**body["usage"], names[0]: 40_000, names[1]: 5}
    fake.answers = [(status, headers, {**body, "usage": usage})]
    said = (*(Utterance("user", "x" * 3000) for _ in range(7)), Utterance("user", "now"))
    for _ in range(4):
        await models.answer(account(fake.url), request(api, messages=said, history=7))
    counts = [len(body.get("input") or body["messages"]) for _, _, body in fake.seen]
    assert counts[0] == 8
    assert counts == sorted(counts, reverse=True)
    assert 2 <= counts[-1] <= 4


async def test_thoughts_go_along_with_function_calls(models, fake):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    action = {"type": "search", "query": "x"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    word = output_text("One moment.")
    bare = {"type": "reasoning", "id": "rs_2", "summary": []}
    fake.answers = [
        response(thought, search, word, function_call()),
        response(bare, search, function_call(call_id="call2")),
        GOOD["responses"],
    ]
    await models.answer(account(fake.url), request("responses", tools=(TOOL,)))
    sent = [body["input"] for _, _, body in fake.seen]
    call = {"type": "function_call", "call_id": "call1", "name": "f", "arguments": '{"a": 1}'}
    assert [body["include"] for _, _, body in fake.seen] == [["reasoning.encrypted_content"]] * 3
    assert sent[1][1] == thought
    assert (sent[1][2]["type"], sent[1][2]["id"]) == ("web_search_call", "ws_1")
    assert sent[1][3:5] == [{"role": "assistant", "content": "One moment."}, call]
    assert sent[1][5]["type"] == "function_call_output"
    # Thoughts without their content lead nowhere, and a hosted tool's call is not taken without its thought.
    assert [item["type"] for item in sent[2][6:]] == ["function_call", "function_call_output"]


async def test_accounts_at_once_each_with_its_own_key(fake, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leaked: yes")
    fake.answers = [GOOD["chat"]]
    models = Models(None, seconds=60, gate=HERE)

    async def ask(n):
        own = account(fake.url, id=str(n), api_key=Secret(f"sk-tenant-{n}"), organization=f"org-{n}" if n % 2 else None)
        await models.answer(own, request(messages=(Utterance("user", f"I am {n}"),)))

    await asyncio.gather(*(ask(n) for n in range(20) for _ in range(2)))
    await models.close()
    assert len(fake.seen) == 40
    for _, headers, body in fake.seen:
        n = int(body["messages"][0]["content"].removeprefix("I am "))
        assert headers["authorization"] == f"Bearer sk-tenant-{n}"
        assert headers.get("openai-organization") == (f"org-{n}" if n % 2 else None)
        assert "leaked" not in str(headers).lower()


async def test_an_account_that_keeps_failing_is_left_alone(fake, monkeypatch):
    models, now = Models(None, gate=HERE, seconds=60, pause=0.001), 0.0
    monkeypatch.setattr(models._openai._patience._breakers, "_clock", lambda: now)
    fake.answers = [error(503)]
    for _ in range(LIMIT):
        with pytest.raises(ModelFailed, match="503"):
            await models.answer(account(fake.url), request())
    asked = len(fake.seen)
    with pytest.raises(ModelFailed, match=f"{LIMIT} requests in a row failed, .* 503"):
        await models.answer(account(fake.url), request("responses"))
    assert len(fake.seen) == asked
    fake.answers = [GOOD["chat"]]
    await models.answer(account(fake.url, api_key=Secret("sk-another-tenant")), request())
    now += REST
    await models.answer(account(fake.url), request())
    await models.answer(account(fake.url), request())
    assert len(fake.seen) == asked + 3
    await models.close()


async def test_a_function_that_hangs_takes_no_connection_of_another(models, fake):
    async with fake_openai() as hangs, asyncio.timeout(120):
        hangs.answers, fake.answers = ["hang"], [(200, {}, {"free": 3})]
        calls = models._functions
        hanging = [asyncio.create_task(calls.call(request(function_url=hangs.url), "f", "{}", n)) for n in range(120)]
        while len(hangs.seen) < 100:  # noqa: ASYNC110 - a fake server has no event for it
            await asyncio.sleep(0.01)
        assert await calls.call(request(function_url=fake.url), "f", "{}", 0) == ('{"free":3}', False)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_attempts_are_bounded(models, fake):
    fake.answers = [error(503)]
    with pytest.raises(ModelFailed, match="503"):
        await models.answer(account(fake.url), request())
    assert len(fake.seen) == 6


async def test_deadline(fake):
    models = Models(None, gate=HERE, seconds=0.3)
    fake.answers = ["hang"]
    with pytest.raises(ModelFailed, match=r"in time|reached"):
        await models.answer(account(fake.url), request())
    await models.close()


async def test_unreachable_and_unusable(models):
    with pytest.raises(ModelFailed, match="could not be reached"):
        await models.answer(account("http://127.0.0.1:1"), request())
    with pytest.raises(ModelFailed, match="no model"):
        await models.answer(account("http://127.0.0.1:1"), request(model=None))
    with pytest.raises(ModelFailed, match="cannot be used"):
        await models.answer(account("http://x:port", id="other"), request())


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_function_calls(models, fake, api):
    wish = chat(None, [tool_call()]) if api == "chat" else response(function_call())
    async with fake_openai() as functions:
        functions.answers = [(200, {}, {"free": 3})]
        fake.answers = [wish, GOOD[api]]
        found = await models.answer(account(fake.url), request(api, tools=(TOOL,), function_url=functions.url + "/fn"))
        path, headers, body = functions.seen[0]
    assert path == "/fn"
    assert headers["idempotency-key"] == "s1:m1:0"
    assert body == {"functionName": "f", "functionArguments": {"a": 1, "remoteJid": "ana", "pushName": "Ana"}}
    sent = fake.seen[1][2]
    outputs = [each.get("output") or each.get("content") for each in sent.get("input") or sent["messages"]]
    assert outputs[-1] == '{"free":3}'
    assert [(call.name, call.failed) for call in found.calls] == [("f", False)]
    assert found.usage == Usage(6, 4)


FUNCTION_FAILS = [
    ("500", (500, {}, {}), {}, "answered 500"),
    ("redirect", (302, {"location": "http://127.0.0.1:1"}, b""), {}, "answered 302"),
    ("no JSON", (200, {}, b"<html>"), {}, "no JSON"),
    ("too large", (200, {}, b'"' + b"x" * 300_000 + b'"'), {}, "larger than"),
    ("reset", "reset", {}, "could not be reached"),
    ("hang", "hang", {}, "did not answer within"),
    ("bad arguments", (200, {}, {}), {"arguments": "[1]"}, "no JSON object"),
]


@pytest.mark.parametrize(("case", "bad", "call", "said"), FUNCTION_FAILS, ids=[case[0] for case in FUNCTION_FAILS])
async def test_a_failing_function_is_told_to_the_model(models, fake, monkeypatch, case, bad, call, said):
    monkeypatch.setattr("reconciler.llm.functions.SECONDS", 0.1 if case == "hang" else 60)
    async with fake_openai() as functions:
        functions.answers = [bad]
        fake.answers = [chat(None, [tool_call(**call)]), GOOD["chat"]]
        found = await models.answer(account(fake.url), request(tools=(TOOL,), function_url=functions.url))
    assert said in fake.seen[1][2]["messages"][-1]["content"]
    assert found.calls[0].failed


async def test_no_function_url(models, fake):
    fake.answers = [chat(None, [tool_call()]), GOOD["chat"]]
    await models.answer(account(fake.url), request(tools=(TOOL,)))
    assert "no functionUrl" in fake.seen[1][2]["messages"][-1]["content"]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_rounds_are_bounded(models, fake, api):
    fake.answers = [chat(None, [tool_call()]) if api == "chat" else response(function_call())]
    with pytest.raises(ModelFailed, match=f"after {ROUNDS} rounds"):
        await models.answer(account(fake.url), request(api, tools=(TOOL,)))
    assert len(fake.seen) == ROUNDS + 1
    assert fake.seen[-1][2]["tool_choice"] == "none"
    assert "tool_choice" not in fake.seen[-2][2]


async def test_list_models(models, fake):
    fake.answers = [(200, {}, {"object": "list", "data": [
        {"id": "b", "object": "model", "created": 1, "owned_by": "x", "shutdown_date": "2027-01-14"},
        {"id": "a", "object": "model", "created": 1, "owned_by": "x"},
    ]})]  # fmt: skip
    rows = await models.list_models(account(fake.url))
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[1]["shutdown_date"] == "2027-01-14"
    assert (await models.list_models(account(DEMO)))[0]["id"] == DEMO


LISTS = [("401", error(401, message=KEY), 502), ("reset", "reset", 504), ("nonsense", (200, {}, {"x": 1}), 502)]


@pytest.mark.parametrize(("case", "bad", "status"), LISTS, ids=[case for case, _, _ in LISTS])
async def test_list_models_fails(models, fake, case, bad, status):
    fake.answers = [bad]
    with pytest.raises(Rejected) as caught:
        await models.list_models(account(fake.url))
    assert caught.value.status == status
    assert KEY not in str(caught.value)
    assert "'main'" in str(caught.value)


async def test_list_models_of_unusable_credentials(models):
    with pytest.raises(Rejected) as caught:
        await models.list_models(account("http://x:port"))
    assert caught.value.status == 502


async def test_one_client_for_each_content_of_credentials(models, fake):
    fake.answers = [GOOD["chat"]]
    await asyncio.gather(*(models.answer(account(fake.url, id=str(n)), request()) for n in range(3)))
    await models.answer(account(fake.url, api_key=Secret("sk-other")), request())
    assert len(models._openai._clients) == 2
    for n in range(300):
        await models._openai._client(account(fake.url, project=str(n)))
    assert len(models._openai._clients) == 256


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("2", 2), ("-1", 0), ("", 0), ("soon", 0), ("date", 3600)],
)
def test_retry_after(said, seconds):
    if said == "date":
        said = formatdate(time.time() + seconds, usegmt=True)
    made = httpx2.Response(
        429, headers={"retry-after": said} if said else {}, request=httpx2.Request("GET", "http://x")
    )
    assert abs(retry_after(openai.APIStatusError("x", response=made, body=None)) - seconds) <= seconds / 10
