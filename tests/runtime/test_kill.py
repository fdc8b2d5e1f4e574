"""kill -9 under load, and again: what was acknowledged is answered once, nothing is said twice."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def child(path: Path, first: int, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.kill_child", str(path), str(first), mode],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def open_work(path: Path) -> int:
    connection = sqlite3.connect(path, timeout=5)
    try:
        (messages,) = connection.execute("SELECT count(*) FROM messages WHERE state < 2").fetchone()
        (outbox,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        return messages + outbox
    finally:
        connection.close()


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path):
    path = tmp_path / "chats.db"
    acknowledged: list[int] = []
    for turn, after in enumerate((60, 150)):
        first = turn * 10_000
        running = child(path, first, "load")
        assert running.stdout is not None
        acknowledged += [int(running.stdout.readline()) for _ in range(after)]
        running.kill()
        rest, _ = running.communicate(timeout=60)
        acknowledged += [int(row) for row in rest.splitlines(keepends=True) if row.endswith("\n")]
    last = child(path, 0, "rest")
    deadline = time.monotonic() + 120
    while open_work(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    last.communicate("", timeout=60)
    assert last.returncode == 0
    assert open_work(path) == 0
    connection = sqlite3.connect(path)
    heard = [row[0] for row in connection.execute("SELECT text FROM messages WHERE bot_id IS NULL ORDER BY seq")]
    said = list(connection.execute("SELECT jid, text FROM messages WHERE bot_id IS NOT NULL ORDER BY seq"))
    connection.close()
    answered = Counter(int(n) for _, text in said for n in re.findall(r"<(\d+)>", text))
    assert set(acknowledged) <= set(answered), "an acknowledged message was lost"
    assert set(answered.values()) == {1}, "a message was answered twice"
    assert len(heard) == len(set(heard)) == len(answered)
    for chat in range(10):  # in order, too
        numbers = [int(n) for jid, text in said if jid == f"c{chat}" for n in re.findall(r"<(\d+)>", text)]
        assert numbers == sorted(numbers)


def test_the_whole_runtime_killed_under_load_says_everything_once_at_a_recording_webhook():
    """One short run of the script that does ten long ones."""
    done = subprocess.run(
        [sys.executable, "bench/kill.py", "--runs", "1", "--seconds", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "0 lost, 0 doubled" in done.stdout
