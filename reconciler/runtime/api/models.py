"""The models that an instance's credentials can use. After it `llm/models.py`."""

from __future__ import annotations

import asyncio
from typing import Final

from reconciler.errors import Rejected, Unavailable
from reconciler.runtime.answers import Response
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import PAGED, answer_rows, page, part

_PATIENCE: Final = 30.0  # seconds


async def find(call: Call) -> Response:
    """Models of the credentials in `?openaiCredsId=` (id or name), else of the Settings' credentials."""
    page(call)  # 400 before anybody is asked
    account = await call.served.store.fleet.account(call.instance.id, call.query("openaiCredsId"))
    try:
        async with asyncio.timeout(_PATIENCE):
            found, headers = part(call, await call.served.list_models(account))
            return await answer_rows(found, headers)
    except TimeoutError as error:
        raise Rejected(504, "The model provider did not answer in time: try again later") from error
    except Unavailable as error:
        raise Rejected(504 if _late(error) else 502, str(error)) from error


def _late(error: BaseException) -> bool:
    """Whether what went wrong began with silence."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return True
        cause = cause.__cause__
    return False


ENDPOINTS = (
    Endpoint(
        "GET",
        "/openai/getModels/{instance}",
        find,
        says=(400, 502, 504),
        query=("openaiCredsId", *PAGED),
        answer="models",
    ),
)
