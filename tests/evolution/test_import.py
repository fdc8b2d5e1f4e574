"""What hands made on an Evolution API server comes back from `import` as YAML that changes nothing but marks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.desired.check import read_desired
from reconciler.desired.git import Repository
from reconciler.desired.secrets import with_keys
from reconciler.desired.take import take
from reconciler.desired.taking import Into
from reconciler.model import Config, Target
from reconciler.plan.profiles import profile_of
from reconciler.reconcile.once import Site, Wanted, make_plan
from tests.conftest import Repo
from tests.evolution.rules import Refused, Row
from tests.evolution.world import Recorder, World

KEY = "sk-0123456789abcdef"
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)
PROMPTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), max_size=2)
BEHAVIOUR: dict[str, Any] = {
    "expire": st.integers(0, 2000),
    "keywordFinish": st.sampled_from(["", "stop"]),
    "delayMessage": st.integers(0, 9000),
    "unknownMessage": st.sampled_from(["", "Sorry?"]),
    "listeningFromMe": st.booleans(),
    "stopBotFromMe": st.booleans(),
    "keepOpen": st.booleans(),
    "debounceTime": st.integers(0, 60),
    "ignoreJids": st.lists(st.sampled_from(["@g.us", "a@s", "b@s"]), max_size=3, unique=True),
}
MORE: dict[str, Any] = {"splitMessages": st.booleans(), "timePerChar": st.integers(0, 90)}
BOT = st.fixed_dictionaries(
    {
        "enabled": st.booleans(),
        "triggerType": st.sampled_from(["all", "keyword", "advanced"]),
        "botType": st.sampled_from(["chatCompletion", "chatCompletion", "chatCompletion", "assistant"]),
    },
    optional={
        **BEHAVIOUR,
        **MORE,
        "description": LINE,
        "functionUrl": st.just("https://example.com/f"),
        "systemMessages": PROMPTS,
        "assistantMessages": PROMPTS,
        "userMessages": PROMPTS,
    },
)
FLEET = st.tuples(st.lists(BOT, max_size=4), st.none() | st.fixed_dictionaries(BEHAVIOUR, optional=MORE), st.booleans())


def build(world: World, bots: list[Row], own: Row | None, fallback: bool) -> None:
    store = world.store
    store.create_instance({"instanceName": "By hand 1", "integration": "EVOLUTION"})
    id = store.instances["By hand 1"]["id"]
    account = store.create_credentials(id, {"name": "Ä main", "apiKey": KEY})["id"]
    if own is not None:
        store.set_settings(id, {**own, "openaiCredsId": account, "speechToText": True})
    for number, fields in enumerate(bots):
        body = {**fields, "openaiCredsId": account, "model": "gpt-4o", "maxTokens": 10 + number}
        if body["botType"] == "assistant":
            body["assistantId"] = f"asst_{number}"
        if body["triggerType"] == "keyword":
            body |= {"triggerOperator": "equals", "triggerValue": f"word {number}"}
        if body["triggerType"] == "advanced":
            body["triggerValue"] = f"contains:word{number}"
        try:
            made = store.create_bot(id, body)
        except Refused:
            event("a second bot that answers all")
            continue
        if fallback and body["botType"] != "assistant":
            store.set_settings(id, {**store.settings[id], "openaiCredsId": "", "fallbackId": made["id"]})


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(FLEET)
def test_any_fleet_made_by_hand_comes_back_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, fleet: tuple[list[Row], Row | None, bool]
) -> None:
    world = World()
    build(world, *fleet)
    asyncio.run(converges(world, Repo(tmp_path_factory.mktemp("repo"))))


async def converges(world: World, repo: Repo) -> None:
    target, config = Target(name="evo", type="evolution", url="http://127.0.0.1:1"), Config()
    repository, profile = Repository.discover(repo.root), profile_of("evolution")
    live = await world.read()
    empty = read_desired(repository, None, config, target, None)
    raised = profile.raised(profile.fit(profile.lower(empty, live).desired, live))
    into = Into(folder="bots", taken=(), variables={"OPENAI_API_KEY": KEY}, cannot=raised.left)
    taken = take(empty, raised.live, into)
    assistants = {row["id"] for row in world.store.bots.values() if row["botType"] == "assistant"}
    assert raised.left.keys() == assistants
    commit = repo.commit(dict(taken.files))
    declared = read_desired(repository, commit, config, target, None)
    desired = with_keys(declared, {"OPENAI_API_KEY": KEY}, repository.root)
    site = Site(repository, {"OPENAI_API_KEY": KEY}, None)
    wanted = Wanted(commit, config, target, declared)
    plan = make_plan(site, wanted, desired, live)
    assert plan.faults == ()
    assert [(str(change.ref), change.fields) for change in plan.changes if change.fields] == []
    assert all(change.adopted for change in plan.changes)
    before = rows(world)
    record = Recorder()
    assert (await world.apply(plan, record)).complete, record.failed
    assert make_plan(site, wanted, desired, await world.read()).changes == ()
    assert rows(world) == before


def rows(world: World) -> Any:
    """All rows without marks, times and what is unset in one way or another.

    Without `ignoreJids` too: a bot is written with those of the Settings besides its own, which hold anyway.
    """
    skip = ("updatedAt", "description", "ignoreJids")
    every = [*world.store.settings.values(), *world.store.bots.values(), *world.store.credentials.values()]
    return {row["id"]: {f: v for f, v in row.items() if f not in skip and v not in (None, "", [])} for row in every}
