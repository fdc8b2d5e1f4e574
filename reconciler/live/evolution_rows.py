"""Rows of an Evolution API server as live objects, and objects as bodies of its calls. No I/O.

Before it come `evolution`'s answers; after it `plan.evolution.fit`, which names the credentials. Values stay in that
server's units. What it derives, keeps without looking at it, or cannot show as unset is left out, so that nothing
shows as a difference that is none: the operator of a trigger that is no keyword, the assistant of a chatCompletion bot.

A body says every field, for an update must pass the server's rules by itself, and what a creation leaves out would be
copied from the Settings. Null is refused there: what is unset is an empty text or list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.model import DEFAULTS, LiveObject, Mark, Ref, Secret, fingerprint, join_mark, split_mark

Row = Mapping[str, Any]

_LISTS: Final = frozenset({"systemMessages", "assistantMessages", "userMessages", "ignoreJids"})
_BOT: Final = (
    "enabled", "botType", "assistantId", "functionUrl", "model", "systemMessages", "assistantMessages", "userMessages",
    "maxTokens", "triggerType", "triggerOperator", "triggerValue", *DEFAULTS,
)  # fmt: skip
_SETTINGS: Final = (*DEFAULTS, "speechToText")
_EMPTY: Final[Mapping[str, Any]] = {
    "expire": 0, "delayMessage": 0, "debounceTime": 0, "timePerChar": 0, "listeningFromMe": False,
    "stopBotFromMe": False, "keepOpen": False, "splitMessages": False, "speechToText": False,
}  # fmt: skip


# --- rows to objects -----------------------------------------------------------------------------------------


def lift(instance: Row, credentials: list[Row], bots: list[Row], settings: Row) -> Iterator[LiveObject]:
    """One instance as live objects; `settings` without an id are the server's defaults, and none are set.

    Bots and Settings have `credentialsId`, Settings also `fallbackId`: the server's ids, for `fit` to name. A key is
    there as its fingerprint.
    """
    name = str(instance["name"])
    spec = {"instanceName": name, "integration": instance.get("integration"), "number": instance.get("number")}
    yield LiveObject(kind="Instance", instance=name, id=str(instance["id"]), spec=spec, mark=None, label=name)
    for row in credentials:
        text, mark = split_mark(row.get("name"))
        id = str(row["id"])
        spec = {"apiKey": fingerprint(id, str(row.get("apiKey") or "")), "createdAt": row.get("createdAt")}
        label = mark.name if mark is not None else text or id
        yield LiveObject(kind="Credentials", instance=name, id=id, spec=spec, mark=mark, label=label)
    if settings.get("id"):
        spec = {field: settings.get(field) for field in _SETTINGS}
        spec |= {"credentialsId": settings.get("openaiCredsId"), "fallbackId": settings.get("openaiIdFallback")}
        yield LiveObject(kind="Settings", instance=name, id=str(settings["id"]), spec=spec, mark=None, label="settings")
    for row in sorted(bots, key=lambda row: (str(row.get("createdAt")), str(row["id"]))):
        yield _bot(name, row)


def _bot(instance: str, row: Row) -> LiveObject:
    text, mark = split_mark(row.get("description"))
    spec = {field: row.get(field) for field in _BOT}
    if spec["triggerType"] != "keyword":
        spec["triggerOperator"] = None
    if spec["triggerType"] not in ("keyword", "advanced"):
        spec["triggerValue"] = None
    if spec["botType"] == "chatCompletion":
        spec["assistantId"] = None
    spec |= {"description": text, "credentialsId": row["openaiCredsId"]}
    id = str(row["id"])
    label = mark.name if mark is not None else text or id
    return LiveObject(kind="Bot", instance=instance, id=id, spec=spec, mark=mark, label=label)


# --- objects to bodies ---------------------------------------------------------------------------------------


def bot_body(spec: Mapping[str, Any], mark: Mark | None, account: str) -> dict[str, Any]:
    """The body that creates or updates a bot: `spec` in that server's units, `account` its credentials' id."""
    body = {field: _sent(field, spec.get(field)) for field in _BOT}
    if not spec.get("triggerOperator"):
        del body["triggerOperator"]  # it can be one of five, or left as it is
    text = (spec.get("description") or "").rstrip()
    body["description"] = join_mark(text, mark) if mark is not None else text
    body["openaiCredsId"] = account
    return body


def settings_body(spec: Mapping[str, Any], account: str) -> dict[str, Any]:
    """The body that sets Settings, without their fallback bot, which that server takes with no account only."""
    return {**{field: _sent(field, spec.get(field)) for field in _SETTINGS}, "openaiCredsId": account}


def credentials_body(ref: Ref, key: Secret, mark: Mark) -> dict[str, Any]:
    """The body that creates credentials. Names are unique over all instances, and a new key needs a new one."""
    version = fingerprint(str(ref), key.value)[-6:]
    return {"name": join_mark(f"{ref.instance}/{ref.name} {version}", mark), "apiKey": key.value}


def instance_body(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The body that creates an instance."""
    fields = ("instanceName", "integration", "number")
    return {field: spec[field] for field in fields if spec.get(field) is not None}


def _sent(field: str, value: Any) -> Any:
    if value is not None:
        return list(value) if isinstance(value, tuple) else value
    return [] if field in _LISTS else _EMPTY.get(field, "")
