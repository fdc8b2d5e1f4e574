"""The log: what it never shows, and that it is no condition of anything."""

from __future__ import annotations

import io

import pytest

from reconciler.runtime.observe import make_log, masked


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
