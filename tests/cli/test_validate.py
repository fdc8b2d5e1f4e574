"""`validate`, `render` and `schema` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import typer
from typer.testing import CliRunner

from reconciler.cli.context import Context
from reconciler.cli.render import document, render
from reconciler.cli.schema import document_schema, install, overlay_schema, schema, whole
from reconciler.cli.validate import validate
from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.desired.read import read
from reconciler.desired.write import dump
from reconciler.errors import InvalidBots, Misuse
from reconciler.model import Config, Target
from tests.conftest import Repo

ROOT = Path(__file__).parent.parent.parent
GOOD = """\
apiVersion: reconciler/v1
kind: Instance
metadata: {name: bistro}
spec: {}
---
kind: Credentials
metadata: {name: main}
spec: {apiKey: {env: KEY}}
---
kind: Bot
metadata: {name: one}
spec: {credentials: main, botType: chatCompletion, model: m, maxTokens: 1, triggerType: all, expire: 1h}
"""
OVERLAY = "kind: Bot\nmetadata: {name: one}\nspec: {model: n}\n"
BAD = GOOD.replace("triggerType: all", "triggerType: al")

app = typer.Typer()
for command in (validate, render, schema):
    app.command()(command)


class Outcome:
    """What a command printed and its exit code."""

    def __init__(self, *arguments: str) -> None:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr


@pytest.fixture
def here(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.chdir(repo.root)
    monkeypatch.setenv("KEY", "sk-0123456789abcdef")
    fresh = Context()
    for module in ("validate", "render", "context"):
        monkeypatch.setattr(f"reconciler.cli.{module}.context", fresh)
    return repo


def test_validate_a_good_tree_and_a_bad_commit(here: Repo) -> None:
    here.commit({"bots/bistro/a.yaml": BAD})
    here.write("bots/bistro/a.yaml", GOOD)
    done = Outcome("validate")
    assert (done.code, done.out) == (0, "1 bot, 1 instance: no problems\n")
    assert (here.root / ".reconciler" / ".gitignore").read_text() == "*\n"
    done = Outcome("validate", "--ref", "main")
    assert done.code == 1
    assert done.out == ""
    assert done.err.splitlines() == [
        "bots/bistro/a.yaml:12:89: spec.triggerType: 'al' is not one of all, keyword, none, advanced "
        "(did you mean 'all'?)",
        "   12 | spec: {credentials: main, botType: chatCompletion, model: m, maxTokens: 1, triggerType: al, expire: 1h}",  # noqa: E501
        " " * 96 + "^",
        "1 problem",
    ]


def test_validate_for_programs_and_for_github(here: Repo) -> None:
    here.write("bots/bistro/a.yaml", BAD)
    done = Outcome("validate", "--format", "json")
    said = json.loads(done.out)
    assert (done.code, said["valid"], said["commit"]) == (1, False, None)
    assert [(one["line"], one["column"], one["pointer"]) for one in said["problems"]] == [(12, 89, "spec.triggerType")]
    done = Outcome("validate", "--format", "github")
    assert done.out == (
        "::error file=bots/bistro/a.yaml,line=12,col=89,title=spec.triggerType::"
        "'al' is not one of all, keyword, none, advanced (did you mean 'all'?)\n"
    )
    here.write("bots/bistro/a.yaml", GOOD.replace("expire: 1h", "keepOpen: true"))
    assert Outcome("validate", "--format", "github").out.startswith("::warning file=bots/bistro/a.yaml,line=12,col=89")
    done = Outcome("validate")
    assert done.out == "1 bot, 1 instance: no problems, 1 warning\n"
    assert "warning: with `all`" in done.err
    assert json.loads(Outcome("validate", "--format", "json").out)["bots"] == 1


def test_validate_narrows_to_a_path(here: Repo) -> None:
    here.write("bots/bistro/a.yaml", BAD)
    here.write("bots/other/b.yaml", BAD.replace("bistro", "other"))
    assert len(json.loads(Outcome("validate", "bots/bistro", "--format", "json").out)["problems"]) == 1
    assert len(json.loads(Outcome("validate", ".", "--format", "json").out)["problems"]) == 2
    assert len(json.loads(Outcome("validate", "bots/other/b.yaml", "--format", "json").out)["problems"]) == 1
    here.write("bots/bistro/a.yaml", GOOD)
    done = Outcome("validate", "bots/bistro/a.yaml")
    assert (done.code, "elsewhere" in done.out) == (0, True)
    with pytest.raises(Misuse, match="is not there"):
        Outcome("validate", "absent")


def test_validate_shows_problems_of_the_configuration_and_of_the_bots(here: Repo) -> None:
    here.write("reconciler.yaml", "kind: Config\nx: 1\n")
    here.write("bots/bistro/a.yaml", BAD)
    said = json.loads(Outcome("validate", "--format", "json").out)
    assert [one["path"] for one in said["problems"]] == ["reconciler.yaml", "bots/bistro/a.yaml"]
    here.write("bots/bistro/a.yaml", GOOD)
    assert Outcome("validate").code == 1


def test_validate_another_repository(here: Repo, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Repo(tmp_path / "other")
    other.write("bots/bistro/a.yaml", GOOD)
    assert Outcome("validate", str(other.root)).code == 0
    assert not (here.root / ".reconciler").exists()


def test_validate_without_a_place_for_the_cache(here: Repo) -> None:
    here.write("bots/bistro/a.yaml", GOOD)
    here.write(".reconciler", "a file")
    assert Outcome("validate").code == 0


def test_render(here: Repo) -> None:
    here.commit({"bots/bistro/a.yaml": GOOD})
    here.write("bots/bistro/a.yaml", GOOD.replace("1h", "2h"))
    out = Outcome("render").out
    assert "  expire: 3600\n" in out
    assert "  apiKey:\n    env: KEY\n" in out
    assert "  expire: 7200\n" in Outcome("render", "--worktree").out
    rows = json.loads(Outcome("render", "--format", "json", "--instance", "bistro", "--ref", "HEAD").out)["objects"]
    assert [row["kind"] for row in rows] == ["Instance", "Credentials", "Bot"]
    with pytest.raises(Misuse, match="did you mean 'bistro'"):
        Outcome("render", "--instance", "bistr")
    with pytest.raises(Misuse, match="exclude each other"):
        Outcome("render", "--worktree", "--ref", "HEAD")
    with pytest.raises(Misuse, match="no target"):
        Outcome("render", "--target", "absent")
    here.write("reconciler.yaml", "kind: Config\nx: 1\n")
    with pytest.raises(InvalidBots):
        Outcome("render", "--worktree")


def test_what_render_prints_means_the_same_again(repo: Repo) -> None:
    """The example fleet, rendered into one file of another repository, is the same fleet."""
    local = Target(name="local")
    first = read_desired(Repository(ROOT, ROOT / ".git"), None, Config(), local, None)
    repo.write("bots/all.yaml", "---\n".join(dump(document(object_)) for object_ in first.objects))
    second = read_desired(Repository.discover(repo.root), None, Config(), local, None)
    assert [(one.ref, one.spec, one.labels, one.protect) for one in second.objects] == [
        (one.ref, one.spec, one.labels, one.protect) for one in first.objects
    ]


def test_schemas_stand_alone_and_accept_the_examples(here: Repo) -> None:
    said = json.loads(Outcome("schema", "bot").out)
    assert said == whole("bot")
    everything = jsonschema_rs.Draft202012Validator(json.loads(Outcome("schema").out))
    for file in sorted((ROOT / "bots").rglob("*.yaml")):
        for found in read(file.read_text()).documents:
            assert everything.is_valid(found.data), file
            assert jsonschema_rs.Draft202012Validator(whole(found.data["kind"].lower())).is_valid(found.data)
    assert not everything.is_valid({"kind": "Bot", "metadata": {"name": "x"}, "spec": {}})
    assert not everything.is_valid({"kind": "Bog"})
    with pytest.raises(Misuse, match="did you mean 'Bot'"):
        Outcome("schema", "bott")


def test_install_writes_schemas_and_keeps_settings(here: Repo) -> None:
    here.write("reconciler.yaml", "kind: Config\ntargets: {p: {type: runtime, overlay: overlays/p}}\n")
    here.write(".vscode/settings.json", '{"a": 1, "yaml.schemas": {"x": "y"}}')
    done = Outcome("schema", "--install")
    settings: dict[str, Any] = json.loads((here.root / ".vscode/settings.json").read_text())
    assert settings["a"] == 1
    assert settings["yaml.schemas"] == {
        "x": "y",
        "./.schemas/document.schema.json": [
            "bots/**/*.yaml",
            "bots/**/*.yml",
        ],
        "./.schemas/config.schema.json": ["reconciler.yaml"],
        "./.schemas/overlay.schema.json": ["overlays/p/**/*.yaml", "overlays/p/**/*.yml"],
    }
    assert json.loads((here.root / ".schemas/document.schema.json").read_text()) == document_schema()
    assert (here.root / ".schemas/overlay.schema.json").exists()
    assert len(done.out.splitlines()) == 10
    assert Outcome("schema", "--install").out == ""
    with pytest.raises(Misuse, match="leave the kind out"):
        Outcome("schema", "Bot", "--install")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("kind: Bot\nmetadata: {name: one}\nspec: {model: n, expire: null}\n", True),
        ("kind: Bot\nmetadata: {name: one, protect: true}\n", True),
        ("kind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {env: null, file: keys/main}}\n", True),
        ("kind: Bot\nmetadata: {name: one}\nspec: {modle: n}\n", False),
        ("kind: Bot\nmetadata: {name: one}\nspec: {expire: 1w}\n", False),
        ("kind: Bot\nspec: {model: n}\n", False),
    ],
)
def test_an_overlays_schema_takes_parts_of_documents(text: str, fits: bool) -> None:
    assert jsonschema_rs.Draft202012Validator(overlay_schema()).is_valid(read(text).documents[0].data) is fits


def test_install_in_a_bare_repository_is_refused(here: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "repository", Repository(here.root, here.root, bare=True))
    with pytest.raises(Misuse, match="is a bare repository"):
        Outcome("schema", "--install")


def test_an_overlay_without_a_file_is_told(here: Repo) -> None:
    here.write("bots/bistro/all.yaml", GOOD)
    here.write("reconciler.yaml", "kind: Config\ntargets:\n  p: {type: runtime, overlay: overlays/p}\n")
    done = Outcome("validate")
    assert done.code == 0
    assert done.err.startswith(
        "reconciler.yaml:3:31: targets.p.overlay: warning: the folder 'overlays/p' holds no YAML"
    )
    here.write("overlays/p/bistro/one.yaml", "apiVersion: reconciler/v1\n" + OVERLAY)
    assert "overlay" not in Outcome("validate").err


@pytest.mark.parametrize("text", ["// mine\n{}", "[]", '{"yaml.schemas": []}'])
def test_settings_that_are_not_plain_are_left_alone(here: Repo, capsys: pytest.CaptureFixture[str], text: str) -> None:
    file = here.write(".vscode/settings.json", text)
    assert file not in install(here.root)
    assert file.read_text() == text
    assert "was left alone; add:" in capsys.readouterr().err


def test_install_where_nothing_can_be_written(here: Repo) -> None:
    here.write(".schemas", "a file")
    here.write("reconciler.yaml", "kind: Nonsense\n")
    with pytest.raises(Misuse, match="cannot be written"):
        install(here.root)
