"""The installed program, tried: the README's walk from an empty folder, with the commands of one folder alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 120  # seconds for what takes one
IDENTITY = {"NAME": "Release", "EMAIL": "release@example.com"}


class Refused(Exception):
    """Why nothing is released; one sentence."""


def walk(commands: Path, home: Path, version: str) -> None:
    """From an empty folder to answered chats, changed, deleted and drifted bots. Raises Refused where it goes wrong."""
    variables = plain_environment(home) | {"PATH": f"{commands}:{os.environ.get('PATH', os.defpath)}"}
    fleet = home / "fleet"

    def does(*words: str, code: int = 0, says: str = "") -> None:
        said = run(list(words), cwd=fleet if fleet.is_dir() else home, env=variables, code=code)
        if says not in said:
            raise Refused(f"{' '.join(words)} does not say '{says}':\n{said}")

    def commits(message: str) -> None:
        does("git", "add", "--all")
        does("git", "commit", "--quiet", "--message", message)
        does("reconciler", "sync")  # the loop may have seen it by itself

    for name in ("reconciler", "bot-reconciler"):
        does(name, "--version", says=f"reconciler {version}")
    does("reconciler", "init", "fleet", "--example", "--ci", "github", says="fleet/.github/workflows/")
    does("reconciler", "validate", says="no problems")
    does("reconciler", "test", "--model", "demo", says="2 passed")
    does("git", "add", "--all")
    does("git", "commit", "--quiet", "--message", "First bots")
    with running(["reconciler", "up", "--port", "0"], fleet, variables) as address:
        if "<html" not in ask(address, "/", {"Accept": "text/html"}):
            raise Refused("the installed runtime does not serve its chat page")
        does("reconciler", "chat", "bistro", "start", "Which bus stop is near?", says="lines 4 and 11")
        prompt = fleet / "bots/bistro/prompts/concierge.md"
        prompt.write_text(prompt.read_text().replace("lines 4 and 11 stop every ten", "line 4 stops every five"))
        commits("Line 11 is gone")
        does("reconciler", "chat", "bistro", "start", "Which bus stop is near?", says="line 4 stops every five")
        (fleet / "bots/bistro/menu.yaml").unlink()
        does("reconciler", "plan", "--worktree", says="- Bot bistro/menu")
        commits("No menu bot")
        key = {"apikey": (fleet / ".reconciler/api-key").read_text().strip()}
        (bot,) = [one for one in find(address, key) if str(one["description"]).startswith("Answers guests")]
        ask(address, f"/openai/update/{bot['id']}/bistro", key, {"maxTokens": 5})
        does("reconciler", "plan", says="(drift: changed on the target)")
        does("reconciler", "sync")
        (bot,) = [one for one in find(address, key) if one["id"] == bot["id"]]
        if bot["maxTokens"] != 1000:
            raise Refused("the installed loop does not put drift back")
        does("reconciler", "status")
        does("reconciler", "history", says="1 drifted")
        broken = fleet / "bots/bistro/restaurant.yaml"
        broken.write_text(broken.read_text().replace("triggerOperator: equals", "triggerOperator: equal"))
        does("reconciler", "validate", code=1, says="did you mean 'equals'?")
    tell("installed alone, the README's walk: init, up, chat, a changed prompt, a deleted bot, drift: all well")


def find(address: str, key: Mapping[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask(address, "/openai/find/bistro", key))
    return found


def ask(address: str, path: str, headers: Mapping[str, str], put: dict[str, Any] | None = None) -> str:
    """What the runtime answers to a GET, or to a PUT of JSON."""
    data = None if put is None else json.dumps(put).encode()
    kind = {} if put is None else {"Content-Type": "application/json"}
    asked = urllib.request.Request(
        f"{address}{path}", data, {**headers, **kind}, method="GET" if put is None else "PUT"
    )
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
    return text


@contextmanager
def running(command: list[str], folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """A process that serves, once it is ready: its address. It is ended as Ctrl-C ends it, and must say 0 to that."""
    log = folder.parent / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, env=dict(variables), stdout=file, stderr=file)
    try:
        yield ready(process, log)
        process.send_signal(signal.SIGINT)
        if process.wait(PATIENCE) != 0:
            raise Refused(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address of a runtime whose first pass has ended."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            try:
                with urllib.request.urlopen(f"{found[0]}/readyz", timeout=PATIENCE):
                    return found[0]
            except OSError:
                pass
        time.sleep(0.2)
    raise Refused(f"the installed runtime does not come up:\n{log.read_text()}")


def plain_environment(home: Path) -> dict[str, str]:
    """Nothing of this machine's but what is needed to find programs, and a name for commits."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    who = {f"GIT_{role}_{what}": said for role in ("AUTHOR", "COMMITTER") for what, said in IDENTITY.items()}
    return {**kept, **who, "HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull, "NO_COLOR": "1"}


def git(root: Path, *arguments: str) -> str:
    return run(["git", "-C", str(root), *arguments]).strip()


def run(command: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None, code: int = 0) -> str:
    """A command's standard output, and where it shall fail, its errors. Raises Refused where it ends otherwise."""
    done = subprocess.run(
        command, cwd=cwd, env=None if env is None else dict(env), capture_output=True, text=True, check=False
    )
    if done.returncode != code:
        raise Refused(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout + done.stderr if code else done.stdout


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
