"""The bundled runtime as a target: what its rows mean, and how a step becomes a call.

Before it come `reconcile`'s readings and steps; after it `client`. Rows are lifted into the form of `Object.spec`:
credentials and the fallback bot by the YAML name in their mark, what the target derives left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Unpack
from urllib.parse import quote

import msgspec

from reconciler.errors import Rejected, Unavailable
from reconciler.live.client import Answer, Calling, Client, Refused
from reconciler.live.together import outcome_of, refused, request_of
from reconciler.model import DEFAULTS, Kind, Live, LiveObject, Mark, Ref, Secret, join_mark, split_mark, unmanaged
from reconciler.plan.order import Step

_INSTANCE: Final = ("integration", "number", "webhook", "retention")
_CREDENTIALS: Final = ("baseUrl", "organization", "project")
_ASSISTANT: Final = (
    "assistantId", "instructions", "model", "temperature", "reasoningEffort", "tools", "metadata",
)  # fmt: skip
_SETTINGS: Final = (*DEFAULTS, "speechToText")
_BOT: Final = (
    "enabled", "botType", "assistantId", "functionUrl", "model", "systemMessages", "assistantMessages",
    "userMessages", "maxTokens", "triggerType", "triggerOperator", "triggerValue", *DEFAULTS, "tools", "temperature",
    "reasoningEffort",
)  # fmt: skip

_PATHS: Final[Mapping[Kind, tuple[str, str, str]]] = {
    "Instance": ("/instance/create", "/instance/update/{instance}", "/instance/delete/{instance}"),
    "Credentials": (
        "/openai/creds/{instance}", "/openai/creds/{id}/{instance}", "/openai/creds/{id}/{instance}",
    ),
    "Assistant": (
        "/openai/assistants/create/{instance}",
        "/openai/assistants/update/{id}/{instance}",
        "/openai/assistants/delete/{id}/{instance}",
    ),
    "Settings": ("/openai/settings/{instance}", "/openai/settings/{instance}", ""),
    "Bot": ("/openai/create/{instance}", "/openai/update/{id}/{instance}", "/openai/delete/{id}/{instance}"),
}  # fmt: skip


class _Fleet(msgspec.Struct, frozen=True):
    instances: list[msgspec.Raw]
    unchanged: list[str] = []


class Runtime:
    """One bundled runtime. `source` is the repository's `source.name`, whose marks name the objects."""

    def __init__(self, url: str, api_key: str, *, source: str = "", **calling: Unpack[Calling]) -> None:
        self.source = source
        self._client = Client(url, api_key, **calling)
        self._tags: dict[str, str] = {}  # of the instances as they were read or left, by their names
        self._version = ""  # of the last reading
        self._parts: dict[str, tuple[str, tuple[LiveObject, ...]]] = {}  # what it found, by each instance's tag

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def read(self, known_version: str | None = None) -> Live | None:
        """Everything that is live, or None if it is still what `known_version` (an earlier reading's) was.

        What has not changed since the last reading is not sent again.
        """
        since = f"?since={quote(self._version, safe='')}" if self._version else ""
        try:
            answer = await self._client.call("GET", f"/fleet{since}", etag=known_version)
            if answer.status == 304:
                return None
            parts = self._read_parts(answer)
            if parts is None:  # it names a state that was never seen here
                self._version = ""
                return await self.read()
        except Rejected as error:
            raise Unavailable(f"{self._client.url} is no runtime of this project: GET /fleet: {error}") from error
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise Unavailable(f"{self._client.url} is no runtime of this project: GET /fleet lacks {error}") from error
        self._parts, self._version = parts, answer.etag or ""
        self._tags = {name: tag for tag, (name, _) in parts.items()}
        return Live(objects=tuple(one for _, objects in parts.values() for one in objects), version=self._version)

    def _read_parts(self, answer: Answer) -> dict[str, tuple[str, tuple[LiveObject, ...]]] | None:
        """All instances of an answer, those that have not changed as they were read before; None if one was not."""
        found = answer.json(_Fleet)
        if not self._parts.keys() >= set(found.unchanged):
            return None
        parts = {tag: self._parts[tag] for tag in found.unchanged}
        for raw in found.instances:  # one after the other, so that a fleet is not held twice
            part = msgspec.json.decode(raw)
            parts[part["etag"]] = part["instance"]["name"], tuple(lift(part, self.source))
        return parts

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None:
        """One step as one call; returns the object's id, None for deletes.

        `ids` are the target's ids of what is declared, with those made earlier in the pass. Raises Rejected,
        Unavailable and AnswerLost as `Client.call`.
        """
        kind = step.ref.kind
        self._tags.pop(step.instance_name, None)
        create, update, delete = _PATHS[kind]
        path = {"create": create, "update": update, "delete": delete}[step.action]
        path = path.format(id=quote(step.id or "", safe=""), instance=quote(step.instance_name, safe=""))
        if step.action == "delete":
            try:
                await self._client.call("DELETE", path)
            except Rejected as error:
                if error.status != 404:  # gone already: what was wanted
                    raise
            return None
        method = "PUT" if step.action == "update" and kind != "Settings" else "POST"
        creates = step.action == "create" and kind != "Settings"  # Settings are set, however often
        said = await self._client.call(method, path, lower(step, ids), creates=creates)
        answer = said.json()
        if kind == "Instance" and isinstance(answer.get("instance"), dict):
            answer = answer["instance"]
            if said.etag:  # what goes into the new instance goes into it as it is now, however late it arrives
                self._tags[step.instance_name] = said.etag
        return str(answer.get("id") or answer.get("instanceId") or step.id)

    async def together(self, steps: Sequence[Step], ids: Mapping[Ref, str]) -> dict[int, str]:
        """Steps of one instance, which is there already, as one transaction; the target's ids by `Step.index`.

        It is made on the instance as it was read (or left by the last of these) and on nothing else, and once, however
        often it is sent. Raises PartRefused with what each refused step is told, Stale where the instance has moved
        on, Rejected for the whole, Unavailable, and AnswerLost where it may have been done.
        """
        name = steps[0].instance_name
        request = request_of(steps, ids, lower)
        path, tag, key = f"/fleet/{quote(name, safe='')}", self._tags.get(name), os.urandom(16).hex()
        try:
            answer = await self._client.call("POST", path, {"changes": request.changes}, match=tag, key=key)
        except Refused as error:
            raise refused(request, error) from error
        made, self._tags[name] = outcome_of(request, answer)
        return made


def lift(part: Mapping[str, Any], source: str) -> Iterator[LiveObject]:
    """One instance of `GET /fleet` as objects in the form of `Object.spec`."""
    instance = part["instance"]
    name = instance["name"]

    def made(kind: Kind, row: Mapping[str, Any], spec: dict[str, Any], mark: Mark | None, label: str) -> LiveObject:
        return LiveObject(kind=kind, instance=name, id=row["id"], spec=spec, mark=mark, label=label)

    def named(rows: list[dict[str, Any]], label: str) -> dict[str, str]:
        """What references to these rows are called: the YAML name, or something no YAML name can be."""
        names = {}
        for row in rows:
            text, mark = split_mark(row["description"])
            own = mark is not None and mark.source == source
            names[row["id"]] = mark.name if own and mark else unmanaged(row.get(label) or text or row["id"])
        return names

    def reference(names: Mapping[str, str], id: str | None) -> str | None:
        return names.get(id, f"{id} (gone)") if id else None

    accounts, bots = named(part["credentials"], "name"), named(part["bots"], "id")
    yield made("Instance", instance, {"instanceName": name, **{f: instance[f] for f in _INSTANCE}}, None, name)
    for row in part["credentials"]:
        spec = {"apiKey": row["fingerprint"], **{f: row[f] for f in _CREDENTIALS}}
        yield made("Credentials", row, spec, split_mark(row["description"])[1], row["name"])
    for row in part["assistants"]:
        mark = split_mark(row["description"])[1]
        yield made("Assistant", row, {f: row[f] for f in _ASSISTANT}, mark, mark.name if mark else row["assistantId"])
    if (row := part["settings"]) is not None:
        spec = {f: row[f] for f in _SETTINGS}
        spec["credentials"] = reference(accounts, row["openaiCredsId"])
        spec["fallbackBot"] = reference(bots, row["openaiIdFallback"])
        yield made("Settings", row, spec, None, "settings")
    for row in part["bots"]:
        text, mark = split_mark(row["description"])
        spec = {f: row[f] for f in _BOT}
        spec["description"] = text
        spec["credentials"] = reference(accounts, row["openaiCredsId"])
        yield made("Bot", row, spec, mark, mark.name if mark else text or row["id"])


def lower(step: Step, ids: Mapping[Ref, str]) -> dict[str, Any]:
    """A step's fields as a request's body: references by id, the key itself, the description with its mark.

    Raises Rejected where something it refers to is not on the target.
    """
    body: dict[str, Any] = {}
    for field, value in step.values.items():
        match field:
            case "credentials":
                body["openaiCredsId"] = _id(ids, "Credentials", step.ref.instance, value)
            case "fallbackBot":
                body["fallbackId"] = _id(ids, "Bot", step.ref.instance, value)
            case "apiKey":
                if not isinstance(value, Secret):
                    raise Rejected(400, f"the key of {step.ref} is not known here")
                body["apiKey"] = value.value
            case "whenMissing" | "name" | "description":
                pass
            case "instanceName" if step.action == "update":
                pass
            case _:
                body[field] = value
    if step.ref.kind == "Instance" and step.action == "create":
        body = {field: value for field, value in body.items() if value is not None}
    if step.mark is not None:
        own = step.change.spec.get("description") if step.change.spec else None
        body["description"] = join_mark(own.rstrip() if own else None, step.mark)
        if step.ref.kind == "Credentials" and (step.action == "create" or "name" in step.values):
            body["name"] = step.ref.name
    return body


def _id(ids: Mapping[Ref, str], kind: Kind, instance: str, name: str | None) -> str | None:
    if name is None:
        return None
    ref = Ref(kind, instance, name)
    if ref not in ids:
        raise Rejected(404, f"{ref} is not on the target")
    return ids[ref]
