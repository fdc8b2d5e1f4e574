"""What a long command shows meanwhile: on a terminal, after a while, and nowhere else."""

from __future__ import annotations

import io
import threading

import pytest

from reconciler.cli import progress as module
from reconciler.cli.progress import Progress


class Screen(io.StringIO):
    """Standard error; `seen` is set once something is on it."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal, self.seen = terminal, threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if "applying" in text or "routes" in text:
            self.seen.set()
        return super().write(text)


def screen(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> Screen:
    made = Screen(terminal)
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    return made


def test_a_command_that_takes_long_says_what_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET", 0.0)
    shown = screen(monkeypatch, terminal=True)
    with Progress("applying", 3) as progress:
        assert shown.seen.wait(120)
        progress.did(2, "create Bot bistro/menu: done")
        shown.seen.clear()
        progress.now("routes of [local]", 1, 2)
        assert shown.seen.wait(120)
    said = shown.getvalue()
    assert "routes of [local]" in said, "what names hold is no markup"
    assert "1/2" in said


def test_a_quick_one_a_pipe_and_a_log_see_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        shown = screen(monkeypatch, terminal)
        with Progress("applying", 3) as progress:
            progress.did()
            progress.now("routes")
        assert shown.getvalue() == ""


def test_what_fails_takes_its_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET", 0.0)
    shown = screen(monkeypatch, terminal=True)

    def fails() -> None:
        with Progress("applying"):
            assert shown.seen.wait(120)
            raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="it broke"):
        fails()
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
