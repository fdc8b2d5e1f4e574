"""A voice message as text, through the account's own server: `POST {baseUrl}/audio/transcriptions`.

Before it comes `llm/openai.py` with an account's client; after it `llm/patience.py`. The model is `gpt-transcribe`,
OpenAI's own successor of those it shuts down on 2027-02-26, and `whisper-1` where a server does not know that one:
other servers of this API mostly have it. Source: the SDK's types of audio transcriptions.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

from reconciler.llm.answer import ModelFailed
from reconciler.llm.learned import Learned
from reconciler.llm.patience import Patience

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

MODEL, OLDER_MODEL = "gpt-transcribe", "whisper-1"
_UNKNOWN: Final = (400, 404, 422)  # how servers answer to a model that they do not have

# What the server knows a format by (the SDK's list of formats); WhatsApp's voice is Ogg.
_ENDINGS: Final = {
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/aac": "m4a",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/webm": "webm",
    "audio/flac": "flac",
}


async def transcribe(
    client: AsyncOpenAI,
    account: Hashable,
    audio: bytes,
    mime: str,
    deadline: float,
    *,
    patience: Patience,
    learned: Learned,
) -> str:
    """The words of a voice message by `deadline` (of time.monotonic), never blank. Raises ModelFailed."""
    key = (account, "audio")
    ending = _ENDINGS.get(mime, "ogg")
    older = learned.lacks(key, MODEL)

    async def ask(timeout: float) -> Any:
        model = OLDER_MODEL if older else MODEL
        file = (f"audio.{ending}", audio, mime)
        return await client.audio.transcriptions.create(file=file, model=model, timeout=timeout)

    def mended(error: APIStatusError) -> bool:
        nonlocal older
        if older or error.status_code not in _UNKNOWN or error.code == "insufficient_quota":
            return False
        older = True
        return True

    found = await patience.ask(account, ask, deadline, mended)
    if older:
        learned.lack(key, MODEL)
    text: str = found.text.encode("utf-8", "replace").decode().strip()
    if not text:
        raise ModelFailed("nothing was heard in the audio")
    return text
