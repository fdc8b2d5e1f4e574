"""`import assistant`: an old OpenAI assistant as files that validate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.context import Context
from reconciler.cli.main import run
from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config
from reconciler.desired.export import read_export
from reconciler.desired.git import Repository
from reconciler.errors import Misuse
from tests.commands import command
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet

PARAMETERS = {"type": "object", "properties": {"time": {"type": "string"}}, "required": ["time"]}
EXPORT: dict[str, Any] = {
    "id": "asst_abc123",
    "object": "assistant",
    "created_at": 1698984975,
    "name": "Concierge (Café)",
    "description": None,
    "model": "gpt-4o",
    "instructions": "You are the concierge.\r\nBe kind.\n\n",
    "tools": [
        {"type": "code_interpreter"},
        {"type": "file_search", "file_search": {"ranking_options": {"score_threshold": 0.0}}},
        {
            "type": "function",
            "function": {"name": "check_table", "description": "Free?", "parameters": PARAMETERS, "strict": False},
        },
    ],
    "tool_resources": {"file_search": {"vector_store_ids": ["vs_1"]}, "code_interpreter": {"file_ids": []}},
    "metadata": {"tenant": "bistro"},
    "temperature": 0.3,
    "top_p": 0.9,
    "response_format": {"type": "json_object"},
}
FLEET = """\
apiVersion: reconciler/v1
kind: Instance
metadata: {name: bistro}
spec: {}
"""


@pytest.fixture
def here(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.chdir(repo.root)
    monkeypatch.setattr("reconciler.cli.import_.context", Context())
    repo.commit({"bots/bistro/line.yaml": FLEET})
    return repo


def imported(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(["import", "assistant", *arguments])
    return int(ended.value.code or 0)


def assistants(repo: Repo) -> dict[str, dict[str, Any]]:
    repository = Repository.discover(repo.root)
    config = read_config(repository, None)
    desired = read_desired(repository, None, config, config.targets[0], None)
    return {each.ref.name: dict(each.spec) for each in desired.objects if each.ref.kind == "Assistant"}


def test_an_assistant_becomes_files_that_validate(here: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    file = here.write("asst.json", json.dumps(EXPORT))
    assert imported(str(file)) == 0
    said = capsys.readouterr()
    folder = here.root / "bots" / "bistro"
    written = [folder / "concierge-cafe.yaml", folder / "prompts" / "concierge-cafe.md"]
    assert said.out.split() == [str(path) for path in written]
    assert written[1].read_text() == "You are the concierge.\nBe kind.\n"
    for lost in ("code_interpreter", "top_p 0.9", "response_format"):
        assert lost in said.err
    assert "`assistant: concierge-cafe`" in said.err
    (spec,) = assistants(here).values()
    assert spec["instructions"] == "You are the concierge.\nBe kind."
    assert (spec["assistantId"], spec["model"], spec["temperature"]) == ("asst_abc123", "gpt-4o", 0.3)
    assert spec["metadata"] == {"tenant": "bistro"}
    assert spec["tools"] == [
        {"type": "file_search", "vectorStoreIds": ["vs_1"]},
        {"type": "function", "name": "check_table", "description": "Free?", "parameters": PARAMETERS, "strict": False},
    ]


def test_nothing_is_overwritten(here: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    file = here.write("asst.json", json.dumps(EXPORT))
    mine = here.write("bots/bistro/prompts/concierge-cafe.md", "mine")
    assert imported(str(file)) == 64
    assert "already there: nothing was written" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert not (here.root / "bots/bistro/concierge-cafe.yaml").exists()


def test_a_list_with_names_alike_and_a_folder_of_ones_own(here: Repo) -> None:
    listed = {"object": "list", "data": [EXPORT, {**EXPORT, "id": "asst_2"}, {"id": "asst_3", "model": "o4-mini"}]}
    file = here.write("list.json", json.dumps(listed))
    assert imported(str(file), "--instance", "bistro", "--out", "bots/shared") == 0
    found = assistants(here)
    assert sorted(found) == ["asst-3", "concierge-cafe", "concierge-cafe-2"]
    assert found["asst-3"]["instructions"] is None
    assert "instance: bistro" in (here.root / "bots/shared/asst-3.yaml").read_text()


def test_which_instance(here: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("bots/clinic/line.yaml", FLEET.replace("bistro", "clinic"))
    here.write("bots/_shared/rules.md", "Be brief.\n")  # no instance
    file = here.write("asst.json", json.dumps(EXPORT))
    assert imported(str(file)) == 64
    assert "--instance (bistro, clinic)" in capsys.readouterr().err
    assert imported(str(file), "--instance", "No Name") == 64
    assert "is no name of an instance" in capsys.readouterr().err


def test_which_instance_where_there_is_none_and_the_config_is_broken(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repo.root)
    monkeypatch.setattr("reconciler.cli.import_.context", Context())
    repo.write("reconciler.yaml", "kind: Nonsense\n")
    file = repo.write("asst.json", json.dumps(EXPORT))
    assert imported(str(file)) == 64
    assert capsys.readouterr().err.strip().endswith("Say it with --instance")


def test_files_that_cannot_be_read(here: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, said in (("{", "is no JSON"), ("[]", "holds no assistant"), ("5", "entry 1")):
        file = here.write("asst.json", text)
        with pytest.raises(Misuse, match=said):
            _call(file)
    with pytest.raises(Misuse, match="cannot be read"):
        _call(here.root / "absent.json")
    monkeypatch.setattr("reconciler.cli.import_._LIMIT", 1)
    with pytest.raises(Misuse, match="larger than"):
        _call(here.write("asst.json", "[1]"))


def test_a_folder_that_cannot_be_made(here: Repo) -> None:
    here.write("taken", "a file")
    with pytest.raises(Misuse, match="cannot be written"):
        _call(here.write("asst.json", json.dumps(EXPORT)), out=here.root / "taken")


def _call(file: Path, out: Path | None = None) -> None:
    from reconciler.cli.import_ import assistant

    assistant(file, None, out)


KEY = "sk-proj-" + "aB3dE6gH9jK2mN5p"

REFUSED = [
    ("a run", {**EXPORT, "object": "thread.run"}, "entry 1 of the export is no assistant"),
    ("no id", {"name": "x"}, "needs an id"),
    ("a function's name", {**EXPORT, "tools": [{"type": "function", "function": {"name": "a b"}}]}, "spec.tools"),
    ("metadata", {**EXPORT, "metadata": {"n": 5}}, "spec.metadata"),
    ("too long", {**EXPORT, "instructions": "x" * 300_000}, "longer than 256 KiB"),
    ("a key", {**EXPORT, "instructions": f"use {KEY}"}, "looks like an API key"),
]


@pytest.mark.parametrize(("case", "export", "said"), REFUSED, ids=[case for case, _, _ in REFUSED])
def test_what_cannot_be_taken_over(case: str, export: Any, said: str) -> None:
    with pytest.raises(Misuse, match=said) as caught:
        read_export(export, None)
    assert KEY not in str(caught.value)


NOTED = [
    ("usual values", {"temperature": 1.0, "top_p": 1.0, "response_format": "auto"}, []),
    ("file_search without a store", {"tools": [{"type": "file_search"}]}, ["file_search has no vector store"]),
    ("stores that are none", {"tools": [{"type": "file_search"}], "tool_resources": {"file_search": 5}}, ["no vector"]),
    ("retrieval", {"tools": [{"type": "retrieval"}]}, ["retrieval (of API v1)"]),
    ("unknown", {"tools": [{"type": "browser"}, 5]}, ["the tool browser", "the tool None"]),
    ("a format as text", {"response_format": {"type": "text"}}, []),
]


@pytest.mark.parametrize(("case", "fields", "notes"), NOTED, ids=[case for case, _, _ in NOTED])
def test_what_is_noted(case: str, fields: dict[str, Any], notes: list[str]) -> None:
    (found,) = read_export([{"id": "asst_1", **fields}], None)
    assert len(found.notes) == len(notes)
    assert all(said in note for said, note in zip(notes, found.notes, strict=True))
    assert found.document["spec"] == {"id": "asst_1"}


def test_reasoning_effort_is_kept() -> None:
    (found,) = read_export({"id": "asst_1", "name": "ñandú!", "reasoning_effort": "low"}, None)
    assert (found.name, found.document["spec"]["reasoningEffort"]) == ("nandu", "low")
    assert read_export({"id": "x", "name": "寿司"}, None)[0].name == "x"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_an_export_of_windows_is_read(repo: Repo, tmp_path: Path, encoding: str) -> None:
    repo.commit(fleet())
    file = tmp_path / "export.json"
    file.write_bytes('{"id": "asst_123", "name": "Concierge", "instructions": "Olá"}'.encode(encoding))
    done = command("import", "assistant", str(file), folder=repo.root)
    assert done.returncode == 0, done.stderr
    assert "Olá" in (repo.root / "bots/bistro/prompts/concierge.md").read_text()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_one_that_is_utf_16_is_told_what_to_do(repo: Repo, tmp_path: Path, encoding: str) -> None:
    repo.commit(fleet())
    file = tmp_path / "export.json"
    file.write_bytes('{"id": "asst_123"}'.encode(encoding))
    done = command("import", "assistant", str(file), folder=repo.root)
    assert (done.returncode, "the file is UTF-16, which is not UTF-8 (save it as UTF-8)" in done.stderr) == (64, True)


def test_names_without_latin_letters_go_by_their_ids(repo: Repo, tmp_path: Path) -> None:
    """Beside what `init` wrote, which is called assistant."""
    repo.commit({**fleet(), "bots/bistro/assistant.yaml": bot_file("assistant")})
    file = tmp_path / "export.json"
    rows = [
        {"id": "asst_Ab1", "name": "Помощник"},
        {"id": "asst_Cd2", "name": "助手"},
        {"id": "asst_Ef3", "name": None},
    ]
    file.write_text(json.dumps({"object": "list", "data": [{"object": "assistant", **row} for row in rows]}))
    done = command("import", "assistant", str(file), folder=repo.root)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (repo.root / "bots/bistro").glob("asst*.yaml")} == {
        "asst-ab1.yaml",
        "asst-cd2.yaml",
        "asst-ef3.yaml",
    }
