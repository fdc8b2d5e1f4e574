"""Random fleets as a repository declares them, for an Evolution API server: those that its rules admit, and any.

`admitted` draws nothing that the rules of the package's docstring refuse, in whatever state an admitted fleet left the
server. `wild` draws triggers, models, texts, keys and references without looking: some fleets can be, many cannot.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

from reconciler.model import Desired, Object, Secret
from tests.plan.fleet import SPECS, declared, desired

INSTANCES = {"bistro": "Bistro 01", "clinic": "Clinic/é"}
FORMER = {live: name for name, live in INSTANCES.items()}
BOTS = ("a", "b", "c", "d")
ACCOUNTS = ("main", "spare")
KEYS = {(instance, account): f"sk-{instance}-{account}-0123456789" for instance in INSTANCES for account in ACCOUNTS}
NEW_KEYS = {pair: f"{key}-new" for pair, key in KEYS.items()}
SHARED = "sk-shared-by-two-0123456789"

_TRIGGERS: list[dict[str, Any]] = [
    {"triggerType": "all"},
    {"triggerType": "none"},
    {"triggerType": "none"},
    {"triggerType": "advanced", "triggerValue": "contains:pizza notcontains:cold"},
    {"triggerType": "keyword", "triggerOperator": "regex", "triggerValue": "^(hi|hello)$"},
    {"triggerType": "keyword", "triggerOperator": "startsWith", "triggerValue": "start"},
    *({"triggerType": "keyword", "triggerOperator": "equals", "triggerValue": v} for v in ("start", "Start", "olá 👋")),
]
_BEHAVIOUR: dict[str, list[Any]] = {
    "expire": [0, 1, 90, 3600],
    "keywordFinish": [None, "stop"],
    "delayMessage": [0, 1000],
    "unknownMessage": [None, "Sorry?"],
    "listeningFromMe": [False, True],
    "stopBotFromMe": [False, True],
    "keepOpen": [False, True],
    "debounceTime": [0, 1, 1000, 1500],
    "ignoreJids": [[], ["@g.us"]],
    "splitMessages": [False, True],
    "timePerChar": [0, 50],
}
_OWN: dict[str, list[Any]] = {
    "enabled": [True, True, False],
    "description": [None, "Answers guests"],
    "functionUrl": [None, "https://example.com/f"],
    "systemMessages": [None, ["Be kind"], ["Be kind", "Be brief"]],
    "assistantMessages": [None, ["Hello!"]],
    "userMessages": [None, ["Hi"]],
}
_KINDS: list[dict[str, Any]] = [
    {"maxTokens": 100},
    {"maxTokens": 100},
    {"maxTokens": 101},
    {"maxTokens": 101, "model": "gpt-4o-mini"},
    {"botType": "assistant", "assistantId": "concierge", "model": None, "maxTokens": None},
    {"botType": "assistant", "assistantId": "concierge", "maxTokens": 100},
]
_LONG: list[dict[str, Any]] = [
    {field: "x" * size} for field in ("unknownMessage", "keywordFinish") for size in (100, 101)
]


def _presets(table: dict[str, list[Any]], most: int) -> list[dict[str, Any]]:
    """Values for a few fields of a table, the others keep their defaults; drawn here, for a draw of each is slow."""
    chance = random.Random(1)
    found: list[dict[str, Any]] = [{}]
    for _ in range(60):
        fields = chance.sample(sorted(table), chance.randint(1, most))
        found.append({field: chance.choice(table[field]) for field in fields})
    return found


_BEHAVIOURS, _OWNS = st.sampled_from(_presets(_BEHAVIOUR, 3)), st.sampled_from(_presets(_OWN, 3))


def _accounts(draw: st.DrawFn, instance: str, wild: bool) -> list[Object]:
    """Credentials with keys of their own, old or new; one an instance (wild: any) may have the key of two."""
    names = sorted(draw(st.sets(st.sampled_from(ACCOUNTS), min_size=1)))
    sharing = draw(st.sampled_from([None, None, *names]))
    found = []
    for name in names:
        keys = [KEYS[instance, name], NEW_KEYS[instance, name], *([SHARED] if wild else [])]
        key = SHARED if name == sharing else draw(st.sampled_from(keys))
        found.append(declared("Credentials", name, instance, apiKey=Secret(key)))
    return found


def _bots(draw: st.DrawFn, instance: str, accounts: list[str], wild: bool, formers: list[str]) -> list[Object]:
    names = sorted(draw(st.permutations(BOTS))[: draw(st.sampled_from((0, 1, 2, 3, 4, 4)))])
    triggers = draw(st.permutations(_TRIGGERS))
    bots = []
    for at, name in enumerate(names):
        former = draw(st.sampled_from([None, None, *formers]))
        trigger = draw(st.sampled_from(triggers)) if wild else triggers[at]
        fields = draw(_BEHAVIOURS) | draw(_OWNS)
        if wild and draw(st.integers(0, 5)) == 0:
            fields |= draw(st.sampled_from(_LONG))
        fields |= draw(st.sampled_from(_KINDS))
        fields |= {"credentials": draw(st.sampled_from(accounts)), **trigger}
        bots.append(declared("Bot", name, instance, formerly=former if former not in names else None, **fields))
    return bots


@st.composite
def _fleet(
    draw: st.DrawFn,
    wild: bool,
    commit: str,
    after: Desired | None,
    among: Collection[str] = INSTANCES,
    source: str = "",
) -> Desired:
    kept = [one.ref.name for one in after.objects if one.ref.kind == "Instance"] if after else []
    names = sorted({*kept, *draw(st.sets(st.sampled_from(sorted(among)), min_size=0 if kept else 1))})
    objects: list[Object] = []
    for instance in names:
        objects.append(
            declared("Instance", instance, instance, instanceName=INSTANCES[instance], integration="EVOLUTION")
        )
        credentials = _accounts(draw, instance, wild)
        objects += credentials
        accounts = [one.ref.name for one in credentials]
        before = [o for o in after.objects if o.ref.kind == "Bot" and o.ref.instance == instance] if after else []
        bots = _bots(draw, instance, accounts, wild, [one.ref.name for one in before])
        objects += bots
        if any(one.spec["botType"] == "assistant" for one in bots):
            told = draw(st.sampled_from(["You know the house.", "You know the town."]))
            host = {"assistantId": "concierge", "instructions": told, "model": "gpt-4o"}
            objects.append(declared("Assistant", "concierge", instance, **host))
        if draw(st.booleans()):
            fields = dict(draw(_BEHAVIOURS))
            account = draw(st.sampled_from([None, *accounts]))
            alone = wild or not any(one.spec["apiKey"] == Secret(SHARED) for one in credentials)
            fallback = draw(st.sampled_from([None, *(one.ref.name for one in bots)]))
            fields |= {"credentials": account if account or wild or bots else accounts[0], "fallbackBot": fallback}
            fields |= {"speechToText": alone and draw(st.booleans())}
            objects.append(declared("Settings", "default", instance, **fields))
    objects.sort(key=lambda one: (_RANK[one.ref.kind], one.ref))
    return desired(*objects, commit=commit, source=source)


def told(fleet: Desired) -> str:
    """A fleet in few lines: what is not as it is by default."""
    return "\n".join(
        f"  {one.ref}{f' (formerly {one.formerly})' if one.formerly else ''} "
        + " ".join(f"{k}={v!r}" for k, v in one.spec.items() if v != SPECS[one.ref.kind][k])
        for one in fleet.objects
    )


_RANK = {"Instance": 0, "Credentials": 1, "Assistant": 2, "Settings": 3, "Bot": 4}


@st.composite
def two(
    draw: st.DrawFn, wild: bool = False, among: Collection[str] = INSTANCES, source: str = ""
) -> tuple[Desired, Desired]:
    """Two fleets, one after the other, of the same instances (the second may have one more)."""
    first = draw(_fleet(wild, "1" * 40, None, among, source))
    return first, draw(_fleet(wild, "2" * 40, first, among, source))
