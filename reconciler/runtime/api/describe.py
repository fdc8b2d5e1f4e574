"""The API's own description, made from the route table and `schemas/`: OpenAPI 3.1 for programs, a page for people.

Before it comes the table of endpoints, after it whoever writes a client. Nothing here is written twice: a summary is
the first line of the handler's docstring, a body is its schema.
"""

from __future__ import annotations

import html
import json as stdjson
import re
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from reconciler import __version__, shape
from reconciler.runtime.answers import raw
from reconciler.runtime.api.shapes import SHAPES, component
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import MOST, MOST_PAGES

_MEANING: Final = {
    200: "Done",
    201: "Created",
    202: "Stored",
    304: "What `If-None-Match` names is what there is",
    400: "The body or a parameter does not fit: every fault with its field",
    401: "No key, a wrong one, or one that does not open this",
    404: "Not there, or another instance's",
    409: "Taken, or in use",
    412: "Changed since the state that `If-Match` names",
    413: "The body is too large",
    415: "The body is neither JSON nor a form",
    422: "A reference, pattern or address that cannot be used",
    429: "Too many requests: `Retry-After` says when to come back",
    500: "A bug, with the id under which it is in the log",
    502: "The model provider refused",
    503: "Not ready, or the store cannot be written: `Retry-After` says when to come back",
    504: "The model provider did not answer",
}
_QUERY: Final[dict[str, dict[str, Any]]] = {
    "page": {
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_PAGES},
        "description": "A part of the list, from 1; all without. `Link` names the next one, where there may be one.",
    },
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": MOST}, "description": "Entries of a page."},
    "after": {"schema": {"type": "string"}, "description": "The id of the message after which to begin."},
    "instance": {"schema": {"type": "string"}, "description": "The name of one instance."},
    "since": {
        "schema": {"type": "string"},
        "description": "The ETag of an earlier answer: only what has changed since is sent.",
    },
    "instanceName": {"schema": {"type": "string"}, "description": "The name of one instance."},
    "instanceId": {"schema": {"type": "string"}, "description": "The id of one instance."},
    "target": {"schema": {"type": "string"}, "description": "The name of one target."},
    "before": {
        "schema": {"type": "integer", "minimum": 1},
        "description": "The number of the pass before which to begin.",
    },
    "openaiCredsId": {"schema": {"type": "string"}, "description": "The id or name of credentials."},
}
_PARAMETER = re.compile(r"\{(\w+)\}")
_REFERENCE = re.compile(r"#/components/schemas/([\w-]+)")


def endpoints(table: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The two endpoints that describe `table`."""
    return (
        Endpoint("GET", "/openapi.json", partial(_openapi, table), access="open"),
        Endpoint("GET", "/docs", partial(_docs, table), access="open"),
    )


async def _openapi(table: Sequence[Endpoint], _: Call) -> Response:
    """The description in OpenAPI 3.1."""
    return raw(_written(tuple(table)))


async def _docs(table: Sequence[Endpoint], _: Call) -> Response:
    """The description as a page."""
    return HTMLResponse(page(table))


@cache
def _written(table: tuple[Endpoint, ...]) -> bytes:
    return stdjson.dumps(describe(table)).encode()


def describe(table: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a route table."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    used = {_name(one.answer): _inlined(shape.schema(one.answer)) for one in table if _in_schemas(one.answer)}
    used |= {_body(one): _of_body(one) for one in table if one.body is not None}
    used |= {component(name): one for name, one in SHAPES.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "reconciler runtime", "version": __version__},
        "paths": paths,
        "components": {
            "securitySchemes": {"apikey": {"type": "apiKey", "in": "header", "name": "apikey"}},
            "schemas": {**dict(sorted(_reached(used, paths).items())), "Error": _ERROR},
        },
    }


def _reached(schemas: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """The schemas that the paths name, or one of these names."""
    found: dict[str, Any] = {}
    waiting = _REFERENCE.findall(stdjson.dumps(paths))
    while waiting:
        if (name := waiting.pop()) not in found and name in schemas:
            found[name] = schemas[name]
            waiting += _REFERENCE.findall(stdjson.dumps(schemas[name]))
    return found


_ERROR = {
    "type": "object",
    "required": ["status", "error", "response"],
    "properties": {
        "status": {"type": "integer"},
        "error": {"type": "string"},
        "response": {
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"type": "array", "items": {"type": "string"}}},
        },
    },
}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    problem = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    operation: dict[str, Any] = {
        "summary": summary(endpoint),
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()} {endpoint.path}").strip("_"),
        "tags": [endpoint.path.split("/")[1] or "runtime"],
        "security": [] if endpoint.access == "open" else [{"apikey": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(endpoint.path)
        ]
        + [{"name": name, "in": "query", **_QUERY[name]} for name in endpoint.query],
        "responses": {
            str(status): {"description": _MEANING[status], **(problem if status >= 400 else {})}
            for status in statuses(endpoint)
        },
    }
    if "limit" in endpoint.query:
        link = {"schema": {"type": "string"}, "description": "The next page (RFC 8288), where there may be one."}
        operation["responses"][str(endpoint.ok)]["headers"] = {"Link": link}
    if endpoint.answer is not None:
        operation["responses"][str(endpoint.ok)]["content"] = _answer(endpoint.answer)
    if endpoint.body is not None:
        schema = {"schema": {"$ref": f"#/components/schemas/{_body(endpoint)}"}}
        operation["requestBody"] = {  # forms too, but of two types of one body generators make no client that works
            "required": True,
            "description": "JSON; `application/x-www-form-urlencoded` is taken too.",
            "content": {"application/json": schema},
        }
    return operation


def statuses(endpoint: Endpoint) -> list[int]:
    """Every status that an endpoint can answer, in order: its own, and what follows from its line of the table."""
    found = {endpoint.ok, *endpoint.says, 500}
    if endpoint.access != "open" or endpoint.guessed is not None:
        found |= {401, 429, 503}
    if endpoint.access == "instance":
        found |= {404}
    if endpoint.body is not None:
        found |= {400, 413, 415}
    return sorted(found)


def summary(endpoint: Endpoint) -> str:
    """What an endpoint does, in a line: the first of its handler's docstring."""
    lines = (endpoint.handler.__doc__ or endpoint.path).strip().splitlines()
    return lines[0].rstrip(".")


def _name(schema: str | None) -> str:
    return (schema or "").rpartition("/")[2]


def _in_schemas(answer: str | None) -> bool:
    return answer is not None and answer.startswith("http/")


def _answer(answer: str) -> dict[str, Any]:
    """The content of an answer: a text of that type, or JSON of that schema or shape."""
    if answer.startswith("text/"):
        return {answer: {"schema": {"type": "string"}}}
    name = _name(answer) if _in_schemas(answer) else component(answer)
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _body(endpoint: Endpoint) -> str:
    """The name of a body's schema; what changes a row takes any part of it."""
    return _name(endpoint.body) + ("-patch" if endpoint.method == "PUT" else "")


def _of_body(endpoint: Endpoint) -> dict[str, Any]:
    """The schema of a body as clients may send it: null is unset, so every field that may be left out may be null."""
    assert endpoint.body is not None
    whole = _inlined(shape.schema(endpoint.body))
    if endpoint.method == "PUT":  # the row that results must fit, which is not for a schema of the part to say
        whole = {key: value for key, value in whole.items() if key not in ("required", "allOf")}
        whole |= {
            "title": whole["title"].replace(" body", " change"),
            "description": "What is left out stays as it is.",
        }
    needed = whole.get("required", ())
    given = shape.schema(endpoint.body)["properties"]
    found = {
        name: one if name in needed else _nullable(one, "default" in shape.resolved(given[name]))
        for name, one in whole["properties"].items()
    }
    if endpoint.method == "PUT":
        found = {name: {key: value for key, value in one.items() if key != "default"} for name, one in found.items()}
    return {**whole, "properties": found}


def _nullable(node: dict[str, Any], unset: bool) -> dict[str, Any]:
    """A field that may be null too; where null is what it is without, `default` says so."""
    made = dict(node)
    if "type" in made:
        kinds = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*kinds, *([] if "null" in kinds else ["null"])]
    if "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    return {**made, "default": None} if unset and "default" not in made else made


def _inlined(node: Any) -> Any:
    """A schema with what it refers to in `fields` put in its place, so that the document stands alone. A default of
    null says in `schemas/` that a field is unset where it is left out; where a field cannot be null it is none. Nor is
    an empty object, which generators of clients make nothing of."""
    if isinstance(node, dict):
        whole = shape.resolved(node) if "$ref" in node else node
        made = {key: _inlined(value) for key, value in whole.items() if key not in ("$schema", "$id", "$ref")}
        if "enum" in made and "type" not in made:
            made["type"] = "string"
        if made.get("default", 0) in (None, {}) and "null" not in made.get("type", ()):
            del made["default"]
        return made
    if isinstance(node, list):
        return [_inlined(item) for item in node]
    return node


def page(table: Sequence[Endpoint]) -> str:
    """The page: every endpoint with its fields; no script, nothing loaded from elsewhere."""
    return _PAGE.replace("{{version}}", html.escape(__version__)).replace("{{calls}}", "".join(map(_section, table)))


def _section(endpoint: Endpoint) -> str:
    fields = ""
    if endpoint.body is not None:
        document = shape.schema(endpoint.body)
        rows = "".join(
            f"<tr><td><code>{html.escape(name)}</code>{' *' if name in document.get('required', ()) else ''}</td>"
            f"<td>{html.escape(str(shape.field(endpoint.body, name).get('description', '')))}</td></tr>"
            for name in document["properties"]
        )
        fields = f"<details><summary>Body (* required)</summary><table>{rows}</table></details>"
    return (
        f"<section><h2><b>{endpoint.method}</b> <code>{html.escape(endpoint.path)}</code></h2>"
        f"<p>{html.escape(summary(endpoint))}.</p>{fields}</section>"
    )


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>reconciler runtime: HTTP API</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h2{font-size:1rem;margin:1.5rem 0 0}p{margin:.2rem 0}table{border-collapse:collapse}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}b{display:inline-block;min-width:4rem;color:#0550ae}
@media (prefers-color-scheme:dark){body{color:#ddd;background:#16181c}b{color:#79c0ff}}
</style>
<h1>HTTP API</h1>
<p>Version {{version}}. Send the key in the header <code>apikey</code>. The same as
<a href="/openapi.json">OpenAPI 3.1</a>.</p>
{{calls}}
</html>
"""
