"""Around a request: what the log never shows, that it is no condition of anything, and what a stop cuts off."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from reconciler.runtime.metrics import Metrics
from reconciler.runtime.observe import Observe, make_log, masked


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_let_go() -> None:
    log = make_log(Full())
    log.info("request", id="x")
    try:
        raise ValueError("a bug")
    except ValueError as error:
        log.error("bug", exc_info=error)
        log.exception("bug")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/webhook/evolution/SECRET", "/webhook/evolution/…"),
        ("/WebHook/evolution/SECRET/more", "/WebHook/evolution/…"),
        ("//webhook/evolution/SECRET", "//webhook/evolution/…"),
        ("/webhook/evolution/a\nSECRET", "/webhook/evolution/…"),
        ("/webhook/evolution", "/webhook/evolution"),
        ("/openai/find/A", "/openai/find/A"),
    ],
)
def test_webhook_secrets_are_masked(path: str, shown: str) -> None:
    assert masked(path) == shown


async def test_a_request_that_a_stop_cuts_off_is_answered() -> None:
    """Once the server has waited long enough it cancels what is left: that is no bug, and is to be sent again."""
    began, log, sent = asyncio.Event(), io.StringIO(), []

    async def app(*_: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/openai/create/A", "headers": []}
    task = asyncio.create_task(Observe(app, Metrics(), make_log(log))(scope, None, send))
    await began.wait()
    task.cancel()
    await task
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"5") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["response"]["message"] == ["The runtime stops: send it again"]
    assert json.loads(log.getvalue())["status"] == 503
