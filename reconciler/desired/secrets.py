"""Secrets: what Credentials name becomes the key itself, only where something is about to be applied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from reconciler.errors import InvalidBots, Problem
from reconciler.model import DEMO, Desired, Object, Secret

_LIMIT: Final = 64 << 10  # bytes of a key file
_NAMED: Final = 4  # credentials that a note names


def resolve_secrets(desired: Desired, variables: Mapping[str, str], root: Path) -> Desired:
    """The desired state with each Credentials' `apiKey` as a `Secret`, and `whenMissing` used up.

    `variables` is the environment, `root` what key files' paths start from. Where a key is missing and the
    Credentials allow it, the built-in demo model takes its place, with a note. Raises InvalidBots for all others.
    """
    objects: list[Object] = []
    problems: list[Problem] = []
    demo: dict[str, list[str]] = {}
    for object_ in desired.objects:
        if object_.ref.kind != "Credentials":
            objects.append(object_)
            continue
        found = _find(object_.spec["apiKey"], variables, root)
        if isinstance(found, Secret):
            spec = {**object_.spec, "apiKey": found, "whenMissing": None}
        elif object_.spec["whenMissing"] == DEMO:
            spec = {**object_.spec, "apiKey": Secret(DEMO), "baseUrl": DEMO, "organization": None, "project": None}
            spec["whenMissing"] = None
            demo.setdefault(found, []).append(f"{object_.ref.instance}/{object_.ref.name}")
        else:
            problems.append(
                Problem(
                    path=object_.at.path,
                    line=object_.at.line,
                    column=object_.at.column,
                    pointer="spec.apiKey",
                    message=found,
                    hint=f"set it, or let the demo model answer with `whenMissing: {DEMO}`",
                )
            )
            continue
        objects.append(msgspec.structs.replace(object_, spec=spec))
    if problems:
        raise InvalidBots(tuple(problems))
    notes = (
        f"{missing}, so the built-in demo model answers for {_listed(names)}" for missing, names in sorted(demo.items())
    )
    return msgspec.structs.replace(desired, objects=tuple(objects), notes=(*desired.notes, *notes))


def _listed(names: list[str]) -> str:
    """`bistro/main and clinica/main`; of many the first few and how many there are."""
    if len(names) > _NAMED:
        return f"{len(names)} credentials: {', '.join(names[:_NAMED])}, …"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _find(wanted: Mapping[str, Any] | Secret, variables: Mapping[str, str], root: Path) -> Secret | str:
    """The key that `apiKey` names, or what is missing."""
    if isinstance(wanted, Secret):
        return wanted
    if (name := wanted.get("env")) is not None:
        value = variables.get(name, "").strip()
        return _usable(value, f"the environment variable {name}") if value else f"{name} is not set"
    try:
        with (root / wanted["file"]).open("rb") as file:
            value = file.read(_LIMIT).decode().strip()
    except UnicodeDecodeError:
        return f"the key file {wanted['file']} holds no text"
    except OSError as error:
        return f"the key file {wanted['file']} cannot be read: {error.strerror}"
    return _usable(value, f"the key file {wanted['file']}") if value else f"the key file {wanted['file']} is empty"


def _usable(value: str, source: str) -> Secret | str:
    # It goes into an HTTP header, where a line break or a letter beyond ASCII would fail late and unclearly.
    if value.isascii() and value.isprintable() and " " not in value:
        return Secret(value)
    return f"{source} holds more than a key (spaces, line breaks or letters that no key has)"
