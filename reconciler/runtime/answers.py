"""What the HTTP API answers: rows as JSON, and every error in one form.

Before it come the handlers' results and what they raise; after it the wire. An error is always
`{"status", "error", "response": {"message": [...]}}`; its table to statuses is here and nowhere else.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from reconciler.errors import Rejected, Unavailable

__all__ = ["Response", "foreseen", "json", "raw", "refusal", "unauthorized"]

JSON: Final = "application/json"


def json(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Data as a JSON answer."""
    return Response(msgspec.json.encode(data), status, headers, JSON)


def raw(text: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """What is JSON already."""
    return Response(text, status, headers, JSON)


def refusal(status: int, *messages: str, headers: dict[str, str] | None = None) -> Response:
    """An error's answer."""
    body: dict[str, Any] = {
        "status": status,
        "error": HTTPStatus(status).phrase,
        "response": {"message": list(messages)},
    }
    return json(body, status, headers)


def unauthorized() -> Response:
    """401: the same whatever was asked for."""
    return refusal(401, "Unauthorized")


def foreseen(error: Exception) -> Response | None:
    """The answer to an error that was foreseen; None for a bug."""
    match error:
        case Rejected():
            return refusal(error.status, *error.messages, headers=error.headers)
        case Unavailable():
            wait = max(1, round(error.retry_after or 1))
            return refusal(503, str(error), headers={"Retry-After": str(wait)})
        case HTTPException():
            return refusal(error.status_code, error.detail, headers=dict(error.headers or {}))
    return None
