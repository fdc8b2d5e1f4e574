"""Desired states that `validate` would accept, drawn at random: the same seed gives the same."""

from __future__ import annotations

import random
from typing import Any

from reconciler.model import Desired, Object, Secret
from tests.plan.fleet import declared, desired, keyword

INSTANCES = {"Bistro": "bistro", "Clinic": "clinic", "Docs": "docs"}  # YAML names by the target's
_NAMES = [f"bot-{letter}" for letter in "abcdefg"]
_TRIGGERS: list[dict[str, Any]] = [
    {"triggerType": "all"},
    {"triggerType": "none"},
    {"triggerType": "advanced", "triggerValue": "contains:menu,card"},
    {"triggerType": "keyword", "triggerOperator": "regex", "triggerValue": "(?i)^menu$"},
    {"triggerType": "keyword", "triggerOperator": "startsWith", "triggerValue": "x"},
    *(keyword(word) for word in "xyzw"),
]
_TEXTS = [None, "Be kind.", "First line\nsecond line", "Olá, tudo bem? 😀", "[gitops x@12345678] in the middle"]


def pair_of(seed: int) -> tuple[Desired, Desired]:
    """A desired state, and one that some commits later has taken its place."""
    draw = random.Random(seed)
    first = fleet(draw, "1" * 40)
    return first, fleet(draw, "2" * 40, first)


def fleet(draw: random.Random, commit: str, before: Desired | None = None) -> Desired:
    """One to three instances with all they can hold; `before`: some of its objects are renamed."""
    objects: list[Object] = []
    for name in sorted(draw.sample(sorted(INSTANCES), draw.randint(1, len(INSTANCES)))):
        objects += _instance(draw, INSTANCES[name], name, before)
    draw.shuffle(objects)
    order = ("Instance", "Credentials", "Assistant", "Settings", "Bot")
    objects.sort(key=lambda one: (order.index(one.ref.kind), one.ref.instance, one.ref.name))
    return desired(*objects, commit=commit)


def _instance(draw: random.Random, name: str, instance_name: str, before: Desired | None) -> list[Object]:
    found = [declared("Instance", name, name, instanceName=instance_name, retention=draw.choice([None, 3600]))]
    accounts = sorted(draw.sample(["main", "spare", "third"], draw.randint(1, 3)))
    for account in accounts:
        key = Secret(draw.choice(["sk-aaaaaaaaaaaaaa", "sk-bbbbbbbbbbbbbb"]))
        found.append(declared("Credentials", account, name, apiKey=key, project=draw.choice([None, "p"])))
    ids = draw.sample(["asst_1", "asst_2", "asst_3"], 3)
    for host, id in zip(sorted(draw.sample(["h1", "h2"], draw.randint(0, 2))), ids, strict=False):
        found.append(declared("Assistant", host, name, assistantId=id, instructions=draw.choice(_TEXTS[:3])))
    bots = sorted(draw.sample(_NAMES, draw.randint(0, len(_NAMES))))
    formers = (
        [one.ref.name for one in before.objects if (one.ref.kind, one.ref.instance) == ("Bot", name)] if before else []
    )
    formers = [former for former in formers if former not in bots]
    draw.shuffle(formers)
    taken: set[str] = set()
    for bot in bots:
        trigger = draw.choice(_TRIGGERS)
        enabled = draw.random() < 0.7
        held = str(sorted(trigger.items()))
        if enabled and trigger["triggerType"] != "none":
            enabled = held not in taken
            taken.add(held)
        assisted = draw.random() < 0.3
        text = draw.choice(_TEXTS)
        found.append(
            declared(
                "Bot",
                bot,
                name,
                enabled=enabled,
                credentials=draw.choice(accounts),
                description=draw.choice(_TEXTS[:3]),
                botType="assistant" if assisted else "chatCompletion",
                assistantId=draw.choice(ids) if assisted else None,
                systemMessages=None if text is None else [text],
                expire=draw.choice([0, 60]),
                keywordFinish=draw.choice([None, "bye"]),
                ignoreJids=draw.choice([[], ["@g.us"]]),
                formerly=formers.pop() if formers and draw.random() < 0.5 else None,
                **trigger,
            )
        )
    if draw.random() < 0.7:
        fallback = draw.choice([*bots, None])
        found.append(
            declared("Settings", "own", name, credentials=draw.choice([*accounts, None]), fallbackBot=fallback)
        )
    return found
