"""Hand-made desired states: complete specs as the repository's reader gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model import DEFAULTS, Desired, Kind, Live, LiveObject, Mark, Object, Place, Ref, Secret, fingerprint

COMMIT = "3f2a91c4" + "0" * 32
OLD = "aaaaaaaa" + "0" * 32
AT = Place("bots/bistro/bots.yaml")
BEHAVIOUR: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in DEFAULTS.items()}

SPECS: dict[Kind, dict[str, Any]] = {
    "Instance": {
        "instanceName": "Bistro_01", "integration": "WEB", "number": None, "webhook": None, "retention": None,
    },
    "Credentials": {
        "apiKey": {"env": "OPENAI_API_KEY"}, "baseUrl": None, "organization": None, "project": None,
        "whenMissing": None,
    },
    "Settings": {"credentials": None, **BEHAVIOUR, "speechToText": False, "fallbackBot": None},
    "Assistant": {
        "assistantId": "concierge", "instructions": None, "model": None, "temperature": None,
        "reasoningEffort": None, "tools": None, "metadata": None,
    },
    "Bot": {
        "enabled": True, "description": None, "botType": "chatCompletion", "credentials": "main", "assistantId": None,
        "functionUrl": None, "model": "gpt-4o", "systemMessages": None, "assistantMessages": None,
        "userMessages": None, "maxTokens": 1000, "triggerType": "none", "triggerOperator": None, "triggerValue": None,
        **BEHAVIOUR, "tools": None, "temperature": None, "reasoningEffort": None,
    },
}  # fmt: skip


def spec(kind: Kind, **fields: Any) -> dict[str, Any]:
    assert set(fields) <= set(SPECS[kind]), fields
    return {**SPECS[kind], **fields}


def keyword(value: str) -> dict[str, Any]:
    return {"triggerType": "keyword", "triggerOperator": "equals", "triggerValue": value}


def declared(kind: Kind, name: str, instance: str = "bistro", **more: Any) -> Object:
    """An object; `formerly`, `labels`, `protect` and `inherited` are its own, all else is its spec."""
    own = {key: more.pop(key) for key in ("formerly", "labels", "protect", "inherited") if key in more}
    return Object(ref=Ref(kind, instance, name), spec=spec(kind, **more), at=AT, **own)


def bistro(**more: Any) -> Object:
    return declared("Instance", "bistro", **more)


def main(**more: Any) -> Object:
    return declared("Credentials", "main", **{"apiKey": Secret("sk-0123456789abcdef"), **more})


def bot(name: str, **more: Any) -> Object:
    return declared("Bot", name, **more)


def desired(*objects: Object, commit: str | None = COMMIT, source: str = "", notes: tuple[str, ...] = ()) -> Desired:
    return Desired(commit=commit, source=source, objects=objects, notes=notes)


def running(*objects: Object, commit: str = OLD, source: str = "", ids: Mapping[str, str] | None = None) -> Live:
    """The listing of a target that is what `objects` say, marked with `commit`."""
    names = {one.ref.instance: one.spec["instanceName"] for one in objects if one.ref.kind == "Instance"}
    lives = []
    for one in objects:
        values = dict(one.spec)
        if isinstance(values.get("apiKey"), Secret):
            values["apiKey"] = fingerprint("salt", values["apiKey"].value)
        marked = one.ref.kind in ("Credentials", "Assistant", "Bot")
        lives.append(
            LiveObject(
                kind=one.ref.kind,
                instance=names.get(one.ref.instance, "Bistro_01"),
                id=f"id-{one.ref.kind}-{one.ref.name}",
                spec=values,
                mark=Mark(source, one.ref.name, commit[:8]) if marked else None,
                label=one.ref.name,
            )
        )
    return Live(objects=tuple(lives), version='"7"')


def foreign(kind: Kind, label: str, mark: Mark | None = None, instance: str = "Bistro_01", **fields: Any) -> LiveObject:
    return LiveObject(kind=kind, instance=instance, id=f"id-{label}", spec=spec(kind, **fields), mark=mark, label=label)


def with_objects(live: Live, *more: LiveObject) -> Live:
    return Live(objects=(*live.objects, *more), version=live.version)
