"""What coding agents are told, here and in a repository of bots, and what the pages tell people: only what is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from reconciler import shape
from reconciler.cli import starters
from reconciler.cli.init import init
from reconciler.cli.main import build
from tests.commands import command

ROOT = Path(__file__).parents[2]
OURS = (ROOT / "AGENTS.md").read_text()
FLEETS = starters.agents()


def said(text: str) -> Iterator[str]:
    """Everything that stands as code in Markdown: lines of shell blocks, and spans."""
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if kind == "sh" or line.startswith("$ "):  # the others are what a command prints
                yield line.removeprefix("$ ")
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def calls(text: str) -> list[list[str]]:
    """The words of each call of the program that a text names."""
    found = []
    for code in said(text):
        for part in re.split(r"&&|;|\|", code):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a part of a script, or a pattern
                continue
            if words and words[0].rpartition("/")[2] == "reconciler":
                found.append(words[1:])
    return found


@cache
def program() -> Any:
    """The whole tree of commands."""
    return get_command(build())


def refused(words: list[str]) -> str | None:
    """What is wrong with a call: a command, an option or a value that is not there."""
    here: Any = program()
    rest = list(words)
    while rest and hasattr(here, "commands") and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in here.commands:
            return None if getattr(here, "invoke_without_command", False) else f"no command {name}"
        here = here.commands[name]
    options = {opt: param for param in here.params for opt in (*param.opts, *param.secondary_opts)}
    arguments = sum(1 for param in here.params if param.param_type_name == "argument")
    free = any(param.nargs == -1 for param in here.params)
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if word == "--help":
            continue
        if not word.startswith("--"):
            arguments -= 1
            if arguments < 0 and not free:
                return f"no place for {word}"
            continue
        if word not in options:
            return f"no option {word}"
        if not options[word].is_flag:
            value = value or (rest.pop(0) if rest else "")
            kind = options[word].type_descriptor.annotation
            if isinstance(kind, type) and issubclass(kind, Enum) and value not in {one.value for one in kind}:
                return f"{word} is never {value!r}"
    return None


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("plan --worktree --format json", None),
        ("sessions export --since 7d", None),
        ("chat INSTANCE hello again", None),
        ("deploy", "no command deploy"),
        ("plan --everything", "no option --everything"),
        ("plan --format xml", "--format is never 'xml'"),
        ("init a b", "no place for b"),
    ],
)
def test_what_this_test_sees(call: str, wrong: str | None) -> None:
    assert refused(call.split()) == wrong


PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "reconciler/cli/AGENTS.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_call_of_the_program_can_be_made(page: Path) -> None:
    assert {" ".join(words): wrong for words in calls(page.read_text()) if (wrong := refused(words))} == {}


def test_calls_are_found() -> None:
    for text, least in ((OURS, 3), (FLEETS, 20), ((ROOT / "README.md").read_text(), 15)):
        assert len(calls(text)) >= least


def test_an_agent_of_a_fleet_is_told_each_step_and_each_danger() -> None:
    named = {words[0] for words in calls(FLEETS) if words}
    assert {"validate", "plan", "route", "test", "chat", "review", "apply", "rollback", "up"} <= named
    assert all(words[0] != "apply" or len(words) == 1 for words in calls(FLEETS) if words)  # never one to copy


def test_the_documents_that_it_shows_are_valid() -> None:
    shown = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", FLEETS, re.MULTILINE | re.DOTALL)]
    assert {document["kind"] for document in shown} == {"Bot", "Conversation"}
    for document in shown:
        assert shape.faults(document["kind"].lower(), document) == ()


def test_exit_codes_are_those_of_the_command_line() -> None:
    def codes(text: str) -> set[str]:
        return set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE))

    assert codes(FLEETS) <= codes((ROOT / "docs/cli.md").read_text())
    assert {"0", "1", "2", "3", "4", "64", "70"} <= codes(FLEETS)


def test_every_path_of_this_project_is_there() -> None:
    for code in said(OURS):
        for word in code.split():
            if re.fullmatch(r"\.?[\w-]+(/[\w.-]+)+/?|[\w-]+\.(?:md|toml|yml|py|lock)|\w+/", word):
                assert (ROOT / word).exists() or word.startswith(".venv/"), word


def test_init_writes_it(tmp_path: Path) -> None:
    init(tmp_path / "bots")
    assert (tmp_path / "bots/AGENTS.md").read_text() == FLEETS
    assert command("validate", folder=tmp_path / "bots").returncode == 0
