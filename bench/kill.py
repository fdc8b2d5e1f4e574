"""kill -9 under load, again and again: is an acknowledged message ever lost, a reply ever doubled?

    python bench/kill.py [--runs 10] [--seconds 20]

Each run: a whole runtime (HTTP, store, engine; a fake model of 200 ms) gets 50 turns a second as bursts of three
messages, every twentieth webhook twice; it is killed at random points and started anew on the same data. A webhook
that was not answered is sent again, as a server would. Replies are carried to a recording webhook, which knows a
message by its `Idempotency-Key`. Exits with 1 if an acknowledged message was not answered, or answered twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY = "the-key-of-the-kill"
RATE, BURST, CHATS = 50, 3, 200


# --- the process that is killed -------------------------------------------------------------------------------


async def serve(folder: Path, hook: str) -> None:
    """A runtime on a free port (printed) until it is killed or its standard input ends."""
    import uvicorn

    from reconciler.egress import Gate
    from reconciler.llm.answer import Answer
    from reconciler.runtime.app import build_app
    from reconciler.runtime.channels.push import Webhooks
    from reconciler.runtime.notices import Notices
    from reconciler.runtime.turns import Engine
    from reconciler.store.sqlite import open_store
    from reconciler.talk.prompt import Request

    class Model:
        async def answer(self, _account: object, request: Request) -> Answer:
            await asyncio.sleep(0.2)
            return Answer(request.messages[-1].text)

    async def models(_account: object) -> list[dict[str, object]]:
        return []

    store, notices = open_store(folder / "runtime.db", "a-secret-key-of-the-kill"), Notices()
    host = hook.partition("://")[2].partition("/")[0]
    webhooks = Webhooks(gate=Gate((host,)))
    engine = Engine(store.fleet, store.chats, Model(), notices, lease=5, post=webhooks)
    with (folder / "access.log").open("a") as log:
        app = build_app(
            store, api_key=KEY, notices=notices, wake=engine.wake, list_models=models, log_to=log,
            allow_private_urls=(host,),
        )  # fmt: skip
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        running, serving = asyncio.create_task(engine.run()), asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving
        await engine.stop(5)
        await running
    await webhooks.close()
    store.close()


# --- the process that kills -----------------------------------------------------------------------------------


class Recorder:
    """A webhook that keeps what it is told, once for each key."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[str, str]] = {}
        self.posts = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                data = json.loads(body)["data"]
                key = head.split("idempotency-key: ")[1].split("\r\n")[0]
                self.posts += 1
                self.said.setdefault(key, (data["key"]["remoteJid"], data["message"]["conversation"]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class Runtime:
    """The runtime, however often it is started."""

    def __init__(self, folder: Path, hook: str) -> None:
        self._folder, self._hook = folder, hook
        self.kills = 0

    async def start(self) -> None:
        command = [sys.executable, __file__, "--serve", str(self._folder), "--hook", self._hook]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()
        self.kills += 1

    async def end(self) -> None:
        await asyncio.wait_for(self._process.communicate(b""), 30)

    async def post(self, path: str, body: object) -> bool:
        """Whether the call was answered with a success."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\napikey: {KEY}\r\nconnection: close\r\n"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                fields = f"content-type: application/json\r\ncontent-length: {len(data)}"
                writer.write(f"{head}{fields}\r\n\r\n".encode() + data)
                return b" 20" in (await reader.readuntil(b"\r\n\r\n"))[:12]
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return False


async def one_run(folder: Path, seconds: float, seed: int) -> tuple[str, bool]:
    """One run; what is to be told of it, and whether it kept its promises."""
    draw, recorder = random.Random(seed), Recorder()
    listening = await asyncio.start_server(recorder.handle, "127.0.0.1", 0)
    hook = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
    runtime = Runtime(folder, hook)
    await runtime.start()
    await prepare(runtime, hook)
    acknowledged: set[int] = set()
    tasks = []

    async def send(number: int, chat: int) -> None:
        for _ in range(200):  # until it is answered: the server at the other end tries again
            if await runtime.post("/webhook/evolution", webhook(number, chat)):
                acknowledged.add(number)
                return
            await asyncio.sleep(0.1)

    async def killer() -> None:
        while True:
            await asyncio.sleep(draw.uniform(0.3, 3.0))
            await runtime.kill()
            await runtime.start()

    begun = time.monotonic()
    killing = asyncio.create_task(killer())
    number = 0
    for turn in range(int(RATE * seconds)):
        await asyncio.sleep(max(0.0, begun + turn / RATE - time.monotonic()))
        chat = turn % CHATS
        for _ in range(BURST):
            tasks.append(asyncio.create_task(send(number, chat)))
            if draw.random() < 0.05:
                tasks.append(asyncio.create_task(send(number, chat)))
            number += 1
    await asyncio.gather(*tasks)
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)
    await runtime.kill()
    await runtime.start()
    deadline = time.monotonic() + 60
    while open_work(folder) and time.monotonic() < deadline:  # noqa: ASYNC110 - it is another process's work
        await asyncio.sleep(0.1)
    await runtime.end()
    listening.close()
    return verdict(acknowledged, number, recorder, runtime.kills)


def verdict(acknowledged: set[int], sent: int, recorder: Recorder, kills: int) -> tuple[str, bool]:
    answered = Counter(int(n) for _, text in recorder.said.values() for n in re.findall(r"<(\d+)>", text))
    lost = acknowledged - set(answered)
    doubled = [n for n, count in answered.items() if count > 1]
    again = recorder.posts - len(recorder.said)
    told = (
        f"{kills} kills, {sent} messages, {len(acknowledged)} acknowledged, {len(recorder.said)} replies"
        f" ({again} posted again under the same key): {len(lost)} lost, {len(doubled)} doubled"
    )
    return told, not lost and not doubled and len(acknowledged) == sent


async def prepare(runtime: Runtime, hook: str) -> None:
    bot = {
        "enabled": True, "openaiCredsId": "main", "botType": "chatCompletion", "model": "m", "maxTokens": 9,
        "triggerType": "all", "debounceTime": 200, "delayMessage": 100,
    }  # fmt: skip
    instance = {"instanceName": "i", "number": "49170", "integration": "EVOLUTION", "webhook": hook}
    assert await runtime.post("/instance/create", instance)
    assert await runtime.post("/openai/creds/i", {"name": "main", "apiKey": "sk-0123456789abcd"})
    assert await runtime.post("/openai/create/i", bot)


def webhook(number: int, chat: int) -> dict[str, object]:
    key = {"id": f"m{number}", "remoteJid": f"{chat}@s.whatsapp.net", "fromMe": False}
    message = {"conversation": f"<{number}>"}
    return {"numberId": "49170", "key": key, "pushName": "Ana", "message": message, "messageType": "conversation"}


def open_work(folder: Path) -> int:
    """Messages that were not answered, replies not said, posts not made."""
    connection = sqlite3.connect(folder / "runtime.db", timeout=5)
    try:
        (messages,) = connection.execute("SELECT count(*) FROM messages WHERE state < 2").fetchone()
        (replies,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        (posts,) = connection.execute("SELECT count(*) FROM pushes").fetchone()
        return int(messages) + int(replies) + int(posts)
    finally:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--hook", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve, options.hook))
        return 0
    kept = True
    for run in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            told, well = asyncio.run(one_run(Path(folder), options.seconds, seed=run))
        print(f"run {run + 1}: {told}", flush=True)
        kept = kept and well
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
