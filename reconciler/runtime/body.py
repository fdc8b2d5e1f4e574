"""Request bodies: bytes -> data -> what fits its schema, or every fault at once.

Before it comes the request, after it the handler. JSON is read strictly: UTF-8, no key twice, no NaN, no number that
others would read differently, no half surrogate pair, no NUL. Bodies of forms have their values read as the schema
wants them. null means unset; unknown fields are ignored.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request

from reconciler import shape
from reconciler.errors import Rejected

Fields = dict[str, Any]

LIMIT: Final = 1 << 20  # bytes of a body
_LARGE: Final = 1 << 18  # bytes of a body that is read beside the loop, so that nobody waits for it
DEPTH: Final = 100  # objects and lists inside each other
MOST_FAULTS: Final = 100  # said of one object
_FORM_FIELDS: Final = 1000
_WHOLE: Final = 1 << 53  # beyond it JSON readers that use floats see another number


async def read_body(request: Request, schema: str, limit: int = LIMIT) -> Fields:
    """The body's known fields, unset ones left out, not yet compared with the schema.

    Raises Rejected: 400 for what is no JSON, 413 above `limit` bytes, 415 for another content type.
    """
    content = await read_bytes(request, limit)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content:
        return {}
    if kind == "application/json" or kind.endswith("+json"):
        data = parse_json(content) if len(content) < _LARGE else await asyncio.to_thread(parse_json, content)
    elif kind == "application/x-www-form-urlencoded":
        data = _form(content, schema)
    else:
        raise Rejected(415, "send the body as application/json or application/x-www-form-urlencoded")
    if not isinstance(data, dict):
        raise Rejected(400, "the body is not of type object")
    return {name: data[name] for name in fields_of(schema) if name in data}


def fields_of(schema: str) -> Mapping[str, Any]:
    """The fields that a body's schema knows."""
    properties: Mapping[str, Any] = shape.schema(schema)["properties"]
    return properties


def merged(before: Fields, patch: Fields) -> Fields:
    """`before` with the fields of `patch` over it; null takes a field out."""
    return {name: value for name, value in {**before, **patch}.items() if value is not None}


def fitting(schema: str, data: Fields) -> Fields:
    """`data`, if it fits the schema. Raises Rejected 400 with every fault (of very many the first), each with its
    field."""
    if found := list(misfits(schema, data)):
        raise Rejected(400, *found)
    return data


def misfits(schema: str, data: Fields, before: str = "") -> Iterator[str]:
    """What is wrong with data, each with its field after `before`; of very many the first, and that there are more."""
    found = shape.faults(schema, data, MOST_FAULTS)
    yield from (before + said(fault) for fault in found)
    if len(found) == MOST_FAULTS:
        yield f"there may be more: these are the first {MOST_FAULTS}"


async def valid_body(request: Request, schema: str) -> Fields:
    """The body, read and found valid: what creates want."""
    return fitting(schema, merged({}, await read_body(request, schema)))


def said(fault: shape.Fault) -> str:
    """`maxTokens is not of type integer`: the field and what is wrong with it, never the value."""
    where = fault.pointer or "the body"
    message = fault.message
    for said in ("is not one of", "is less than", "is more than", "is not as it should be"):
        if (at := message.rfind(said)) > 0:
            message = message[at:]
            break
    hint = f" ({fault.hint})" if fault.hint and fault.rule in ("enum", "pattern") else ""
    return f"{where} {message}{hint}"


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body as it was sent. Raises Rejected 413 above `limit` bytes."""
    too_large = Rejected(413, f"the body is larger than {limit} bytes", headers={"Connection": "close"})
    if (said := request.headers.get("content-length", "")).isdigit() and int(said) > limit:
        raise too_large
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise too_large
    return bytes(content)


def parse_json(content: bytes) -> Any:
    """JSON, read strictly. Raises Rejected 400."""
    try:
        text = content.decode("utf-8")
        data = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_number,
            parse_int=_whole,
        )
    except UnicodeDecodeError as error:
        raise Rejected(400, f"the body is not UTF-8 (byte {error.start + 1})") from error
    except RecursionError as error:
        raise Rejected(400, f"the body is nested deeper than {DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise Rejected(400, f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    if "\\u" in text or content.count(b"[") + content.count(b"{") > DEPTH:
        _inspect(data)
    return data


def _object(pairs: list[tuple[str, Any]]) -> Fields:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Rejected(400, f"{name[:100]!r} is given twice")
            seen.add(name)
    return found


def _no_constant(name: str) -> NoReturn:
    raise Rejected(400, f"the body is not JSON: {name} is not a number of JSON")


def _number(text: str) -> float | int:
    number = float(text)
    if math.isinf(number):
        raise Rejected(400, "the body holds a number out of range")
    return int(number) if number.is_integer() and abs(number) <= _WHOLE else number


def _whole(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > 1 << 63:
        raise Rejected(400, "the body holds a number out of range")
    return number


def _inspect(data: object) -> None:
    """Bounds the nesting and refuses characters that no store and no model take. No recursion: it may be deep."""
    waiting: list[tuple[shape.Path_, object]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > DEPTH:
            raise Rejected(400, f"the body is nested deeper than {DEPTH} levels")
        if isinstance(value, str):
            _readable(shape.pointer(path), value)
        elif isinstance(value, dict):
            for name, item in value.items():
                _readable("a field's name", name)
                waiting.append(((*path, name), item))
        elif isinstance(value, list):
            waiting.extend(((*path, index), item) for index, item in enumerate(value))


def _readable(where: str, text: str) -> None:
    if "\0" in text:
        raise Rejected(400, f"{where or 'the body'} holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Rejected(400, f"{where or 'the body'} holds half of a surrogate pair") from error


def _form(content: bytes, schema: str) -> Fields:
    """A form's fields, each with the type that the schema wants; `name[]` and `name[0]` are entries of a list."""
    try:
        pairs = parse_qsl(content.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
    except ValueError as error:
        raise Rejected(400, "the body is not a form in UTF-8 of at most 1000 fields") from error
    found: Fields = {}
    for raw, text in pairs:
        name = raw.partition("[")[0]
        if name not in fields_of(schema):
            continue
        _readable(name, text)
        field = shape.field(schema, name)
        kinds = list(_kinds(field))
        if "array" in kinds:
            found.setdefault(name, []).append(_typed(text, list(_kinds(shape.resolved(field.get("items", {}))))))
        elif name in found:
            raise Rejected(400, f"{name!r} is given twice")
        else:
            found[name] = _typed(text, kinds)
    return found


def _kinds(node: Mapping[str, Any]) -> Iterator[str]:
    wanted = node.get("type", "string")
    yield from [wanted] if isinstance(wanted, str) else wanted


def _typed(text: str, kinds: list[str]) -> Any:
    if "integer" in kinds and text.removeprefix("-").isdecimal() and len(text) < 20:
        return int(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    if "number" in kinds:
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text
    if "object" in kinds and text.startswith("{"):
        return parse_json(text.encode())
    return text
