"""How long `reconciler review` takes for a pull request of 20 changed bots in a large fleet, without models.

    python bench/review.py [--bots 10000] [--changed 20] [--runs 5]

Two commits of bench/fleet.py's fleet: the second gives 20 bots, each in an instance of its own, another prompt, a
larger maxTokens and another trigger. Whole processes are timed, with the cache of parsed documents empty (cold) and
filled (cached); medians of the time that passed and of the processor's time, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fleet import fleet, write

WHO = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"]


def change(folder: Path, count: int) -> None:
    """Commits a change of `count` bots on a branch."""
    instances = sorted((folder / "bots").iterdir())
    step = max(1, len(instances) // count)
    subprocess.run(["git", "-C", str(folder), "switch", "-q", "-c", "change"], check=True)
    for instance in instances[::step][:count]:
        file = next(one for one in sorted(instance.glob("*.yaml")) if "triggerType: keyword" in one.read_text())
        text = file.read_text().replace("  triggerType", "  temperature: 0.3\n  triggerType")
        text = text.replace("triggerValue: ", "triggerValue: please ").replace("maxTokens: ", "maxTokens: 1")
        file.write_text(text)
        for prompt in sorted((instance / "prompts").glob(f"{file.stem}.md")):
            prompt.write_text(prompt.read_text().replace("customers", "guests"))
    subprocess.run(["git", "-C", str(folder), *WHO, "commit", "-q", "-a", "-m", "A change"], check=True)


def timed(folder: Path, data: Path) -> tuple[float, float, dict[str, object]]:
    """Seconds of one review as a process, those of the processor, and what it found."""
    command = [sys.executable, "-m", "reconciler", "review", "--base", "main", "--head", "change", "--model", "none"]
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--format", "json"],
        cwd=folder,
        env={**os.environ, "RECONCILER_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    if done.returncode not in (0, 1, 3):
        raise SystemExit(done.stderr)
    return seconds, work, json.loads(done.stdout)


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bots", type=int, default=10_000)
    parser.add_argument("--changed", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-review-") as name:
        folder, data = Path(name) / "fleet", Path(name) / "data"
        write(folder, fleet(chosen.bots))
        change(folder, chosen.changed)
        times: dict[str, list[tuple[float, float]]] = {"cold": [], "cached": []}
        found: dict[str, object] = {}
        for _ in range(chosen.runs):
            shutil.rmtree(data, ignore_errors=True)
            for kind in ("cold", "cached"):
                seconds, work, found = timed(folder, data)
                times[kind].append((seconds, work))
        (part,) = found["parts"]  # type: ignore[misc]
        changed = len(part["plan"]["changes"])
        print(f"{chosen.bots:,} bots, {changed} changed, {len(part['routes'])} route findings: {found['verdict']}")
        for kind, rows in times.items():
            passed, worked = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"{kind:<8} {passed:.2f} s, of the processor {worked:.2f} s")


if __name__ == "__main__":
    main()
