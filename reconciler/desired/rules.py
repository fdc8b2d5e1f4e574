"""Rules of one document, whichever file it stands in. Before it comes `read`; after it `assemble` and `links`.

Shape is the schemas' business; here are the rules across a document's own fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from reconciler import shape
from reconciler.desired.durations import MILLISECONDS, UNITS, convert
from reconciler.model import split_mark
from reconciler.shape import Fault, Path_
from reconciler.talk.match import check_advanced, check_regex

KINDS: Final = ("Instance", "Credentials", "Assistant", "Settings", "Bot", "Conversation")

# Where the bounds of a duration stand once it is in its unit.
_BOUNDS: Final = {"retention": "retentionSeconds"}
_WITH_USER: Final = re.compile(r"'https?://[^/?#']*@")


def faults_of(kind: str, data: dict[str, Any]) -> tuple[Fault, ...]:
    """Everything that is wrong with a document of a kind, by its schema and by the rules across its fields."""
    found = [*shape.faults(kind.lower(), data)]
    spec = data.get("spec")
    if isinstance(spec, dict):
        seen = {fault.path for fault in found}
        found += [fault for fault in _across(kind, spec) if fault.path not in seen]
    return tuple(_kinder(fault, data) for fault in found)


def kind_fault(data: Any) -> Fault | None:
    """What keeps a document from being looked at as one of a kind, or None."""
    if not isinstance(data, dict):
        return Fault((), "a document must be a map of fields", "begin with apiVersion, kind, metadata and spec")
    kind = data.get("kind")
    if kind in KINDS:
        return None
    if kind is None:
        return Fault(("kind",), "is required", f"one of {', '.join(KINDS)}", "required")
    if kind == "Config":
        return Fault(("kind",), "a Config belongs in reconciler.yaml at the repository's root")
    return Fault(("kind",), f"{str(kind)[:60]!r} is not one of {', '.join(KINDS)}", shape.closest(kind, KINDS))


def _across(kind: str, spec: dict[str, Any]) -> Iterator[Fault]:
    for field in UNITS:
        if field in spec:
            yield from _duration(field, spec[field], ("spec", field))
    match kind:
        case "Bot":
            yield from _bot(spec)
        case "Assistant":
            yield from _tools(spec.get("tools"), "an Assistant")
        case "Conversation":
            yield from _conversation(spec.get("turns"))


def _bot(spec: dict[str, Any]) -> Iterator[Fault]:
    description = spec.get("description")
    if isinstance(description, str) and split_mark(description)[1] is not None:
        yield Fault(("spec", "description"), "ends in a mark", "leave `[gitops …]` out: it is added when applied")
    if spec.get("botType") == "assistant":
        given = [name for name in ("assistant", "assistantId") if name in spec]
        if not given:
            hint = "name one with `assistant: <name of an Assistant>`, or give an `assistantId`"
            yield Fault(("spec", "assistant"), "an assistant bot needs an Assistant", hint, "required")
        if len(given) == 2:
            yield Fault(("spec", "assistantId"), "stands beside `assistant`", "keep one of the two")
    elif spec.get("botType") == "chatCompletion" and "assistant" in spec:
        hint = "leave it out, or write `botType: assistant`"
        yield Fault(("spec", "assistant"), "a chatCompletion bot runs no Assistant", hint)
    value = spec.get("triggerValue")
    if isinstance(value, str) and value:
        wrong = None
        if spec.get("triggerType") == "advanced":
            wrong = check_advanced(value)
        elif spec.get("triggerType") == "keyword" and not value.strip():
            wrong = "is empty but for blanks, which no message is"
        if wrong is not None:
            yield Fault(("spec", "triggerValue"), wrong)
    yield from _tools(spec.get("tools"), str(spec.get("botType")))


def _tools(tools: Any, owner: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        if not isinstance(tool, dict):
            continue
        kind, name = tool.get("type"), tool.get("name")
        if owner == "chatCompletion" and kind in ("file_search", "web_search"):
            hint = "file_search and web_search need an Assistant"
            yield Fault(("spec", "tools", number, "type"), "a chatCompletion bot takes function tools only", hint)
        if kind == "function" and isinstance(name, str):
            if name in seen:
                yield Fault(("spec", "tools", number, "name"), f"a second function named '{name}'", "rename one")
            seen.add(name)


def _conversation(turns: Any) -> Iterator[Fault]:
    for number, turn in enumerate(turns if isinstance(turns, list) else ()):
        if not isinstance(turn, dict):
            continue
        at: Path_ = ("spec", "turns", number)
        if ("user" in turn) == ("human" in turn):
            hint = "`user` is what the customer writes, `human` what a colleague writes by hand"
            yield Fault(at, "needs one of `user` and `human`, and not both", hint)
        if "after" in turn:
            yield from _duration("after", turn["after"], (*at, "after"))
        expected = turn.get("expect")
        pattern = expected.get("matches") if isinstance(expected, dict) else None
        if isinstance(pattern, str) and (wrong := check_regex(pattern)) is not None:
            yield Fault((*at, "expect", "matches"), wrong)


def _duration(field: str, value: Any, at: Path_) -> Iterator[Fault]:
    if not isinstance(value, str) and field != "retention":
        return  # the schema bounds plain numbers
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return
    if isinstance(value, str) and not _is_duration(value):
        return  # the schema says so
    try:
        whole = convert(field, value)
    except ValueError as error:
        yield Fault(at, str(error))
        return
    bounds = shape.schema("fields")["$defs"].get(_BOUNDS.get(field, field), {})
    unit = UNITS[field][0]
    if whole > (most := bounds.get("maximum", whole)):
        yield Fault(at, f"{value!r} is more than {most} {unit}")
    if whole < (least := bounds.get("minimum", whole)):
        yield Fault(at, f"{value!r} is less than {least} {unit}")


def _is_duration(text: str) -> bool:
    number = text.rstrip("dhms")
    return number.isascii() and number.isdigit() and len(number) <= 10 and text[len(number) :] in MILLISECONDS


def _kinder(fault: Fault, data: dict[str, Any]) -> Fault:
    """The same fault said for whoever writes YAML, where a schema cannot."""
    if fault.path == ("spec", "apiKey") and fault.rule == "type":
        return Fault(fault.path, "a key must not stand in a file", "name where it is: `apiKey: {env: OPENAI_API_KEY}`")
    if fault.rule == "pattern" and _WITH_USER.search(fault.message):
        return Fault(fault.path, "holds a user or password", "leave it out: what git keeps is no secret", fault.rule)
    if fault.path == ("spec", "apiKey") and fault.rule == "maxProperties":
        hint = "keep `env` or `file`; in an overlay null takes the other away: `apiKey: {env: null, file: keys/main}`"
        return Fault(fault.path, "names two places of the key", hint, fault.rule)
    if fault.path == ("metadata", "instance") and data.get("kind") == "Instance":
        return Fault(fault.path, "an Instance belongs to no other", "leave it out", fault.rule)
    if fault.rule == "pattern" and fault.path[-1:] and fault.path[-1] in UNITS:
        unit = UNITS[str(fault.path[-1])][0]
        hint = f"write a plain number of {unit}, or one with its unit: 500ms, 90s, 10m, 1h, 7d"
        return Fault(fault.path, fault.message.replace("is not as it should be", "is no duration"), hint, fault.rule)
    return fault
