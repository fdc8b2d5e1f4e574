"""Whether an Evolution API server's listings are whole: one is held against the others. No I/O.

Before it come `evolution`'s answers; after it its reading. An instance is three listings, taken one after another, by
a server that may fail between them; what one of them names, another must have. A row of credentials names the bots that
use it, in any instance; a bot and Settings name their credentials; Settings name their fallback bot. The database holds
these references, so one that leads nowhere is a listing that is not whole, never a row that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from reconciler.live.evolution_rows import Row
from reconciler.plan.evolution.fit import UNLISTED


class Part(msgspec.Struct, frozen=True):
    """One instance's listings; `error` says why not all of them are to be had."""

    instance: Row
    credentials: list[Row] = []
    bots: list[Row] = []
    settings: Row = {}
    error: str = ""


def part_of(instance: Row, credentials: Any, bots: Any, settings: Any) -> Part:
    """Three answers, or errors in their place, as one instance's listings, with what is wrong with them.

    Its credentials are kept whatever became of the rest: bots of other instances may use them.
    """
    id = str(instance["id"])
    wrong = [
        _wrong_rows("credentials", credentials, ("id", "name"), id),
        _wrong_rows("bots", bots, ("id", "openaiCredsId"), id),
        _wrong_settings(settings, id),
    ]
    error = next(filter(None, wrong), "")
    whole = not error
    return Part(instance, [] if wrong[0] else credentials, bots if whole else [], settings if whole else {}, error)


def _wrong_rows(what: str, rows: Any, fields: tuple[str, ...], instance: str) -> str:
    if isinstance(rows, Exception):
        return str(rows)
    if not isinstance(rows, list):
        return f"its {what} are no list"
    if not all(isinstance(row, dict) and all(row.get(field) for field in fields) for row in rows):
        return f"its {what} lack an id"
    return f"its {what} are another instance's" if any(row.get("instanceId") != instance for row in rows) else ""


def _wrong_settings(settings: Any, instance: str) -> str:
    if isinstance(settings, Exception):
        return str(settings)
    whole = isinstance(settings, dict) and "expire" in settings and settings.get("instanceId", instance) == instance
    return "" if whole else "its settings are none"


def unproven(parts: Mapping[str, Part]) -> dict[str, str]:
    """Why the listing of an instance cannot be trusted, by its name; UNLISTED where one is missing altogether."""
    found: dict[str, str] = {}
    for name, reason in _doubts(parts):
        found.setdefault(name, reason)
    return dict(sorted(found.items()))


def _doubts(parts: Mapping[str, Part]) -> Iterator[tuple[str, str]]:
    names = {str(part.instance["id"]): name for name, part in parts.items()}
    rows = {row["id"] for part in parts.values() for row in part.credentials}
    bots = {name: {row["id"] for row in part.bots} for name, part in parts.items()}
    for name, part in parts.items():
        if part.error:
            yield name, part.error
            continue
        settings = part.settings
        for bot in part.bots:
            if bot["openaiCredsId"] not in rows:
                yield name, f"its bot {bot['id']} uses credentials that no listing has"
        if settings.get("openaiCredsId") and settings["openaiCredsId"] not in rows:
            yield name, "its settings use credentials that no listing has"
        if settings.get("openaiIdFallback") and settings["openaiIdFallback"] not in bots[name]:
            yield name, "its settings name a fallback bot that its listing of bots does not have"
        for row in part.credentials:
            for user in row.get("OpenaiAssistant") or ():
                where = names.get(str(user.get("instanceId")))
                if where is None:
                    yield UNLISTED, f"credentials of {name} are used in an instance that is not listed"
                elif not parts[where].error and user.get("id") not in bots[where]:
                    yield where, f"its listing of bots lacks {user.get('id')}, which uses credentials of {name}"
