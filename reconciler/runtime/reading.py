"""What a turn's messages say, files included: images to look at, voice transcribed, text documents read.

Before it comes a due turn; after it `talk.prompt.compose` with the content. It is read only here, when a bot was found
and its turn is due: nothing is paid for a message that nobody answers.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from reconciler.llm.answer import ModelFailed
from reconciler.model import Account, Media
from reconciler.store.leases import Inbound
from reconciler.talk.prompt import Content

PLAIN: Final = frozenset({"conversation", "extendedTextMessage"})  # kinds that never have a file
IMAGES: Final = 10  # of one turn; the newest are looked at
BYTES: Final = 25 << 20  # of one turn's files; the newest are read (OpenAI takes 50 MB of a request, in base64)


class Reads(Protocol):
    """Reads a voice message or a text document; raises ModelFailed."""

    async def read(self, account: Account, media: Media) -> str: ...


class Reading(msgspec.Struct, frozen=True):
    """What a turn says; `heard` are the words of its voice messages by place in the transcript, which are kept as
    their text. `failure` says why something could not be read.
    """

    content: Content
    heard: Mapping[int, str]
    failure: str | None

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to answer."""
        return not self.content.text.strip() and not self.content.images


def with_files(messages: Sequence[Inbound]) -> list[int]:
    """The places of the messages that may have a file."""
    return [one.seq for one in messages if one.heard.kind not in PLAIN]


async def read(
    models: Reads, account: Account | None, messages: Sequence[Inbound], files: Mapping[int, Media], listen: bool
) -> Reading:
    """Reads a turn's messages with their `files`; without `listen` audio is not read."""
    found = await asyncio.gather(*(_text(models, account, one, files.get(one.seq), listen) for one in messages))
    texts = [text for text, _ in found if text and text.strip()]
    images = [url for one in messages if (url := _image(files.get(one.seq)))]
    failures = [failure for _, failure in found if failure]
    heard = {
        one.seq: text
        for one, (text, _) in zip(messages, found, strict=True)
        if text and one.heard.text is None and one.seq in files and files[one.seq].kind == "audio"
    }
    return Reading(Content("\n".join(texts), tuple(images[-IMAGES:])), heard, failures[0] if failures else None)


async def _text(
    models: Reads, account: Account | None, one: Inbound, media: Media | None, listen: bool
) -> tuple[str | None, str | None]:
    """A message's text with that of its file, and why the file could not be read."""
    text = one.heard.text
    if media is None or media.kind == "image" or account is None:
        return text, None
    if media.kind == "audio" and (text is not None or not listen):
        return text, None
    try:
        found = await models.read(account, media)
    except ModelFailed as error:
        return text, str(error)
    if media.kind == "document":
        found = f"[{media.name or 'document'}]\n{found}"
    return (f"{text}\n{found}" if text else found), None


def _image(media: Media | None) -> str | None:
    if media is None or media.kind != "image":
        return None
    if media.data is None:
        return media.url
    return f"data:{media.mime};base64,{base64.b64encode(media.data).decode()}"
