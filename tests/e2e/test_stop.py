"""SIGTERM while a turn runs: the model's answer is waited for, said, and there after the next start."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import until
from tests.e2e.served import Serve
from tests.llm.fake_openai import chat
from tests.runtime.conftest import BOT


class SlowModel:
    """An OpenAI-compatible server that answers when it is let go."""

    def __init__(self) -> None:
        self.asked, self.go, self.times = threading.Event(), threading.Event(), 0
        model = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # head and body are two writes

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                model.times += 1
                model.asked.set()
                assert model.go.wait(120)
                body = json.dumps(chat("At eight.")[2]).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def model() -> Iterator[SlowModel]:
    made = SlowModel()
    yield made
    made.go.set()
    made.server.shutdown()
    made.server.server_close()


def test_running_turns_finish(tmp_path: Path, model: SlowModel) -> None:
    data = tmp_path / "data"
    serve = Serve(data, OPENAI_BASE_URL=model.url)
    try:
        client = serve.client
        client.post("/instance/create", json={"instanceName": "A"})
        client.post("/openai/creds/A", json={"name": "creds_123", "apiKey": "sk-1"})
        bot = {**BOT, "triggerType": "all", "triggerOperator": None, "triggerValue": None, "delayMessage": 0}
        assert client.post("/openai/create/A", json={**bot, "debounceTime": 0}).status_code == 201
        client.post("/chat/A", json={"remoteJid": "ana", "text": "When do you open?"})
        assert model.asked.wait(120)
        serve.terminate()
        until(lambda: _refuses(client))
        client.close()
        assert serve.process.poll() is None, "it waits for the turn"
        model.go.set()
        assert serve.process.wait(120) == 0
    finally:
        model.go.set()
        serve.stop()
    serve = Serve(data, OPENAI_BASE_URL=model.url)
    try:
        said = until(lambda: [one for one in serve.client.get("/chat/A/ana").json() if one["fromMe"]])
        assert [one["text"] for one in said] == ["At eight."]
        assert model.times == 1, "the answer that was paid for is the one that was said"
    finally:
        assert serve.stop() == 0


def _refuses(client: httpx.Client) -> bool:
    try:
        httpx.get(client.base_url.join("/healthz"), timeout=2)
    except httpx.TransportError:
        return True
    return False
