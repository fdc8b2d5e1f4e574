"""The turn engine's figures, on the whole of it: HTTP, store, engine; only the model is a fake that takes 500 ms.

    python bench/turns.py [--seconds 10] [--beside 1000]

Each row is a runtime process of its own (RSS and CPU are its own), asked over loopback by this process. A row at a
rate says how soon webhooks are answered and how much later than debounce + model + delay a reply is there; a row of
chats lets as many chats write again as soon as they are answered. `--beside N` repeats the rate of 50 while another
process reads and checks a fleet of N bots over and over. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

HERE = Path(__file__).resolve().parent
KEY = "the-key-of-the-bench"
DEBOUNCE, MODEL, DELAY = 0.2, 0.5, 0.1  # seconds
INSTANCE = "bench"


# --- the process that is measured -----------------------------------------------------------------------------


async def serve(folder: Path) -> None:
    """A runtime on a free port (printed), with a model that answers after 500 ms; ends with its standard input."""
    import uvicorn

    from reconciler.llm.answer import Answer
    from reconciler.runtime.app import build_app
    from reconciler.runtime.notices import Notices
    from reconciler.runtime.turns import Engine
    from reconciler.store.sqlite import open_store
    from reconciler.talk.prompt import Request

    class Model:
        async def answer(self, _account: object, request: Request) -> Answer:
            await asyncio.sleep(MODEL)
            return Answer(request.messages[-1].text)

    async def models(_account: object) -> list[dict[str, object]]:
        return []

    store, notices = open_store(folder / "runtime.db", "a-secret-key-of-the-bench"), Notices()
    engine = Engine(store.fleet, store.chats, Model(), notices)
    with (folder / "access.log").open("w") as log:
        app = build_app(store, api_key=KEY, notices=notices, wake=engine.wake, list_models=models, log_to=log)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        running = asyncio.create_task(engine.run())
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving
        await engine.stop(1)
        await running
    store.close()


# --- the process that asks ------------------------------------------------------------------------------------


class Runtime:
    """The measured process, and what the database says about it afterwards."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, __file__, "--serve", self._folder.name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.cpu()

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """MiB of resident memory, at its highest."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) >> 10

    def times(self) -> list[tuple[float, float]]:
        """(last heard at, said at) of each turn; the model repeats what it was asked, by which they are paired."""
        import sqlite3

        connection = sqlite3.connect(Path(self._folder.name) / "runtime.db")
        rows = list(connection.execute("SELECT text, at, bot_id FROM messages ORDER BY seq"))
        connection.close()
        heard = {text: at for text, at, bot in rows if bot is None}
        return [(heard[text.rpartition("\n")[2]], at) for text, at, bot in rows if bot is not None]

    def end(self) -> None:
        self._process.communicate("", timeout=30)
        self._folder.cleanup()


class Connection:
    """One keep-alive HTTP/1.1 connection, as cheap as can be, so that the asking process does not become the figure."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: object) -> bytes:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\napikey: {KEY}\r\ncontent-type: application/json\r\n"
        async with self._lock:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 20" in answer[:12], answer
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return await reader.readexactly(length)


async def prepare(runtime: Runtime) -> Connection:
    one = Connection(runtime.port)
    await one.post("/instance/create", {"instanceName": INSTANCE, "number": "49170", "integration": "EVOLUTION"})
    await one.post(f"/openai/creds/{INSTANCE}", {"name": "main", "apiKey": "sk-0123456789abcd"})
    bot = {
        "enabled": True, "openaiCredsId": "main", "botType": "chatCompletion", "model": "m", "maxTokens": 9,
        "triggerType": "all", "debounceTime": int(DEBOUNCE * 1000), "delayMessage": int(DELAY * 1000),
    }  # fmt: skip
    await one.post(f"/openai/create/{INSTANCE}", bot)
    return one


def webhook(number: int, chat: int) -> dict[str, object]:
    key = {"id": f"m{number}", "remoteJid": f"{chat}@s.whatsapp.net", "fromMe": False}
    message = {"conversation": f"hello {number}"}
    return {"numberId": "49170", "key": key, "pushName": "Ana", "message": message, "messageType": "conversation"}


async def at_rate(rate: int, seconds: float) -> str:
    """Turns at a fixed rate, each chat writing once in two seconds."""
    runtime = Runtime()
    try:
        await prepare(runtime)
        connections = [Connection(runtime.port) for _ in range(16)]
        acknowledged: list[float] = []

        async def one(number: int) -> None:
            began = time.perf_counter()
            await connections[number % 16].post("/webhook/evolution", webhook(number, number % (rate * 2)))
            acknowledged.append(time.perf_counter() - began)

        begun, cpu, tasks = time.perf_counter(), runtime.cpu(), []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        await asyncio.sleep(DEBOUNCE + MODEL + DELAY + 0.5)
        used = runtime.cpu() - cpu
        pairs = runtime.times()
        added = [said - heard - DEBOUNCE - MODEL - DELAY for heard, said in pairs]
        assert len(pairs) == len(tasks), f"{len(pairs)} of {len(tasks)} were answered"
        return row(f"{rate} turns/s", acknowledged, added, rate, used / len(pairs), runtime.rss())
    finally:
        runtime.end()


async def at_full(chats: int, seconds: float) -> str:
    """As many turns as there are: each chat writes again as soon as it is answered."""
    runtime = Runtime()
    try:
        await prepare(runtime)
        connections = [Connection(runtime.port) for _ in range(64)]
        acknowledged: list[float] = []
        numbers = itertools.count()
        round_ = DEBOUNCE + MODEL + DELAY
        end = time.perf_counter() + seconds

        async def one(chat: int) -> None:
            await asyncio.sleep(chat / chats * round_)
            while time.perf_counter() < end:
                began = time.perf_counter()
                await connections[chat % 64].post("/webhook/evolution", webhook(next(numbers), chat))
                acknowledged.append(time.perf_counter() - began)
                await asyncio.sleep(round_ + 0.005)

        cpu = runtime.cpu()
        await asyncio.gather(*(one(chat) for chat in range(chats)))
        await asyncio.sleep(round_ + 1)
        used = runtime.cpu() - cpu
        pairs = runtime.times()
        said = sorted(said for _, said in pairs)
        turns = len(said) / (said[-1] - said[0])
        added = [said - heard - round_ for heard, said in pairs]
        return row(f"{chats:,} chats, no pause", acknowledged, added, turns, used / len(pairs), runtime.rss())
    finally:
        runtime.end()


def beside(bots: int, seconds: float) -> str:
    """The rate of 50 while a fleet is read and checked over and over."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Path(folder) / "fleet"
        subprocess.run([sys.executable, HERE / "fleet.py", str(bots), str(fleet)], check=True)
        loop = (
            "import subprocess, sys\n"
            "while True: subprocess.run([sys.executable, '-m', 'reconciler', 'validate'], capture_output=True)"
        )
        planner = subprocess.Popen([sys.executable, "-c", loop], cwd=fleet, start_new_session=True)
        try:
            said = uvloop.run(at_rate(50, seconds))
        finally:
            os.killpg(planner.pid, 9)
            planner.wait()
        return said.replace("50 turns/s", f"50 turns/s, {bots:,} bots parsed beside", 1)


def row(name: str, acknowledged: list[float], added: list[float], rate: float, cpu: float, rss: int) -> str:
    soon = f"{at(acknowledged, 50):.1f} / {at(acknowledged, 99):.1f}"
    late = f"{at(added, 50):.0f} / {at(added, 99):.0f}"
    return f"| {name} | {soon} | {late} | {rate:,.0f} | {cpu * 1000:.2f} | {rss} |"


def at(values: list[float], percent: int) -> float:
    """A percentile in milliseconds."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--beside", type=int, default=1000, help="bots that are parsed meanwhile; 0: leave it out")
    parser.add_argument("--only", choices=("rates", "chats"), help="leave the other rows out")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        uvloop.run(serve(options.serve))
        return
    print("| load | acknowledged p50/p99, ms | latency added p50/p99, ms | turns/s | CPU ms a turn | RSS, MiB |")
    print("|---|---|---|---|---|---|")
    for rate in (10, 50, 100) if options.only != "chats" else ():
        print(uvloop.run(at_rate(rate, options.seconds)), flush=True)
    for chats in (500, 2000) if options.only != "rates" else ():
        print(uvloop.run(at_full(chats, options.seconds)), flush=True)
    if options.beside and options.only is None:
        print(beside(options.beside, options.seconds), flush=True)


if __name__ == "__main__":
    main()
