"""What errors look like on a terminal, and which exit code they have."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from reconciler.cli import output
from reconciler.cli.main import run
from reconciler.errors import InvalidBots, Misuse, PlanRefused, Problem, Refusal
from reconciler.model import Secret

PROBLEM = Problem(
    path="bots/a.yaml",
    line=3,
    column=5,
    pointer="spec.triggerOperator",
    message="'equal' is not one of equals, contains",
    hint="did you mean 'equals'?",
    excerpt="    equal",
)


def test_a_problem_has_its_place_its_line_and_a_caret(capsys: pytest.CaptureFixture[str]) -> None:
    code = output.show_error(InvalidBots((PROBLEM, Problem(path="b.yaml", message="is empty"))))
    said = capsys.readouterr()
    assert code == 1
    assert said.out == ""
    first, excerpt, caret, second, count = said.err.splitlines()
    assert first == (
        "bots/a.yaml:3:5: spec.triggerOperator: 'equal' is not one of equals, contains (did you mean 'equals'?)"
    )
    assert excerpt == "    3 |     equal"
    assert caret.index("^") == excerpt.index("equal")
    assert second == "b.yaml: is empty"
    assert count == "2 problems"


def test_a_refusal_says_what_would_allow_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.show_error(PlanRefused((Refusal(reason="it is protected", remedy="take it away"),))) == 3
    assert capsys.readouterr().err == "refused: it is protected\n         take it away\n"


def test_a_foreseen_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.show_error(Misuse("no repository here")) == 64
    assert capsys.readouterr().err == "error: no repository here\n"


def broken() -> ValueError:
    """An error with a traceback, as a bug has."""
    with pytest.raises(ValueError, match="broken") as caught:
        raise ValueError("broken")
    return caught.value


def test_a_bug_is_one_line_and_its_traceback_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output.show_error(broken(), log=tmp_path / "log") == 70
    assert "Traceback" not in capsys.readouterr().err
    assert output.show_error(broken(), debug=True) == 70
    assert "Traceback" in capsys.readouterr().err
    assert "Traceback" in (tmp_path / "log").read_text()
    assert output.show_error(broken(), log=tmp_path) == 70  # a log that cannot be written
    assert "full log" not in capsys.readouterr().err.splitlines()[-1]


def test_a_bugs_text_and_traceback_hold_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("bad header b'sk-proj-Abc123Def456Ghi789Jkl012' for https://me:pa55@example.com")
    assert output.show_error(error, debug=True, log=tmp_path / "log") == 70
    told = capsys.readouterr().err + (tmp_path / "log").read_text()
    assert "bad header b'…'" in told
    assert "Abc123" not in told
    assert "pa55" not in told


def test_whoever_stops_reading_does_not_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr(sys, "stderr", closed)
        assert ended("schema") == 0
        assert ended("plan", "--help") == 0
        assert ended("plan", "--nope") == 64
        assert ended("validate", "nope") == 64
        assert sys.stdout is closed
        with output.outlasting_readers():
            assert sys.stdout.buffer.write(b"x" * 100_000) == 100_000


def test_ctrl_c_while_a_command_is_still_loading_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reconciler.cli.main.import_module", interrupted)
    assert ended("plan") == 130


def ended(*arguments: str) -> object:
    """The exit code of a command in this process."""
    with pytest.raises(SystemExit) as caught:
        run(list(arguments))
    return caught.value.code


def test_json_shows_a_secrets_mask_only(capsys: pytest.CaptureFixture[str]) -> None:
    output.put_json({"apiKey": Secret("sk-0123456789abcd")})
    assert json.loads(capsys.readouterr().out) == {"apiKey": "Secret(sk-…abcd)"}
    with pytest.raises(TypeError):
        output.put_json(object())
