"""Which bots run on models that are about to go, or are gone. PURE.

Before it come the desired state and what each account's `GET /v1/models` last said (`reconcile/models.py` asks and
remembers); after it `status`, `plan`, `review` and a metric. A model whose list is not known is not spoken of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

import msgspec

from reconciler.model import DEMO, Desired, Ref

SOON: Final = 60  # days before its end from which a model is spoken of

# What OpenAI recommends in a model's place, and the day on which it shuts the model down; snapshots go with the model
# they are of. Source: https://developers.openai.com/api/docs/deprecations, as of 2026-11.
REPLACEMENTS: Final[Mapping[str, tuple[str, str]]] = {
    "gpt-3.5-turbo": ("gpt-5.6-terra", "2026-10-23"),
    "gpt-4": ("gpt-5.6-sol", "2026-10-23"),
    "gpt-4-turbo": ("gpt-5.6-sol", "2026-10-23"),
    "gpt-4.1-nano": ("gpt-5.6-luna", "2026-10-23"),
    "gpt-4o-2024-05-13": ("gpt-5.6-sol", "2026-10-23"),
    "o1": ("gpt-5.6-sol", "2026-10-23"),
    "o1-pro": ("gpt-5.6-sol", "2026-10-23"),
    "o3-mini": ("gpt-5.6-sol", "2026-10-23"),
    "o4-mini": ("gpt-5.6-terra", "2026-10-23"),
    "gpt-5": ("gpt-5.6-sol", "2026-12-11"),
    "gpt-5-mini": ("gpt-5.6-terra", "2026-12-11"),
    "gpt-5-nano": ("gpt-5.6-luna", "2026-12-11"),
    "gpt-5-pro": ("gpt-5.6-sol", "2026-12-11"),
    "o3": ("gpt-5.6-sol", "2026-12-11"),
    "o3-pro": ("gpt-5.6-sol", "2026-12-11"),
    "gpt-4o": ("gpt-6-luna", "2027-01-14"),
    "gpt-4o-mini": ("gpt-6-luna", "2027-01-14"),
    "gpt-4.1": ("gpt-6-luna", "2027-01-14"),
    "gpt-4.1-mini": ("gpt-6-luna", "2027-01-14"),
}

_SNAPSHOT: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")

# An account's models by id, each with the day on which it goes (`2027-01-14`), None where no such day is known.
Listed = Mapping[str, str | None]
# By (YAML name of the instance, name of the Credentials).
Lists = Mapping[tuple[str, str], Listed]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A bot and the model that its messages go to, over the Credentials of this name."""

    bot: Ref
    model: str
    credentials: str


class Retiring(msgspec.Struct, frozen=True, kw_only=True):
    """A bot whose model goes, or is `gone`: on which day (None: unknown), in how many days, what OpenAI puts in its
    place (None: unknown)."""

    bot: Ref
    model: str
    gone: bool
    date: str | None = None
    days: int | None = None
    replacement: str | None = None

    @property
    def text(self) -> str:
        """`gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it`"""
        if not self.gone:
            said = f"{self.model} goes on {self.date}, {_in(self.days or 0)}"
        elif self.date:
            said = f"{self.model} has gone, on {self.date}"
        else:
            said = f"{self.model} is not among the models of its account"
        return f"{said}: {self.replacement} replaces it" if self.replacement else said


def uses(desired: Desired) -> tuple[Use, ...]:
    """The bots with the models they ask, as a turn would: a bot's own model, else its Assistant's.

    Bots without one, and those that the built-in demo model answers for, are left out.
    """
    accounts = {(o.ref.instance, o.ref.name): o.spec for o in desired.objects if o.ref.kind == "Credentials"}
    assistants = {(o.ref.instance, o.spec["assistantId"]): o.spec for o in desired.objects if o.ref.kind == "Assistant"}
    found = []
    for one in desired.objects:
        if one.ref.kind != "Bot":
            continue
        spec, instance = one.spec, one.ref.instance
        model = spec.get("model")
        if model is None and spec.get("botType") == "assistant":
            model = assistants.get((instance, spec.get("assistantId")), {}).get("model")
        account = spec.get("credentials")
        if model and account and accounts.get((instance, account), {}).get("baseUrl") != DEMO:
            found.append(Use(bot=one.ref, model=model, credentials=account))
    return tuple(found)


def retiring(used: Iterable[Use], lists: Lists, today: date) -> tuple[Retiring, ...]:
    """Of some bots those whose model goes within 60 days or is not to be had any more, the soonest first.

    An account without a list, or with an empty one (a server that does not keep one), says nothing of its models.
    """
    found = []
    for use in used:
        listed = lists.get((use.bot.instance, use.credentials))
        if not listed:
            continue
        id = _listed_as(use.model, listed)
        known = replacement(use.model)
        day = _day(listed[id]) if id is not None else None
        if id is None:
            ends = known[1] if known and _passed(known[1], today) else None
            found.append(
                Retiring(bot=use.bot, model=use.model, gone=True, date=ends, replacement=known[0] if known else None)
            )
        elif day is not None and (days := (day - today).days) <= SOON:
            found.append(
                Retiring(
                    bot=use.bot,
                    model=use.model,
                    gone=days < 0,
                    date=day.isoformat(),
                    days=days,
                    replacement=known[0] if known else None,
                )
            )
    return tuple(sorted(found, key=lambda one: (not one.gone, one.date or "", one.bot)))


def replacement(model: str) -> tuple[str, str] | None:
    """What OpenAI puts in a model's place, and the day on which the model goes; None where that is not known.

    Snapshots (`gpt-4o-2024-08-06`) and fine-tuned models (`ft:gpt-4o-2024-08-06:…`) go with the model they are of.
    """
    base = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
    return REPLACEMENTS.get(base) or REPLACEMENTS.get(_SNAPSHOT.sub("", base))


def announced(used: Iterable[Use], desired: Desired) -> Lists:
    """Lists made of what OpenAI has announced, for who cannot ask: of accounts at OpenAI's own address alone.

    Only models that OpenAI announced the end of are in them, each until its day is past, so nothing is taken for gone.
    """
    elsewhere = {
        (o.ref.instance, o.ref.name)
        for o in desired.objects
        if o.ref.kind == "Credentials" and not str(o.spec.get("baseUrl") or _OPENAI).startswith(_OPENAI)
    }
    found: dict[tuple[str, str], dict[str, str | None]] = {}
    for use in used:
        if (key := (use.bot.instance, use.credentials)) not in elsewhere:
            known = replacement(use.model)
            found.setdefault(key, {})[use.model] = known[1] if known else None
    return found


_OPENAI: Final = "https://api.openai.com/"


def notes(found: Iterable[Retiring]) -> tuple[str, ...]:
    """One line for each model, with the bots that use it: `gpt-4o goes on …: bistro/menu, bistro/restaurant`."""
    return tuple(f"model {line}" for line in lines(documents(found)))


def documents(found: Iterable[Retiring]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "instance": one.bot.instance,
            "bot": one.bot.name,
            "model": one.model,
            "gone": one.gone,
            "shutdownDate": one.date,
            "days": one.days,
            "replacement": one.replacement,
            "text": one.text,
        }
        for one in found
    ]


def lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each model of `documents`, with the bots that use it."""
    bots: dict[str, list[str]] = {}
    for row in rows:
        bots.setdefault(row["text"], []).append(f"{row['instance']}/{row['bot']}")
    return [f"{text} ({_few(names)})" for text, names in bots.items()]


def _listed_as(model: str, listed: Listed) -> str | None:
    """How a list shows a model: servers add `:latest` to names, and take more behind a `:` than they list."""
    ways = (model, f"{model}:latest", model.rpartition(":")[0])
    return next((way for way in ways if way in listed), None)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None


def _passed(day: str, today: date) -> bool:
    return date.fromisoformat(day) <= today


def _in(days: int) -> str:
    return "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"


_SHOWN: Final = 5  # bots of a note


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
