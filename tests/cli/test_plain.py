from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import typer
from typer import core
from typer.testing import CliRunner

from reconciler.cli.plain import plainly, take_plain_values
from tests.conftest import Repo


class Shape(StrEnum):
    text = "text"
    json = "json"


def info(**more: Any) -> Any:
    return typer.Option(**more)


@pytest.mark.parametrize(
    ("annotation", "options", "value", "expected"),
    [
        (str, {}, "a", "a"),
        (str, {}, b"a", None),
        (bool, {}, False, False),
        (bool, {}, "no", None),
        (int, {}, 7, 7),
        (int, {}, "7", None),
        (int, {"min": 1, "max": 9}, 9, 9),
        (int, {"min": 1}, 0, None),
        (int, {"max": 9}, 10, None),
        (int, {"clamp": True, "max": 9}, 10, None),
        (list[str], {}, ("a", "b"), ["a", "b"]),
        (list[str], {}, ["a", 1], None),
        (list[str], {}, "a", None),
        (Shape, {}, "json", Shape.json),
        (Shape, {}, Shape.text, Shape.text),
        (Shape, {}, "yaml", None),
        (Shape, {}, "JSON", None),
        (Path, {}, "a", None),
        (str, {"parser": str.upper}, "a", None),
    ],
)
def test_what_is_plainly_right(annotation: Any, options: dict[str, Any], value: Any, expected: Any) -> None:
    assert plainly(annotation, info(**options), value) == expected


def app() -> typer.Typer:
    made = typer.Typer()

    @made.command()
    def show(
        text: str = "t",
        number: int = typer.Option(3, min=1, max=5),
        shape: Shape = Shape.text,
        many: list[str] | None = None,
        where: Path | None = None,
        yes: bool = False,
    ) -> None:
        print([text, number, shape, many, where, yes])

    return made


@pytest.mark.parametrize(
    "given",
    [
        "",
        "--text x --number 5 --shape json --many a --many b --yes",
        "--where a/b",
        "--number 9",
        "--number x",
        "--shape yaml",
    ],
)
def test_every_value_is_taken_and_refused_as_by_typer(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer._coercion import build_runtime_param

    monkeypatch.setattr(core, "build_runtime_param", build_runtime_param)
    own = CliRunner().invoke(app(), given.split())
    take_plain_values()
    assert core.build_runtime_param is not build_runtime_param
    take_plain_values()  # once is enough
    ours = CliRunner().invoke(app(), given.split())
    assert (ours.exit_code, ours.output) == (own.exit_code, own.output)


def test_where_typer_is_made_otherwise_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "build_runtime_param", None)
    take_plain_values()
    assert core.build_runtime_param is None
    monkeypatch.setitem(sys.modules, "typer._coercion", None)
    take_plain_values()
    assert core.build_runtime_param is None


@pytest.mark.parametrize("command", [["plan", "--select", "a=b"], ["validate"], ["apply", "--auto-approve"]])
def test_no_command_that_is_used_all_day_imports_pydantic(repo: Repo, command: list[str]) -> None:
    repo.commit({"bots/a/i.yaml": "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: a}\nspec: {}\n"})
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "reconciler", *command],
        cwd=repo.root, capture_output=True, text=True, timeout=60, check=False,
    ).stderr  # fmt: skip
    assert "reconciler.cli.main" in said
    assert "pydantic" not in said
