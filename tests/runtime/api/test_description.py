"""`/openapi.json` is true: whatever is sent, the answer has a status it names, in the form it names, and no bug."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.runtime.api.describe import describe, statuses
from reconciler.runtime.app import ENDPOINTS
from tests.runtime.conftest import KEY, Server, Tenant

DOCUMENT = describe(ENDPOINTS)
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if not path.endswith("/events")  # does not end by itself
]
# Deleting the instance would leave the rest of the run without one; its token must stay the one the test holds.
SPARED = {("/instance/delete/{instance}", "delete"), ("/instance/token/{instance}", "post")}

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\0", "a\0b", "\ud800", "olá 👋", "x" * 300, "%00", "../..", "(((", "http://[", "http://x:99999"]
    ),
    st.sampled_from(
        ["http://169.254.169.254/", "https://example.com/f", "all", "keyword", "regex", "[", "1e999", "-0"]
    ),
)
NUMBERS = st.one_of(
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from([0, -1, 1.5, 1e308, 1 << 31, (1 << 31) - 1, 1 << 53, -(1 << 63)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def fitting(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that fit a schema, as far as its plain words say."""
    if "$ref" in schema:
        return fitting(SCHEMAS[schema["$ref"].rpartition("/")[2]], depth)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema and "properties" not in schema:
            return st.one_of(*(fitting(one, depth) for one in schema[word]))
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    return st.one_of(*(_of(kind, schema, depth) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def _of(kind: str, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer" | "number":
            low = schema.get("minimum", 0)
            return st.integers(low, schema.get("maximum", low + 100))
        case "array":
            items = fitting(schema.get("items", {"type": "string"}), depth + 1) if depth < 3 else st.just("x")
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=schema.get("minItems", 0) + 2)
        case "object":
            properties = schema.get("properties", {}) if depth < 3 else {}
            required = {name for name in schema.get("required", []) if name in properties}
            return st.fixed_dictionaries(
                {name: fitting(properties[name], depth + 1) for name in required},
                optional={name: fitting(properties[name], depth + 1) for name in properties if name not in required},
            )
    if examples := schema.get("examples"):
        return st.sampled_from([one for one in examples if isinstance(one, str)] or ["x"])
    if "pattern" in schema:
        return st.sampled_from(["5511999999999", "Bistro_01", "abcdefgh-1"])
    return st.text("abc ç", min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 20), 20))


@st.composite
def bodies(draw: st.DrawFn, operation: dict[str, Any]) -> tuple[bytes, str | None]:
    """A body and its content type: fitting, with one field spoilt, or broken as JSON or as text."""
    if "requestBody" not in operation:
        return draw(st.sampled_from([(b"", None), (b"{}", "application/json"), (b"\xff", None)]))
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    data = draw(fitting(schema))
    for _ in range(draw(st.integers(0, 2))):
        data = {**data, draw(st.sampled_from(sorted(schema["properties"]))): draw(ANYTHING)}
    text = json.dumps(data)
    kind = draw(
        st.sampled_from(["json"] * 6 + ["form", "twice", "deep", "utf8", "cut", "other", "type", "nan", "large"])
    )
    match kind:
        case "form":
            flat = {name: value if isinstance(value, str) else json.dumps(value) for name, value in data.items()}
            return urlencode(flat, errors="replace").encode(), "application/x-www-form-urlencoded"
        case "twice":
            return f'{{"a": 1, "a": 2, {text[1:]}'.encode(), "application/json"
        case "deep":
            depth = draw(st.sampled_from([99, 101, 3000, 100_000]))
            return b'{"name": ' + b"[" * depth + b"]" * depth + b"}", "application/json"
        case "utf8":
            return text.encode().replace(b"a", b"\xc3\x28", 1), "application/json"
        case "cut":
            return text[: draw(st.integers(0, len(text)))].encode(), "application/json"
        case "other":
            return json.dumps(draw(ANYTHING)).encode(), "application/json"
        case "type":
            return text.encode(), draw(st.sampled_from([None, "text/plain", "application/json; charset=latin-1", ";"]))
        case "nan":
            return b'{"expire": NaN, "maxTokens": -Infinity}', "application/json"
        case "large":
            return b'{"name": "' + b"x" * (9 << 20) + b'"}', "application/json"
    return text.encode(), "application/json"


@st.composite
def paths(draw: st.DrawFn, path: str, operation: dict[str, Any], ids: dict[str, str]) -> str:
    """The path with ids that exist or do not, and a query that fits or does not."""

    def part(name: str) -> str:
        known = draw(st.sampled_from([True, True, True, False]))
        text = ids[name] if known and name in ids else draw(TEXTS)
        # An empty or dotted part would name another path.
        return quote(text.encode("utf-8", "replace"), safe="") if text.strip("./") else "x"

    filled = re.sub(r"\{(\w+)\}", lambda found: part(found[1]), path)
    asked = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    wanted = draw(st.sets(st.sampled_from([*asked, "instanceName", "openaiBotId", "apikey"]), max_size=2))
    query = {name: draw(st.one_of(TEXTS, st.sampled_from(["1", "2", "1000"]))) for name in sorted(wanted)}
    return filled + ("?" + urlencode(query, errors="replace") if query else "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what is made here may have any name."""
    running = Server(tmp_path_factory.mktemp("described") / "runtime.db")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def nobody(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"apikey": KEY}, timeout=60) as made:
        yield made


def keys(tenant: Tenant) -> st.SearchStrategy[str | None]:
    return st.sampled_from([KEY] * 8 + [tenant.token] * 4 + [None])


HEADERS = st.dictionaries(
    st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key", "Accept-Encoding", "Last-Event-ID", "Origin"]),
    st.sampled_from(["*", '"x"', 'W/"x", "y"', "gzip", "", ",", "é".encode().decode("latin-1"), "a b", "k" * 300]),
    max_size=2,
)


def answers(operation: dict[str, Any]) -> dict[tuple[str, str], jsonschema_rs.Draft202012Validator]:
    """What says of a status and a content type whether an answer is as described."""
    return {
        (status, kind): jsonschema_rs.Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]})
        for status, response in operation["responses"].items()
        for kind, content in response.get("content", {}).items()
    }


def body_of(answer: httpx.Response, kind: str) -> Any:
    return answer.json() if kind == "application/json" else answer.text


def named(operation: tuple[str, str, dict[str, Any]]) -> str:
    return f"{operation[1].upper()} {operation[0]}"


@pytest.mark.parametrize("described", OPERATIONS, ids=named)
def test_whatever_is_sent_the_answer_is_as_described(
    nobody: httpx.Client, tenant: Tenant, described: tuple[str, str, dict[str, Any]]
) -> None:
    path, method, operation = described
    spared = (path, method) in SPARED
    ids = {"instance": "" if spared else tenant.name, "remoteJid": "ana"}
    if not spared:
        ids |= {"openaiBotId": tenant.bot()["id"], "openaiCredsId": tenant.credentials("another")["id"]}
    ids = {name: id for name, id in ids.items() if id}

    described_as = answers(operation)
    tries = 25 if "requestBody" in operation else 10  # without a body there is less that can be wrong

    @settings(
        max_examples=tries, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        content, kind = data.draw(bodies(operation))
        headers = {name: value.encode("latin-1") for name, value in data.draw(HEADERS).items()}
        if kind is not None:
            headers["Content-Type"] = kind.encode()
        if (key := data.draw(keys(tenant))) is not None:
            headers["apikey"] = key.encode()
        where = data.draw(paths(path, operation, ids))
        answer = nobody.request(method, where, content=content, headers=headers)
        said = (answer.status_code, where, content[:300], answer.text[:300])
        assert str(answer.status_code) in operation["responses"], said
        assert answer.status_code != 500, said
        if answer.status_code >= 400:
            fault = answer.json()
            assert fault.keys() == {"status", "error", "response"}, said
            assert fault["status"] == answer.status_code, said
            assert all(isinstance(one, str) for one in fault["response"]["message"]), said
        if answer.content:
            kind = answer.headers["content-type"].partition(";")[0]
            shape = described_as[str(answer.status_code), kind]
            assert not [error.message for error in shape.iter_errors(body_of(answer, kind))], said

    holds()


def test_methods_that_are_not_described_are_405(client: httpx.Client, tenant: Tenant) -> None:
    for path, methods in DOCUMENT["paths"].items():
        where = re.sub(r"\{\w+\}", "x", path.replace("{instance}", tenant.name))
        for method in {"get", "put", "post", "delete", "patch"} - methods.keys():
            answer = client.request(method.upper(), where, json={})
            assert answer.status_code == 405, (method, path)
            allowed = {one.strip().lower() for one in answer.headers["allow"].split(",")} - {"head"}
            assert allowed == methods.keys(), path


def test_what_follows_from_the_table() -> None:
    create = next(one for one in ENDPOINTS if one.path == "/openai/create/{instance}")
    assert statuses(create) == [201, 400, 401, 404, 409, 413, 415, 422, 429, 500, 503]
    opened = next(one for one in ENDPOINTS if one.path == "/healthz")
    assert statuses(opened) == [200, 500]
    assert all("default" not in operation["responses"] for _, _, operation in OPERATIONS)


def test_the_document_is_served(nobody: httpx.Client) -> None:
    served = nobody.get("/openapi.json").json()
    assert served["paths"].items() >= json.loads(json.dumps(DOCUMENT["paths"])).items()
    references = set(re.findall(r"#/components/schemas/([\w-]+)", json.dumps(served)))
    assert references <= served["components"]["schemas"].keys()
