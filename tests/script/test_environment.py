"""script/environment.py: what is installed when. That the locks themselves install is script/test-install's."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "script" / "environment.py"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The module on a project of its own, whose installers only say that they were called."""
    spec = importlib.util.spec_from_file_location("environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in (("ROOT", ""), ("VENV", ".venv"), ("PYTHON", ".venv/bin/python"), ("STAMP", ".venv/.installed")):
        monkeypatch.setattr(module, name, tmp_path / path)
    for name in ("runtime.lock", "requirements.lock", "generator.lock", "pyproject.toml"):
        (tmp_path / name).write_text(name)
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    module.calls = []
    module.broken = set()

    def run(command):
        if "import reconciler" in command:
            if module.broken:
                raise module.Failed("it does not start")
        elif "venv" in command:
            module.broken.clear()
            (tmp_path / ".venv").mkdir()
            module.calls.append("venv")
        elif "check" in command:
            module.calls.append("check")
        else:
            module.calls.append("project" if "--editable" in command else Path(command[-1]).name)
        return ""

    monkeypatch.setattr(module, "run", run)
    return module


def made(project, dev=False):
    project.calls.clear()
    project.bring(dev)
    return project.calls


RUNTIME = ["venv", "runtime.lock", "project", "check"]
ALL = ["venv", "requirements.lock", "generator.lock", "project", "check"]


def test_what_runs_is_installed_first_and_the_tests_add_the_rest(project):
    assert made(project) == RUNTIME
    assert made(project) == []
    assert made(project, dev=True) == ["requirements.lock", "generator.lock", "project", "check"]
    assert made(project, dev=True) == []
    assert made(project) == [], "what tests has what runs"


def test_a_new_lock_makes_it_anew_and_a_new_project_file_installs_the_project_alone(project):
    made(project)
    (project.ROOT / "pyproject.toml").write_text("another")
    assert made(project) == ["project", "check"]
    (project.ROOT / "requirements.lock").write_text("another")
    assert made(project) == [], "nothing of it is installed"
    (project.ROOT / "runtime.lock").write_text("another")
    assert made(project) == RUNTIME
    made(project, dev=True)
    for name in ("requirements.lock", "generator.lock"):
        (project.ROOT / name).write_text("one more")
        assert made(project) == ALL, "what the tests need stays"


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda project: project.STAMP.unlink(), id="cut off"),
        pytest.param(lambda project: project.STAMP.write_text("{"), id="stamp cut off"),
        pytest.param(lambda project: project.STAMP.write_text("[]"), id="no stamp of ours"),
        pytest.param(lambda project: project.broken.add("python"), id="interpreter gone"),
        pytest.param(
            lambda project: project.STAMP.write_text(
                json.dumps({**json.loads(project.STAMP.read_text()), "root": "/elsewhere"})
            ),
            id="moved",
        ),
    ],
)
def test_what_is_broken_is_made_anew(project, harm):
    made(project)
    harm(project)
    assert made(project) == RUNTIME
    assert made(project) == []


def test_an_install_that_fails_leaves_no_word_that_it_worked(project, monkeypatch):
    run = project.run

    def fails(command):
        if "check" in command:
            raise project.Failed("something is missing")
        return run(command)

    with monkeypatch.context() as patched:
        patched.setattr(project, "run", fails)
        with pytest.raises(project.Failed):
            project.bring(False)
    assert made(project) == RUNTIME


def test_another_interpreter_counts_only_where_it_is_asked_for(project, monkeypatch):
    made(project)
    stamp = json.loads(project.STAMP.read_text())
    project.STAMP.write_text(json.dumps({**stamp, "python": "/opt/python3.14"}))
    assert made(project) == []
    monkeypatch.setenv("PYTHON", sys.executable)
    assert made(project) == RUNTIME


def test_pip_tries_where_uv_does_not_manage_it(project, monkeypatch, capsys):
    monkeypatch.setattr(project.shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    assert made(project) == RUNTIME
    run, by = project.run, []

    def no_mirror(command):
        by.append(command[0])
        if command[0] == "uv" and "--requirement" in command:
            raise project.Failed("no such index")
        return run(command)

    monkeypatch.setattr(project, "run", no_mirror)
    project.STAMP.unlink()
    assert made(project) == ["venv", *RUNTIME]
    assert "uv" in by
    assert by[-1] != "uv"
    assert "uv did not manage it, so pip tries" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Error: the virtual environment was not created because ensurepip is not available.", "install it (Debian"),
        ("/usr/bin/python3: No module named venv", "or install uv"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "nothing of it was installed"),
        ("error: Hash mismatch for `attrs==26.1.0`", "nothing of it was installed"),
        ("OSError: [Errno 28] No space left on device", "make room"),
        ("ERROR: Failed building wheel for google-re2", "CPython 3.11 to 3.14"),
        ("Temporary failure in name resolution", "check the network"),
        ("ERROR: No matching distribution found for attrs==26.1.0", "PIP_INDEX_URL"),
        ("error: Failed to fetch: `http://127.0.0.1:9/simple/attrs/`", "UV_DEFAULT_INDEX"),
        ("Segmentation fault", "the next call makes .venv anew"),
    ],
)
def test_a_failure_says_what_to_do_in_one_sentence(project, said, sentence):
    remedy = project.remedy(said)
    assert sentence in remedy
    assert "\n" not in remedy


def test_an_interpreter_that_is_too_old_is_named():
    done = subprocess.run(
        [SCRIPT.parent / "install"],
        env={**os.environ, "PYTHON": "/bin/false"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "PYTHON=/bin/false is no Python 3.11 or newer: name another, or unset it to have one looked for.\n"
    )
