"""`chat` at an address where something else answers."""

from __future__ import annotations

import httpx
import pytest

from reconciler.cli.chat import _Chat, chat
from reconciler.errors import Misuse, ReconcilerError, Unavailable


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, b"<html>", Unavailable, "what answers at http://127.0.0.1:1 is no runtime of this project"),
        (404, b"<html>", Unavailable, "is no runtime of this project"),
        (404, b'{"detail": "Not Found"}', Unavailable, "is no runtime of this project"),
        (404, b"[]", Misuse, "there is no instance 'shop'; there is: none yet"),
        (500, b'{"error": "oh"}', Unavailable, "is no runtime of this project"),
        (503, b'{"response": {"message": ["not now"]}}', Unavailable, "the runtime answered 503: not now"),
        (401, b"", Misuse, "does not take this API key"),
    ],
)
def test_other_answers(status: int, body: bytes, kind: type[ReconcilerError], said: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with httpx.Client(base_url="http://127.0.0.1:1", transport=transport) as client, pytest.raises(kind, match=said):
        _Chat(client, "shop", "ana").look()


@pytest.mark.parametrize("customer", ["..", "a/b", "ana maria", "x" * 256])
def test_a_chats_id_that_no_address_can_hold_is_refused(customer: str) -> None:
    with pytest.raises(Misuse, match=r"^--as "):
        chat("shop", ["hi"], customer, 1)


def test_a_message_that_is_no_text_is_refused() -> None:
    with httpx.Client() as client, pytest.raises(Misuse, match="not UTF-8"):
        _Chat(client, "shop", "ana").send("\udcff")
