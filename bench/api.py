"""Times the runtime's HTTP API: 1,000 bots in one instance, over loopback, the server a process of its own.

    python bench/api.py [--bots 1000] [--rounds 200]

Prints one Markdown table. `p50` is the median of single calls one after another on one connection; `requests/s` are of
10 connections at once. Everything is bounded: a run takes about half a minute and ends its server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import uvloop

KEY = "the-key-of-the-bench"
CONNECTIONS = 10


def body(number: int) -> dict[str, Any]:
    """A bot with a prompt of usual size and a trigger of its own."""
    return {
        "enabled": True,
        "description": f"Bot {number}",
        "openaiCredsId": "main",
        "botType": "chatCompletion",
        "model": "gpt-4o",
        "maxTokens": 300,
        "systemMessages": [f"You are the assistant of shop {number}. " + "Answer in two sentences. " * 20],
        "triggerType": "keyword",
        "triggerOperator": "equals",
        "triggerValue": f"start {number}",
    }


def request(method: str, path: str, content: bytes = b"", key: str = KEY) -> bytes:
    """A request as it goes over the wire: the bench must not measure a client."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\napikey: {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Connection:
    """One kept connection to the server."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 25)
        return self

    async def call(self, raw: bytes) -> tuple[int, bytes]:
        """Sends a request, reads its answer: status and body."""
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, lower = int(head[9:12]), head.lower()
        if b"transfer-encoding: chunked" in lower:
            parts = []
            while size := int(await self._reader.readline(), 16):
                parts.append((await self._reader.readexactly(size + 2))[:-2])
            await self._reader.readline()
            return status, b"".join(parts)
        at = lower.find(b"content-length: ")
        length = int(lower[at + 16 : lower.index(b"\r", at)]) if at >= 0 else 0
        return status, await self._read(length)

    async def _read(self, length: int) -> bytes:
        """`length` bytes; taken as they come, which costs a stream less than waiting for all of them."""
        parts = []
        while length:
            parts.append(await self._reader.read(min(length, 1 << 20)))
            length -= len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


async def one_by_one(port: int, raws: list[bytes], expected: int) -> float:
    """The median milliseconds of calls one after another."""
    connection, took = await Connection(port).open(), []
    for raw in raws:
        began = time.perf_counter()
        status, _ = await connection.call(raw)
        took.append((time.perf_counter() - began) * 1000)
        assert status == expected, status
    connection.close()
    return statistics.median(took)


async def at_once(port: int, raws: list[bytes], expected: int) -> float:
    """The requests a second of 10 connections that share the calls."""
    connections = [await Connection(port).open() for _ in range(CONNECTIONS)]

    async def work(connection: Connection, mine: list[bytes]) -> None:
        for raw in mine:
            status, _ = await connection.call(raw)
            assert status == expected, status

    began = time.perf_counter()
    await asyncio.gather(*(work(each, raws[at::CONNECTIONS]) for at, each in enumerate(connections)))
    took = time.perf_counter() - began
    for each in connections:
        each.close()
    return len(raws) / took


def rss(pid: int) -> float:
    """A process's resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu(pid: int) -> float:
    """The seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def raw(method: str, path: str, data: dict[str, Any] | None = None) -> bytes:
    return request(method, path, httpx.Request("POST", "http://x", json=data).content if data is not None else b"")


async def measure(port: int, pid: int, bots: int, rounds: int) -> list[tuple[str, str]]:
    """All figures, in the table's order."""
    first = await Connection(port).open()
    await first.call(raw("POST", "/instance/create", {"instanceName": "Bench"}))
    await first.call(raw("POST", "/openai/creds/Bench", {"name": "main", "apiKey": "sk-bench"}))
    rows = [("RSS before", f"{rss(pid):.0f} MiB")]
    filling = await at_once(port, [raw("POST", "/openai/create/Bench", body(n)) for n in range(bots)], 201)
    create = await one_by_one(
        port, [raw("POST", "/openai/create/Bench", body(n)) for n in range(bots, bots + rounds)], 201
    )
    _, listed = await first.call(raw("GET", "/openai/find/Bench"))
    ids = [row["id"] for row in httpx.Response(200, content=listed).json()]
    extra = ids[bots:]
    fetch = await one_by_one(port, [raw("GET", f"/openai/fetch/{id}/Bench") for id in ids[:rounds]], 200)
    update = await one_by_one(
        port, [raw("PUT", f"/openai/update/{id}/Bench", {"description": "changed"}) for id in ids[:rounds]], 200
    )
    delete = await one_by_one(port, [raw("DELETE", f"/openai/delete/{id}/Bench") for id in extra], 200)
    find = raw("GET", "/openai/find/Bench")
    alone = await one_by_one(port, [find] * rounds, 200)
    began = cpu(pid)
    together = await at_once(port, [find] * rounds * 5, 200)
    busy = (cpu(pid) - began) * 1000 / (rounds * 5)
    with_tag = await first_tag(first)
    rows += [
        (f"find, {bots} rows ({len(listed) / 1024:.0f} KiB), p50", f"{alone:.2f} ms"),
        (f"find, {CONNECTIONS} connections", f"{together:,.0f} requests/s ({busy:.1f} ms of the server's CPU each)"),
        (f"create, {CONNECTIONS} connections", f"{filling:,.0f} requests/s"),
        ("create, p50", f"{create:.2f} ms"),
        ("fetch, p50", f"{fetch:.2f} ms"),
        ("update, p50", f"{update:.2f} ms"),
        ("delete, p50", f"{delete:.2f} ms"),
        ("GET /fleet unchanged (304), p50", f"{await one_by_one(port, [with_tag] * rounds, 304):.2f} ms"),
        (f"POST /fleet, {bots} creates", f"{await whole(port, bots):.0f} ms"),
        ("RSS after", f"{rss(pid):.0f} MiB"),
    ]
    first.close()
    return rows


async def first_tag(connection: Connection) -> bytes:
    """A reading of the fleet that knows its ETag."""
    _, content = await connection.call(raw("GET", "/fleet?instance=Bench"))
    etag = httpx.Response(200, content=content).json()["instances"][0]["etag"]
    return raw("GET", "/fleet?instance=Bench").replace(b"\r\n\r\n", f"\r\nIf-None-Match: {etag}\r\n\r\n".encode(), 1)


async def whole(port: int, bots: int) -> float:
    """The milliseconds of one request that creates an instance's bots."""
    connection = await Connection(port).open()
    await connection.call(raw("POST", "/instance/create", {"instanceName": "Whole"}))
    await connection.call(raw("POST", "/openai/creds/Whole", {"name": "main", "apiKey": "sk-bench"}))
    changes = [{"action": "create", "kind": "Bot", "body": body(n)} for n in range(bots)]
    began = time.perf_counter()
    status, said = await connection.call(raw("POST", "/fleet/Whole", {"changes": changes}))
    assert status == 200, said[:500]
    connection.close()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Starts a server on a new data folder, measures, ends it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--bots", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=200)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "address"
        command = [sys.executable, "-m", "reconciler", "serve", "--port", "0", "--data", folder, "--no-access-log"]
        server = subprocess.Popen(command, env={**os.environ, "RECONCILER_API_KEY": KEY}, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not address.exists() or not address.read_text().strip():
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)
            port = int(address.read_text().strip().rpartition(":")[2])
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows = runner.run(measure(port, server.pid, given.bots, given.rounds))
        finally:
            server.terminate()
            server.wait(20)
    print("| | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
