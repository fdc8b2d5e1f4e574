"""`/openapi.json` is a document that strangers' tools take: it validates strictly, and a client made from it works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from reconciler.runtime.api import health, reconciler
from reconciler.runtime.api.describe import describe
from reconciler.runtime.api.shapes import SHAPES
from reconciler.runtime.app import ENDPOINTS
from tests.runtime.conftest import BOT, KEY, Server, Tenant

DOCUMENTS = {
    "runtime": describe(ENDPOINTS),
    "loop alone": describe((*reconciler.ENDPOINTS, *health.OPEN)),
}
ROOT = Path(__file__).resolve().parents[3]
GENERATOR = Path(sys.prefix) / "generator"  # script/install --dev puts it there

documents = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document, with where it is."""
    if isinstance(node, dict):
        yield path, node
        for name, inner in node.items():
            yield from nodes(inner, f"{path}/{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from nodes(inner, f"{path}/{index}")


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of the document: what is below `schemas` or `schema` and no map of properties."""
    for path, node in nodes(document):
        inside = re.search(r"/(components/schemas/[^/]+|schema)(/.*)?$", path)
        said = re.search(r"/(default|examples)(/|$)", path)
        if inside and not said and not re.search(r"/(properties|required|enum)(/\d+)*$", path):
            yield path, node


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@documents
def test_it_is_valid(document: dict[str, Any]) -> None:
    wrong = [error.message for error in OpenAPIV31SpecValidator(json.loads(json.dumps(document))).iter_errors()]
    assert wrong == []


def test_the_served_one_is_valid(server: Server, nobody: Any) -> None:
    OpenAPIV31SpecValidator(nobody.get("/openapi.json").json()).validate()


@documents
def test_defaults_and_examples_fit_the_schema_they_stand_in(document: dict[str, Any]) -> None:
    looked_at = 0
    for path, schema in schemas(document):
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
        said = [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]
        for value in said:
            looked_at += 1
            assert validator.is_valid(value), (path, value, [e.message for e in validator.iter_errors(value)])
    assert looked_at > 20


@documents
def test_null_is_said_as_3_1_says_it(document: dict[str, Any]) -> None:
    for path, schema in schemas(document):
        assert "nullable" not in schema, path
        if None in schema.get("enum", ()):
            assert "null" in schema["type"], path
        assert isinstance(schema.get("type", ""), str | list), path
        kinds = schema.get("type")
        if isinstance(kinds, list):
            assert len(set(kinds)) == len(kinds) > 1, path


@documents
def test_what_can_be_left_out_of_a_body_can_be_null(document: dict[str, Any]) -> None:
    bodies = {one["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
              for _, _, one in operations(document) if "requestBody" in one}  # fmt: skip
    assert bodies
    for name in bodies:
        schema = document["components"]["schemas"][name]
        for field, one in schema["properties"].items():
            if "type" in one:
                assert ("null" in one["type"]) is (field not in schema.get("required", ())), (name, field)


@documents
def test_each_operation_and_parameter_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z]\w*", name) for name in names)
    for path, _, operation in operations(document):
        parameters = [(one["in"], one["name"]) for one in operation["parameters"]]
        assert len(set(parameters)) == len(parameters)
        assert [name for where, name in parameters if where == "path"] == re.findall(r"\{(\w+)\}", path)
        assert all(one["description"] and one["schema"] for one in operation["parameters"] if one["in"] == "query")


@documents
def test_each_status_says_what_it_answers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            assert response["description"]
            assert ("content" in response) is (status != "304"), (path, method, status)
            for content in response.get("content", {}).values():
                assert content["schema"], (path, method, status)
        assert any(status.startswith("2") for status in operation["responses"])


def test_no_shape_is_described_for_nothing() -> None:
    described = DOCUMENTS["runtime"]["components"]["schemas"]
    assert {f"{name}-answer" for name in SHAPES} == {name for name in described if name.endswith("-answer")}


def test_what_changes_a_row_needs_no_field() -> None:
    for path, method, operation in operations(DOCUMENTS["runtime"]):
        if method == "put":
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            schema = DOCUMENTS["runtime"]["components"]["schemas"][name]
            assert "required" not in schema, path
            assert all("default" not in one for one in schema["properties"].values()), "what is left out stays"


@pytest.fixture(scope="module")
def generated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a client that openapi-python-client has made from the running server's document."""
    assert GENERATOR.is_dir(), "script/install --dev puts openapi-python-client there"
    folder = tmp_path_factory.mktemp("client")
    (folder / "config.yml").write_text("post_hooks: []\n")
    run(
        "-c", "from openapi_python_client.cli import app; app()",
        "generate", "--url", f"{server.url}/openapi.json", "--output-path", folder / "made",
        "--config", folder / "config.yml", "--fail-on-warning",
        path=GENERATOR,
    )  # fmt: skip
    return folder / "made"


def run(*arguments: object, path: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_module_of_a_generated_client_can_be_imported(generated: Path) -> None:
    code = (
        "import importlib, pkgutil, reconciler_runtime_client as made\n"
        "names = [one.name for one in pkgutil.walk_packages(made.__path__, made.__name__ + '.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print('\\n'.join(names))\n"
    )
    names = run("-W", "error", "-c", code, path=generated).split()
    calls = {name.rpartition(".")[2] for name in names if ".api." in name}
    for _, _, operation in operations(DOCUMENTS["runtime"]):
        made = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation["operationId"]).lower()
        assert made in calls, "each operation became a call"


CALLS = """
import json, sys
from reconciler_runtime_client import AuthenticatedClient
from reconciler_runtime_client.api.fleet import get_fleet, post_fleet_instance
from reconciler_runtime_client.api.instance import get_instance_fetch_instances
from reconciler_runtime_client.api.openai import (
    get_openai_fetch_sessions_openai_bot_id_instance as sessions,
    get_openai_find_instance as find,
    post_openai_create_instance as create,
    put_openai_update_openai_bot_id_instance as update,
)
from reconciler_runtime_client.api.reconciler import get_reconciler_passes
from reconciler_runtime_client.models import BotBody, BotChange, ChangesBody, Error

url, key, instance, bot = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, prefix="", auth_header_name="apikey")
with client as client:
    made = create.sync(instance, client=client, body=BotBody.from_dict(json.loads(bot)))
    changed = update.sync(made.id, instance, client=client, body=BotChange(description="by a client", expire=None))
    twice = create.sync(instance, client=client, body=BotBody.from_dict(json.loads(bot)))
    assert isinstance(twice, Error), twice
    fleet = get_fleet.sync(client=client, instance=instance)
    batch = ChangesBody.from_dict({"changes": [{"action": "update", "kind": "Settings", "body": {"expire": 7}}]})
    print(json.dumps({
        "made": made.to_dict(),
        "changed": changed.to_dict(),
        "refused": twice.status,
        "found": [one.to_dict() for one in find.sync(instance, client=client, limit=1)],
        "sessions": [one.to_dict() for one in sessions.sync(made.id, instance, client=client)],
        "fleet": fleet.to_dict(),
        "batch": post_fleet_instance.sync(instance, client=client, body=batch).to_dict(),
        "instances": [one.name for one in get_instance_fetch_instances.sync(client=client, instance_name=instance)],
        "passes": [one.to_dict() for one in get_reconciler_passes.sync(client=client)],
    }))
"""


def test_a_generated_client_really_calls_a_runtime(generated: Path, server: Server, tenant: Tenant) -> None:
    said = json.loads(run("-c", CALLS, server.url, KEY, tenant.name, json.dumps(BOT), path=generated))
    rows = tenant.client.get(f"/openai/find/{tenant.name}").json()
    assert said["found"] == rows
    assert said["made"]["triggerValue"] == "start"
    assert said["changed"] == {**said["made"], "description": "by a client", "updatedAt": rows[0]["updatedAt"]}
    assert said["refused"] == 409
    assert said["sessions"] == []
    (part,) = said["fleet"]["instances"]
    assert part["bots"] == rows
    assert part["instance"]["name"] == tenant.name
    assert said["batch"]["changes"][0]["row"]["expire"] == 7
    assert said["instances"] == [tenant.name]
    assert said["passes"][0]["outcome"] == "applied"
