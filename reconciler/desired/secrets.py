"""Secrets: what Credentials name becomes the key itself, only where something is about to be applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from reconciler.desired.text import Flaw, decode
from reconciler.errors import Problem
from reconciler.model import DEMO, Desired, Missing, Object, Secret

_LIMIT: Final = 64 << 10  # bytes of a key file


def with_keys(desired: Desired, variables: Mapping[str, str], root: Path) -> Desired:
    """The desired state with each Credentials' `apiKey` as a `Secret`, or as `Missing` where it is not there.

    `variables` is the environment, `root` what key files' paths start from; files are read anew at each call.
    """
    objects = (
        msgspec.structs.replace(one, spec=_keyed(one.spec, variables, root)) if one.ref.kind == "Credentials" else one
        for one in desired.objects
    )
    return msgspec.structs.replace(desired, objects=tuple(objects))


def _keyed(spec: Mapping[str, Any], variables: Mapping[str, str], root: Path) -> dict[str, Any]:
    found = _find(spec["apiKey"], variables, root)
    if isinstance(found, Secret):
        return {**spec, "apiKey": found, "whenMissing": None}
    return {**spec, "apiKey": Missing(found, spec["apiKey"])}


def missing_keys(desired: Desired) -> tuple[Problem, ...]:
    """The keys of `with_keys` that are missing and that nothing may stand in for."""
    return tuple(
        _problem(one, f"set it, or let the demo model answer with `whenMissing: {DEMO}`")
        for one in _without_key(desired)
        if one.spec["whenMissing"] is None
    )


def keys_not_here(desired: Desired, variables: Mapping[str, str], root: Path) -> tuple[Problem, ...]:
    """Warnings of keys that are not where one stands; elsewhere they may be."""
    said = "an apply from here keeps what is live as it is; where nothing is live {}"
    return tuple(
        _problem(
            one, said.format("the demo model answers" if one.spec["whenMissing"] else "it leaves the instance out")
        )
        for one in _without_key(with_keys(desired, variables, root))
    )


def _without_key(desired: Desired) -> Iterator[Object]:
    return (one for one in desired.objects if one.ref.kind == "Credentials" and isinstance(one.spec["apiKey"], Missing))


def _problem(one: Object, hint: str) -> Problem:
    return Problem(
        path=one.at.path,
        line=one.at.line,
        column=one.at.column,
        pointer="spec.apiKey",
        message=one.spec["apiKey"].said,
        hint=hint,
    )


def _find(wanted: Mapping[str, Any] | Secret, variables: Mapping[str, str], root: Path) -> Secret | str:
    """The key that `apiKey` names, or what is missing."""
    if isinstance(wanted, Secret):
        return wanted
    if (name := wanted.get("env")) is not None:
        value = variables.get(name, "").strip()
        return _usable(value, f"the environment variable {name}") if value else f"{name} is not set"
    try:
        with (root / wanted["file"]).open("rb") as file:
            text = decode(file.read(_LIMIT))
    except OSError as error:
        return f"the key file {wanted['file']} cannot be read: {error.strerror}"
    if isinstance(text, Flaw):
        return f"the key file {wanted['file']} holds no text in UTF-8"
    value = text.strip()
    return _usable(value, f"the key file {wanted['file']}") if value else f"the key file {wanted['file']} is empty"


def _usable(value: str, source: str) -> Secret | str:
    # It goes into an HTTP header, where a line break or a letter beyond ASCII would fail late and unclearly.
    if value.isascii() and value.isprintable() and " " not in value:
        return Secret(value)
    return f"{source} holds more than a key (spaces, line breaks or letters that no key has)"
