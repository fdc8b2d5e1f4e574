"""OpenAI, and whoever speaks its API: chat completions for bots, the Responses API for assistants.

Before it comes a `Request` of `talk/prompt.py`; after it the network. Everything is passed to the SDK explicitly: it
would otherwise take organization, project, headers and address from the process, and one tenant's calls would carry
another's (openai 3 on httpx2). The import takes 600 ms, hence on first use and in a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.errors import Rejected
from reconciler.llm.answer import Answer, Call, ModelFailed, Usage
from reconciler.llm.functions import Functions
from reconciler.model import Account
from reconciler.talk.prompt import Request

if TYPE_CHECKING:
    import httpx2
    from openai import APIStatusError, AsyncOpenAI

T = TypeVar("T")

ADDRESS: Final = "https://api.openai.com/v1"
ROUNDS: Final = 8  # of function calls in a turn
ATTEMPTS: Final = 6  # for one request, within the turn's deadline
REQUEST_SECONDS: Final = 60.0  # for one attempt
LIST_SECONDS: Final = 15.0
_CLIENTS: Final = 256  # kept ready, one for each content of credentials
_RETRIED: Final = {408, 409, 429, 500, 502, 503, 504, 529}


class OpenAI:
    """Asks OpenAI-compatible servers. `base_url` is the operator's address for credentials without one.

    `pause` is the seconds of the first back-off; each further one is twice as long, with jitter.
    """

    def __init__(self, base_url: str | None, functions: Functions, pause: float = 0.5) -> None:
        self._base_url = base_url or ADDRESS
        self._functions = functions
        self._pause = pause
        self._clients: OrderedDict[tuple[str | None, ...], AsyncOpenAI] = OrderedDict()
        self._http: httpx2.AsyncClient | None = None
        self._old_bound: set[tuple[str, str]] = set()  # (account, model) that takes max_tokens only

    async def answer(self, account: Account, request: Request, deadline: float) -> Answer:
        """The answer to a turn by `deadline` (of time.monotonic). Raises ModelFailed."""
        if not request.model:
            raise ModelFailed("the bot has no model, and there is no Assistant that gives it one")
        client = await self._client(account)
        ask = self._chat if request.api == "chat" else self._responses
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await ask(client, account, request, request.model, deadline)
        except TimeoutError as error:
            raise ModelFailed("the model did not answer in time") from error
        except (AttributeError, TypeError, IndexError, ValueError) as error:  # the SDK does not check what it is sent
            raise ModelFailed("the model's answer is not of the API's shape") from error

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
            raise Rejected(
                504, f"the model server of credentials '{account.name}' did not answer; try again"
            ) from error
        except openai.APIStatusError as error:
            reason = f"answered {_reason(error)}; check their apiKey and baseUrl"
            raise Rejected(502, f"the model server of credentials '{account.name}' {reason}") from error
        except (openai.OpenAIError, ModelFailed, AttributeError, TypeError, ValueError) as error:
            raise Rejected(502, f"the model server of credentials '{account.name}' gave no list of models") from error

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()

    # --- the two APIs ------------------------------------------------------------------------------------------

    async def _chat(
        self, client: AsyncOpenAI, account: Account, request: Request, model: str, deadline: float
    ) -> Answer:
        messages: list[Any] = [{"role": each.role, "content": each.text} for each in request.messages]
        options: dict[str, Any] = {"model": model}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.reasoning_effort is not None:
            options["reasoning_effort"] = request.reasoning_effort
        if tools := [_chat_tool(tool) for tool in request.tools if tool["type"] == "function"]:
            options["tools"] = tools
        usage, calls = Usage(), ()  # type: tuple[Usage, tuple[Call, ...]]
        for round_ in range(ROUNDS + 1):
            if tools and round_ == ROUNDS:
                options["tool_choice"] = "none"
            reply = await self._bounded_chat(client, account, request, messages, options, deadline)
            if reply.usage:
                usage += Usage(reply.usage.prompt_tokens or 0, reply.usage.completion_tokens or 0)
            said = reply.choices[0].message
            wanted = said.tool_calls or []
            if not wanted:
                return Answer(_text(said.content, said.refusal), usage, calls)
            messages.append(
                {
                    "role": "assistant",
                    "content": said.content,
                    "tool_calls": [
                        {
                            "id": call.id,
                            "type": "function",
                            "function": {"name": call.function.name, "arguments": call.function.arguments},
                        }
                        for call in wanted
                    ],
                }
            )
            for call in wanted:
                function = call.function
                output, failed = await self._functions.call(request, function.name, function.arguments, len(calls))
                calls = (*calls, Call(function.name, failed))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
        raise ModelFailed(f"the model still called functions after {ROUNDS} rounds")

    async def _bounded_chat(
        self,
        client: AsyncOpenAI,
        account: Account,
        request: Request,
        messages: list[Any],
        options: Any,
        deadline: float,
    ) -> Any:
        """One request with its bound on tokens under the name that the server takes: current models refuse
        `max_tokens`, older servers know nothing else.
        """
        create: Any = client.chat.completions.create
        key = (account.id, str(options["model"]))

        async def ask(timeout: float) -> Any:
            bound = "max_tokens" if key in self._old_bound else "max_completion_tokens"
            limit = {} if request.max_tokens is None else {bound: request.max_tokens}
            return await create(messages=messages, timeout=timeout, **options, **limit)

        def other_name(error: APIStatusError) -> bool:
            refused = error.status_code in (400, 422) and "max_completion_tokens" in f"{error.param} {error.message}"
            if refused and key not in self._old_bound:
                self._old_bound.add(key)
                return True
            return False

        return await self._patiently(ask, deadline, other_name)

    async def _responses(
        self, client: AsyncOpenAI, _account: Account, request: Request, model: str, deadline: float
    ) -> Answer:
        inputs: list[Any] = [{"role": each.role, "content": each.text} for each in request.messages]
        options: dict[str, Any] = {"model": model, "store": False}
        if request.instructions is not None:
            options["instructions"] = request.instructions
        if request.max_tokens is not None:
            options["max_output_tokens"] = request.max_tokens
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.reasoning_effort is not None:
            options["reasoning"] = {"effort": request.reasoning_effort}
        if tools := [_response_tool(tool) for tool in request.tools]:
            options["tools"] = tools
        create: Any = client.responses.create
        usage, calls = Usage(), ()  # type: tuple[Usage, tuple[Call, ...]]
        for round_ in range(ROUNDS + 1):
            if tools and round_ == ROUNDS:
                options["tool_choice"] = "none"
            reply = await self._patiently(
                lambda timeout: create(input=inputs, timeout=timeout, **options), deadline, lambda _: False
            )
            if reply.usage:
                usage += Usage(reply.usage.input_tokens or 0, reply.usage.output_tokens or 0)
            wanted = [item for item in reply.output if item.type == "function_call"]
            if not wanted:
                return Answer(_text(reply.output_text, _refusal(reply)), usage, calls)
            for item in wanted:
                output, failed = await self._functions.call(request, item.name, item.arguments, len(calls))
                calls = (*calls, Call(item.name, failed))
                # Without the item's id: OpenAI stores nothing of this turn, so the id would lead nowhere.
                inputs.append(
                    {"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
                )
                inputs.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
        raise ModelFailed(f"the model still called functions after {ROUNDS} rounds")

    # --- one request -------------------------------------------------------------------------------------------

    async def _patiently(
        self,
        ask: Callable[[float], Awaitable[T]],
        deadline: float,
        mended: Callable[[APIStatusError], bool],
    ) -> T:
        """Tries a request until it is answered, refused for good, or the deadline would pass.

        A server's Retry-After is a minimum. `mended` may change the request after a refusal, to be tried at once.
        """
        import openai

        for attempt in range(ATTEMPTS):
            try:
                return await ask(min(REQUEST_SECONDS, max(0.1, deadline - time.monotonic())))
            except openai.APIStatusError as error:
                if mended(error):
                    continue
                failed, least = ModelFailed(f"the model server answered {_reason(error)}"), retry_after(error)
                if error.status_code not in _RETRIED or error.code == "insufficient_quota":
                    raise failed from error
                cause: Exception = error
            except openai.APIConnectionError as error:
                failed, least, cause = ModelFailed("the model server could not be reached"), 0.0, error
            except openai.OpenAIError as error:
                raise ModelFailed("the model's answer could not be read") from error
            wait = max(least, self._pause * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
            if attempt == ATTEMPTS - 1 or time.monotonic() + wait >= deadline:
                raise failed from cause
            await asyncio.sleep(wait)
        raise ModelFailed("the model server refused the request in every form")

    async def _client(self, account: Account) -> AsyncOpenAI:
        """The client for what the credentials say now; changed credentials make a new one."""
        key = (account.base_url, account.api_key.value, account.organization, account.project)
        if (found := self._clients.get(key)) is not None:
            self._clients.move_to_end(key)
            return found
        await asyncio.to_thread(importlib.import_module, "openai")
        import httpx2
        import openai

        if self._http is None:
            self._http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(REQUEST_SECONDS, connect=10.0),
                limits=httpx2.Limits(max_connections=2000, max_keepalive_connections=200),
                follow_redirects=False,
                trust_env=False,
            )
        try:
            client = openai.AsyncOpenAI(
                api_key=account.api_key.value,
                base_url=account.base_url or self._base_url,
                max_retries=0,
                timeout=REQUEST_SECONDS,
                http_client=self._http,
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


def retry_after(error: APIStatusError) -> float:
    """The seconds that a server asks to wait (RFC 9110, 10.2.3): a number or a date; 0 where it says nothing."""
    said = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0.0


def _reason(error: APIStatusError) -> str:
    """Status and code, not the message: OpenAI puts parts of keys and prompts into it."""
    return f"{error.status_code} ({error.code})" if error.code else str(error.status_code)


def _text(content: str | None, refusal: str | None) -> str:
    if content and content.strip():
        return content
    raise ModelFailed("the model refused to answer" if refusal else "the model's answer is empty")


def _refusal(reply: Any) -> str | None:
    for item in reply.output:
        for content in getattr(item, "content", None) or ():
            if content.type == "refusal":
                return str(content.refusal)
    return None


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": tool["name"],
        "parameters": tool.get("parameters") or {"type": "object", "properties": {}},
        "strict": tool.get("strict") or False,
        **({"description": tool["description"]} if tool.get("description") else {}),
    }


def _chat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": _function(tool)}


def _response_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "function":
        return {"type": "function", **_function(tool)}
    if tool["type"] == "file_search":
        return {"type": "file_search", "vector_store_ids": list(tool["vectorStoreIds"])}
    return {"type": tool["type"]}
