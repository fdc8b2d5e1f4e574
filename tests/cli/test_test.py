"""`reconciler test` as a person and a build server run it."""

from __future__ import annotations

import asyncio
import json
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from reconciler.cli.context import Context
from reconciler.cli.test import conversations
from reconciler.errors import Misuse
from tests.cli.test_validate import GOOD
from tests.conftest import Repo
from tests.llm.fake_openai import chat, fake_openai, tool_call

TALK = """\
apiVersion: reconciler/v1
kind: Conversation
metadata: {name: talk, instance: bistro}
spec:
  turns:
    - user: hello
      expect: {bot: one}
    - user: again
      after: 2h
      expect:
        status: ended
"""
TEXT = TALK.replace("name: talk", "name: text").replace("status: ended", "contains: [x]")

app = typer.Typer()
app.command()(conversations)


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def here(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.chdir(repo.root)
    for module in ("validate", "test"):
        monkeypatch.setattr(f"reconciler.cli.{module}.context", Context())
    repo.write("bots/bistro/all.yaml", GOOD)
    repo.write("bots/bistro/talk.yaml", TALK)
    repo.commit()
    return repo


def test_a_failure_has_its_line_and_exits_1(here):
    code, out, _ = run()
    assert code == 1
    assert out.splitlines() == [
        "failed     bistro/talk  2 turns, 2 expectations",
        "  bots/bistro/talk.yaml:11:17: turn 2, status: expected ended, but the session is opened (the session ended:"
        " expired)",
        "1 failed",
    ]


def test_passed_exits_0_and_a_path_narrows(here):
    here.write("bots/bistro/talk.yaml", TALK.replace("ended", "opened"))
    here.write("bots/bistro/text.yaml", TEXT)
    assert run("bots/bistro/talk.yaml")[0] == 0
    code, out, _ = run()
    assert (code, out.splitlines()[-1]) == (3, "1 passed, 1 incomplete")
    assert run("--model", "demo")[0] == 1
    assert run("--ref", "HEAD")[0] == 1
    with pytest.raises(Misuse, match="holds no Conversations"):
        run("bots/bistro/all.yaml")
    with pytest.raises(Misuse, match="is not there"):
        run("nowhere")
    with pytest.raises(Misuse, match="needs --model live"):
        run("--functions")


def test_invalid_files_exit_2(here):
    here.write("bots/bistro/talk.yaml", TALK.replace("user: again", "users: again"))
    code, _, err = run()
    assert code == 2
    assert "needs one of `user` and `human`" in err
    assert "users" in err


def test_json_and_junit(here, tmp_path):
    here.write("bots/bistro/text.yaml", TEXT)
    code, out, _ = run("--format", "json", "--junit", str(tmp_path / "report.xml"))
    assert code == 1
    first, second = json.loads(out)
    assert (first["verdict"], second["verdict"]) == ("failed", "incomplete")
    assert first["failures"][0]["at"] == "bots/bistro/talk.yaml:11:17"
    tree = ElementTree.fromstring((tmp_path / "report.xml").read_text())
    assert tree.attrib == {"tests": "2", "failures": "1", "skipped": "1", "errors": "0"}
    assert tree.find("testsuite/testcase[@name='talk']/failure").attrib["message"].startswith("expected ended")
    assert tree.find("testsuite/testcase[@name='text']/skipped") is not None
    code, out, _ = run("--format", "junit")
    assert ElementTree.fromstring(out).tag == "testsuites"


def test_without_conversations_it_says_how(here):
    (here.root / "bots/bistro/talk.yaml").unlink()
    code, _, err = run()
    assert code == 0
    assert "docs/testing-bots.md" in err


def test_live_asks_only_for_the_keys_it_needs(here):
    here.write("bots/other/all.yaml", GOOD.replace("bistro", "other").replace("KEY", "OTHER"))
    here.write("bots/bistro/talk.yaml", TALK.replace("{bot: one}", "{silent: true}"))
    code, _, err = run("--model", "live")
    assert code == 2
    assert "KEY is not set" in err
    assert "OTHER" not in err


async def test_live_asks_the_account_and_calls_functions_only_when_told(here, monkeypatch):
    async with fake_openai() as fake, fake_openai() as functions:
        functions.answers = [(200, {}, {"free": 3})]
        tools = f"functionUrl: {functions.url}/f, tools: [{{type: function, name: book}}]"
        keys = f"apiKey: {{env: KEY}}, baseUrl: {fake.url}"
        good = GOOD.replace("apiKey: {env: KEY}", keys).replace("maxTokens: 1,", f"maxTokens: 1, {tools},")
        here.write("bots/bistro/all.yaml", good)
        here.write("bots/bistro/talk.yaml", TALK.replace("{bot: one}", "{calls: book, contains: [eight]}"))
        monkeypatch.setenv("KEY", "sk-0123456789")
        here.write(
            "bots/bistro/talk.yaml", (here.root / "bots/bistro/talk.yaml").read_text().replace("ended", "opened")
        )

        async def live(*more):
            fake.answers = [chat(None, [tool_call("book")]), chat("At eight."), chat("Yes.")]
            monkeypatch.setattr("reconciler.cli.test.context", Context())
            private = ("--allow-private-url", "127.0.0.1")
            return await asyncio.to_thread(run, "--model", "live", *private, *more)

        assert (await live())[0] == 0
        assert functions.seen == []
        assert (await live("--functions"))[0] == 0
        assert functions.seen[0][2]["functionArguments"]["remoteJid"] == "rehearsal"
