"""The API's own description, made from the route table and `schemas/`: OpenAPI 3.1 for programs, a page for people.

Before it comes the table of endpoints, after it whoever writes a client. Nothing here is written twice: a summary is
the first line of the handler's docstring, a body is its schema.
"""

from __future__ import annotations

import html
import json as stdjson
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from reconciler import __version__, shape
from reconciler.runtime.answers import raw
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
        "description": "A part of the list, from 1; all without.",
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


def endpoints(table: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The two endpoints that describe `table`."""
    return (
        Endpoint("GET", "/openapi.json", partial(_openapi, table), access="open"),
        Endpoint("GET", "/docs", partial(_docs, table), access="open"),
    )


async def _openapi(table: Sequence[Endpoint], _: Call) -> Response:
    """The description in OpenAPI 3.1."""
    return raw(stdjson.dumps(describe(table)))


async def _docs(table: Sequence[Endpoint], _: Call) -> Response:
    """The description as a page."""
    return HTMLResponse(page(table))


def describe(table: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a route table."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    used = sorted({name for endpoint in table for name in (endpoint.body, endpoint.answer) if name})
    return {
        "openapi": "3.1.0",
        "info": {"title": "reconciler runtime", "version": __version__},
        "paths": paths,
        "components": {
            "securitySchemes": {"apikey": {"type": "apiKey", "in": "header", "name": "apikey"}},
            "schemas": {**{_name(name): _inlined(shape.schema(name)) for name in used}, "Error": _ERROR},
        },
    }


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
    if endpoint.answer is not None:
        answer = {"schema": {"$ref": f"#/components/schemas/{_name(endpoint.answer)}"}}
        operation["responses"][str(endpoint.ok)]["content"] = {"application/json": answer}
    if endpoint.body is not None:
        schema = {"schema": {"$ref": f"#/components/schemas/{_name(endpoint.body)}"}}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": schema, "application/x-www-form-urlencoded": schema},
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


def _name(schema: str) -> str:
    return schema.rpartition("/")[2]


def _inlined(node: Any) -> Any:
    """A schema with what it refers to in `fields` put in its place, so that the document stands alone."""
    if isinstance(node, dict):
        whole = shape.resolved(node) if "$ref" in node else node
        return {key: _inlined(value) for key, value in whole.items() if key not in ("$schema", "$id", "$ref")}
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
