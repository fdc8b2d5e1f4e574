"""OpenAI, and whoever speaks its API: one client for each content of credentials.

Before it comes a `Request` of `talk/prompt.py`; after it `llm/chat.py` for bots, `llm/responses.py` for assistants.
Everything is passed to the SDK explicitly: it would otherwise take organization, project, headers and address from the
process, and one tenant's calls would carry another's (openai 3 on httpx2). The import takes 600 ms, hence on first
use and in a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from reconciler.egress import Gate, forbidden, transport
from reconciler.errors import Rejected
from reconciler.llm.answer import Answer, ModelFailed
from reconciler.llm.asking import Asking
from reconciler.llm.breaker import REST, Breakers
from reconciler.llm.chat import ask_chat
from reconciler.llm.functions import Functions
from reconciler.llm.learned import Learned
from reconciler.llm.memo import Forgetful, Memo
from reconciler.llm.patience import REQUEST_SECONDS, Patience, reason
from reconciler.llm.responses import ask_responses
from reconciler.llm.transcription import transcribe
from reconciler.model import Account
from reconciler.talk.prompt import Request, fitted

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

ADDRESS: Final = "https://api.openai.com/v1"
LIST_SECONDS: Final = 15.0
_CLIENTS: Final = 256  # kept ready
_BYTES: Final = 8 << 20  # of one answer from an address that credentials name


class OpenAI:
    """Asks OpenAI-compatible servers. `base_url` is the operator's address for credentials without one.

    `pause` is the seconds of the first back-off, `rest` those for which an account that keeps failing is left alone.
    """

    def __init__(
        self,
        base_url: str | None,
        functions: Functions,
        pause: float = 0.5,
        rest: float = REST,
        gate: Gate | None = None,
        memo: Memo | None = None,
    ) -> None:
        self._memo = memo or Forgetful()
        self._base_url = base_url or ADDRESS
        self._functions = functions
        self._patience, self._learned = Patience(Breakers(rest), pause), Learned()
        self._clients: OrderedDict[tuple[str | None, ...], AsyncOpenAI] = OrderedDict()
        self._gate = gate or Gate()
        self._http: dict[bool, httpx2.AsyncClient] = {}  # the operator's own address, and those of credentials

    async def answer(self, account: Account, request: Request, deadline: float) -> Answer:
        """The answer to a turn by `deadline` (of time.monotonic). Raises ModelFailed."""
        if not request.model:
            raise ModelFailed("the bot has no model, and there is no Assistant that gives it one")
        client, key = await self._client(account), _content(account)
        asking = Asking(
            client,
            key,
            request.model,
            fitted(request, self._learned.ratio((key, request.api, request.model))),
            deadline,
            patience=self._patience,
            learned=self._learned,
            functions=self._functions,
            memo=self._memo,
        )
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await (ask_chat if request.api == "chat" else ask_responses)(asking)
        except ModelFailed as error:
            raise ModelFailed(str(error), asking.usage) from error.__cause__
        except TimeoutError as error:
            raise ModelFailed("the model did not answer in time", asking.usage) from error
        except (AttributeError, TypeError, IndexError, ValueError) as error:  # the SDK does not check what it is sent
            raise ModelFailed("the model's answer is not of the API's shape", asking.usage) from error

    async def transcribe(self, account: Account, audio: bytes, mime: str, deadline: float) -> str:
        """The words of a voice message by `deadline` (of time.monotonic), never blank. Raises ModelFailed."""
        client = await self._client(account)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await transcribe(
                    client, _content(account), audio, mime, deadline, patience=self._patience, learned=self._learned
                )
        except TimeoutError as error:
            raise ModelFailed("the model server did not answer in time") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelFailed("the model server's answer is not of the API's shape") from error

    async def list_models(self, account: Account) -> list[dict[str, Any]]:
        """The models that an account may use, by id. Raises Rejected: 502 refused, 504 no answer."""
        await asyncio.to_thread(importlib.import_module, "openai")
        import openai

        try:
            client = await self._client(account)
            async with asyncio.timeout(LIST_SECONDS):
                page = await client.models.list(timeout=LIST_SECONDS)
                rows = [model.model_dump(mode="json") for model in page.data]
            return sorted(rows, key=lambda row: str(row.get("id")))
        except (openai.APIConnectionError, TimeoutError) as error:
            why = forbidden(error)
            said = f"was not called: {why}" if why else "did not answer; try again"
            raise Rejected(502 if why else 504, f"the model server of credentials '{account.name}' {said}") from error
        except openai.APIStatusError as error:
            said = f"answered {reason(error)}; check their apiKey and baseUrl"
            raise Rejected(502, f"the model server of credentials '{account.name}' {said}") from error
        except (openai.OpenAIError, ModelFailed, AttributeError, TypeError, ValueError) as error:
            raise Rejected(502, f"the model server of credentials '{account.name}' gave no list of models") from error

    async def close(self) -> None:
        """Closes the connections."""
        for http in self._http.values():
            await http.aclose()

    async def _client(self, account: Account) -> AsyncOpenAI:
        """The client for what the credentials say now; changed credentials make a new one."""
        key = _content(account)
        if (found := self._clients.get(key)) is not None:
            self._clients.move_to_end(key)
            return found
        await asyncio.to_thread(importlib.import_module, "openai")
        import httpx2
        import openai

        try:
            client = openai.AsyncOpenAI(
                api_key=account.api_key.value,
                base_url=account.base_url or self._base_url,
                max_retries=0,
                timeout=REQUEST_SECONDS,
                http_client=self._client_of(account.base_url in (None, self._base_url)),
            )
        except (openai.OpenAIError, httpx2.InvalidURL, ValueError) as error:
            raise ModelFailed(f"the credentials '{account.name}' cannot be used: check apiKey and baseUrl") from error
        # What the SDK took from the process where it was told None.
        client.organization, client.project = account.organization, account.project
        client._custom_headers = {}
        self._clients[key] = client
        if len(self._clients) > _CLIENTS:
            self._clients.popitem(last=False)
        return client

    def _client_of(self, operators: bool) -> httpx2.AsyncClient:
        """The connections to the operator's own address, or those that go through the gate."""
        import httpcore2
        import httpx2

        if operators not in self._http:
            limits = httpx2.Limits(max_connections=2000, max_keepalive_connections=200)
            guarded = None if operators else transport(httpx2, httpcore2, self._gate, _BYTES, limits=limits)
            self._http[operators] = httpx2.AsyncClient(
                timeout=httpx2.Timeout(REQUEST_SECONDS, connect=10.0),
                limits=limits,
                follow_redirects=False,
                trust_env=False,
                transport=guarded,
            )
        return self._http[operators]


def _content(account: Account) -> tuple[str | None, ...]:
    """What tells accounts apart: changed credentials are another account."""
    return account.base_url, account.api_key.value, account.organization, account.project
