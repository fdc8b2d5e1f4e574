"""`sessions export` and open chats, on the real runtime's HTTP API."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.errors import Misuse, Unavailable
from reconciler.reconcile.redact import Redactor
from reconciler.reconcile.review.live import counting
from reconciler.reconcile.review.replay import Recorded
from reconciler.reconcile.sessions import Chats, since_of
from tests.conftest import Repo
from tests.e2e.conftest import ROOT, Up, until

PERSON = "5511988887777"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`reconciler up` on the example fleet with one chat in it."""
    import shutil

    root = tmp_path_factory.mktemp("sessions") / "repo"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("RECONCILER_", "OPENAI_", "GIT_")):
                patch.delenv(name)
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ana")
            patch.setenv(f"GIT_{role}_EMAIL", "ana@example.com")
        repo = Repo(root)
        shutil.copytree(ROOT / "bots", root / "bots")
        repo.write(".gitignore", ".reconciler/\n")
        repo.commit(message="the example fleet")
        running = Up(repo)
        running.ready()
        write(running, "start")
        until(lambda: len(transcript(running)) >= 2)
        write(running, f"My name is Ana Souza, call {PERSON} or ana@mail.example")
        until(lambda: len(transcript(running)) >= 4)
        yield running
        running.stop()


def write(up: Up, text: str) -> None:
    body = {"remoteJid": PERSON, "text": text, "pushName": "Ana Souza"}
    assert up.client.post("/chat/bistro", json=body).status_code == 202


def transcript(up: Up) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = up.get(f"/chat/bistro/{PERSON}")
    return found


def collect(up: Up, **more: Any) -> list[Any]:
    async def found() -> list[Any]:
        async with httpx.AsyncClient(base_url=str(up.client.base_url), headers=dict(up.client.headers)) as http:
            return [one async for one in Chats(http).recorded(**{"redactor": Redactor(), **more})]

    return asyncio.run(found())


def test_a_chat_is_written_without_what_tells_who_wrote_it(up: Up) -> None:
    (one,) = collect(up)
    assert (one.instance, one.chat) == ("bistro", "chat-1")
    assert [message.by for message in one.messages] == ["customer", "bot", "customer", "bot"]
    assert one.messages[0].at == 0
    assert one.messages[1].bot == "restaurant"
    text = one.messages[2].text
    assert text.startswith("My name is Name1 Name2, call ")
    assert text.endswith(" or mail1@example.com")
    assert PERSON not in text


def test_names_ways_to_choose_and_bounds(up: Up) -> None:
    assert len(collect(up, instance="bistro", bot="restaurant")) == 1
    assert collect(up, bot="menu") == []
    assert collect(up, since=2e10) == []
    said: list[str] = []
    assert collect(up, limit=1, skipped=said.append)
    assert said == []
    (raw,) = collect(up, redactor=None)
    assert (raw.chat, PERSON in raw.messages[2].text) == (PERSON, True)
    with pytest.raises(Misuse, match="there is no instance 'no'; there is: bistro, Cl"):
        collect(up, instance="no")
    with pytest.raises(Misuse, match="there is no bot 'no' in bistro; there is: complaints"):
        collect(up, instance="bistro", bot="no")


def test_a_name_that_somebody_says_is_out_of_the_whole_chat() -> None:
    said = [("Thanks!", True), ("me llamo roberta", False), ("Hola Roberta", True)]
    rows = [{"text": text, "fromMe": mine, "timestamp": at, "botId": None} for at, (text, mine) in enumerate(said)]
    answers = {
        "/instance/fetchInstances": [{"name": "shop"}],
        "/openai/find/shop": [{"id": "b1", "description": None}],
        "/openai/fetchSessions/b1/shop": [{"remoteJid": "x", "pushName": None, "updatedAt": "2026-01-01T00:00:00Z"}],
        "/chat/shop/x": rows,
    }

    async def read() -> list[Recorded]:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answers[request.url.path]))
        async with httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport) as http:
            return [one async for one in Chats(http).recorded(redactor=Redactor())]

    (chat,) = asyncio.run(read())
    assert [one.text for one in chat.messages] == ["Thanks!", "me llamo Name1", "Hola Name1"]


def test_wrong_keys_and_nobody_there(up: Up) -> None:
    async def ask(url: str, key: str) -> None:
        async with httpx.AsyncClient(base_url=url, headers={"apikey": key}) as http:
            async for _ in Chats(http).recorded(redactor=None):
                raise AssertionError

    with pytest.raises(Misuse, match="does not take this key"):
        asyncio.run(ask(str(up.client.base_url), "wrong"))
    with pytest.raises(Unavailable, match="no runtime answers"):
        asyncio.run(ask("http://127.0.0.1:9", "x"))


def test_the_command_writes_a_file_that_a_review_plays(up: Up, tmp_path: Path) -> None:
    out = tmp_path / "chats.jsonl"
    done = up.run("sessions", "export", "--redact", "--since", "7d", "--out", str(out))
    assert (done.stdout, done.stderr.strip()) == ("", "1 chats, 4 messages")
    assert out.stat().st_mode & 0o777 == 0o600
    assert json.loads(out.read_text())["instance"] == "bistro"
    assert "name a new file" in up.run("sessions", "export", "--out", str(out), exit_code=64).stderr
    raw = up.run("sessions", "export", "--no-redact", "--instance", "bistro")
    assert PERSON in raw.stdout
    assert "not redacted" in raw.stderr
    up.repo.git("switch", "--quiet", "--create", "other")
    file = up.repo.root / "bots/bistro/restaurant.yaml"
    file.write_text(file.read_text().replace("triggerValue: start", "triggerValue: hello"))
    up.repo.commit(message="another word")
    up.repo.git("switch", "--quiet", "main")
    review = ("review", "--base", "main", "--head", "other", "--model", "none")
    done = up.run(*review, "--replay", str(out), exit_code=1)
    assert "chats.jsonl: 1 chats, 2 turns, 2 differ" in done.stdout
    assert "before  restaurant (opened)" in done.stdout
    assert "after   welcome (opened)" in done.stdout
    looked = up.run(*review, "--target", "local", exit_code=1)
    assert "1 open chat of bistro/restaurant goes on with the changed bot" in looked.stdout


def test_open_chats_are_counted_by_a_token_that_only_reads(up: Up) -> None:
    bot = up.bots("bistro")["restaurant"]["id"]
    made = up.client.post("/tokens", json={"name": "review", "access": "read"})
    key = made.json()["token"]

    async def count(key: str, instance: str = "bistro") -> int | None:
        async with httpx.AsyncClient(base_url=str(up.client.base_url), headers={"apikey": key}) as http:
            return await counting(http)(instance, bot)

    assert asyncio.run(count(key)) == 1
    assert asyncio.run(count("wrong")) is None
    assert up.get("/openai/countSessions/bistro") == [{"botId": bot, "opened": 1, "paused": 0, "closed": 0}]


@pytest.mark.parametrize("length", ["7", "x", "7w", "1000000000d", "ms"])
def test_how_long_ago(length: str) -> None:
    with pytest.raises(Misuse, match="such as 7d"):
        since_of(length)
    assert since_of("1h") > since_of("2d")
