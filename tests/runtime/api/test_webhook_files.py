"""Files that come with a webhook's message: how large they may be, and that they stay out of the transcript."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable

import httpx
import pytest

from reconciler.runtime.channels.evolution import MEDIA_LIMIT
from tests.runtime.conftest import Server, Tenant

_numbers = itertools.count(1)


def message(number: str, size: int) -> dict[str, object]:
    photo = {"imageMessage": {"mimetype": "image/jpeg"}, "base64": base64.b64encode(b"x" * size).decode()}
    key = {"id": f"FILE{next(_numbers)}", "remoteJid": "ana", "fromMe": False}
    return {"numberId": number, "key": key, "message": photo, "messageType": "imageMessage"}


@pytest.mark.parametrize(
    ("case", "size", "status", "kept"),
    [
        ("small", 10, 200, 1),
        ("as large as may be", MEDIA_LIMIT, 200, 1),
        ("too large to be looked at", MEDIA_LIMIT + 1, 200, 0),
        ("too large to be taken", 8 << 20, 413, 0),
    ],
)
def test_files(
    case: str, size: int, status: int, kept: int, client: httpx.Client, make: Callable[..., Tenant], server: Server
) -> None:
    number = f"55119{next(_numbers):08}"
    tenant = make(number=number, integration="EVOLUTION")
    answer = client.post("/webhook/evolution", json=message(number, size))
    assert answer.status_code == status, answer.text
    said = client.get(f"/chat/{tenant.name}/ana").json()
    assert [set(one) for one in said] == ([{"id", "fromMe", "text", "timestamp"}] if status == 200 else [])
    count = "SELECT count(*) FROM media JOIN messages USING (seq) WHERE instance_id = ?"
    found = asyncio.run(server.store.db.read(lambda c: c.execute(count, (tenant.id,)).fetchone()[0]))
    assert found == kept
