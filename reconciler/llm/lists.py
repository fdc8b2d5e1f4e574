"""The models that an account may use, and when they go: `GET {baseUrl}/models`, with one small request.

Before it comes the loop, once a day for each account; after it `plan/retire.py`. It does without the SDK, which is
fifty megabytes of a loop's memory for one request. Source: https://developers.openai.com/api/docs/deprecations says
that `shutdown_date` is `YYYY-MM-DD`, or null where no such day has been announced.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from reconciler.errors import Unavailable
from reconciler.llm.openai import ADDRESS
from reconciler.model import Account

SECONDS: Final = 15.0
BYTES: Final = 8 << 20  # of an answer
_MODELS: Final = 5000  # of a list; OpenAI's has some hundred
_NAME: Final = 300  # characters


class _Model(msgspec.Struct):
    id: str
    shutdown_date: str | None = None


class _Page(msgspec.Struct):
    data: list[_Model]


async def listed(account: Account, openai_base_url: str | None) -> dict[str, str | None]:
    """An account's models by id, each with the day on which it goes. `openai_base_url`: for accounts without a baseUrl.

    Raises Unavailable; no message holds the key.
    """
    import httpx

    base = (account.base_url or openai_base_url or ADDRESS).rstrip("/")
    headers = {"authorization": f"Bearer {account.api_key.value}", "accept": "application/json"}
    headers |= {"openai-organization": account.organization} if account.organization else {}
    headers |= {"openai-project": account.project} if account.project else {}
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(timeout=SECONDS, follow_redirects=False) as http,
            http.stream("GET", f"{base}/models", headers=headers) as answer,
        ):
            content = bytearray()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > BYTES:
                    raise Unavailable(f"the models of '{account.name}' are more than {BYTES >> 20} MiB")
            if answer.status_code != 200:
                raise Unavailable(f"the model server of '{account.name}' answered {answer.status_code}")
        page = msgspec.json.decode(bytes(content), type=_Page)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise Unavailable(f"the model server of '{account.name}' did not answer: {type(error).__name__}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Unavailable(f"the model server of '{account.name}' gave no list of models") from error
    return {one.id: one.shutdown_date for one in page.data[:_MODELS] if len(one.id) <= _NAME}
