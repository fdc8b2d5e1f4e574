"""Shapes: what the JSON Schemas of `schemas/` say of data. The one door to both schema libraries.

The schemas are the only source for YAML, HTTP bodies, the reference pages and the editors. jsonschema-rs says
quickly whether data fits; jsonschema says, where it does not, what is wrong. What fits is for the first alone to say:
the second takes its word for patterns (Python's `$` lets a line end pass), and where it finds nothing wrong, something
is all the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import msgspec

_HERE: Final = Path(__file__).parent
# In a wheel the schemas lie inside the package, in a checkout beside it.
SCHEMAS: Final = _HERE / "schemas" if (_HERE / "schemas").is_dir() else _HERE.parent / "schemas"
BASE: Final = "https://reconciler.invalid/schemas/"

Path_ = tuple[str | int, ...]


class Fault(msgspec.Struct, frozen=True):
    """One way in which data does not fit: where (`path`), what, and what to do about it."""

    path: Path_
    message: str
    hint: str = ""
    rule: str = ""

    @property
    def pointer(self) -> str:
        return pointer(self.path)


def pointer(path: Path_) -> str:
    """`("spec", "turns", 0, "user")` as `spec.turns[0].user`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else part)
    return out


@cache
def names() -> tuple[str, ...]:
    """The schemas' names: `bot`, `http/bot`, …"""
    found = SCHEMAS.rglob("*.schema.json")
    return tuple(sorted(str(p.relative_to(SCHEMAS)).removesuffix(".schema.json") for p in found))


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema's document."""
    document: dict[str, Any] = msgspec.json.decode((SCHEMAS / f"{name}.schema.json").read_bytes())
    return document


def field(name: str, *path: str) -> dict[str, Any]:
    """The schema found by `path` below a schema's `properties`, with its `$ref` followed."""
    node = schema(name)
    for part in path:
        node = resolved(node["properties"][part])
    return node


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """A node with its `$ref` into `fields` replaced by what it names; the node's own keys win."""
    if (ref := node.get("$ref")) is None:
        return node
    target: dict[str, Any] = schema("fields")["$defs"][ref.rpartition("/")[2]]
    return {**resolved(target), **{key: value for key, value in node.items() if key != "$ref"}}


@cache
def _fast(name: str) -> jsonschema_rs.Draft202012Validator:
    registry = jsonschema_rs.Registry([(schema(n)["$id"], schema(n)) for n in names()])
    return jsonschema_rs.Draft202012Validator(schema(name), registry=registry)


@cache
def _slow(name: str) -> Any:
    import jsonschema.validators  # 90 ms to import, needed only to explain
    from jsonschema import Draft202012Validator, ValidationError
    from referencing import Registry, Resource

    def pattern(_: Any, wanted: str, value: object, __: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not _of_pattern(wanted).is_valid(value):
            yield ValidationError("does not match")

    def up_to(limit: str, word: str) -> Any:
        """A rule of each entry, looked at where there are no more than there may be: of a million nothing is said."""
        rule = Draft202012Validator.VALIDATORS[word]

        def each(validator: Any, wanted: Any, value: Any, node: Any) -> Iterator[ValidationError]:
            if isinstance(value, list | dict) and len(value) <= node.get(limit, len(value)):
                yield from rule(validator, wanted, value, node)

        return each

    own = {
        "pattern": pattern,
        "items": up_to("maxItems", "items"),
        "additionalProperties": up_to("maxProperties", "additionalProperties"),
    }
    resources = [(schema(n)["$id"], Resource.from_contents(schema(n))) for n in names()]
    extend: Any = jsonschema.validators.extend
    kind = extend(Draft202012Validator, own)
    return kind(schema(name), registry=Registry().with_resources(resources))


@cache
def _of_pattern(pattern: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({"pattern": pattern})


def fits(name: str, data: object) -> bool:
    """Whether data fits the schema `name`."""
    return _fast(name).is_valid(data)


def faults(name: str, data: object, most: int | None = None) -> tuple[Fault, ...]:
    """Every way in which data does not fit the schema `name`, or the first `most` that are found; empty if it does.

    To find one costs some 50 µs: who takes data from strangers names a number.
    """
    if fits(name, data):
        return ()
    explained = (fault for error in _slow(name).iter_errors(data) for fault in _explain(error))
    found = dict.fromkeys(islice(explained, most))
    if not found:
        first = next(iter(_fast(name).iter_errors(data)))
        return (Fault(tuple(first.instance_path), "does not fit its schema"),)
    return tuple(sorted(found, key=lambda fault: tuple(map(str, fault.path))))


def _explain(error: Any) -> Iterator[Fault]:
    path: Path_ = tuple(error.absolute_path)
    value, wanted, rule = error.instance, error.validator_value, error.validator
    match rule:
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else list(wanted)
            yield Fault(path, f"is not of type {' or '.join(kinds)}", _type_hint(value, kinds), rule)
        case "required":
            for name in wanted:
                if name not in value:
                    yield Fault((*path, name), "is required", "", rule)
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            for name in value:
                if name not in known:
                    yield Fault((*path, name), "is not a known field", closest(str(name), known), rule)
        case "enum":
            allowed = [str(item) for item in wanted]
            yield Fault(path, f"{_short(value)} is not one of {', '.join(allowed)}", closest(value, allowed), rule)
        case "const":
            yield Fault(path, f"is not {wanted!r}", "", rule)
        case "minimum" | "exclusiveMinimum":
            yield Fault(path, f"{_short(value)} is less than {wanted}", "", rule)
        case "maximum" | "exclusiveMaximum":
            yield Fault(path, f"{_short(value)} is more than {wanted}", "", rule)
        case "minLength" if wanted == 1:
            yield Fault(path, "must not be empty", "", rule)
        case "maxLength":
            yield Fault(path, f"is longer than {wanted} characters ({len(value)})", "", rule)
        case "minItems" | "maxItems" | "minProperties" | "maxProperties":
            more = "more" if rule.startswith("max") else "fewer"
            yield Fault(path, f"has {more} than {wanted} entries ({len(value)})", "", rule)
        case "pattern":
            yield Fault(path, f"{_short(value)} is not as it should be", _meant(error.schema), rule)
        case "if" | "allOf" | "anyOf" | "oneOf" if error.context:
            for inner in error.context:
                yield from _explain(inner)
        case _:
            yield Fault(path, error.message, "", str(rule))


def _type_hint(value: object, kinds: Sequence[str]) -> str:
    if value is None:
        what = "a text" if kinds == ["string"] else "its fields" if "object" in kinds else "a value"
        return f"it is empty: give {what} or leave the field out"
    if "integer" in kinds and isinstance(value, bool | float):
        return "write a whole number"
    if "string" in kinds and isinstance(value, bool | int | float):
        return "write it in quotes"
    if "array" in kinds and isinstance(value, str):
        return "write it as a list, each entry with a `- ` before it"
    if "boolean" in kinds and isinstance(value, str):
        return "write true or false, without quotes"
    if ("integer" in kinds or "number" in kinds) and isinstance(value, str) and value.strip().isdigit():
        return "write it without quotes"
    return ""


def _meant(node: dict[str, Any]) -> str:
    shown = ", ".join(msgspec.json.encode(e).decode() for e in node.get("examples", [])[:2])
    said = str(node.get("description", "")).rstrip(".")
    return "; ".join(part for part in (said, f"for example {shown}" if shown else "") if part)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…'"


def closest(value: object, allowed: Sequence[str]) -> str:
    """`did you mean 'equals'?` where something allowed is near, else nothing."""
    if not isinstance(value, str):
        return ""
    folded = {name.lower(): name for name in allowed}
    near = difflib.get_close_matches(value.lower(), list(folded), n=1, cutoff=0.6)
    return f"did you mean '{folded[near[0]]}'?" if near else ""
