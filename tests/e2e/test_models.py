"""Models that go: the loop of `up` reads an account's list once, and status, plan and metrics tell of the bots."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import Repo
from tests.e2e.conftest import Up, until

SOON = (datetime.now(UTC).date() + timedelta(days=20)).isoformat()
KEY = "sk-0123456789abcdef"


class Account(ThreadingHTTPServer):
    """An account's model server that lists gpt-6-luna with its last day."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.heard: list[tuple[str, str | None]] = []


class _Answer(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # head and body are two writes
    server: Account

    def do_GET(self) -> None:
        self.server.heard.append((self.path, self.headers.get("authorization")))
        models = [{"id": "gpt-6-luna", "object": "model", "shutdown_date": SOON}, {"id": "gpt-7", "object": "model"}]
        body = json.dumps({"object": "list", "data": models}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def account() -> Iterator[Account]:
    server = Account()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_bots_whose_model_goes_are_told_of_and_the_account_is_asked_once(fleet: Repo, account: Account) -> None:
    address = f"http://127.0.0.1:{account.server_port}/v1"
    up = Up(fleet, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=address)
    try:
        up.ready()
        state = until(lambda: (found := up.stands())["retiring"] and found)
        said = up.run("status", exit_code=None).stdout
        assert f"  model     gpt-6-luna goes on {SOON}, in 20 days (bistro/complaints, " in said
        up.run("sync")
        shown = up.run("plan").stdout
        assert f"note: model gpt-6-luna goes on {SOON}, in 20 days (bistro/complaints, " in shown
        assert {(one["instance"], one["model"]) for one in state["retiring"]} == {
            ("bistro", "gpt-6-luna"),
            ("clinica", "gpt-6-luna"),
        }
        gauge = f'reconciler_retiring_bots{{target="local"}} {len(state["retiring"])}'
        assert gauge in up.client.get("/metrics").text
        # Two instances hold the same account: one request, with the key and to the operator's address.
        assert account.heard == [("/v1/models", f"Bearer {KEY}")]
        assert KEY not in said + shown + json.dumps(state)
    finally:
        up.stop()
