"""What all tests share: nothing leaves loopback, git is told who it is, the environment is clean."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# The same examples every time, on machines of any speed; HYPOTHESIS_PROFILE=search looks for new ones.
_PATIENT = hypothesis.settings(deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
hypothesis.settings.register_profile("same", _PATIENT, derandomize=True)
hypothesis.settings.register_profile("search", _PATIENT, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: many tests wait for processes that they start."""
    return (os.cpu_count() or 1) + 1


def many(number: int) -> int:
    """How many random cases a test tries: `number`, or TEST_CASES times as many."""
    return max(1, round(number * float(os.environ.get("TEST_CASES", "1"))))


_OF_THE_MACHINE = ("RECONCILER_", "OPENAI_", "GIT_", "CI_", "GITHUB_", "GITLAB_", "GITEA_", "FORGEJO_")

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


class LeftLoopback(AssertionError):
    """A test tried to reach another machine."""


def _check(address: Any) -> None:
    if not isinstance(address, tuple):  # a Unix socket's path
        return
    host = str(address[0])
    try:
        local = host in {"localhost", ""} or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        local = False
    if not local:
        raise LeftLoopback(f"a test tried to reach {host}")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    _check(address)
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    _check(address)
    return _connect_ex(self, address)


def _guarded_getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
    if host not in (None, "", "localhost", b"localhost"):
        _check((host.decode() if isinstance(host, bytes) else host,))
    return _getaddrinfo(host, *rest, **more)


_getaddrinfo = socket.getaddrinfo


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Fails the test that connects to, or resolves, anything but this machine."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded_connect)
    patch.setattr(socket.socket, "connect_ex", _guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", _guarded_getaddrinfo)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or git identity of the machine reaches a test."""
    clean(monkeypatch)


def clean(patch: pytest.MonkeyPatch) -> None:
    """The environment of a test; fixtures that outlive one ask for it themselves."""
    for name in list(os.environ):
        if name == "CI" or name.startswith(_OF_THE_MACHINE):
            patch.delenv(name)
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{role}_NAME", "Ana")
        patch.setenv(f"GIT_{role}_EMAIL", "ana@example.com")
    patch.setenv("NO_COLOR", "1")
    patch.setenv("COLUMNS", "120")


class Repo:
    """A real git repository to write files into and commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.root), *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def commit(self, files: dict[str, str | None] | None = None, message: str = "change") -> str:
        """Writes (None: removes) files, commits everything, returns the full hash."""
        for path, text in (files or {}).items():
            if text is None:
                (self.root / path).unlink()
            else:
                self.write(path, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty git repository."""
    root = tmp_path / "repo"
    root.mkdir()
    return Repo(root)
