"""Field by field: what is no difference, what is one, and that an update takes it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.model import Kind, Live, Object, TargetType
from reconciler.plan.diff import diff
from reconciler.plan.order import order
from tests.plan.fleet import SPECS, bistro, bot, declared, desired, main, running
from tests.plan.target import Model, walk

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}

# (kind, field, wanted, live): the same thing in another form. One row at least for every field of every kind.
SAME: list[tuple[Kind, str, Any, Any]] = [
    ("Instance", "instanceName", "Bistro_01", "Bistro_01"),
    ("Instance", "integration", "WEB", "WEB"),
    ("Instance", "number", None, ""),
    ("Instance", "webhook", None, ""),
    ("Instance", "retention", 86400, 86400.0),
    ("Credentials", "baseUrl", None, ""),
    ("Credentials", "organization", None, ""),
    ("Credentials", "project", "", None),
    ("Credentials", "apiKey", {"env": "KEY"}, "salt$0123"),  # a key that is not resolved cannot be compared
    ("Credentials", "whenMissing", "builtin:demo", None),
    ("Assistant", "assistantId", "asst_1", "asst_1"),
    ("Assistant", "instructions", None, ""),
    ("Assistant", "model", None, None),
    ("Assistant", "temperature", 1, 1.0),
    ("Assistant", "reasoningEffort", None, ""),
    ("Assistant", "tools", [], None),
    ("Assistant", "tools", (TOOL,), [TOOL]),
    ("Assistant", "metadata", {}, None),
    ("Assistant", "metadata", {"a": "1", "b": "2"}, {"b": "2", "a": "1"}),
    ("Settings", "credentials", None, ""),
    ("Settings", "expire", 0, None),
    ("Settings", "keywordFinish", None, ""),
    ("Settings", "delayMessage", 1000, None),
    ("Settings", "unknownMessage", None, ""),
    ("Settings", "listeningFromMe", False, None),
    ("Settings", "stopBotFromMe", False, None),
    ("Settings", "keepOpen", False, None),
    ("Settings", "debounceTime", 1000, None),
    ("Settings", "ignoreJids", ["a", "b"], ["b", "a", "b"]),
    ("Settings", "ignoreJids", [], None),
    ("Settings", "splitMessages", False, None),
    ("Settings", "timePerChar", 0, None),
    ("Settings", "speechToText", False, None),
    ("Settings", "fallbackBot", None, ""),
    ("Bot", "enabled", True, True),
    ("Bot", "description", "Hello  ", "Hello"),
    ("Bot", "description", "", None),
    ("Bot", "botType", "assistant", "assistant"),
    ("Bot", "credentials", "main", "main"),
    ("Bot", "assistantId", None, ""),
    ("Bot", "functionUrl", None, ""),
    ("Bot", "model", "gpt-4o", "gpt-4o"),
    ("Bot", "systemMessages", [], None),
    ("Bot", "systemMessages", ("a",), ["a"]),
    ("Bot", "assistantMessages", None, []),
    ("Bot", "userMessages", None, []),
    ("Bot", "maxTokens", 100, 100.0),
    ("Bot", "triggerType", "none", "none"),
    ("Bot", "triggerOperator", None, ""),
    ("Bot", "triggerValue", None, ""),
    ("Bot", "expire", 0, None),
    ("Bot", "keywordFinish", None, ""),
    ("Bot", "delayMessage", 1000, None),
    ("Bot", "unknownMessage", "", None),
    ("Bot", "listeningFromMe", False, None),
    ("Bot", "stopBotFromMe", False, None),
    ("Bot", "keepOpen", False, None),
    ("Bot", "debounceTime", 1000, None),
    ("Bot", "ignoreJids", ["a", "b"], ["b", "a"]),
    ("Bot", "ignoreJids", [], None),
    ("Bot", "splitMessages", False, None),
    ("Bot", "timePerChar", 0, None),
    ("Bot", "tools", None, []),
    ("Bot", "temperature", 0.0, 0),
    ("Bot", "reasoningEffort", None, None),
]

# The same for fields that differ: every field is looked at, and none is taken for another form of what it is not.
OTHER: list[tuple[Kind, str, Any, Any]] = [
    ("Instance", "integration", "WEB", "EVOLUTION"),
    ("Instance", "number", "551199", None),
    ("Instance", "webhook", None, "https://example.com"),
    ("Instance", "retention", 60, None),
    ("Credentials", "baseUrl", "https://llm.example", None),
    ("Credentials", "organization", "o", None),
    ("Credentials", "project", None, "p"),
    ("Assistant", "assistantId", "asst_1", "asst_2"),
    ("Assistant", "instructions", "a", "a "),
    ("Assistant", "model", "gpt-4o", None),
    ("Assistant", "temperature", 0, None),
    ("Assistant", "reasoningEffort", "low", None),
    ("Assistant", "tools", [TOOL], []),
    ("Assistant", "metadata", {"a": "1"}, {}),
    ("Settings", "credentials", "main", None),
    ("Settings", "expire", 60, None),
    ("Settings", "keywordFinish", "stop", None),
    ("Settings", "delayMessage", 0, None),
    ("Settings", "unknownMessage", "?", None),
    ("Settings", "listeningFromMe", True, None),
    ("Settings", "stopBotFromMe", True, False),
    ("Settings", "keepOpen", True, None),
    ("Settings", "debounceTime", 0, None),
    ("Settings", "ignoreJids", ["a"], ["b"]),
    ("Settings", "splitMessages", True, None),
    ("Settings", "timePerChar", 1, None),
    ("Settings", "speechToText", True, None),
    ("Bot", "enabled", True, False),
    ("Bot", "description", "a", "b"),
    ("Bot", "botType", "chatCompletion", "assistant"),
    ("Bot", "assistantId", "a", None),
    ("Bot", "functionUrl", "https://example.com", None),
    ("Bot", "model", None, "gpt-4o"),
    ("Bot", "systemMessages", ["a", "b"], ["b", "a"]),
    ("Bot", "assistantMessages", ["a"], ["a "]),
    ("Bot", "userMessages", ["a"], None),
    ("Bot", "maxTokens", 1, None),
    ("Bot", "triggerType", "all", "none"),
    ("Bot", "triggerOperator", "equals", None),
    ("Bot", "triggerValue", "x", "X"),
    ("Bot", "expire", 60, None),
    ("Bot", "keywordFinish", "stop", ""),
    ("Bot", "delayMessage", 0, None),
    ("Bot", "unknownMessage", None, "?"),
    ("Bot", "listeningFromMe", True, None),
    ("Bot", "stopBotFromMe", True, None),
    ("Bot", "keepOpen", True, None),
    ("Bot", "debounceTime", 0, None),
    ("Bot", "ignoreJids", ["a"], ["a", "b"]),
    ("Bot", "splitMessages", True, None),
    ("Bot", "timePerChar", 1, None),
    ("Bot", "tools", [TOOL], None),
    ("Bot", "temperature", 0, None),
    ("Bot", "reasoningEffort", "low", "high"),
]


def fleet(kind: Kind, field: str, value: Any) -> tuple[Object, ...]:
    names = {"Instance": "bistro", "Credentials": "main", "Settings": "default"}
    one = declared(kind, names.get(kind, "x"), **{field: value})
    return tuple({o.ref: o for o in (bistro(), main(), one)}.values())


def id_of(row: tuple[Kind, str, Any, Any]) -> str:
    return f"{row[0]}.{row[1]} {row[2]!r} {row[3]!r}"


@pytest.mark.parametrize("row", SAME, ids=id_of)
def test_another_form_of_a_value_is_no_difference(row: tuple[Kind, str, Any, Any]) -> None:
    kind, field, wanted, live = row
    plan = diff(desired(*fleet(kind, field, wanted)), running(*fleet(kind, field, live)), target="t")
    assert plan.changes == ()


@pytest.mark.parametrize("row", OTHER, ids=id_of)
def test_another_value_is_a_difference_that_an_update_takes_away(row: tuple[Kind, str, Any, Any]) -> None:
    kind, field, wanted, live = row
    model, ids = made(fleet(kind, field, live))
    (change,) = plan(fleet(kind, field, wanted), model).changes
    assert [one.field for one in change.fields] == [field]
    apply(fleet(kind, field, wanted), model)
    assert ids == set(model.rows)


@pytest.mark.parametrize("kind", list(SPECS))
def test_every_field_of_a_kind_is_in_both_tables(kind: Kind) -> None:
    wanted = set(SPECS[kind])
    assert {field for k, field, *_ in SAME if k == kind} == wanted
    # A key and what stands in for it are compared with the key in hand alone; names of others need those others.
    apart = {"apiKey", "whenMissing", "instanceName", "fallbackBot"} | ({"credentials"} if kind == "Bot" else set())
    assert {field for k, field, *_ in OTHER if k == kind} == wanted - apart


INHERITED: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None, dict[str, Any], dict[str, Any], str]] = [
    # (case, Settings wanted, Settings live, bot wanted, bot live, what differs)
    ("as the Settings say", {"expire": 60}, {"expire": 60}, {"expire": 60}, {"expire": None}, ""),
    ("as they will say", {"expire": 60}, {"expire": 5}, {"expire": 60}, {"expire": None}, ""),
    ("as they said, but not for long", {"expire": 60}, {"expire": 5}, {"expire": 5}, {"expire": None}, "expire"),
    ("as the Settings of others say", None, {"expire": 60}, {"expire": 60}, {"expire": None}, ""),
    ("as the default", None, None, {"delayMessage": 1000}, {"delayMessage": None}, ""),
    ("not as the default", None, None, {"delayMessage": 7}, {"delayMessage": None}, "delayMessage"),
    ("none in spite of the Settings", {"keywordFinish": "stop"}, {"keywordFinish": "stop"},
     {"keywordFinish": ""}, {"keywordFinish": None}, "keywordFinish"),
    ("unset, and the Settings are of others", None, {"keywordFinish": "stop"},
     {"keywordFinish": None}, {"keywordFinish": None}, ""),
    ("chats of both", {"ignoreJids": ["@g.us"]}, {"ignoreJids": ["@g.us"]},
     {"ignoreJids": ["@g.us", "a"]}, {"ignoreJids": ["a"]}, ""),
    ("chats of the Settings", {"ignoreJids": ["@g.us"]}, {"ignoreJids": ["@g.us"]},
     {"ignoreJids": ["@g.us"]}, {"ignoreJids": None}, ""),
    ("one chat too many", {"ignoreJids": ["@g.us"]}, {"ignoreJids": ["@g.us"]},
     {"ignoreJids": ["@g.us"]}, {"ignoreJids": ["a"]}, "ignoreJids"),
    ("chats of others' Settings", None, {"ignoreJids": ["@g.us"]},
     {"ignoreJids": ["@g.us"]}, {"ignoreJids": []}, "ignoreJids"),
]  # fmt: skip


@pytest.mark.parametrize("row", INHERITED, ids=[row[0] for row in INHERITED])
def test_what_a_bot_leaves_to_its_settings(row: Any) -> None:
    _, wanted_settings, live_settings, wanted, live, differs = row

    def side(settings: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> tuple[Object, ...]:
        more = () if settings is None else (declared("Settings", "default", **settings),)
        return (bistro(), main(), *more, bot("x", **fields))

    model, _ = made(side(live_settings, live))
    found = [one for change in plan(side(wanted_settings, wanted), model).changes if change.ref.kind == "Bot"
             for one in change.fields]  # fmt: skip
    assert [one.field for one in found] == ([differs] if differs else [])
    assert all(one.before != one.after for one in found)
    apply(side(wanted_settings, wanted), model)


@pytest.mark.parametrize(
    ("type", "field", "value", "same"),
    [("runtime", "delayMessage", 1000, True), ("runtime", "delayMessage", 0, False),
     ("evolution", "delayMessage", 1000, False), ("evolution", "delayMessage", 0, True),
     ("evolution", "debounceTime", 1, False), ("evolution", "keywordFinish", None, True),
     ("evolution", "speechToText", False, True)],
)  # fmt: skip
def test_what_nothing_sets_is_what_the_target_makes_of_it(type: TargetType, field: str, value: Any, same: bool) -> None:
    """The runtime has defaults; an Evolution API server does nothing."""
    for settings in (True, False):
        if field == "speechToText" and not settings:
            continue
        kind: Kind = "Settings" if settings else "Bot"
        one = (bistro(), main(), declared(kind, "x", **{field: value}))
        live = running(bistro(), main(), declared(kind, "x", **{field: None}))
        assert (diff(desired(*one), live, target="t", type=type).changes == ()) is same


def plan(wanted: tuple[Object, ...], model: Model) -> Any:
    live: Live = model.live()
    return diff(desired(*wanted), live, target="t")


def made(objects: tuple[Object, ...]) -> tuple[Model, set[str]]:
    model = Model()
    found = plan(objects, model)
    assert walk(model, order(found), found.ids) == {}
    return model, set(model.rows)


def apply(wanted: tuple[Object, ...], model: Model) -> None:
    """Applies a plan, after which there is nothing to do."""
    found = plan(wanted, model)
    assert walk(model, order(found), found.ids) == {}
    assert plan(wanted, model).changes == ()
