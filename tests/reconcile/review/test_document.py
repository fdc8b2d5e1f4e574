"""The JSON of a review is of the shape that schemas/output/review.schema.json says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from reconciler import shape
from reconciler.plan.review.document import document
from tests.conftest import Repo
from tests.reconcile.review.conftest import look_at

CHATS = [
    {"instance": "shop", "chat": "chat-1", "messages": [{"by": "customer", "text": "rent a bike"}]},
    {"instance": "gone", "chat": "chat-2", "messages": []},
]


def checked(found: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(msgspec.json.encode(found))
    schema = json.loads((shape.SCHEMAS / "output" / "review.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    return data


def test_a_whole_review(example: Callable[[str], Repo], tmp_path: Path) -> None:
    chats = tmp_path / "chats.jsonl"
    chats.write_text("\n".join(map(json.dumps, CHATS)))
    found = checked(document(look_at(example("head"), head="change", recorded=chats)))
    assert (found["verdict"], found["currency"], found["replay"]["moved"]) == ("broken", "USD", 1)
    (part,) = found["parts"]
    assert {one["rule"] for one in part["risks"]} >= {"secret", "new-host", "delete"}
    assert "9f8e7d6c5b4a3f2e" not in json.dumps(found)
    assert part["money"]["after"] > part["money"]["before"]
    (fails,) = [one for one in part["conversations"] if one["level"] == "broken"]
    assert fails["after"]["at"][0] == {"path": "bots/shop/conversations.yaml", "line": 7, "column": 21}
    assert {one["after"] for one in part["routes"] if one["rule"] == "moved"} == {"presents", "tyres"}


@pytest.mark.parametrize("chat", CHATS, ids=["played", "skipped"])
def test_recorded_chats_have_their_schema_too(chat: dict[str, Any]) -> None:
    schema = json.loads((shape.SCHEMAS / "output" / "recorded-chat.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(chat, schema)
    jsonschema.validate(schema["examples"][0], schema)


def test_a_head_that_is_no_desired_state(example: Callable[[str], Repo]) -> None:
    found = checked(document(look_at(example("leak"), head="change")))
    assert (found["verdict"], found["parts"], found["replay"]) == ("broken", [], None)
    assert found["problems"][0]["at"]["path"] == "bots/shop/repairs.yaml"
