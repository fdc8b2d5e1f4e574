"""An old OpenAI assistant, as its API gave it, becomes an Assistant document: the way out of an API that is gone.

Before it comes the JSON of `GET /v1/assistants/{id}` (or of the list); after it `write.dump` and a file. PURE.
What has no equivalent is told in notes, never dropped in silence. Source: OpenAI's "Assistant object" (API v2), with
the tools of v1 where an export still has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from reconciler import shape
from reconciler.desired.keys import keys_in
from reconciler.desired.naming import name_of
from reconciler.errors import Misuse

TEXT_LIMIT: Final = 256 * 1024  # bytes of instructions
_LOST: Final = {
    "code_interpreter": "code_interpreter has no equivalent here: leave it out, or offer a function that computes",
    "retrieval": "retrieval (of API v1) was left out: put its files into a vector store and add file_search",
}


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One assistant: its `name` in YAML, its `title` at OpenAI, its document, its instructions as a text of their own.

    `document` names the instructions' file as `prompts/<name>.md`, relative to itself.
    """

    name: str
    title: str
    document: Mapping[str, Any]
    instructions: str | None
    notes: tuple[str, ...]


def read_export(data: object, instance: str | None) -> tuple[Exported, ...]:
    """The assistants of an export: one object, a list of the API, or a plain list.

    `instance` is written into each document (None: its folder says it). Raises Misuse for what is no assistant, or
    cannot be one here.
    """
    rows = data.get("data") if isinstance(data, Mapping) and data.get("object") == "list" else data
    rows = rows if isinstance(rows, list) else [rows]
    if not rows:
        raise Misuse("the export holds no assistant")
    found: list[Exported] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or row.get("object", "assistant") != "assistant" or not row.get("id"):
            raise Misuse(f"entry {number} of the export is no assistant: it needs an id, and object: assistant")
        found.append(_one(row, instance, {each.name for each in found}))
    return tuple(found)


def _one(row: Mapping[str, Any], instance: str | None, taken: set[str]) -> Exported:
    id = str(row["id"])
    name = name_of(str(row.get("name") or id), taken, name_of(id, (), "assistant"))
    notes: list[str] = []
    text = str(row.get("instructions") or "").replace("\r\n", "\n").rstrip("\n")
    spec: dict[str, Any] = {"id": id}
    if text.strip():
        spec["instructions"] = {"file": f"prompts/{name}.md"}
    if row.get("model"):
        spec["model"] = row["model"]
    if (temperature := row.get("temperature")) not in (None, 1, 1.0):  # 1 is what a model does by itself
        spec["temperature"] = temperature
    if row.get("reasoning_effort"):
        spec["reasoningEffort"] = row["reasoning_effort"]
    if tools := _tools(row, notes):
        spec["tools"] = tools
    if row.get("metadata"):
        spec["metadata"] = row["metadata"]
    if row.get("top_p") not in (None, 1, 1.0):
        notes.append(f"top_p {row['top_p']} has no equivalent here: set temperature where it matters")
    if row.get("response_format") not in (None, "auto", {"type": "text"}):
        notes.append("response_format has no equivalent here: customers read text; say the wanted form in the prompt")
    document = {
        "apiVersion": "reconciler/v1",
        "kind": "Assistant",
        "metadata": {"name": name, **({"instance": instance} if instance else {})},
        "spec": spec,
    }
    _check(id, document, text)
    return Exported(
        name=name, title=str(row.get("name") or id), document=document, instructions=text or None, notes=tuple(notes)
    )


def _tools(row: Mapping[str, Any], notes: list[str]) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    for tool in row.get("tools") or ():
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind == "function" and isinstance(tool.get("function"), Mapping):
            function = tool["function"]
            kept = {field: function.get(field) for field in ("name", "description", "parameters", "strict")}
            tools.append({"type": kind, **{field: value for field, value in kept.items() if value not in (None, "")}})
        elif kind == "file_search":
            if stores := _stores(row):
                tools.append({"type": kind, "vectorStoreIds": stores})
            else:
                notes.append("file_search has no vector store, so it was left out")
        else:
            notes.append(_LOST.get(str(kind), f"the tool {kind} has no equivalent here and was left out"))
    return tools


def _stores(row: Mapping[str, Any]) -> list[str]:
    resources = row.get("tool_resources")
    search = resources.get("file_search") if isinstance(resources, Mapping) else None
    stores = search.get("vector_store_ids") if isinstance(search, Mapping) else None
    return [str(store) for store in stores] if isinstance(stores, Sequence) and not isinstance(stores, str) else []


def _check(id: str, document: Mapping[str, Any], text: str) -> None:
    """Raises Misuse for what would not validate once it is a file."""
    if found := shape.faults("assistant", document):
        fault = found[0]
        raise Misuse(f"assistant {id} cannot be taken over: {shape.pointer(fault.path)} {fault.message}")
    if len(text.encode("utf-8", "replace")) > TEXT_LIMIT:
        raise Misuse(f"assistant {id} cannot be taken over: its instructions are longer than 256 KiB")
    everything = f"{text}\n{msgspec.json.encode(document).decode()}"
    if any(keys_in(everything)):
        raise Misuse(f"assistant {id} holds what looks like an API key: take it out of the export first")
