"""An OpenAI-compatible server on loopback that answers from a list and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager


class FakeOpenAI:
    """`answers` are taken in order, the last one again and again: (status, headers, body), "reset", or "hang"."""

    def __init__(self) -> None:
        self.answers: list = []
        self.seen: list[tuple[str, dict[str, str], dict]] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *rows = head.split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (row.partition(":") for row in rows if row)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append((first.split()[1], headers, _read(body, headers)))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer == "reset":
                    writer.transport.abort()
                    return
                if answer == "hang":
                    await asyncio.sleep(60)
                status, more, content = answer
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                lines = {"content-type": "application/json", "content-length": str(len(data)), **more}
                fields = "".join(f"{k}: {v}\r\n" for k, v in lines.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n".encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def _read(body, headers):
    if not body:
        return {}
    return json.loads(body) if "json" in headers.get("content-type", "") else body


@asynccontextmanager
async def fake_openai():
    fake = FakeOpenAI()
    server = await asyncio.start_server(fake.handle, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()


def chat(content=None, tool_calls=None, refusal=None, finish_reason="stop"):
    message = {"role": "assistant", "content": content, "tool_calls": tool_calls, "refusal": refusal}
    return 200, {}, {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip


def tool_call(name="f", arguments='{"a": 1}', id="call1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def response(*output, **fields):
    return 200, {}, {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
        **fields,
    }  # fmt: skip


def output_text(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}


def function_call(name="f", arguments='{"a": 1}', call_id="call1"):
    return {"type": "function_call", "id": "fc", "call_id": call_id, "name": name, "arguments": arguments}


def error(status, code=None, message="no", param=None, **headers):
    body = {"error": {"message": message, "type": "x", "code": code, "param": param}}
    return status, {k.replace("_", "-"): v for k, v in headers.items()}, body
