"""One turn's way to a model server: what the two APIs need besides the question.

Before it comes `llm/openai.py` with an account's client; after it `llm/patience.py` for each request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from reconciler.llm.answer import Call, ModelFailed, Usage
from reconciler.llm.functions import Functions
from reconciler.llm.learned import Learned
from reconciler.llm.memo import Memo
from reconciler.llm.patience import Patience
from reconciler.talk.prompt import Request

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

ROUNDS: Final = 8  # of function calls in a turn


class Asking:
    """A turn that is being asked: `usage` and `calls` are those of all its rounds so far.

    `account` names the content of the credentials, `model` the model; `deadline` is of time.monotonic.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        account: Hashable,
        model: str,
        request: Request,
        deadline: float,
        *,
        patience: Patience,
        learned: Learned,
        functions: Functions,
        memo: Memo,
    ) -> None:
        self.client, self.model, self.request = client, model, request
        self.usage, self.calls = Usage(), ()  # type: tuple[Usage, tuple[Call, ...]]
        self._account, self._key, self._deadline = account, (account, request.api, model), deadline
        self._patience, self._learned, self._functions = patience, learned, functions
        self._counted = False
        self._memo, self._known, self._round = memo, None, -1  # type: Memo, Mapping[str, str] | None, int

    async def send(
        self, create: Callable[..., Awaitable[Any]], shape: Any, options: Mapping[str, Any], **given: Any
    ) -> Any:
        """The API's answer, of the SDK's class `shape`: that of a round kept before the process died, else a new one.

        An option that the model refuses is left out from then on, each once in a request.
        """
        self._round += 1
        if (kept := (await self._recalled()).get(f"round {self._round}")) is not None:
            return shape.construct(**msgspec.json.decode(kept))
        mended: set[str] = set()

        async def ask(timeout: float) -> Any:
            return await create(timeout=timeout, **given, **self._learned.fit(self._key, options))

        def mend(error: APIStatusError) -> bool:
            name = self._learned.refuse(self._key, error, self._learned.fit(self._key, options))
            if name is None or name in mended:
                return False
            mended.add(name)
            return True

        return await self._patience.ask(self._account, ask, self._deadline, mend)

    def spent(self, usage: Usage) -> None:
        """Counts a round's tokens. The first round's tell how far the estimate is off; images have no estimate."""
        self.usage += usage
        if not self._counted and not any(each.images for each in self.request.messages):
            self._learned.count(self._key, self.request.estimate, usage.input)
        self._counted = True

    async def keep(self, reply: Any) -> None:
        """Keeps a round that calls functions, before they are called: a turn tried again makes the same calls."""
        if f"round {self._round}" not in await self._recalled():
            text = reply.model_dump_json(exclude_unset=True)
            await self._memo.keep(self.request.key, f"round {self._round}", text)

    async def call(self, name: str, arguments: str) -> str:
        """What a function answers, as text for the model."""
        number = len(self.calls)
        if (kept := (await self._recalled()).get(f"call {number}")) is not None:
            output, failed = msgspec.json.decode(kept, type=tuple[str, bool])
        else:
            output, failed = await self._functions.call(self.request, name, arguments, number)
            await self._memo.keep(self.request.key, f"call {number}", msgspec.json.encode((output, failed)).decode())
        self.calls = (*self.calls, Call(name, failed))
        return output

    async def _recalled(self) -> Mapping[str, str]:
        """What an earlier try of this turn kept; only turns that can call functions have any."""
        if self._known is None:
            calls = any(tool["type"] == "function" for tool in self.request.tools)
            self._known = await self._memo.recall(self.request.key) if calls else {}
        return self._known


def said(text: str | None, refusal: str | None, cut: str | None) -> tuple[str, bool]:
    """The text of an answer and whether it was cut off; `cut` is why it ended early, in the API's words.

    A text that `maxTokens` cut is said as far as it came; what a content filter stopped is not. Raises ModelFailed.
    """
    if cut == "content_filter":
        raise ModelFailed("the provider's content filter stopped the answer")
    cut_off = cut in ("length", "max_output_tokens")
    if text and text.strip():
        return text.encode("utf-8", "replace").decode(), cut_off  # JSON can carry halves of surrogate pairs
    if refusal:
        raise ModelFailed("the model refused to answer")
    if cut_off:
        raise ModelFailed("the answer was cut off before its first word: raise maxTokens")
    raise ModelFailed("the model's answer is empty")


def function(tool: dict[str, Any]) -> dict[str, Any]:
    """A function tool as both APIs describe it."""
    return {
        "name": tool["name"],
        "parameters": tool.get("parameters") or {"type": "object", "properties": {}},
        "strict": tool.get("strict") or False,
        **({"description": tool["description"]} if tool.get("description") else {}),
    }
