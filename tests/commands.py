"""Commands of the program, run by tests."""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.cli.context import context


def command(*arguments: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the program to its end, in this process: half a second less than in one of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code = 0
    vars(context).clear()  # what it has read of another environment
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        if folder is not None:
            patch.chdir(folder)
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            main.run(list(arguments))
        except SystemExit as ended:
            code = int(ended.code or 0)
    vars(context).clear()
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, *said)
