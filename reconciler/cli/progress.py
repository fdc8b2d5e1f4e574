"""What a command that takes longer than a second shows meanwhile: what it is at, and how much of it is done.

On a terminal alone, on standard error, and gone when the command ends; a pipe, a log and `--format json` see nothing.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

QUIET: Final = 1.0  # seconds in which nothing is shown


class Progress:
    """`with Progress("applying", 120) as progress: progress.at("create Bot a"); progress.did()`

    Without a total a bar that only moves is shown. May be told from any thread.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total, self._done, self._detail = what, total, 0, ""
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._timer = threading.Timer(QUIET, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._bar is not None:
            self._bar.stop()

    def now(self, what: str, done: int = 0, total: int | None = None) -> None:
        """Goes on to something else, or tells how far it is."""
        with self._lock:
            if (what, done, total) != (self._what, self._done, self._total):
                self._what, self._done, self._total, self._detail = what, done, total, ""
            self._moved()

    def did(self, count: int = 1, detail: str = "") -> None:
        """So many more are done."""
        with self._lock:
            self._done, self._detail = self._done + count, detail
            self._moved()

    def _show(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from reconciler.cli.output import console

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
        )
        with self._lock:
            self._bar = Progress(*columns, console=console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=self._total, count="", detail="")
            self._bar.start()
            self._moved()

    def _moved(self) -> None:
        if self._bar is not None:
            count = f"{self._done}/{self._total}" if self._total else ""
            self._bar.update(
                self._task,
                description=self._what,
                completed=self._done,
                total=self._total,
                count=count,
                detail=self._detail,
            )
