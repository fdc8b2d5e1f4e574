"""Chats recorded at an Evolution API server (2.3), replayed against the whole runtime: what is the same, and what is
not, with the reason. Bots, webhooks and status go through the HTTP API; the model is a server on loopback.

Units are converted as a profile would: there `expire` is minutes and `debounceTime` seconds.
"""

from __future__ import annotations

import asyncio
import io
import json
from math import inf
from pathlib import Path

import httpx
import pytest

from reconciler.egress import Gate
from reconciler.llm.models import Models
from reconciler.runtime.app import build_app
from reconciler.runtime.notices import Notices
from reconciler.runtime.turns import Engine
from reconciler.store.sqlite import open_store
from tests.runtime.chats.differences import DIFFERENCES

RECORDED = [json.loads(row) for row in (Path(__file__).parent / "chats" / "recorded.jsonl").read_text().splitlines()]
BEGIN = 1_767_225_600.0
NUMBER = "5538320000000"


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def time(self) -> float:
        return self.now


class FakeModel:
    """Echoes; a word in brackets makes it answer otherwise, as the recording's did. Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list = []
        self.functions: list = []

    async def handle(self, reader, writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                given = dict(row.lower().split(": ", 1) for row in head.split("\r\n")[1:] if ": " in row)
                body = json.loads(await reader.readexactly(int(given.get("content-length", 0))) or b"{}")
                status, answer = self.answer(head.split()[1], body)
                data = json.dumps(answer).encode()
                fields = f"content-type: application/json\r\ncontent-length: {len(data)}"
                writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def answer(self, path: str, body: dict) -> tuple[int, dict]:
        if path == "/functions":
            self.functions.append(body)
            return 200, {"stock": 7, "item": body["functionArguments"]["item"]}
        if "/chat/" not in path and "/responses" not in path:
            return 404, {"error": {"message": "no", "code": None, "type": "x", "param": None}}
        chat = "/chat/" in path
        messages = body["messages"] if chat else body["input"]
        plain = [[one["role"], text(one["content"])] for one in messages if "role" in one and one.get("content")]
        last = messages[-1]
        said = text(last["content"]) if last.get("content") and last.get("role") != "tool" else ""
        limit = body.get("max_completion_tokens") or body.get("max_output_tokens")
        if not self.asked or self.asked[-1] != [limit, plain]:
            self.asked.append([limit, plain])
        if "[err" in said:
            status = int(said.split("[err")[1][:3])
            return status, {"error": {"message": "fake", "code": None, "type": "x", "param": None}}
        reply = PARAGRAPHS if "[paras]" in said else f"echo: {said}"
        if chat:
            message = {"role": "assistant", "content": reply}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            return 200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        if last.get("type") == "function_call_output":
            reply = f"tool said: {last['output']}"
        elif "[tool]" in said:
            call = {"type": "function_call", "id": "f", "call_id": "c", "name": "check_stock"}
            return 200, response({**call, "arguments": '{"item":"pizza"}'})
        if "[fail]" in said:
            return 500, {"error": {"message": "fake", "code": None, "type": "x", "param": None}}
        content = [{"type": "output_text", "text": reply, "annotations": []}]
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
        return 200, response(message)


PARAGRAPHS = "First paragraph.\n\nSecond paragraph.\nstill second.\n\n\n\nThird paragraph."


def response(item: dict) -> dict:
    return {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip


def text(content) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if "text" in part else f"<{picture(part)}>" for part in content)


def picture(part: dict) -> str:
    url = part["image_url"]
    return url if isinstance(url, str) else url["url"]


class Replay:
    """One recorded chat on a runtime of its own, its clock moved as the recording's went."""

    def __init__(self, recorded: dict, folder: Path, url: str, clock: Clock) -> None:
        self.recorded, self.clock, self.url = recorded, clock, url
        self.store = open_store(folder / "runtime.db", "a-secret-key-of-the-tests")
        notices = Notices()
        self.models = Models(f"{url}/v1", pause=0.001, gate=Gate(["127.0.0.1"]))
        self.posted: list[str] = []
        self.engine = Engine(self.store.fleet, self.store.chats, self.models, notices, clock=clock.time, post=self)

        async def models(account):
            return []

        app = build_app(
            self.store, api_key="key", notices=notices, wake=lambda: None, list_models=models,
            allow_private_urls=("127.0.0.1",), log_to=io.StringIO(),
        )  # fmt: skip
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://runtime", headers={"apikey": "key"}
        )
        self.bots: dict[str, int] = {}
        self.seen: dict = {"rows between": []}

    async def post(self, instance, push) -> None:
        self.posted.append(push.text)

    async def call(self, path: str, body: dict) -> dict:
        answer = await self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def work(self, until: float) -> None:
        """Lets the engine do what is due up to a time of the recording, going from one due time to the next."""
        while True:
            before, wait = 0.0, await self.step()
            while wait == 0 or wait != before:
                before, wait = wait, await self.step()
            if (now := self.clock.now + wait) > BEGIN + until:
                break
            self.clock.now = now
        self.clock.now = max(self.clock.now, BEGIN + until)

    async def step(self) -> float:
        """Does what is due now; the seconds until something else is."""
        engine, sender = self.engine, self.engine.sender
        waits = [await engine.claim()]
        await engine.idle()
        waits += [await sender.say(), await sender.push()]
        await sender.idle()
        return min((wait for wait in waits if wait is not None), default=inf)

    async def run(self) -> dict:
        hook = f"{self.url}/hook"
        await self.call(
            "/instance/create", {"instanceName": "i", "number": NUMBER, "integration": "EVOLUTION", "webhook": hook}
        )
        await self.call("/openai/creds/i", {"name": "main", "apiKey": "sk-0123456789abcd"})
        for step in self.recorded["steps"]:
            await self.work(step["at"])
            body = step.get("body")
            match step["do"]:
                case "bot":
                    await self.create(body)
                case "inbound":
                    await self.call("/webhook/evolution", {"numberId": NUMBER, **body})
                case "call":
                    await self.call(f"{step['path']}/i", body)
                case "rows":
                    self.seen["rows between"].append([row["status"] for row in await self.rows()])
        await self.work(self.clock.now - BEGIN + 30)
        rows = sorted([row["status"], row["remoteJid"], self.bots[row["botId"]]] for row in await self.rows())
        return {**self.seen, "said": self.posted, "rows": rows}

    async def create(self, body: dict) -> None:
        units = {"expire": body.get("expire", 0) * 60, "debounceTime": body.get("debounceTime", 0) * 1000}
        given = {**body, **{field: value for field, value in units.items() if field in body}, "openaiCredsId": "main"}
        if given.get("functionUrl"):
            given["functionUrl"] = f"{self.url}/functions"
        answer = await self.http.post("/openai/create/i", json=given)
        self.seen.setdefault("refused bots", 0)
        if answer.status_code in (400, 422):
            self.seen["refused bots"] += 1
            return
        row = answer.json()
        assert answer.status_code == 201, row
        self.bots[row["id"]] = body["maxTokens"]

    async def rows(self) -> list[dict]:
        found = [await self.http.get(f"/openai/fetchSessions/{bot}/i") for bot in self.bots]
        return [row for answer in found for row in answer.json()]

    async def close(self) -> None:
        await self.http.aclose()
        await self.models.close()
        self.store.close()


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["scenario"] for one in RECORDED])
async def test_replayed(recorded, tmp_path, monkeypatch):
    clock, model = Clock(), FakeModel()
    for module in ("webhook", "sessions", "messages", "chat"):
        monkeypatch.setattr(f"reconciler.runtime.api.{module}.time", clock, raising=False)
    server = await asyncio.start_server(model.handle, "127.0.0.1", 0)
    replay = Replay(recorded, tmp_path, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", clock)
    try:
        seen = await replay.run()
    finally:
        await replay.close()
        server.close()
    seen |= {"asked": model.asked, "functions": model.functions}
    expected = {
        "asked": recorded["asked"],
        "functions": recorded["functions"],
        "said": recorded["said"],
        "rows": recorded["rows"],
        "rows between": [step["rows"] for step in recorded["steps"] if step["do"] == "rows"],
        "refused bots": 0,
    }
    _, differs = DIFFERENCES.get(recorded["scenario"], ("", {}))
    if "asked" in differs:
        seen["asked"] = brief(seen["asked"])
    assert seen == expected | differs


def brief(asked: list) -> list:
    """Each request as its bound, how many messages it had, and the last of them."""
    return [(limit, len(messages), messages[-1][1]) for limit, messages in asked]


def test_every_difference_is_of_a_recorded_chat():
    assert set(DIFFERENCES) <= {one["scenario"] for one in RECORDED}
