"""`apply` killed with signal 9, before, between and after its calls: the next one goes on, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.reconcile.history import History
from tests.conftest import Repo
from tests.live.served import KEY, runtime

KILLS = 4
INSTANCES = ("bakery", "bistro", "clinic")


class Killer:
    """Kills the reconciler at its request number `at`, before or after the runtime has acted on it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.process: subprocess.Popen[bytes] | None = None
        self.at, self.after, self.count = 0, False, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += 1
        process = self.process
        mine = process is not None and self.count == self.at
        if process is not None and mine and not self.after:
            kill(process)
        await self._app(scope, receive, self.silent if mine else send)
        if process is not None and mine:
            kill(process)
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def silent(self, message: Any) -> None:
        pass


def kill(process: subprocess.Popen[bytes]) -> None:
    """By its id, unless it has ended."""
    if process.poll() is None:
        process.kill()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[tuple[str, Killer]]:
    made: list[Killer] = []

    def wrap(app: Any) -> Any:
        made.append(Killer(app))
        return made[0]

    with runtime(tmp_path, wrap=wrap) as url:
        yield url, made[0]


def files(version: int) -> dict[str, str]:
    found = {}
    for instance in INSTANCES:
        found[f"bots/{instance}/all.yaml"] = (
            f"apiVersion: reconciler/v1\nkind: Instance\nmetadata: {{name: {instance}}}\nspec: {{}}\n---\n"
            "kind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {env: OPENAI_API_KEY}}\n---\n"
            f"kind: Settings\nmetadata: {{name: s}}\nspec: {{credentials: main, fallbackBot: b{version}}}\n"
        ) + "".join(
            f"---\nkind: Bot\nmetadata: {{name: b{number}}}\nspec:\n  botType: chatCompletion\n  model: gpt-4o\n"
            f"  maxTokens: 100\n  triggerType: keyword\n  triggerOperator: equals\n"
            f"  triggerValue: word {number if version == 1 else 10 - number}\n"
            for number in range(version, version + 6)
        )
    return found


def start(repo: Repo, url: str, data: Path, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", *command],
        cwd=repo.root,
        env={
            **os.environ,
            "RECONCILER_URL": url,
            "RECONCILER_API_KEY": KEY,
            "RECONCILER_DATA": str(data),
            "OPENAI_API_KEY": "sk-0123456789abcdef",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    return process.returncode, said.decode()


def test_killed_at_any_point_the_next_apply_goes_on(repo: Repo, target: tuple[str, Killer], tmp_path: Path) -> None:
    url, killer = target
    data = tmp_path / "data"
    draw = random.Random(7)
    killed = 0
    for version in (1, 2):
        repo.commit(dict(files(version)))
        for _ in range(KILLS // 2 + version % 2):
            killer.count, killer.at, killer.after = 0, draw.randint(2, 5 - version), draw.random() < 0.5
            # It cannot ask the runtime before it knows whom to kill: the count begins at its first request.
            killer.process = start(repo, url, data, "apply", "--auto-approve", "--parallelism", "1")
            code, said = ended(killer.process)
            assert code in (-signal.SIGKILL, 0), said
            killed += code != 0
            killer.process = None
        code, said = ended(start(repo, url, data, "apply", "--auto-approve"))
        assert code == 0, said
        code, said = ended(start(repo, url, data, "plan", "--detailed-exitcode"))
        assert code == 0, said
    assert killed >= KILLS - 2
    answer = httpx.get(f"{url}/fleet", headers={"apikey": KEY}).json()["instances"]
    assert sorted(one["instance"]["name"] for one in answer) == sorted(INSTANCES)
    for one in answer:
        names = Counter(bot["description"].split("@")[0] for bot in one["bots"])
        assert names == {f"[gitops b{number}": 1 for number in range(2, 8)}
        assert len(one["credentials"]) == 1
    with History(data / "loop.db") as history:
        outcomes = history.outcomes("local")
        assert outcomes["interrupted"] == killed
        assert set(outcomes) <= {"interrupted", "applied"}
