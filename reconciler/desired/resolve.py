"""Effective values: a sound object in the complete form that a plan compares. Before it come `links`.

Texts from files are put in place, durations become whole numbers of the runtime's units, names become what the
API knows, and what a bot leaves out comes from its instance's Settings, then from the built-in defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.desired.assemble import Draft
from reconciler.desired.durations import UNITS, convert
from reconciler.desired.links import Links
from reconciler.model import DEFAULTS, Object

Texts = Callable[[Draft, Any, tuple[str | int, ...]], str]

INTEGRATIONS: Final = {"web": "WEB", "evolution": "EVOLUTION"}
_MESSAGES: Final = ("systemMessages", "assistantMessages", "userMessages")


def resolve(links: Links, draft: Draft, text: Texts) -> Object:
    """The object with its effective values; `text` gives the text of a value that may be `{file: path}`."""
    inherited: tuple[str, ...] = ()
    match draft.ref.kind:
        case "Instance":
            spec = _instance(draft)
        case "Credentials":
            fields = ("apiKey", "baseUrl", "organization", "project", "whenMissing")
            spec = {field: draft.spec.get(field) for field in fields}
        case "Settings":
            spec = _settings(draft.spec)
        case "Assistant":
            spec = _assistant(draft, text)
        case "Bot":
            spec, inherited = _bot(links, draft, text)
        case "Conversation":
            spec = {"turns": [_turn(turn) for turn in draft.spec["turns"]]}
    metadata = draft.metadata
    return Object(
        ref=draft.ref,
        spec=spec,
        at=draft.at,
        labels=metadata.get("labels", {}),
        formerly=metadata.get("formerly"),
        adopts=metadata.get("adopts"),
        protect=metadata.get("protect", False),
        inherited=inherited,
        implied=tuple(field for field, value in spec.items() if value is not None and not _written(draft, field)),
    )


# Fields that YAML calls otherwise than the API does.
_WRITTEN_AS: Final = {"assistantId": ("assistantId", "assistant", "id"), "integration": ("channel",)}


def _written(draft: Draft, field: str) -> bool:
    return any(name in draft.spec for name in _WRITTEN_AS.get(field, (field,)))


def _instance(draft: Draft) -> dict[str, Any]:
    spec = draft.spec
    return {
        "instanceName": spec.get("instanceName", draft.ref.name),
        "integration": INTEGRATIONS[spec.get("channel", "web")],
        "number": spec.get("number"),
        "webhook": spec.get("webhook"),
        "retention": _unit("retention", spec["retention"]) if "retention" in spec else None,
    }


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "credentials": spec.get("credentials"),
        **_behaviour(spec, {}),
        "speechToText": spec.get("speechToText", False),
        "fallbackBot": spec.get("fallbackBot"),
    }


def _assistant(draft: Draft, text: Texts) -> dict[str, Any]:
    spec = draft.spec
    given = spec.get("instructions")
    return {
        "assistantId": spec.get("id", draft.ref.name),
        "instructions": None if given is None else text(draft, given, ("spec", "instructions")),
        "model": spec.get("model"),
        "temperature": spec.get("temperature"),
        "reasoningEffort": spec.get("reasoningEffort"),
        "tools": spec.get("tools"),
        "metadata": spec.get("metadata"),
    }


def _bot(links: Links, draft: Draft, text: Texts) -> tuple[dict[str, Any], tuple[str, ...]]:
    spec = draft.spec
    settings = links.settings(draft.ref.instance)
    assistant_id = spec.get("assistantId")
    if (name := spec.get("assistant")) is not None:
        assistant_id = links.of("Assistant", draft.ref.instance)[name].spec.get("id", name)
    messages: dict[str, list[str] | None] = {}
    for field in _MESSAGES:
        given = spec.get(field)
        if given is None:
            messages[field] = None
        else:
            messages[field] = [
                one if isinstance(one, str) else text(draft, one, ("spec", field, n)) for n, one in enumerate(given)
            ]
    max_tokens = spec.get("maxTokens")
    effective = {
        "enabled": spec.get("enabled", True),
        "description": spec.get("description") or None,
        "botType": spec["botType"],
        "credentials": spec.get("credentials", settings.get("credentials")),
        "assistantId": assistant_id,
        "functionUrl": spec.get("functionUrl"),
        "model": spec.get("model"),
        **messages,
        "maxTokens": None if max_tokens is None else int(max_tokens),
        "triggerType": spec["triggerType"],
        "triggerOperator": spec.get("triggerOperator"),
        "triggerValue": spec.get("triggerValue"),
        **_behaviour(spec, settings),
        "tools": spec.get("tools"),
        "temperature": spec.get("temperature"),
        "reasoningEffort": spec.get("reasoningEffort"),
    }
    inherited = tuple(
        field for field in ("credentials", *DEFAULTS) if field not in spec and settings.get(field) is not None
    )
    return effective, inherited


def _behaviour(spec: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field, default in DEFAULTS.items():
        value = spec[field] if field in spec else settings.get(field, default)
        values[field] = _unit(field, value) if field in UNITS else value
    values["ignoreJids"] = sorted({*spec.get("ignoreJids", ()), *settings.get("ignoreJids", ())})
    return values


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    return {**turn, "after": _unit("after", turn["after"])} if "after" in turn else dict(turn)


def _unit(field: str, value: Any) -> int:
    return value if type(value) is int else convert(field, value)
