"""The main job's figures on a fleet of N bots, whole processes, medians.

    python bench/main_job.py 1000 [--runs 5]

Makes the fleet with bench/fleet.py in a temporary folder, starts `reconciler up` on it, and prints a table in Markdown:
validate cold and cached, first apply, plan without changes in a fresh process, a pass without changes in the running
loop and its requests, a commit that changes one prompt until it is live, memory of both processes.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from reconciler.reconcile.history import History

HERE = Path(__file__).resolve().parent
KEY = "the-key-of-the-bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bots", type=int)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "fleet"
        subprocess.run([sys.executable, HERE / "fleet.py", str(options.bots), str(root)], check=True)
        measure(root, options.bots, options.runs)


def measure(root: Path, bots: int, runs: int) -> None:
    variables = {**os.environ, "RECONCILER_API_KEY": KEY, "RECONCILER_DATA": str(root / ".reconciler")}
    cache = root / ".reconciler" / "documents.cache"

    def command(*arguments: str) -> float:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *arguments], cwd=root, env=variables, capture_output=True
        )
        seconds = time.perf_counter() - began
        assert done.returncode == 0, done.stderr.decode()
        return seconds

    def cold() -> float:
        cache.unlink(missing_ok=True)
        return command("validate")

    rows: list[tuple[str, str]] = []

    def say(what: str, value: str) -> None:
        rows.append((what, value))
        print(f"| {what} | {value} |", flush=True)

    print(f"\n| {bots:,} bots, {max(1, bots // 10):,} instances | median of {runs} (min to max) |\n|---|---|")
    say("`validate`, nothing cached", spread([cold() for _ in range(runs)]))
    command("validate")
    say("`validate`, documents cached", spread([command("validate") for _ in range(runs)]))

    up = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "up", "--port", "0"],
        cwd=root,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = root / ".reconciler" / "address"
        wait(address.exists)
        client = httpx.Client(base_url=address.read_text().strip(), headers={"apikey": KEY}, timeout=30)
        wait(lambda: client.get("/readyz").status_code == 200, 600)
        with History(root / ".reconciler" / "loop.db") as history:
            first = history.passes(10)[-1]
            assert first.outcome == "applied", first
            say(
                "first apply, the pass from reading to the last answer (once)",
                f"{(first.ended or 0) - first.started:.2f} s",
            )
            say("`plan` without changes", spread([command("plan", "--detailed-exitcode") for _ in range(runs)]))
            before, quiet = counted(client), []
            for _ in range(runs):
                command("sync")
                last = history.passes(1)[0]
                assert last.outcome == "unchanged", last
                quiet.append((last.ended or 0) - last.started)
            say("a pass without changes in the loop", spread(quiet))
            asked = counted(client) - before
            say("its requests to the runtime", f"{asked / runs:g}")
            say(
                "a commit that changes one prompt, until it is live",
                spread([change(root, client, n) for n in range(runs)]),
            )
            own, loop = memory(up.pid), memory(child(up.pid))
            say("memory of the runtime, now (highest)", own)
            say("memory of the loop, now (highest)", loop)
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def spread(values: list[float]) -> str:
    """Median, smallest and largest, in the unit that reads best."""
    scale, unit = (1, "s") if statistics.median(values) >= 0.1 else (1000, "ms")
    low, middle, high = (v * scale for v in (min(values), statistics.median(values), max(values)))
    return f"{middle:.2f} {unit} ({low:.2f} to {high:.2f})"


def counted(client: httpx.Client) -> int:
    """Requests of the reconciler that the runtime has answered."""
    found = re.findall(
        r'^reconciler_http_requests_total\{[^}]*route="/fleet"[^}]*\} (\S+)', client.get("/metrics").text, re.M
    )
    return sum(int(float(value)) for value in found)


def change(root: Path, client: httpx.Client, number: int) -> float:
    """Seconds from the end of `git commit` until the runtime shows the new prompt."""
    file = sorted(root.glob("bots/*/prompts/*.md"))[number]
    instance = file.parent.parent.name
    words = f"Mention order number {time.time_ns()} when asked."
    file.write_text(file.read_text() + words + "\n")
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "one prompt"], cwd=root, check=True)
    began = time.perf_counter()
    path = f"/openai/find/{instance.replace('-', '_')}"
    wait(lambda: any(words in (row["systemMessages"] or [""])[0] for row in client.get(path).json()), 30, 0.01)
    return time.perf_counter() - began


def child(pid: int) -> int:
    """The loop: the runtime's child process."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(listed[0])


def memory(pid: int) -> str:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    now, high = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return f"{now:.0f} MiB ({high:.0f})"


def wait(true: Callable[[], object], seconds: float = 30, step: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(step)


if __name__ == "__main__":
    main()
