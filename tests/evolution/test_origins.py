"""Who moved a field, on an Evolution API server, by what git says of the marked commit: in the server's own units."""

from __future__ import annotations

import pytest

from reconciler.desired.again import Again
from reconciler.desired.git import Repository
from reconciler.desired.secrets import with_keys
from reconciler.model import Plan
from reconciler.reconcile.once import Site, make_plan, read_wanted
from tests.conftest import Repo
from tests.evolution.world import World

HEAD = "apiVersion: reconciler/v1\n"
CONFIG = f"{HEAD}kind: Config\ntargets:\n  evo: {{type: evolution, url: 'http://127.0.0.1:1', apiKey: {{env: EVO}}}}\n"
ACCOUNT = f"{HEAD}kind: Credentials\nmetadata: {{name: main}}\nspec: {{apiKey: {{env: KEY}}}}\n"


def bot(name: str, expire: str, debounce: str) -> str:
    return (
        f"{HEAD}kind: Bot\nmetadata: {{name: {name}}}\nspec:\n  credentials: main\n  botType: chatCompletion\n"
        f"  model: gpt-4o\n  maxTokens: 100\n  triggerType: none\n  expire: {expire}\n  debounceTime: {debounce}\n"
    )


def files(expire: str = "1h", debounce: str = "1500ms") -> dict[str, str | None]:
    found: dict[str, str | None] = {"reconciler.yaml": CONFIG}
    for instance in ("bistro", "clinic"):
        found[f"bots/{instance}/instance.yaml"] = f"{HEAD}kind: Instance\nmetadata: {{name: {instance}}}\nspec: {{}}\n"
        found[f"bots/{instance}/main.yaml"] = ACCOUNT
        found |= {f"bots/{instance}/{name}.yaml": bot(name, expire, debounce) for name in ("a", "b")}
    return found


class Planner:
    """Plans as a command does, or as a loop that knows what it read before."""

    def __init__(self, repo: Repo, world: World, looping: bool) -> None:
        self.site = Site(Repository.discover(repo.root), {"KEY": "sk-0123456789abcdef"}, None)
        self.world = world
        self.again = Again(self.site.repository, None) if looping else None

    async def plan(self) -> Plan:
        wanted = read_wanted(self.site, "evo")
        if self.again is not None:
            assert wanted.commit is not None
            self.again.read(wanted.commit, wanted.config, wanted.target)
        desired = with_keys(wanted.desired, self.site.variables, self.site.repository.root)
        return make_plan(self.site, wanted, desired, await self.world.read(), again=self.again)


@pytest.mark.parametrize("looping", [False, True])
async def test_pending_drift_and_conflict(repo: Repo, looping: bool) -> None:
    world = World()
    planner = Planner(repo, world, looping)
    repo.commit(files())
    assert (await world.apply(await planner.plan())).complete
    assert (await planner.plan()).changes == ()

    repo.commit(files(expire="2h"))
    pending = await planner.plan()
    found = {(one.field, one.before, one.after, one.origin) for change in pending.changes for one in change.fields}
    assert found == {("expire", 60, 120, "pending")}

    for row in world.store.bots.values():
        row |= {"expire": 7, "debounceTime": 9}
    both = await planner.plan()
    found = {(one.field, one.before, one.after, one.origin) for change in both.changes for one in change.fields}
    assert found == {("expire", 7, 120, "conflict"), ("debounceTime", 9, 2, "drift")}

    assert (await world.apply(both)).complete
    assert (await planner.plan()).changes == ()
