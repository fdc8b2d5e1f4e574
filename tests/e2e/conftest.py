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

from tests.commands import command
from tests.conftest import Repo, clean

ROOT = Path(__file__).resolve().parents[2]
KEY = "the-global-key-of-this-test"
T = TypeVar("T")


def until(look: Callable[[], T], seconds: float = 120) -> T:
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
        self.client = httpx.Client(headers={"apikey": KEY}, timeout=60)
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

    def stands(self) -> dict[str, Any]:
        """How its target stands."""
        found: dict[str, Any] = self.get("/reconciler/status")[0]
        return found

    def run(
        self, *arguments: str, exit_code: int | None = 0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        if stdin is None and arguments[0] not in ("up", "serve", "chat"):
            done = command(*arguments, folder=self.repo.root, **self._variables)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "reconciler", *arguments],
                cwd=self.repo.root,
                env={**os.environ, **self._variables},
                capture_output=True,
                text=True,
                timeout=60,
                input=stdin or "",
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


def example(repo: Repo) -> str:
    """Commits the example fleet to an empty repository."""
    shutil.copytree(ROOT / "bots", repo.root / "bots")
    if (ROOT / "reconciler.yaml").exists():
        shutil.copy(ROOT / "reconciler.yaml", repo.root)
    repo.write(".gitignore", ".reconciler/\n")
    return repo.commit(message="the example fleet")


@pytest.fixture
def fleet(repo: Repo) -> Repo:
    """A repository with the example fleet, committed."""
    example(repo)
    return repo


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, str]]:
    """One `reconciler up` on the example fleet for all tests that may have it after one another; and its commit."""
    patch = pytest.MonkeyPatch()
    clean(patch)
    root = tmp_path_factory.mktemp("shared") / "repo"
    root.mkdir()
    repo = Repo(root)
    first = example(repo)
    running = Up(repo)
    try:
        running.ready()
        patch.undo()
        yield running, first
    finally:
        running.stop()


@pytest.fixture
def up(shared: tuple[Up, str]) -> Iterator[Up]:
    """`reconciler up` on the example fleet, as it was committed first."""
    running, first = shared
    yield running
    if running.repo.git("rev-parse", "HEAD") != first:
        running.repo.git("reset", "--quiet", "--hard", first)
        until(lambda: running.stands()["wanted"] == first and running.stands()["sync"] == "Synced")
