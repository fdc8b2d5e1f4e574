from __future__ import annotations

import socket

import pytest

from reconciler.errors import Rejected, Unavailable
from reconciler.live import client as module
from reconciler.live.client import AnswerLost, Client
from tests.live.served import scripted

OK = (200, {"etag": '"1"'}, b'{"a":1}')
BUSY = (503, {}, b"")


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.001)


async def call(url: str, method: str = "GET", **more: object) -> module.Answer:
    client = Client(url, "key-of-this-test", key_source="EVO_KEY")
    try:
        return await client.call(method, "/fleet", **more)  # type: ignore[arg-type]
    finally:
        await client.close()


async def test_an_answer_has_status_body_and_etag() -> None:
    async with scripted(OK) as server:
        answer = await call(server.url)
    assert (answer.status, answer.json(), answer.etag) == (200, {"a": 1}, '"1"')
    assert "apikey: key-of-this-test" in server.heard[0]


async def test_304_is_an_answer() -> None:
    async with scripted((304, {"etag": '"1"'}, b"")) as server:
        assert (await call(server.url, etag='"1"')).status == 304
    assert 'if-none-match: "1"' in server.heard[0]


@pytest.mark.parametrize(
    "first", [BUSY, (429, {"retry-after": "0.001"}, b""), (502, {"retry-after": "soon"}, b""), None]
)
async def test_reads_are_repeated(first: tuple[int, dict[str, str], bytes] | None) -> None:
    async with scripted(first, OK) as server:
        assert (await call(server.url)).status == 200
    assert len(server.heard) == 2


async def test_it_gives_up_after_three_attempts() -> None:
    async with scripted(BUSY) as server:
        with pytest.raises(Unavailable, match="answered 503"):
            await call(server.url)
    assert len(server.heard) == 3
    async with scripted(None) as server:
        with pytest.raises(Unavailable, match="did not answer"):
            await call(server.url, "PUT", body={})
    assert len(server.heard) == 3


async def test_a_long_retry_after_is_left_to_the_next_pass() -> None:
    async with scripted((503, {"retry-after": "120"}, b"")) as server:
        with pytest.raises(Unavailable) as found:
            await call(server.url)
    assert (found.value.retry_after, len(server.heard)) == (120, 1)


@pytest.mark.parametrize("answer", [None, (502, {}, b""), (504, {}, b"")])
async def test_a_create_without_an_answer_is_not_repeated(answer: tuple[int, dict[str, str], bytes] | None) -> None:
    async with scripted(answer) as server:
        with pytest.raises(AnswerLost):
            await call(server.url, "POST", body={}, creates=True)
    assert len(server.heard) == 1


async def test_a_create_is_repeated_where_it_was_not_taken() -> None:
    async with scripted((429, {}, b""), OK) as server:
        assert (await call(server.url, "POST", body={}, creates=True)).status == 200


async def test_a_refused_connection_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match="cannot be reached"):
        await call(f"http://127.0.0.1:{port}", "POST", creates=True)


async def test_a_wrong_key_names_where_it_came_from() -> None:
    async with scripted((401, {}, b"{}")) as server:
        with pytest.raises(Unavailable, match="EVO_KEY") as found:
            await call(server.url)
    assert "key-of-this-test" not in str(found.value)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'{"response":{"message":["a","b"]}}', ("a", "b")),
        (b'{"response":{"message":"a"}}', ("a",)),
        (b"nothing", ("answered 409",)),
    ],
)
async def test_what_the_target_refuses_has_its_own_words(body: bytes, messages: tuple[str, ...]) -> None:
    async with scripted((409, {}, body)) as server:
        with pytest.raises(Rejected) as found:
            await call(server.url)
    assert (found.value.status, found.value.messages) == (409, messages)


async def test_a_bug_of_the_target_is_said_with_its_words() -> None:
    async with scripted((500, {}, b'{"response":{"message":["id 7"]}}')) as server:
        with pytest.raises(Unavailable, match="500: id 7"):
            await call(server.url)


async def test_an_answer_too_large_or_no_json_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted((200, {}, b"<html>")) as server:
        with pytest.raises(Unavailable, match="else than JSON"):
            (await call(server.url)).json()
    monkeypatch.setattr(module, "MAX_ANSWER", 3)
    async with scripted(OK) as server:
        with pytest.raises(Unavailable, match="more than"):
            await call(server.url)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost", True),
        ("http://[::1]:8", True),
        ("https://evo.example", False),
    ],
)
def test_this_machine_is_reached_without_a_proxy(url: str, local: bool) -> None:
    assert module._is_loopback(url) is local


# --- what is tried again -------------------------------------------------------------------------------------

CREATE: dict[str, object] = {"method": "POST", "body": {}, "creates": True}
KEYED: dict[str, object] = {"method": "POST", "body": {}, "key": "k1"}
LOST, SHORT = None, (200, {"content-length": "90"}, b'{"a"')
TWICE_BUSY = ((429, {}, b""), (429, {}, b""), OK)


@pytest.mark.parametrize(
    ("asked", "answers", "expected", "calls"),
    [
        pytest.param({"method": "PUT", "body": {}}, (LOST, LOST, OK), 200, 3, id="a change is repeated"),
        pytest.param({"method": "DELETE"}, (LOST, OK), 200, 2, id="a delete is repeated"),
        pytest.param(KEYED, (LOST, LOST, OK), 200, 3, id="with a key it is repeated"),
        pytest.param(KEYED, ((502, {}, b""), OK), 200, 2, id="with a key also after 502"),
        pytest.param(KEYED, (LOST,), AnswerLost, 3, id="with a key and never an answer it may be done"),
        pytest.param(KEYED, (LOST, BUSY), AnswerLost, 3, id="also where the last answer is another"),
        pytest.param(KEYED, ((504, {}, b""),), AnswerLost, 3, id="or a proxy gives up"),
        pytest.param(KEYED, (BUSY,), Unavailable, 3, id="503 says that it is not done"),
        pytest.param(KEYED, ((500, {}, b""),), Unavailable, 1, id="500 is a bug, and stays one"),
        pytest.param(CREATE, (SHORT,), AnswerLost, 1, id="an answer cut short is none"),
        pytest.param({"method": "GET"}, (SHORT, OK), 200, 2, id="a reading cut short is repeated"),
        pytest.param(CREATE, (BUSY,), Unavailable, 1, id="a create is not repeated after 503"),
        pytest.param(CREATE, TWICE_BUSY, 200, 3, id="a create waits like all others"),
        pytest.param({"method": "GET"}, (*(TWICE_BUSY[0],) * 5, OK), 200, 6, id="429 is waited for longer"),
        pytest.param({"method": "GET"}, (TWICE_BUSY[0],), Unavailable, 8, id="but not for ever"),
    ],
)
async def test_what_is_tried_again(asked: dict[str, object], answers: object, expected: object, calls: int) -> None:
    async with scripted(*answers) as server:  # type: ignore[misc]
        if expected == 200:
            assert (await call(server.url, **asked)).status == 200  # type: ignore[arg-type]
        else:
            with pytest.raises(Unavailable) as found:
                await call(server.url, **asked)  # type: ignore[arg-type]
            assert type(found.value) in (expected, module.Failed if expected is Unavailable else expected)
    assert len(server.heard) == calls


async def test_a_repeated_call_has_the_same_key_and_state() -> None:
    async with scripted(None, OK) as server:
        await call(server.url, "POST", body={}, key="k1", match='"7"')
    assert all("idempotency-key: k1" in head and 'if-match: "7"' in head for head in server.heard)


async def test_after_429_fewer_calls_go_side_by_side() -> None:
    async with scripted((429, {}, b""), OK) as server:
        client = Client(server.url, "k", parallel=8)
        await client.call("GET", "/")
        assert client.pace.allowed == 4
        await client.close()


def test_retry_after_is_seconds_or_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (module._seconds(soon) or 0) <= 60
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=60)).replace("+0000", "-0000")
    assert [module._seconds(value) for value in (past, "5", "-1", "inf", "nan", "soon", "", None)] == [
        0.0, 5.0, 0.0, None, None, None, None, None,
    ]  # fmt: skip


async def test_retry_after_is_a_minimum() -> None:
    import time

    async with scripted((429, {"retry-after": "0.2"}, b""), OK) as server:
        began = time.monotonic()
        await call(server.url)
    assert time.monotonic() - began >= 0.2
