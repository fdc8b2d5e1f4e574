"""Times small requests while long lists are read: 20,000 sessions of one bot (some 10 MB), asked for again and again.

    python bench/lists.py [--readers 2] [--seconds 15] [--checkout FOLDER]

The server, the readers of the list and whoever makes the small requests are processes of their own. `--checkout` serves
another checkout of the project, to compare. Prints one Markdown table; ends its server and readers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from api import KEY, Connection, body, cpu, raw, rss

SESSIONS = 20_000
HISTORY = json.dumps(
    [{"role": role, "text": f"{role} says " + "something " * 10, "at": 1.0} for role in ("user", "assistant")]
)
SMALL = ("GET", "/openai/fetchSettings/Bench")


async def fill(port: int, database: Path) -> str:
    """An instance with a bot of many sessions; the path of their list."""
    connection = await Connection(port).open()
    await connection.call(raw("POST", "/instance/create", {"instanceName": "Bench"}))
    await connection.call(raw("POST", "/openai/creds/Bench", {"name": "main", "apiKey": "sk-bench"}))
    row = json.loads((await connection.call(raw("POST", "/openai/create/Bench", body(1))))[1])
    connection.close()
    columns = "id, instance_id, jid, bot_id, status, push_name, history, await_user, failure, created_at, active_at"
    with closing(sqlite3.connect(database, timeout=30)) as opened, opened:
        opened.executemany(
            f"INSERT INTO sessions ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (
                (f"s{n}", row["instanceId"], f"chat-{n}", row["id"], "opened", "Ana", HISTORY, 1, None, 1.0, 2.0)
                for n in range(SESSIONS)
            ),
        )
    return f"/openai/fetchSessions/{row['id']}/Bench"


async def small(port: int, seconds: float) -> list[float]:
    """The milliseconds of small requests, one every five."""
    connection, took, end = await Connection(port).open(), [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        status, _ = await connection.call(raw(*SMALL))
        took.append((time.perf_counter() - began) * 1000)
        assert status == 200, status
        await asyncio.sleep(0.005)
    connection.close()
    return took


async def read(port: int, path: str, packed: bool) -> None:
    """Reads the list again and again; a line for each time, with its bytes."""
    connection = await Connection(port).open()
    asked = raw("GET", path)
    if packed:
        asked = asked.replace(b"\r\nContent-Type", b"\r\nAccept-Encoding: gzip\r\nContent-Type", 1)
    while True:
        _, content = await connection.call(asked)
        print(len(content), flush=True)


def reading(port: int, path: str, readers: int, packed: bool, seconds: float) -> tuple[list[float], int]:
    """Small requests beside readers: their times, and how many lists were read meanwhile."""
    command = [sys.executable, __file__, "--read", str(port), path, *(["--packed"] if packed else [])]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(readers)]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()  # each has read one whole list
        took = asyncio.run(small(port, seconds))
    finally:
        for child in children:
            child.terminate()
    lists = sum(len(child.communicate()[0].splitlines()) for child in children)
    return took, lists


def row(name: str, took: list[float], lists: int | None) -> str:
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    shown = "" if lists is None else str(lists)
    return f"| {name} | {shown} | {statistics.median(took):.1f} | {cuts[98]:.1f} | {max(took):.1f} | {len(took)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--packed", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        asyncio.run(read(int(asked.read[0]), asked.read[1], asked.packed))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "serve", "--port", "0", "--data", name, "--no-access-log"],
            env={**os.environ, "RECONCILER_API_KEY": KEY, "PYTHONPATH": str(asked.checkout)},
            cwd=asked.checkout,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (folder / "address").exists() or not (folder / "address").read_text().strip():
                assert server.poll() is None
                time.sleep(0.05)
            port = int((folder / "address").read_text().rpartition(":")[2])
            path = asyncio.run(fill(port, folder / "runtime.db"))
            print("| beside | lists read | p50 ms | p99 ms | longest ms | small requests |\n|---|---|---|---|---|---|")
            print(row("nothing", asyncio.run(small(port, asked.seconds / 3)), None))
            for packed in (False, True):
                took, lists = reading(port, path, asked.readers, packed, asked.seconds)
                print(row(f"{asked.readers} readers{', gzip' if packed else ''}", took, lists), flush=True)
            print(f"\nserver: {cpu(server.pid):.1f} s of processor time, {rss(server.pid):.0f} MiB")
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
