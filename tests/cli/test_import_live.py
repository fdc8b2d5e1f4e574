"""Live objects that nobody owns become YAML whose plan adopts them and changes nothing: on the real runtime."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciler.cli.context import Context
from reconciler.cli.main import run
from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.desired.secrets import with_keys
from reconciler.desired.take import take
from reconciler.desired.taking import Into
from reconciler.live.runtime import Runtime
from reconciler.model import Config, Live, Target
from reconciler.plan.order import order
from reconciler.reconcile.apply import walk
from reconciler.reconcile.once import Site, Wanted, make_plan
from tests.conftest import Repo, many
from tests.live.served import KEY, runtime

SECRET = "sk-live-" + "a1B2c3D4e5F6g7H8"
LONG = "You are the assistant of the bistro.\n\nGuests can park free of charge in the yard, which has eight spaces.\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with runtime(tmp_path_factory.mktemp("runtime")) as address:
        yield address


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[str]:
    with runtime(tmp_path) as address:
        yield address


@pytest.fixture
def here(repo: Repo, alone: str, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.chdir(repo.root)
    monkeypatch.setenv("RECONCILER_URL", alone)
    monkeypatch.setenv("RECONCILER_API_KEY", KEY)
    for module in ("import_", "site", "plan", "apply"):
        monkeypatch.setattr(f"reconciler.cli.{module}.context", Context(), raising=False)
    return repo


@pytest.fixture
def hand(alone: str) -> Iterator[Hand]:
    with Hand(alone) as person:
        yield person


def cli(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(list(arguments))
    return int(ended.value.code or 0)


class Hand:
    """A person with a dashboard."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"apikey": KEY}, timeout=60)

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    def bistro(self) -> dict[str, Any]:
        """An instance as somebody makes it who knows no git; gives the fallback bot's row."""
        self.post("/instance/create", instanceName="Bistro 01", number="551199", integration="EVOLUTION")
        account = self.post("/openai/creds/Bistro 01", name="Main account", apiKey=SECRET)["id"]
        self.post("/openai/assistants/create/Bistro 01", assistantId="asst_1", instructions=LONG + "Be kind.")
        self.post(
            "/openai/settings/Bistro 01", openaiCredsId=account, expire=3600, keywordFinish="stop", ignoreJids=["@g.us"]
        )
        usual = {"enabled": True, "openaiCredsId": account, "botType": "chatCompletion", "model": "gpt-4o"}
        self.post(
            "/openai/create/Bistro 01", **usual, maxTokens=100, description="Answers about the menu, and the wine",
            systemMessages=[LONG + "Name the menu."], triggerType="keyword", triggerOperator="contains",
            triggerValue="menu", expire=60, ignoreJids=["b@s", "@g.us", "a@s"], debounceTime=1500,
        )  # fmt: skip
        self.post(
            "/openai/create/Bistro 01", enabled=False, openaiCredsId=account, botType="assistant",
            assistantId="asst_1", triggerType="all", keywordFinish="",
        )  # fmt: skip
        last = self.post("/openai/create/Bistro 01", **usual, maxTokens=5, triggerType="none", unknownMessage="?")
        self.post("/openai/settings/Bistro 01", fallbackId=last["id"])
        return last


def test_a_dashboards_fleet_is_written_committed_adopted_and_settled(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = hand.bistro()
    before = {row["id"]: row for row in hand.http.get("/openai/find/Bistro 01").json()}
    monkeypatch.setenv("MY_KEY", SECRET)
    assert cli("import") == 0
    said = capsys.readouterr()
    assert said.out.split() == [
        "bots/bistro-01/instance.yaml",
        "bots/bistro-01/main-account.yaml",
        "bots/bistro-01/prompts/asst-1.md",
        "bots/bistro-01/asst-1.yaml",
        "bots/bistro-01/prompts/answers-about-the-menu-and-the-wine.md",
        "bots/bistro-01/answers-about-the-menu-and-the-wine.yaml",
        "bots/bistro-01/bot.yaml",
        "bots/bistro-01/bot-2.yaml",
        "bots/bistro-01/settings.yaml",
    ]
    assert "the plan will change" not in said.err
    folder = here.root / "bots/bistro-01"
    assert "apiKey:\n    env: MY_KEY" in (folder / "main-account.yaml").read_text()
    assert not any(SECRET in file.read_text() for file in folder.rglob("*.*"))
    assert (folder / "answers-about-the-menu-and-the-wine.yaml").read_text() == (
        "apiVersion: reconciler/v1\nkind: Bot\nmetadata:\n  name: answers-about-the-menu-and-the-wine\n"
        f"  adopts: {next(id for id, row in before.items() if row['triggerValue'] == 'menu')}\n"
        "spec:\n  description: Answers about the menu, and the wine\n  credentials: main-account\n"
        "  botType: chatCompletion\n  model: gpt-4o\n  systemMessages:\n"
        "    - file: prompts/answers-about-the-menu-and-the-wine.md\n  maxTokens: 100\n"
        "  triggerType: keyword\n  triggerOperator: contains\n  triggerValue: menu\n  expire: 1m\n"
        "  debounceTime: 1500ms\n  ignoreJids:\n    - a@s\n    - b@s\n"
    )
    assert "assistant: asst-1" in (folder / "bot.yaml").read_text() + (folder / "bot-2.yaml").read_text()

    here.commit()
    assert cli("plan") == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if "→" in line] == []
    assert "~ Bot bistro-01/bot (adopted)" in shown
    assert "5 to update, 0 to delete." in shown
    assert cli("apply", "--auto-approve") == 0
    after = {row["id"]: row for row in hand.http.get("/openai/find/Bistro 01").json()}
    own = ("description", "updatedAt")
    assert [{f: v for f, v in row.items() if f not in own} for row in after.values()] == [
        {f: v for f, v in row.items() if f not in own} for row in before.values()
    ]
    assert after[last["id"]]["description"].startswith("[gitops bot")
    assert hand.http.get("/openai/creds/Bistro 01").json()[0]["name"] == "Main account"
    capsys.readouterr()
    assert cli("plan", "--detailed-exitcode") == 0
    assert cli("import") == 0
    assert "nothing was written" in capsys.readouterr().err


def test_some_bots_with_what_they_need_into_a_folder_of_ones_own(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    last = hand.bistro()
    assert cli("import", "--bot", last["id"], "--out", "bots/new", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == ["bots/new/bot.yaml", "bots/new/instance.yaml", "bots/new/main-account.yaml"]
    assert [one["variable"] for one in found["objects"]] == [None, "BISTRO_01_MAIN_ACCOUNT_API_KEY", None]
    assert (found["differs"], found["leftOut"]) == ({}, [])
    assert "instance: bistro-01" in (here.root / "bots/new/bot.yaml").read_text()
    assert cli("import", "--bot", "nobody") == 64
    assert "no bot that nobody owns is nobody" in capsys.readouterr().err
    assert cli("import", "--instance", "Bistro_01") == 64
    assert "there is no instance 'Bistro_01'" in capsys.readouterr().err


def test_a_folder_where_nothing_would_be_read_is_refused(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    hand.bistro()
    assert cli("import", "--out", "elsewhere") == 64
    assert "elsewhere is not below bots, where bots are read from" in capsys.readouterr().err
    assert cli("import", "--out", "/tmp") == 64
    assert "/tmp is not in the repository" in capsys.readouterr().err


def test_where_the_target_has_an_overlay_the_files_go_there(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the other targets, which have nothing of those ids, do not make bots of their own."""
    hand.bistro()
    target = "{type: runtime, overlay: overlays/production}"
    here.write(
        "reconciler.yaml",
        f"apiVersion: reconciler/v1\nkind: Config\ntargets: {{production: {target}, local: {{type: runtime}}}}\n",
    )
    assert cli("import") == 0
    assert all(path.startswith("overlays/production/bistro-01/") for path in capsys.readouterr().out.split())
    here.commit()
    assert cli("plan") == 0
    assert "5 to update" in capsys.readouterr().out
    assert cli("render", "--target", "local") == 0
    assert "bistro-01" not in capsys.readouterr().out


def test_many_that_are_left_out_are_counted(here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    hand.post("/instance/create", instanceName="docs", retention=86400)
    account = hand.post("/openai/creds/docs", name="a", apiKey="k")["id"]
    for number in range(25):
        hand.post(
            "/openai/create/docs", enabled=True, openaiCredsId=account, botType="assistant", assistantId="x",
            triggerType="none", systemMessages=[f"{number}: {SECRET}"],
        )  # fmt: skip
    assert cli("import") == 0
    said = capsys.readouterr()
    assert "… and 5 more (--format json has them all)" in said.err
    assert "retention: 1d" in (here.root / "bots/docs/instance.yaml").read_text()


def test_keys_that_are_not_here_are_asked_for(here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    hand.bistro()
    assert cli("import") == 0
    assert "set BISTRO_01_MAIN_ACCOUNT_API_KEY where it is applied" in capsys.readouterr().err


def test_files_that_are_there_are_kept_and_all_or_nothing_is_written(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.bistro()
    mine = here.write("bots/bistro-01/instance.yaml", "# mine\n")
    here.write("bots/bistro-01/prompts/asst-1.md", "mine")
    monkeypatch.setattr("pathlib.Path.open", failing_on("settings.yaml"))
    assert cli("import") == 64
    assert "settings.yaml cannot be written, so nothing was" in capsys.readouterr().err
    assert [f.name for f in (here.root / "bots").rglob("*.*")] == ["instance.yaml", "asst-1.md"]
    monkeypatch.undo()
    assert mine.read_text() == "# mine\n"


def failing_on(name: str) -> Any:
    real = Path.open

    def open_(self: Path, *arguments: Any, **more: Any) -> Any:
        if self.name == name and "x" in arguments:
            raise OSError(28, "No space left on device", str(self))
        return real(self, *arguments, **more)

    return open_


def test_other_names_for_files_that_are_taken(here: Repo, hand: Hand) -> None:
    hand.bistro()
    here.write("bots/bistro-01/instance.yaml", "# mine\n")
    here.write("bots/bistro-01/prompts/asst-1.md", "mine")
    assert cli("import") == 0
    folder = here.root / "bots/bistro-01"
    assert (folder / "instance-instance.yaml").exists()
    assert "file: prompts/asst-1-2.md" in (folder / "asst-1.yaml").read_text()


def test_what_cannot_be_said_is_left_out_with_what_needs_it(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    hand.post("/instance/create", instanceName="docs", integration="WHATSAPP-BAILEYS", number="551")
    account = hand.post("/openai/creds/docs", name="a", apiKey="k", baseUrl="builtin:demo")["id"]
    bot = {"enabled": True, "openaiCredsId": account, "botType": "assistant", "assistantId": "x", "triggerType": "none"}
    leaky = hand.post("/openai/create/docs", **bot, description="leaky", systemMessages=[f"use {SECRET}"])
    hand.post("/openai/create/docs", **bot, description="x" * 200)
    hand.post("/openai/create/docs", **bot, description="two\nlines")
    hand.post("/openai/settings/docs", fallbackId=leaky["id"], expire=60)
    assert cli("import") == 0
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert "left out: Bot 'leaky' of docs: its document holds what looks like an API key" in said.err
    assert f"left out: Settings 'Settings' of docs: it uses {leaky['id']} (not managed)" in said.err
    assert "its description is cut to 140 characters" in said.err
    assert "its description becomes one line" in said.err
    assert "WHATSAPP-BAILEYS is no channel here: it becomes evolution" in said.err
    assert "Instance docs: the plan will change integration" in said.err
    assert "whenMissing: builtin:demo" in (here.root / "bots/docs/a.yaml").read_text()
    # The Settings stay as they are on the target, and the bots do what they did.
    assert "expire: 1m" in (here.root / "bots/docs/two-lines.yaml").read_text()


def test_a_lost_mark_is_adopted_and_not_imported(
    here: Repo, hand: Hand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.bistro()
    assert cli("import") == 0
    here.commit()
    monkeypatch.setenv("BISTRO_01_MAIN_ACCOUNT_API_KEY", SECRET)
    monkeypatch.setattr("reconciler.cli.site.context", Context())
    assert cli("apply", "--auto-approve") == 0
    menu = next(r for r in hand.http.get("/openai/find/Bistro 01").json() if r["triggerValue"] == "menu")
    assert hand.http.put(f"/openai/update/{menu['id']}/Bistro 01", json={"description": None}).status_code == 200
    file = here.root / "bots/bistro-01/answers-about-the-menu-and-the-wine.yaml"
    here.commit({str(file.relative_to(here.root)): file.read_text().replace(f"  adopts: {menu['id']}\n", "")})
    capsys.readouterr()
    assert cli("import") == 0
    assert f"apply --allow adopt:{menu['id']}" in capsys.readouterr().err
    assert cli("apply", "--auto-approve") == 3
    refused = capsys.readouterr().err
    assert "mark lost" in refused
    assert f"reconciler apply --allow adopt:{menu['id']}" in refused
    assert cli("apply", "--auto-approve", "--allow", f"adopt:{menu['id']}") == 0
    assert cli("plan", "--detailed-exitcode") == 0


# --- any fleet -----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)
PROMPT = st.one_of(TEXT, st.builds(lambda a, b: f"{a}\n{b}" * 3, TEXT, TEXT), st.just(LONG), st.just("a\r\nb"))
MAYBE = st.fixed_dictionaries(
    {},
    optional={
        "expire": st.integers(0, 90000),
        "keywordFinish": TEXT,
        "delayMessage": st.integers(0, 9000),
        "unknownMessage": TEXT,
        "listeningFromMe": st.booleans(),
        "stopBotFromMe": st.booleans(),
        "keepOpen": st.booleans(),
        "debounceTime": st.integers(0, 9000),
        "ignoreJids": st.lists(st.sampled_from(["@g.us", "a@s", "b@s"]), max_size=3),
        "splitMessages": st.booleans(),
        "timePerChar": st.integers(0, 10),
    },
)
TOOL = st.builds(
    lambda name, text: {"type": "function", "name": name, "description": text, "parameters": {"type": "object"}},
    st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True),
    TEXT,
)
BOT = st.tuples(
    st.fixed_dictionaries(
        {"enabled": st.booleans(), "triggerType": st.sampled_from(["none", "keyword", "advanced"])},
        optional={
            "description": LINE,
            "functionUrl": st.just("https://example.com/f"),
            "systemMessages": st.lists(PROMPT, max_size=3),
            "assistantMessages": st.lists(PROMPT, max_size=2),
            "userMessages": st.lists(PROMPT, max_size=2),
            "temperature": st.sampled_from([0, 0.3, 1, 2]),
            "reasoningEffort": st.sampled_from(["none", "low"]),
            "tools": st.lists(TOOL, max_size=2, unique_by=lambda tool: tool["name"]),
            "assistantId": st.sampled_from(["asst_1", "elsewhere"]),
        },
    ),
    MAYBE,
    st.sampled_from(["chatCompletion", "assistant"]),
)
FLEET = st.fixed_dictionaries(
    {
        "settings": st.none() | MAYBE,
        "speech": st.booleans(),
        "fallback": st.booleans(),
        "bots": st.lists(BOT, max_size=4),
        "assistant": st.none()
        | st.fixed_dictionaries({"instructions": PROMPT}, optional={"tools": st.lists(TOOL, max_size=1)}),
    }
)  # fmt: skip
numbers = iter(range(10**6))


def build(hand: Hand, name: str, fleet: dict[str, Any]) -> None:
    hand.post("/instance/create", instanceName=name)
    account = hand.post(f"/openai/creds/{name}", name="Ä main", apiKey=SECRET)["id"]
    if fleet["assistant"] is not None:
        hand.post(f"/openai/assistants/create/{name}", assistantId="asst_1", **fleet["assistant"])
    last = None
    for number, (fields, behaviour, kind) in enumerate(fleet["bots"]):
        body = {"botType": kind, "openaiCredsId": account, **fields, **behaviour}
        if body["triggerType"] == "keyword":
            body |= {"triggerOperator": "equals", "triggerValue": f"word {number}"}
        if body["triggerType"] == "advanced":
            body["triggerValue"] = f"contains:word{number}"
        body |= {"model": "gpt-4o", "maxTokens": 10} if kind == "chatCompletion" else {}
        body.setdefault("assistantId", "elsewhere") if kind == "assistant" else None
        last = hand.post(f"/openai/create/{name}", **body)["id"]
    if fleet["settings"] is not None:
        more = {"fallbackId": last} if fleet["fallback"] and last else {}
        hand.post(f"/openai/settings/{name}", **fleet["settings"], speechToText=fleet["speech"], **more)


class Quiet:
    def started(self, step: Any) -> None: ...

    def ended(self, step: Any, ending: str, message: str) -> None:
        assert ending == "done", f"{step.action} {step.ref}: {message}"


@settings(
    max_examples=many(6), deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(fleet=FLEET)
def test_any_fleet_comes_back_as_it_is(url: str, tmp_path_factory: pytest.TempPathFactory, fleet: Any) -> None:
    name = f"Any {next(numbers)}"
    with Hand(url) as hand:
        build(hand, name, fleet)
    root = tmp_path_factory.mktemp("repo")
    repo = Repo(root)
    asyncio.run(converges(Repository.discover(root), repo, url, name))


async def converges(repository: Repository, repo: Repo, url: str, name: str) -> None:
    """Imported and committed nothing but marks are to be put on; after that there is nothing to do."""
    reach = Runtime(url, KEY)
    try:
        config = Config()
        empty = read_desired(repository, None, config, Target(name="local"), None)
        live = only(await reach.read(), name)
        taken = take(empty, live, Into(folder="bots", taken=(), variables={"OPENAI_API_KEY": SECRET}))
        assert taken.left == ()
        for path, text in taken.files.items():
            file = repo.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        commit = repo.commit()
        declared = read_desired(repository, commit, config, Target(name="local"), None)
        site = Site(repository, {"OPENAI_API_KEY": SECRET}, None)
        desired = with_keys(declared, site.variables, repository.root)
        wanted = Wanted(commit, config, Target(name="local"), declared)
        plan = make_plan(site, wanted, desired, live)
        assert [(str(change.ref), change.fields) for change in plan.changes if change.fields] == []
        assert all(change.adopted for change in plan.changes)
        assert plan.faults == ()
        await walk(order(plan), plan.ids, reach, Quiet())
        after = only(await reach.read(), name)
        assert make_plan(site, wanted, desired, after).changes == ()
        assert [bare(one) for one in after.objects] == [bare(one) for one in live.objects]
    finally:
        await reach.close()


def only(live: Live | None, name: str) -> Live:
    assert live is not None
    return Live(objects=tuple(one for one in live.objects if one.instance == name), version=live.version)


def bare(one: Any) -> Any:
    """An object without the mark and what the mark gives names to."""
    return one.kind, one.id, {f: v for f, v in one.spec.items() if f not in ("credentials", "fallbackBot")}
