"""The reconciler's figures on a fleet of N bots over N/10 instances, and octoDNS beside it in the same run.

    python bench/reconcile.py 10000 [--runs 5] [--without-octodns]

Makes the fleet with bench/fleet.py in a temporary folder and measures whole processes: `validate` cold and cached, the
first apply, `plan` without changes, a pass without changes in the running loop, a commit that changes one bot until it
is live; with the requests that each costs the runtime, and the memory of each process. Then octoDNS from PyPI, in an
environment of its own, with as many records. Prints Markdown: medians, with the smallest and the largest.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from main_job import KEY, child, memory, spread, wait
from octodns_local import change as change_zone
from octodns_local import write as write_zones

from reconciler.reconcile.history import History

HERE = Path(__file__).resolve().parent


class Ran(NamedTuple):
    """A process that ended: seconds by the clock and of the processor, and the most memory it had, in MiB."""

    seconds: float
    cpu: float
    memory: float


def run(command: list[str], cwd: Path, env: dict[str, str], codes: tuple[int, ...] = (0,)) -> Ran:
    """Runs a command to its end; whatever else than `codes` it leaves with is an error."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert process.returncode in codes, (command, process.returncode, said.read()[-2000:].decode())
    return Ran(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


class Table:
    """Rows of Markdown as they are measured; `each` is what a figure is divided by in the column for each."""

    def __init__(self, title: str, each: int) -> None:
        self._each = each
        print(f"\n| {title} | median (min to max) | for each | processor |\n|---|---|---|---|")

    def times(self, what: str, ran: list[Ran]) -> None:
        """Processes: what they took by the clock, and, which other work beside does not change, of the processor."""
        cpu = f"{statistics.median(one.cpu for one in ran):.2f} s"
        self.line(what, [one.seconds for one in ran], cpu)

    def line(self, what: str, values: list[float], cpu: str = "") -> None:
        """Seconds, each of them for the whole."""
        self.say(what, spread(values), f"{statistics.median(values) / self._each * 1e6:.0f} µs", cpu)

    def say(self, what: str, value: str, each: str = "", cpu: str = "") -> None:
        print(f"| {what} | {value} | {each} | {cpu} |", flush=True)


def ours(root: Path, bots: int, runs: int) -> None:
    """The reconciler's table."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILER_", "OPENAI_"))}
    env |= {"RECONCILER_API_KEY": KEY, "RECONCILER_DATA": str(root / ".reconciler")}
    cache = root / ".reconciler" / "documents.cache"

    def command(*arguments: str) -> Ran:
        return run([sys.executable, "-m", "reconciler", *arguments], root, env)

    def cold() -> Ran:
        cache.unlink(missing_ok=True)
        return command("validate")

    table = Table(f"{bots:,} bots, {max(1, bots // 10):,} instances", bots)
    table.times("`validate`, nothing cached", [cold() for _ in range(runs)])
    cached = [command("validate") for _ in range(runs + 1)][1:]
    table.times("`validate`, documents cached", cached)
    with up(root, env) as (process, client), History(root / ".reconciler" / "loop.db") as history:
        first = history.passes(1000)[-1]
        assert first.outcome == "applied", first
        table.line("first apply, the pass from reading to the last answer (once)", [(first.ended or 0) - first.started])
        table.say("its requests", str(sum(requests(client).values())))
        command("sync")  # the look after the first apply reads what that has made
        plans = [command("plan", "--detailed-exitcode") for _ in range(runs)]
        table.times("`plan` without changes, a fresh process", plans)
        quiet, before = [], requests(client)
        for _ in range(runs):
            command("sync")
            last = history.passes(1)[0]
            assert last.outcome == "unchanged", last
            quiet.append((last.ended or 0) - last.started)
        table.say("a pass without changes in the loop", spread(quiet))
        table.say("its requests", told(requests(client), before, runs))
        before, seconds = requests(client), [change(root, client, number) for number in range(runs)]
        after = requests(client)
        table.say("one bot's prompt, from the end of `git commit` until it is live", spread(seconds))
        table.say("its requests", told(after, before, runs))
        table.say("memory of the loop, now (highest)", memory(child(process.pid)))
        table.say("memory of the runtime, now (highest)", memory(process.pid))
        table.say("memory of `plan`, highest", f"{max(one.memory for one in plans):.0f} MiB")
        table.say("memory of `validate`, highest", f"{max(one.memory for one in cached):.0f} MiB")


@contextmanager
def up(root: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`reconciler up` on the fleet, ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "up", "--port", "0"],
        cwd=root,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = root / ".reconciler" / "address"
        wait(address.exists)
        with httpx.Client(base_url=address.read_text().strip(), headers={"apikey": KEY}, timeout=30) as client:
            wait(lambda: client.get("/readyz").status_code == 200, 600)
            yield process, client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def requests(client: httpx.Client) -> dict[str, int]:
    """What the reconciler has asked the runtime, by method and route."""
    found = re.findall(r"^reconciler_http_requests_total\{(.*)\} (\S+)$", client.get("/metrics").text, re.M)
    counted: dict[str, int] = {}
    for labels, value in found:
        of = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if of["route"].startswith(("/fleet", "/instance/create", "/openai/c", "/openai/u", "/openai/d")):
            key = f"{of['method']} {of['route']}"
            counted[key] = counted.get(key, 0) + int(float(value))
    return counted


def told(after: dict[str, int], before: dict[str, int], runs: int) -> str:
    """The requests between two counts, for each run."""
    made = {key: (value - before.get(key, 0)) / runs for key, value in after.items() if value != before.get(key, 0)}
    return ", ".join(f"{count:g} `{key}`" for key, count in sorted(made.items())) or "none"


def change(root: Path, client: httpx.Client, number: int) -> float:
    """Seconds from the end of `git commit` until the runtime shows the new prompt."""
    file = sorted(root.glob("bots/*/prompts/*.md"))[number * 7]
    instance = file.parent.parent.name.replace("-", "_")
    words = f"Mention order number {time.time_ns()} when asked."
    file.write_text(file.read_text() + words + "\n")
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "one prompt"], cwd=root, check=True)
    began = time.perf_counter()
    wait(lambda: words in client.get(f"/openai/find/{instance}").text, 60, 0.01)
    seconds = time.perf_counter() - began
    time.sleep(0.3)  # the pass writes down how it ended
    return seconds


def theirs(folder: Path, records: int, runs: int) -> None:
    """octoDNS' table: the same kind of work on as many objects."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "octodns"], check=True, stderr=subprocess.DEVNULL)
    shown = subprocess.run([*pip, "show", "octodns"], check=True, capture_output=True, text=True).stdout
    number = next(line.split()[1] for line in shown.splitlines() if line.startswith("Version"))
    write_zones(folder / "dns", records)
    env = {**os.environ, "PYTHONPATH": str(HERE)}

    def command(name: str, *arguments: str) -> Ran:
        program = str(folder / "venv" / "bin" / name)
        return run([program, "--config-file", str(folder / "dns" / "config.yaml"), *arguments], folder, env)

    def one_change(zone: int, *named: str) -> Ran:
        change_zone(folder / "dns", zone)
        return command("octodns-sync", "--doit", *named)

    table = Table(f"octoDNS {number}, {records:,} records, {max(1, records // 10):,} zones", records)
    table.times("`octodns-validate`", [command("octodns-validate") for _ in range(runs)])
    table.times("first `octodns-sync --doit` (once)", [command("octodns-sync", "--doit", "--force")])
    idle: list[Ran] = [command("octodns-sync") for _ in range(runs)]
    table.times("`octodns-sync` without changes", idle)
    table.times("one record's text, `octodns-sync --doit`", [one_change(zone) for zone in range(runs)])
    places = [zone % max(1, records // 10) for zone in range(runs, 2 * runs)]
    alone = [one_change(zone, f"z{zone:04d}.example.") for zone in places]
    table.times("one record's text, told which zone it is in", alone)
    table.say("memory of `octodns-sync`, highest", f"{max(one.memory for one in idle):.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bots", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without-octodns", action="store_true")
    options = parser.parse_args()
    jobs: list[Callable[[Path], None]] = [lambda folder: ours(folder / "fleet", options.bots, options.runs)]
    if not options.without_octodns:
        jobs.append(lambda folder: theirs(folder, options.bots, options.runs))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, HERE / "fleet.py", str(options.bots), folder / "fleet"], check=True)
        for job in jobs:
            job(folder)


if __name__ == "__main__":
    main()
