"""What `--help` shows of each command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from reconciler.cli.main import build


def commands(group: Any, lead: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*lead, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*lead, name))


ALL = {" ".join(name): command for name, command in commands(get_command(build()))}


@pytest.mark.parametrize("name", ALL)
def test_each_example_is_a_line_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    shown = CliRunner().invoke(build(name.split()[0]), [*name.split(), "--help"], env={"NO_COLOR": "1"})
    assert shown.exit_code == 0
    examples = re.findall(r"^ +((?:[A-Z_]+=\S+ )?reconciler .*)$", ALL[name].help.partition("Examples:")[2], re.M)
    assert examples or hasattr(ALL[name], "commands")
    assert [line.strip() for line in shown.output.splitlines() if line.strip() in examples] == examples
