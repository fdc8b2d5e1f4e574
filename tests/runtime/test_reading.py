"""Kinds of content from the webhook's payload to the model's request: what is read, looked at, heard and kept."""

from __future__ import annotations

import itertools

import pytest

from reconciler.llm.answer import Answer, Call, ModelFailed, Usage
from reconciler.model import Media
from reconciler.runtime.channels import evolution
from reconciler.store.usage import Usage as Sums
from tests.store.standing import Stand
from tests.talk.rows import everyone, keyword

_numbers = itertools.count(1)
URL = "https://files.example/cat.jpg"


@pytest.fixture
def stand(tmp_path):
    stand = Stand(tmp_path / "chats.db")
    yield stand
    stand.close()


async def send(stand, *messages, seconds=3.0):
    """Payloads as an Evolution API server posts them, one turn of them."""
    for message in messages:
        key = {"id": f"IN{next(_numbers)}", "remoteJid": "ana", "fromMe": False}
        heard = evolution.heard({"key": key, "pushName": "Ana", "message": message}, "inst", stand.now)
        assert heard is not None
        await stand.chats.accept([heard])
    await stand.work()
    await stand.later(seconds)


async def files(stand):
    return await stand.db.read(lambda c: c.execute("SELECT count(*) FROM media").fetchone()[0])


async def records(stand):
    rows = await stand.db.read(lambda c: c.execute("SELECT outcome, failure, model FROM turns ORDER BY seq").fetchall())
    return [tuple(row) for row in rows]


def picture(caption=None, **fields):
    return {"imageMessage": {"mimetype": "image/jpeg", **({"caption": caption} if caption else {})}, **fields}


VOICE = {"audioMessage": {"mimetype": "audio/ogg"}, "base64": "aGVsbG8="}
MENU = {"documentMessage": {"mimetype": "text/plain", "fileName": "menu.txt", "caption": "ours"}, "base64": "aGVsbG8="}

SEEN = [
    ("by URL", picture("what is this?", mediaUrl=URL), "what is this?", URL, "[image]\nwhat is this?"),
    ("in base64", picture(base64="aGVsbG8="), "", "data:image/jpeg;base64,aGVsbG8=", "[image]"),
]


@pytest.mark.parametrize(("case", "message", "text", "url", "kept"), SEEN, ids=[case for case, *_ in SEEN])
async def test_an_image_is_looked_at_once(stand, case, message, text, url, kept):
    await stand.bots(everyone())
    await send(stand, message)
    await send(stand, {"conversation": "and?"})
    first, second = stand.model.requests
    assert (first.messages[-1].text, first.messages[-1].images) == (text, (url,))
    assert [(each.text, each.images) for each in second.messages] == [(kept, ()), (f"re: {text}", ()), ("and?", ())]
    assert await files(stand) == 0


async def test_an_image_that_nobody_can_look_at_is_what_its_caption_says(stand):
    await stand.bots(everyone(unknown_message="Sorry?"))
    await send(stand, picture("what is this?"))
    await send(stand, picture())
    assert await stand.replies() == ["re: what is this?", "Sorry?"]
    assert await records(stand) == [("answered", None, "m"), ("unread", None, None)]


async def test_images_and_texts_of_one_turn_go_together_the_newest_images(stand):
    await stand.bots(everyone())
    await send(stand, {"conversation": "look"}, *(picture(mediaUrl=f"{URL}?{n}") for n in range(12)))
    (asked,) = stand.model.requests
    assert asked.messages[-1].text == "look"
    assert asked.messages[-1].images == tuple(f"{URL}?{n}" for n in range(2, 12))


async def test_audio_is_transcribed_where_speech_to_text_is_on(stand):
    await stand.bots(everyone(), speech_to_text=True)
    await send(stand, {"conversation": "listen:"}, VOICE)
    assert stand.model.asked == ["listen:\naudio hello"]
    assert (await stand.session()).history[0].text == "listen:\naudio hello"
    said = await stand.chats.transcript("inst", "ana", None, 10)
    assert [one.text for one in said][:2] == ["listen:", "audio hello"]
    assert await files(stand) == 0


async def test_audio_gets_unknown_message_where_speech_to_text_is_off(stand):
    await stand.bots(everyone(unknown_message="Please write."))
    await send(stand, VOICE)
    assert (stand.model.files, stand.model.asked) == ([], [])
    assert await stand.replies() == ["Please write."]


async def test_audio_that_cannot_be_transcribed_gets_unknown_message(stand):
    await stand.bots(everyone(unknown_message="Please write."), speech_to_text=True)
    stand.model.fails = [ModelFailed("the model server answered 500")]
    await send(stand, VOICE)
    assert await stand.replies() == ["Please write."]
    assert (await stand.session()).failure == "the model server answered 500"
    assert await records(stand) == [("unread", "the model server answered 500", None)]


async def test_what_can_be_read_beside_it_is_answered(stand):
    await stand.bots(everyone(unknown_message="Please write."), speech_to_text=True)
    stand.model.fails = [ModelFailed("the model server answered 500")]
    await send(stand, {"conversation": "listen:"}, VOICE)
    assert await stand.replies() == ["re: listen:"]
    assert await records(stand) == [("answered", "the model server answered 500", "m")]


async def test_audio_is_transcribed_only_after_a_bot_was_found(stand):
    await stand.bots(keyword("contains", "hello"), speech_to_text=True)
    await send(stand, VOICE)
    assert (stand.model.files, await stand.session(), await files(stand)) == ([], None, 0)


async def test_audio_is_paid_for_once_though_the_turn_is_tried_again(stand):
    await stand.bots(everyone(), speech_to_text=True)
    answer = stand.model.answer
    stand.model.answer = None  # our own code fails after the transcription
    await send(stand, VOICE, seconds=1)
    stand.model.answer = answer
    await stand.later(30)
    assert await stand.replies() == ["re: audio hello"]
    assert len(stand.model.files) == 1


async def test_a_text_document_is_read_and_another_is_not(stand):
    await stand.bots(everyone(unknown_message="Sorry?"))
    await send(stand, MENU)
    await send(stand, {"documentMessage": {"mimetype": "application/pdf", "fileName": "x.pdf"}, "base64": "aGVsbG8="})
    assert stand.model.asked == ["ours\n[menu.txt]\ndocument hello"]
    assert (await stand.replies())[-1] == "Sorry?"
    assert stand.model.files == [Media(kind="document", mime="text/plain", data=b"hello", name="menu.txt")]


OTHERS = [
    ({"extendedTextMessage": {"text": "extended"}}, "extended"),
    ({"locationMessage": {"degreesLatitude": -23.5, "degreesLongitude": -46.6}}, "Location: -23.5, -46.6"),
    ({"buttonsResponseMessage": {"selectedButtonId": "btn1"}}, "btn1"),
    ({"listResponseMessage": {"title": "Pizza"}}, "Pizza"),
    ({"contactMessage": {"displayName": "Rui"}}, "Contact: Rui"),
    ({"documentMessage": {"url": "x", "caption": "my doc"}}, "my doc"),
    ({"stickerMessage": {"url": "x"}}, None),
    ({"audioMessage": {"url": "x"}}, None),
]


@pytest.mark.parametrize(("message", "text"), OTHERS)
async def test_other_kinds(stand, message, text):
    await stand.bots(everyone(unknown_message="Sorry?"))
    await send(stand, message)
    assert stand.model.asked == ([text] if text else [])
    assert await stand.replies() == [f"re: {text}" if text else "Sorry?"]


async def test_what_turns_took_is_recorded(stand):
    await stand.bots(everyone())
    answers = iter([Answer("yes", Usage(100, 10, 60), (Call("f", False),)), Answer("y", Usage(5, 1), truncated=True)])

    async def answer(account, request):
        for found in answers:
            return found
        raise ModelFailed("the model server answered 503", Usage(7))

    stand.model.answer = answer
    for _ in range(3):
        await send(stand, {"conversation": "hi"})
    assert [outcome for outcome, _, _ in await records(stand)] == ["answered", "truncated", "failed"]
    (sums,) = await stand.chats.usage("inst", 0, stand.now)
    assert 0 <= sums.seconds < 5
    assert sums == Sums(
        bot_id="all", model="m", turns=3, failed=1, input=112, output=11, cached=60, calls=1, seconds=sums.seconds
    )


async def test_credentials_that_are_gone(stand):
    await stand.bots(everyone(openai_creds_id="gone", unknown_message="Sorry?"), speech_to_text=True)
    await send(stand, {"conversation": "hi"}, VOICE)
    assert await stand.replies() == ["Sorry?"]
    assert await records(stand) == [("failed", "the bot's credentials are not there any more", "m")]
