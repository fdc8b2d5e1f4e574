"""What commands print: data on standard output, talk on standard error, errors as one line or as positions."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from reconciler.errors import InvalidBots, PlanRefused, Problem, ReconcilerError, exit_code
from reconciler.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


class Format(StrEnum):
    """Text for people, JSON for programs."""

    text = "text"
    json = "json"


class _Outlasting:
    """A stream whose reader may go: from then on what is written goes nowhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> _Outlasting:
        return _Outlasting(self._stream.buffer)

    def write(self, data: str | bytes) -> int:
        try:
            return int(self._stream.write(data))
        except BrokenPipeError:
            return self._let_go(len(data))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go(0)

    def _let_go(self, written: int) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        return written


@contextmanager
def outlasting_readers() -> Iterator[None]:
    """While it lasts nobody who stops reading, as `head` does, ends the command: it goes on to its own exit code.

    An apply is not left half done, a loop does not end, and `validate | head` does not hide that there are problems.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _Outlasting(stream)) if stream else stream for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output or error; it obeys NO_COLOR and pipes and never wraps piped text."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, soft_wrap=not stream.isatty(), emoji=False, markup=False)


def say(text: str = "") -> None:
    """A line of talk, on standard error; where that cannot be written (a full disk under a log) nobody reads it."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """A line of data, on standard output."""
    print(text, flush=True)


def put_json(data: Any) -> None:
    """Data as indented JSON on standard output; a `Secret` shows its mask."""
    print(msgspec.json.format(msgspec.json.encode(data, enc_hook=_shown), indent=2).decode(), flush=True)


def _shown(value: object) -> object:
    if isinstance(value, Secret):
        return str(value)
    raise TypeError(f"not JSON: {type(value).__name__}")


def show_problem(problem: Problem) -> None:
    """A problem on standard error: position, pointer, message, hint, then the line with a caret under the place."""
    from rich.text import Text

    out = console(stderr=True)
    where = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    text = Text(where, style="bold")
    text.append(": ", style="not bold")
    if problem.pointer:
        text.append(f"{problem.pointer}: ", style="cyan not bold")
    text.append(problem.message, style="red not bold")
    if problem.hint:
        text.append(f" ({problem.hint})", style="not bold")
    out.print(text)
    if problem.excerpt:
        gutter = f"{problem.line:>5} | "
        out.print(Text(gutter + problem.excerpt, style="dim"))
        out.print(Text(" " * (len(gutter) + problem.column - 1) + "^", style="red"))


def show_error(error: BaseException, *, debug: bool = False, log: Path | None = None) -> int:
    """Says on standard error what went wrong; returns the exit code."""
    match error:
        case InvalidBots():
            for problem in error.problems:
                show_problem(problem)
            count = len(error.problems)
            say(f"{count} problem{'s' if count != 1 else ''}")
        case PlanRefused():
            for refusal in error.refusals:
                say(f"refused: {refusal.reason}")
                if refusal.remedy:
                    say(f"         {refusal.remedy}")
        case ReconcilerError():
            say(f"error: {error}")
        case _:
            from reconciler.desired.keys import redact

            trace = redact("".join(traceback.format_exception(error)))
            where = f"; the full log is in {log}" if log is not None and _kept(trace, log) else ""
            said = redact(f"{type(error).__name__}: {error}")
            say(f"unexpected error: {said}{where} (--debug shows the traceback)")
            if debug:
                say(trace)
    return exit_code(error)


def _kept(trace: str, log: Path) -> bool:
    """Whether a traceback could be written to the log: there may be no folder for it, or no room."""
    try:
        with log.open("a") as file:
            file.write(trace)
    except OSError:
        return False
    return True
