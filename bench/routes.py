"""Routes of one instance with 200 bots: `python bench/routes.py`, by hand.

Instances of words only, of parts of words, of rules, of patterns, and a mix of all. In each some bots are changed,
added and removed; the time is that of `prove`, in a fresh process each (tables are made anew, as in a review). `cpu`
is what counts on a machine that is busy otherwise.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from typing import Any

SYLLABLES = ["pi", "zza", "me", "nu", "ta", "ble", "or", "der", "ca", "fé", "bi", "ke", "lo", "re", "so", "ma", "ti"]
MIX = ["equals", "equals", "equals", "contains", "contains", "startsWith", "endsWith", "regex", "rule"]
RUNS = 7


def word(dice: random.Random) -> str:
    return "".join(dice.choices(SYLLABLES, k=dice.randint(2, 4)))


def trigger(dice: random.Random, kind: str) -> dict[str, Any]:
    if kind == "mix":
        kind = dice.choice(MIX)
    if kind == "rule":
        value = f"contains:{word(dice)},{word(dice)} notcontains:{word(dice)}"
        return {"triggerType": "advanced", "triggerOperator": None, "triggerValue": value}
    if kind == "regex":
        made = [f"(?i)\\b({word(dice)}|{word(dice)})\\b", f"^{word(dice)}.*\\d+", f"[Pp]{word(dice)} {word(dice)}?"]
        return {"triggerType": "keyword", "triggerOperator": "regex", "triggerValue": dice.choice(made)}
    return {"triggerType": "keyword", "triggerOperator": kind, "triggerValue": word(dice)}


def fleets(kind: str, semantics: str, bots: int = 200, changed: int = 10) -> tuple[dict[str, Any], dict[str, Any]]:
    dice = random.Random(f"{kind}{bots}")
    before = {f"bot-{number:03}": {"enabled": True, **trigger(dice, kind)} for number in range(bots)}
    if semantics == "evolution":  # where (?i) is refused
        for spec in before.values():
            spec["triggerValue"] = spec["triggerValue"].replace("(?i)", "")
    after = dict(before)
    for name in dice.sample(sorted(before), changed):
        after[name] = {"enabled": True, **trigger(dice, "contains")}
    after.pop("bot-007")
    after["new"] = {"enabled": True, "triggerType": "all"}
    return before, after


def once(kind: str, semantics: str) -> None:
    from reconciler.plan.routes.answer import Fleet
    from reconciler.plan.routes.prove import prove

    before, after = fleets(kind, semantics)
    if semantics == "evolution":
        after.pop("new")  # there it would take every message
    start, work = time.perf_counter(), time.process_time()
    found = prove(Fleet(before), Fleet(after), semantics)  # type: ignore[arg-type]
    spent, worked = time.perf_counter() - start, time.process_time() - work
    open_ = sum(len(one.bots) for one in found.not_proven)
    print(json.dumps([spent, worked, len(found.moved), found.more, len(found.unreachable), open_, found.states]))


def main() -> None:
    print(f"{'instance':9} {'semantics':10} {'median':>8} {'worst':>8} {'cpu':>8}  moved  never  not proven  states")
    for kind in ("equals", "contains", "mix", "rule", "regex"):
        for semantics in ("runtime", "evolution"):
            rows = []
            for _ in range(RUNS):
                command = [sys.executable, __file__, kind, semantics]
                ran = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append(json.loads(ran.stdout))
            times, works = [row[0] for row in rows], [row[1] for row in rows]
            _, _, moved, more, never, open_, states = rows[0]
            seconds = f"{statistics.median(times):7.3f}s {max(times):7.3f}s {statistics.median(works):7.3f}s"
            listed = f"{moved}{'+' if more else ''}"
            print(f"{kind:9} {semantics:10} {seconds}  {listed:5} {never:5}  {open_:10}  {states:6}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main()
        case [kind, semantics]:
            once(kind, semantics)
        case _:
            print(__doc__)
