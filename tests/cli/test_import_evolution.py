"""Bots that somebody made on an Evolution API server's dashboard become YAML whose plan changes nothing but marks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciler.cli.context import context
from reconciler.cli.main import run
from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.desired.secrets import with_keys
from reconciler.desired.take import take
from reconciler.desired.taking import Into
from reconciler.live.evolution import Evolution
from reconciler.model import Config, Target
from reconciler.plan.evolution.profile import EVOLUTION
from reconciler.plan.order import order
from reconciler.plan.same import plain
from reconciler.reconcile.apply import walk
from reconciler.reconcile.once import Site, Wanted, make_plan
from tests.cli.test_import_live import Quiet, only
from tests.conftest import Repo, many
from tests.evolution.serve import KEY, Server, serving

CONFIG = """\
apiVersion: reconciler/v1
kind: Config
targets:
  wa: {{type: evolution, url: "{url}", apiKey: {{env: EVOLUTION_KEY}}}}
"""
SECRET = "sk-0123456789abcdefghij"
LONG = "You are the assistant of the bistro.\nGuests can park free of charge in the yard behind the house."


@pytest.fixture
def server(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as one:
        monkeypatch.chdir(repo.root)
        monkeypatch.setenv("EVOLUTION_KEY", KEY)
        monkeypatch.setenv("MY_KEY", SECRET)
        repo.write("reconciler.yaml", CONFIG.format(url=one.url))
        repo.write(".gitignore", ".reconciler/\n")
        yield one
    context.__dict__.clear()


def cli(capsys: Any, *arguments: str, code: int = 0) -> str:
    context.__dict__.clear()
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(list(arguments))
    said = capsys.readouterr()
    assert int(ended.value.code or 0) == code, said.out + said.err
    return str(said.out + said.err)


def by_hand(server: Server, *bots: dict[str, Any], fallback: int | None = None) -> list[dict[str, Any]]:
    """An instance with an account, bots and Settings, made as a dashboard makes them."""
    store = server.store
    store.create_instance({"instanceName": "Bistro 01", "integration": "WHATSAPP-BAILEYS"})
    (instance,) = (row["id"] for row in store.instances.values())
    account = store.create_credentials(instance, {"name": "Main account", "apiKey": SECRET})["id"]
    usual = {
        "enabled": True, "openaiCredsId": account, "botType": "chatCompletion", "model": "gpt-4o",
        "systemMessages": [], "assistantMessages": [], "userMessages": [], "ignoreJids": [], "expire": 0,
        "delayMessage": 1000, "unknownMessage": "", "keywordFinish": "", "listeningFromMe": False,
        "stopBotFromMe": False, "keepOpen": False, "debounceTime": 0, "splitMessages": False, "timePerChar": 0,
    }  # fmt: skip
    made = [store.create_bot(instance, {**usual, **bot}) for bot in bots]
    settings = {name: usual[name] for name in usual if name not in ("enabled", "botType", "model")}
    settings = {k: v for k, v in settings.items() if not k.endswith("Messages") or k == "splitMessages"}
    store.set_settings(
        instance,
        {
            **settings,
            "expire": 30,
            "speechToText": False,
            "openaiIdFallback": made[fallback]["id"] if fallback is not None else "",
        },
    )
    return made


def test_a_dashboards_bots_are_adopted_and_nothing_else_changes(
    repo: Repo, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    word = {"triggerType": "keyword", "triggerOperator": "equals", "triggerValue": "menu"}
    made = by_hand(
        server,
        {**word, "maxTokens": 100, "description": "Tells the menu", "systemMessages": [LONG], "expire": 20},
        {"maxTokens": 200, "triggerType": "all", "triggerValue": "", "debounceTime": 5, "keywordFinish": "stop"},
    )
    before = {row["id"]: dict(row) for row in server.store.bots.values()}
    said = cli(capsys, "import")
    assert "the plan will change" not in said, said
    folder = repo.root / "bots/bistro-01"
    assert "expire: 20m" in (folder / "tells-the-menu.yaml").read_text()
    assert "debounceTime: 5s" in (folder / "bot.yaml").read_text()
    assert (folder / "prompts/tells-the-menu.md").read_text() == f"{LONG}\n"
    assert "env: MY_KEY" in (folder / "main-account.yaml").read_text()
    repo.commit()
    shown = cli(capsys, "plan")
    assert "~ Bot bistro-01/tells-the-menu (adopted)" in shown
    assert "→" not in shown
    cli(capsys, "apply", "--auto-approve")
    cli(capsys, "plan", "--detailed-exitcode")
    after = {row["id"]: dict(row) for row in server.store.bots.values()}
    assert set(after) == {row["id"] for row in made}
    own = ("description", "updatedAt")
    # That server takes no null: what is unset is an empty text once it was updated.
    assert {id: {f: plain(v) for f, v in row.items() if f not in own} for id, row in after.items()} == {
        id: {f: plain(v) for f, v in row.items() if f not in own} for id, row in before.items()
    }
    assert after[made[0]["id"]]["description"].startswith("Tells the menu [gitops tells-the-menu@")
    assert "nothing was written" in cli(capsys, "import")


def test_bots_of_openais_assistants_are_left_out(
    repo: Repo, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand(
        server,
        {"botType": "assistant", "assistantId": "asst_1", "maxTokens": 5, "triggerType": "all", "description": "old"},
    )
    assert "left out: Bot 'old' of Bistro 01: it runs an assistant of OpenAI's" in cli(capsys, "import")


# --- any fleet -----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
BEHAVIOUR = {
    "expire": st.integers(0, 900),
    "keywordFinish": TEXT,
    "delayMessage": st.integers(0, 9000),
    "unknownMessage": TEXT,
    "listeningFromMe": st.booleans(),
    "stopBotFromMe": st.booleans(),
    "keepOpen": st.booleans(),
    "debounceTime": st.integers(0, 90),
    "ignoreJids": st.lists(st.sampled_from(["@g.us", "a@s", "b@s"]), max_size=3),
    "splitMessages": st.booleans(),
    "timePerChar": st.integers(0, 10),
}
PROMPTS = st.lists(st.one_of(TEXT, st.just(LONG), st.just(f"{LONG}\r\n")), max_size=2)
BOT = st.fixed_dictionaries(
    {
        "enabled": st.booleans(),
        "triggerType": st.sampled_from(["keyword", "advanced"]),
        "systemMessages": PROMPTS,
        "assistantMessages": PROMPTS,
        "userMessages": PROMPTS,
        **BEHAVIOUR,
    },
    optional={
        "description": st.sampled_from(["Menu", "Wine and more", "Menu "]),
        "functionUrl": st.just("https://a.example"),
    },
)
FLEET = st.tuples(st.lists(BOT, max_size=3), st.none() | st.fixed_dictionaries({}, optional=BEHAVIOUR), st.booleans())


def build(server: Server, name: str, key: str, fleet: Any) -> None:
    bots, behaviour, fallback = fleet
    store = server.store
    store.create_instance({"instanceName": name, "integration": "WHATSAPP-BAILEYS"})
    instance = next(row["id"] for row in store.instances.values() if row["name"] == name)
    account = store.create_credentials(instance, {"name": f"account {name}", "apiKey": key})["id"]
    if behaviour is not None:
        store.set_settings(instance, {**behaviour, "openaiCredsId": account})
    made = []
    for number, bot in enumerate(bots):
        body = {
            "botType": "chatCompletion",
            "openaiCredsId": account,
            "model": "gpt-4o",
            "maxTokens": 100 + number,
            **bot,
        }
        if bot["triggerType"] == "keyword":
            body |= {"triggerOperator": "equals", "triggerValue": f"word {number}"}
        else:
            body["triggerValue"] = f"contains:word{number}"
        made.append(store.create_bot(instance, body)["id"])
    if fallback and made:
        store.set_settings(instance, {"fallbackId": made[0]})


@settings(
    max_examples=many(6), deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(fleet=FLEET)
def test_any_fleet_comes_back_as_it_is(tmp_path_factory: pytest.TempPathFactory, fleet: Any) -> None:
    root = tmp_path_factory.mktemp("repo")
    with serving() as server:
        build(server, "Any", SECRET, fleet)
        asyncio.run(converges(Repo(root), server.url, "Any", SECRET))


async def converges(repo: Repo, url: str, name: str, key: str) -> None:
    reach = Evolution(url, KEY)
    repository = Repository.discover(repo.root)
    target = Target(name="wa", type="evolution", url=url)
    config = Config(targets=(target,))
    try:
        live = only(await reach.read(), name)
        empty = read_desired(repository, None, config, target, None)
        raised = EVOLUTION.raised(EVOLUTION.fit(EVOLUTION.lower(empty, live).desired, live))
        into = Into(folder="bots", taken=(), variables={"MY_KEY": key}, cannot=raised.left)
        taken = take(empty, raised.live, into)
        assert taken.left == ()
        for path, text in taken.files.items():
            file = repo.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        commit = repo.commit()
        declared = read_desired(repository, commit, config, target, None)
        site = Site(repository, {"MY_KEY": key}, None)
        desired = with_keys(declared, site.variables, repository.root)
        wanted = Wanted(commit, config, target, declared)
        plan = make_plan(site, wanted, desired, live)
        assert [(str(change.ref), change.fields) for change in plan.changes if change.fields] == []
        assert all(change.adopted for change in plan.changes)
        assert plan.faults == ()
        await walk(order(plan), plan.ids, reach, Quiet())
        after = only(await reach.read(), name)
        assert make_plan(site, wanted, desired, after).changes == ()
    finally:
        await reach.close()
