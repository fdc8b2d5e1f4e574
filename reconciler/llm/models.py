"""The one door to models: who answers for an account, within one turn's deadline.

Before it comes the turn engine with an account and a `Request`; after it the demo model or an OpenAI-compatible
server.
"""

from __future__ import annotations

import time
from typing import Any, Final

from reconciler.egress import Gate
from reconciler.llm import demo
from reconciler.llm.answer import Answer, ModelFailed
from reconciler.llm.breaker import REST
from reconciler.llm.files import BYTES, Files, NotFetched
from reconciler.llm.functions import Functions
from reconciler.llm.memo import Memo
from reconciler.llm.openai import OpenAI
from reconciler.model import DEMO, Account, Media
from reconciler.talk.prompt import Request, fitted

TURN_SECONDS: Final = 90.0  # for a turn with all its rounds and retries
READ_SECONDS: Final = 30.0  # for reading one file of it, before that
TEXT_BYTES: Final = 16 << 10  # of a document


class Models:
    """All models. `openai_base_url` is the operator's address for credentials that name none; what credentials and bots
    name themselves is connected to through `gate`. `memo` keeps a turn's rounds of function calls over a crash."""

    def __init__(
        self,
        openai_base_url: str | None,
        seconds: float = TURN_SECONDS,
        pause: float = 0.5,
        rest: float = REST,
        gate: Gate | None = None,
        memo: Memo | None = None,
    ) -> None:
        gate = gate or Gate()
        self._functions, self._files = Functions(gate), Files(gate)
        self._openai = OpenAI(openai_base_url, self._functions, pause, rest, gate, memo)
        self._seconds = seconds

    async def answer(self, account: Account, request: Request) -> Answer:
        """A model's answer to a turn. Raises ModelFailed after what retries the deadline allows."""
        if account.base_url == DEMO:
            return demo.answer(fitted(request))
        return await self._openai.answer(account, request, time.monotonic() + self._seconds)

    async def read(self, account: Account, media: Media) -> str:
        """What a voice message or a text document says, never blank; 30 s at the most. Raises ModelFailed."""
        deadline = time.monotonic() + READ_SECONDS
        heard = media.kind == "audio"
        if heard and account.base_url == DEMO:
            raise ModelFailed("the built-in demo model hears no audio")
        try:
            data = media.data or await self._files.fetch(media.url or "", BYTES if heard else TEXT_BYTES)
        except NotFetched as error:
            raise ModelFailed(f"the {media.kind} could not be fetched: {error}") from error
        if heard:
            return await self._openai.transcribe(account, data, media.mime, deadline)
        text = data.decode("utf-8-sig", "replace").replace("\0", "").strip()
        if not text or text.count("\ufffd") > len(text) // 10:
            raise ModelFailed("the document holds no text")
        return text

    async def list_models(self, account: Account) -> list[dict[str, Any]]:
        """The models that an account may use, as OpenAI describes them. Raises Rejected (502, 504)."""
        if account.base_url == DEMO:
            return [{"id": DEMO, "object": "model", "created": 0, "owned_by": "bot-reconciler"}]
        return await self._openai.list_models(account)

    async def close(self) -> None:
        """Closes all connections."""
        await self._openai.close()
        await self._functions.close()
        await self._files.close()
