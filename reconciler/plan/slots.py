"""What only one object of an instance may hold on a target, and where one is put that must get out of the way.

Before it come declared and live specs in the target's form; after it `diff` finds what lost its mark, and `order` puts
steps in a sequence in which no slot is taken before it is free.

On the bundled runtime an enabled bot holds its trigger, credentials their name, an assistant its assistantId. On an
Evolution API server a bot holds its trigger also while it is disabled, an advanced rule any trigger of the same text,
and a chatCompletion bot its pair of model and maxTokens.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from reconciler.model import LiveObject, Ref, TargetType
from reconciler.talk.match import trigger_key

Slot = tuple[str, ...]  # the kind, the target's instance name, and what is held
_OPERATORS: Final = ("equals", "contains", "startsWith", "endsWith", "regex")
PARKED_TOKENS: Final = 1_900_000_000  # of a bot that is parked on an Evolution API server: more than any model takes


def slots_of(type: TargetType, kind: str, instance: str, spec: Mapping[str, Any], name: str) -> tuple[Slot, ...]:
    """All that an object holds; what makes a foreign object look like a declared one comes first."""
    if type == "evolution":
        return _on_evolution(instance, spec) if kind == "Bot" else ()
    slot = slot_of(kind, instance, spec, name)
    return () if slot is None else (slot,)


def contested(
    type: TargetType, ref: Ref, instance: str, spec: Mapping[str, Any], live: LiveObject | None, held: Container[Slot]
) -> Slot | None:
    """The first slot that an object wants and others hold. What it has live already the target lets it share."""
    wanted = slots_of(type, ref.kind, instance, spec, ref.name)
    has = slots_of(type, ref.kind, instance, live.spec, live.label) if live is not None else ()
    return next((slot for slot in wanted if slot in held and slot not in has), None)


def parked(type: TargetType, kind: str, name: str, id: str) -> dict[str, Any]:
    """The values that put an object where it is in nobody's way; its mark and its text stay."""
    mark = f"gitops-swap-{name}-{id[-8:]}"
    if kind == "Assistant":
        return {"assistantId": mark}
    trigger = {"triggerType": "keyword", "triggerOperator": "equals", "triggerValue": mark}
    return {**trigger, "maxTokens": PARKED_TOKENS + sum(mark.encode()) % 10_000} if type == "evolution" else trigger


def slot_of(kind: str, instance: str, spec: Mapping[str, Any], name: str) -> tuple[str, str, str] | None:
    """What only one object of an instance of the runtime may hold."""
    match kind:
        case "Bot":
            key = trigger_of(spec)
            return None if key is None else (kind, instance, key)
        case "Credentials":
            return kind, instance, name
        case "Assistant":
            return kind, instance, str(spec.get("assistantId"))
    return None


def trigger_of(spec: Mapping[str, Any]) -> str | None:
    """The trigger that a bot holds on the runtime; a disabled one holds none."""
    if not spec.get("enabled"):
        return None
    return trigger_key(spec.get("triggerType") or "none", spec.get("triggerOperator"), spec.get("triggerValue"))


def _on_evolution(instance: str, spec: Mapping[str, Any]) -> tuple[Slot, ...]:
    found = [("Bot", instance, *held) for held in triggers_of(spec)]
    if spec.get("botType") == "chatCompletion":
        found.append(("Bot", instance, "model and maxTokens", str(spec.get("model")), str(spec.get("maxTokens"))))
    elif spec.get("assistantId"):
        found.append(("Bot", instance, "assistantId", str(spec["assistantId"])))
    return tuple(found)


def triggers_of(spec: Mapping[str, Any]) -> list[Slot]:
    """The triggers that a bot holds on an Evolution API server, enabled or not."""
    value = str(spec.get("triggerValue") or "")
    match spec.get("triggerType"):
        case "all":
            return [("all",)]
        case "keyword" if value:
            return [(str(spec.get("triggerOperator")), value)]
        case "advanced" if value:  # created, it must differ from any bot's value; a keyword from keywords alone
            return [(operator, value) for operator in _OPERATORS]
    return []
