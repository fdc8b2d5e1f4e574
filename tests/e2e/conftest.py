"""The main job with real processes: `reconciler up` on a real repository, asked over real HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.conftest import Repo

ROOT = Path(__file__).resolve().parents[2]
KEY = "the-global-key-of-this-test"
T = TypeVar("T")


def until(look: Callable[[], T], seconds: float = 20) -> T:
    """Looks until the answer is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.03)
    return found


class Up:
    """A running `reconciler up` and a client of its API."""

    def __init__(self, repo: Repo, *options: str, **variables: str) -> None:
        self.repo = repo
        self.data = repo.root / ".reconciler"
        self._options = options
        self._variables = {"RECONCILER_API_KEY": KEY, "PYTHONUNBUFFERED": "1", **variables}
        self.client = httpx.Client(headers={"apikey": KEY}, timeout=10)
        self.start()

    def start(self) -> None:
        (self.data / "address").unlink(missing_ok=True)
        self.log = self.repo.root.parent / "up.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reconciler", "up", "--port", "0", *self._options],
                cwd=self.repo.root,
                env={**os.environ, **self._variables},
                stderr=log,
                stdout=log,
                start_new_session=True,
            )
        url = until(self._address)
        self.client.base_url = httpx.URL(url)

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        file = self.data / "address"
        return file.read_text().strip() if file.exists() else None

    def ready(self) -> None:
        until(lambda: self.client.get("/readyz").status_code == 200)

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def bots(self, instance: str) -> dict[str, Any]:
        """The instance's bots by the name in their mark (by their id without one)."""
        rows = self.get(f"/openai/find/{instance}")
        return {(row["description"] or "").partition("[gitops ")[2].partition("@")[0] or row["id"]: row for row in rows}

    def run(
        self, *arguments: str, exit_code: int | None = 0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *arguments],
            cwd=self.repo.root,
            env={**os.environ, **self._variables},
            capture_output=True,
            text=True,
            timeout=60,
            input=stdin if stdin is not None else "",
        )
        assert exit_code is None or done.returncode == exit_code, done.stdout + done.stderr
        return done

    def kill(self) -> None:
        """Ends the runtime as a power cut would; its loop ends by itself because its standard input closes."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.client.close()
        return self.process.returncode


@pytest.fixture
def fleet(repo: Repo) -> Repo:
    """A repository with the example fleet, committed."""
    shutil.copytree(ROOT / "bots", repo.root / "bots")
    if (ROOT / "reconciler.yaml").exists():
        shutil.copy(ROOT / "reconciler.yaml", repo.root)
    repo.write(".gitignore", ".reconciler/\n")
    repo.commit(message="the example fleet")
    return repo


@pytest.fixture
def up(fleet: Repo) -> Iterator[Up]:
    """`reconciler up` on the example fleet, its first pass done."""
    running = Up(fleet)
    running.ready()
    yield running
    running.stop()
