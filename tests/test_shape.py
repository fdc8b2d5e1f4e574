"""Schemas: each is valid, each field is documented, each fault is said in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler import shape


@pytest.mark.parametrize("name", shape.names())
def test_the_schema_itself_is_valid(name: str) -> None:
    Draft202012Validator.check_schema(shape.schema(name))


@pytest.mark.parametrize("name", shape.names())
def test_its_examples_fit(name: str) -> None:
    for example in shape.schema(name).get("examples", []):
        assert shape.faults(name, example) == ()


def fields(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, raw in node.get("properties", {}).items():
        child = shape.resolved(raw)
        yield prefix + name, child
        yield from fields(child, f"{prefix}{name}.")


@pytest.mark.parametrize("name", [n for n in shape.names() if n != "fields"])
def test_every_field_is_described_with_an_example(name: str) -> None:
    for path, node in fields(shape.schema(name)):
        assert node.get("description"), path
        if node.get("type") != "object":
            assert node.get("examples") or "const" in node, path


BOT = {"kind": "Bot", "metadata": {"name": "a"}, "spec": {"botType": "assistant", "triggerType": "all"}}

BODY = {
    "enabled": True,
    "openaiCredsId": "c",
    "botType": "assistant",
    "assistantId": "asst_1",
    "triggerType": "all",
}


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (
            {"triggerType": "al"},
            "spec.triggerType 'al' is not one of all, keyword, none, advanced",
            "did you mean 'all'?",
        ),
        ({"triggerValue": True}, "spec.triggerValue is not of type string", "write it in quotes"),
        (
            {"triggerValue": None},
            "spec.triggerValue is not of type string",
            "it is empty: give a text or leave the field out",
        ),
        ({"expire": 1.5}, "spec.expire is not of type integer or string", "write a whole number"),
        (
            {"expire": None},
            "spec.expire is not of type integer or string",
            "it is empty: give a value or leave the field out",
        ),
        ({"triggerValue": ""}, "spec.triggerValue must not be empty", ""),
        ({"maxTokens": "12"}, "spec.maxTokens is not of type integer", "write it without quotes"),
        ({"maxTokens": 0}, "spec.maxTokens 0 is less than 1", ""),
        ({"enabled": "yes"}, "spec.enabled is not of type boolean", "write true or false, without quotes"),
        (
            {"ignoreJids": "x"},
            "spec.ignoreJids is not of type array",
            "write it as a list, each entry with a `- ` before it",
        ),
        ({"expires": 1}, "spec.expires is not a known field", "did you mean 'expire'?"),
        ({"keywordFinish": "x" * 101}, "spec.keywordFinish is longer than 100 characters (101)", ""),
        ({"temperature": 3}, "spec.temperature 3 is more than 2", ""),
        ({"triggerType": "keyword"}, "spec.triggerOperator is required", ""),
        ({"tools": [{"type": "function"}]}, "spec.tools[0].name is required", ""),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(change: dict[str, Any], message: str, hint: str) -> None:
    found = shape.faults("bot", {**BOT, "spec": {**BOT["spec"], **change}})  # type: ignore[dict-item]
    said = {f"{fault.pointer} {fault.message}": fault.hint for fault in found}
    assert said.get(message) == hint, said


def test_a_pattern_says_what_is_meant() -> None:
    (fault,) = shape.faults("bot", {**BOT, "metadata": {"name": "Upper"}})
    assert "Lower-case letters" in fault.hint
    assert '"restaurant"' in fault.hint


@pytest.mark.parametrize("name", ["line\n", "line\u2028", "a/b", "a\r"])
def test_what_fits_is_for_one_library_to_say(name: str) -> None:
    """Python's `$` lets a line end pass: names with one were refused by the one and explained away by the other."""
    data = {"instanceName": name}
    assert bool(shape.faults("http/instance", data)) is not shape.fits("http/instance", data)


def test_what_cannot_be_explained_is_wrong_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "_slow", lambda _: Draft202012Validator(True))
    (fault,) = shape.faults("http/bot", {"ignoreJids": "x"})
    assert (fault.pointer, fault.message) == ("", "does not fit its schema")


def test_of_very_many_faults_the_first_are_said() -> None:
    assert len(shape.faults("http/bot", {"ignoreJids": [1] * 10_000}, 100)) == 100
    (fault,) = shape.faults("http/bot", {**BODY, "ignoreJids": [1] * 10_001})
    assert fault.message == "has more than 10000 entries (10001)"


@pytest.mark.parametrize("kind", ["a", None, 3, [], {}])
def test_any_data_at_all_is_judged(kind: object) -> None:
    assert shape.faults("bot", kind)


def test_pointers() -> None:
    assert shape.pointer(("spec", "turns", 0, "user")) == "spec.turns[0].user"
