"""Voice messages and text documents: fetched, transcribed, read; and what goes wrong with them."""

from __future__ import annotations

import pytest

from reconciler.egress import Gate
from reconciler.llm.answer import ModelFailed
from reconciler.llm.models import TEXT_BYTES, Models
from reconciler.llm.transcription import MODEL, OLDER_MODEL
from reconciler.model import DEMO, Media
from tests.llm.fake_openai import chat, error, fake_openai
from tests.llm.test_models import KEY, account

VOICE = Media(kind="audio", mime="audio/ogg", data=b"OggS")
HEARD = (200, {}, {"text": " A table for two. "})


@pytest.fixture
async def fake():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def models():
    models = Models(None, seconds=60, pause=0.001, gate=Gate(("127.0.0.1",)))
    yield models
    await models.close()


def notes(**fields):
    return Media(**{"kind": "document", "mime": "text/plain", "name": "menu.txt", **fields})


async def test_voice_is_transcribed_at_the_accounts_own_address(models, fake, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "leaked")
    fake.answers = [HEARD]
    assert await models.read(account(fake.url, project="prj"), VOICE) == "A table for two."
    path, headers, body = fake.seen[0]
    assert path == "/audio/transcriptions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["openai-project"], headers.get("openai-organization")) == ("prj", None)
    assert b"OggS" in body
    assert b'filename="audio.ogg"' in body
    assert MODEL.encode() in body


@pytest.mark.parametrize("status", [400, 404])
async def test_a_server_without_the_newest_model_is_asked_for_the_older_one(models, fake, status):
    fake.answers = [error(status, "model_not_found"), HEARD]
    await models.read(account(fake.url), VOICE)
    await models.read(account(fake.url), VOICE)
    assert [OLDER_MODEL.encode() in body for _, _, body in fake.seen] == [False, True, True]


async def test_a_server_that_hears_nothing_is_asked_twice_at_the_most(models, fake):
    fake.answers = [error(400)]
    with pytest.raises(ModelFailed, match="400"):
        await models.read(account(fake.url), VOICE)
    assert len(fake.seen) == 2
    fake.answers = [HEARD]
    await models.read(account(fake.url), VOICE)
    assert MODEL.encode() in fake.seen[-1][2]


FAILS = [
    ("nothing heard", (200, {}, {"text": "  "}), "nothing was heard"),
    ("not the API", (200, {}, ["what"]), "shape"),
    ("refused", error(401, "invalid_api_key", message=KEY), r"401 \(invalid_api_key\)"),
    ("away", error(503), "503"),
]


@pytest.mark.parametrize(("case", "bad", "said"), FAILS, ids=[case for case, _, _ in FAILS])
async def test_transcription_fails(models, fake, case, bad, said):
    fake.answers = [bad]
    with pytest.raises(ModelFailed, match=said) as caught:
        await models.read(account(fake.url), VOICE)
    assert KEY not in str(caught.value)


async def test_transcription_is_bounded_in_time(fake, monkeypatch, models):
    monkeypatch.setattr("reconciler.llm.models.READ_SECONDS", 0.2)
    fake.answers = ["hang"]
    with pytest.raises(ModelFailed, match=r"in time|reached"):
        await models.read(account(fake.url), VOICE)


async def test_the_demo_model_hears_nothing(models):
    with pytest.raises(ModelFailed, match="demo model hears no audio"):
        await models.read(account(DEMO), VOICE)


async def test_a_file_is_fetched_where_it_is(models, fake):
    async with fake_openai() as files:
        files.answers = [(200, {"content-type": "audio/ogg"}, b"OggS-from-there")]
        fake.answers = [HEARD]
        await models.read(account(fake.url), Media(kind="audio", mime="audio/ogg", url=files.url + "/v.ogg?sig=x"))
        assert [(path, "authorization" in headers) for path, headers, _ in files.seen] == [("/v.ogg?sig=x", False)]
    assert b"OggS-from-there" in fake.seen[0][2]


NOT_FETCHED = [
    ("404", (404, {}, b""), "answered 404"),
    ("a redirect", (302, {"location": "http://127.0.0.1:1/"}, b""), "answered 302"),
    ("too large", (200, {}, b"x" * (TEXT_BYTES + 1)), "larger than 16 KiB"),
    ("reset", "reset", "did not answer"),
    ("hang", "hang", "did not answer within"),
]


@pytest.mark.parametrize(("case", "bad", "said"), NOT_FETCHED, ids=[case for case, _, _ in NOT_FETCHED])
async def test_a_file_that_cannot_be_fetched(models, fake, monkeypatch, case, bad, said):
    monkeypatch.setattr("reconciler.llm.files.SECONDS", 0.1 if case == "hang" else 60)
    fake.answers = [bad]
    with pytest.raises(ModelFailed, match=f"the document could not be fetched: .*{said}") as caught:
        await models.read(account(DEMO), notes(url=f"{fake.url}/menu.txt?sig=secret"))
    assert "secret" not in str(caught.value)


async def test_private_addresses_are_not_fetched(fake):
    models = Models(None)
    fake.answers = [chat("x")]
    with pytest.raises(ModelFailed, match="private address"):
        await models.read(account(DEMO), notes(url=f"{fake.url}/menu.txt"))
    assert fake.seen == []
    await models.close()


@pytest.mark.parametrize(
    ("case", "data", "text"),
    [("text", b"Pizza 12\r\n", "Pizza 12"), ("a mark first", b"\xef\xbb\xbfPizza", "Pizza"), ("NUL", b"a\0b", "ab")],
)
async def test_a_document_is_text(models, case, data, text):
    assert await models.read(account(DEMO), notes(data=data)) == text


@pytest.mark.parametrize("data", [b"   ", bytes(range(128, 256))])
async def test_a_document_that_is_none(models, data):
    with pytest.raises(ModelFailed, match="holds no text"):
        await models.read(account(DEMO), notes(data=data))
