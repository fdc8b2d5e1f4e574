"""A live object as the document that declares it: the way back of `resolve`. PURE.

Before it `take` chose the object and its name; after it `write.dump` and files. What a document leaves out comes out
of `resolve` as it is live: defaults, and what a bot takes from its instance's Settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from reconciler.desired.documents import TEXT_LIMIT
from reconciler.desired.durations import UNITS, shown
from reconciler.model import DEFAULTS, DEMO, LiveObject, Ref
from reconciler.plan.same import form

DESCRIPTION: Final = 140  # characters; behind them stands the mark
_INLINE: Final = 80  # characters of one line from which a text is a file
_CHANNELS: Final = {"WEB": "web", "EVOLUTION": "evolution"}
_MESSAGES: Final = {"systemMessages": "", "assistantMessages": "-assistant", "userMessages": "-user"}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document will stand, and what its object's neighbours are called.

    `credentials`, `bots` and `assistants` give YAML names: of references on the target (the first two), and by
    assistantId. `settings` is what the instance's Settings say in YAML, in the form of `Object.spec`, None without any;
    `live_settings` what they say on the target.
    """

    ref: Ref
    credentials: Mapping[str, str] = {}
    bots: Mapping[str, str] = {}
    assistants: Mapping[str, str] = {}
    settings: Mapping[str, Any] | None = None
    live_settings: Mapping[str, Any] = {}
    variable: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A document with its `texts` by file name, and `notes` on what could not be said as it is live."""

    document: dict[str, Any]
    texts: Mapping[str, str]
    notes: tuple[str, ...] = ()


def document_of(one: LiveObject, place: Place) -> Made:
    """The document of a live object. Raises KeyError for a reference that has no name in YAML."""
    texts: dict[str, str] = {}
    notes: list[str] = []
    match one.kind:
        case "Instance":
            spec = _instance(one, place, notes)
        case "Credentials":
            spec = _set(one.spec, "baseUrl", "organization", "project")
            spec = {"apiKey": {"env": place.variable}, **spec}
            if one.spec.get("baseUrl") == DEMO:
                spec["whenMissing"] = DEMO
        case "Assistant":
            spec = _assistant(one, place, texts)
        case "Settings":
            spec = _settings(one, place)
        case _:
            spec = _bot(one, place, texts, notes)
    metadata: dict[str, Any] = {"name": place.ref.name}
    if one.kind not in ("Instance", "Settings"):
        metadata["adopts"] = one.id
    document = {"apiVersion": "reconciler/v1", "kind": one.kind, "metadata": metadata, "spec": spec}
    return Made(document=document, texts=texts, notes=tuple(notes))


def _set(spec: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    """The fields that are set."""
    return {field: spec[field] for field in fields if form(field, spec.get(field)) is not None}


def _instance(one: LiveObject, place: Place, notes: list[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if one.instance != place.ref.name:
        spec["instanceName"] = one.instance
    integration = one.spec.get("integration") or "WEB"
    channel = _CHANNELS.get(integration)
    if channel is None:
        channel = "evolution" if one.spec.get("number") else "web"
        notes.append(f"{integration} is no channel here: it becomes {channel}")
    if channel != "web":
        spec["channel"] = channel
    spec |= _set(one.spec, "number", "webhook")
    if one.spec.get("retention") is not None:
        spec["retention"] = shown("retention", one.spec["retention"])
    return spec


def _assistant(one: LiveObject, place: Place, texts: dict[str, str]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if one.spec["assistantId"] != place.ref.name:
        spec["id"] = one.spec["assistantId"]
    if one.spec.get("instructions"):
        spec["instructions"] = _text(one.spec["instructions"], f"{place.ref.name}.md", texts)
    return spec | _set(one.spec, "model", "temperature", "reasoningEffort", "tools", "metadata")


def _settings(one: LiveObject, place: Place) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if one.spec.get("credentials"):
        spec["credentials"] = place.credentials[one.spec["credentials"]]
    for field, default in DEFAULTS.items():
        value = one.spec.get(field)
        if value is not None and form(field, value) != form(field, default):
            spec[field] = _written(field, value)
    if one.spec.get("speechToText"):
        spec["speechToText"] = True
    if one.spec.get("fallbackBot"):
        spec["fallbackBot"] = place.bots[one.spec["fallbackBot"]]
    return spec


def _bot(one: LiveObject, place: Place, texts: dict[str, str], notes: list[str]) -> dict[str, Any]:
    live = one.spec
    spec: dict[str, Any] = {}
    if described := _description(live.get("description"), notes):
        spec["description"] = described
    if not live.get("enabled"):
        spec["enabled"] = False
    spec["credentials"] = place.credentials[live["credentials"]]
    spec["botType"] = live["botType"]
    if (id := live.get("assistantId")) and live["botType"] == "assistant" and id in place.assistants:
        spec["assistant"] = place.assistants[id]
    elif id:
        spec["assistantId"] = id
    spec |= _set(live, "functionUrl", "model")
    for field, suffix in _MESSAGES.items():
        if given := live.get(field):
            spec[field] = [
                _text(text, f"{place.ref.name}{suffix}{f'-{number}' if len(given) > 1 else ''}.md", texts)
                for number, text in enumerate(given, 1)
            ]
    spec |= _set(live, "maxTokens", "triggerType", "triggerOperator", "triggerValue")
    spec |= _behaviour(live, place)
    return spec | _set(live, "tools", "temperature", "reasoningEffort")


def _behaviour(live: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """What a bot does otherwise than its instance's Settings in YAML, or the built-in defaults, would have it do."""
    spec: dict[str, Any] = {}
    settings = place.settings or {}
    for field, default in DEFAULTS.items():
        value = live.get(field)
        if field == "ignoreJids":
            if own := sorted({*(value or ())} - {*(settings.get(field) or ())}):
                spec[field] = own
            continue
        if value is None:
            if place.settings is not None:
                continue  # it follows them here as there
            value = place.live_settings.get(field)
        inherited = settings.get(field, default)
        if value is not None and form(field, value) != form(field, default if inherited is None else inherited):
            spec[field] = _written(field, value)
    return spec


def _written(field: str, value: Any) -> Any:
    return shown(field, value) if field in UNITS else value


def _description(text: str | None, notes: list[str]) -> str:
    one_line = " ".join((text or "").split()) if "\n" in (text or "") or "\r" in (text or "") else (text or "")
    if len(one_line) > DESCRIPTION:
        notes.append(f"its description is cut to {DESCRIPTION} characters, behind which the mark stands")
        one_line = one_line[: DESCRIPTION - 1].rstrip() + "…"
    elif one_line != (text or ""):
        notes.append("its description becomes one line")
    return one_line


def _text(text: str, name: str, texts: dict[str, str]) -> Any:
    """A text inline, or the file that it becomes: long ones, those of several lines, where a file keeps them whole."""
    kept = "\r" not in text and "\0" not in text and text.strip() and not text.endswith("\n")
    if not kept or text.startswith("\ufeff") or len(text.encode()) > TEXT_LIMIT:
        return text
    if len(text) <= _INLINE and "\n" not in text:
        return text
    texts[name] = text + "\n"
    return {"file": f"prompts/{name}"}
