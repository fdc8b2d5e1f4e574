"""Which bots run on models that are about to go, or are gone. PURE.

It is told from the desired state, from what each account's `GET /v1/models` last said (`reconcile/models.py` asks and
remembers) and from the catalog of known models. A model whose account's list is not known is not spoken of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

import msgspec

from reconciler.model import DEMO, Catalog, Desired, KnownModel, Price, Ref

SOON: Final = 60  # days before its end from which a model is spoken of

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
    """A bot whose model goes, or is `gone`: on which day (None: unknown), in how many days, what replaces it (None:
    unknown), and whether its account lists that (None: nobody asked)."""

    bot: Ref
    model: str
    gone: bool
    date: str | None = None
    days: int | None = None
    replacement: str | None = None
    listed: bool | None = None

    @property
    def text(self) -> str:
        """`gpt-4o goes on 2027-01-14, in 52 days: gpt-6-luna replaces it`"""
        if not self.gone:
            said = f"{self.model} goes on {self.date}, {_in(self.days or 0)}"
        elif self.date:
            said = f"{self.model} has gone, on {self.date}"
        else:
            said = f"{self.model} is not among the models of its account"
        if not self.replacement:
            return said
        but = ", but its account does not list that" if self.listed is False else ""
        return f"{said}: {self.replacement} replaces it{but}"


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


def retiring(used: Iterable[Use], lists: Lists, today: date, known: Catalog) -> tuple[Retiring, ...]:
    """Of some bots those whose model goes within 60 days or is not to be had any more, the soonest first.

    An account without a list, or with an empty one (a server that does not keep one), says nothing of its models.
    """
    found = []
    for use in used:
        listed = lists.get((use.bot.instance, use.credentials))
        if not listed:
            continue
        id = _listed_as(use.model, listed)
        entry = replacement(use.model, known)
        if id is None:
            ends = _day(entry.ends) if entry is not None else None
            day = ends if ends is not None and ends <= today else None
            gone = True
        else:
            day = _day(listed[id])
            if day is None or (day - today).days > SOON:
                continue
            gone = day < today
        next_, there = _next(use.model, listed, today, known)
        found.append(
            Retiring(
                bot=use.bot,
                model=use.model,
                gone=gone,
                date=day.isoformat() if day else None,
                days=(day - today).days if day and id is not None else None,
                replacement=next_,
                listed=there,
            )
        )
    return tuple(sorted(found, key=lambda one: (not one.gone, one.date or "", one.bot)))


def replacement(model: str, known: Catalog) -> KnownModel | None:
    """What is known of a model that goes: its day and what replaces it; None where it is not known to go.

    Snapshots (`gpt-4o-2024-08-06`) and fine-tuned models (`ft:gpt-4o-2024-08-06:…`) go with the model they are of.
    """
    base = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
    found = known.models.get(base) or known.models.get(_SNAPSHOT.sub("", base))
    return found if found is not None and found.ends else None


def _next(model: str, listed: Listed, today: date, known: Catalog) -> tuple[str | None, bool | None]:
    """What replaces a model, and whether the account lists it: the first of its replacement, that one's replacement
    and so on that is listed and stays; else the first of them, which is not. (None, None) where none is known."""
    entry = replacement(model, known)
    first = name = entry.replacement if entry is not None else None
    if isinstance(listed, Announced):  # nobody asked
        return first, None
    seen = {model}
    while name is not None and name not in seen:
        id = _listed_as(name, listed)
        day = _day(listed[id]) if id is not None else None
        if id is not None and (day is None or (day - today).days > SOON):
            return name, True
        seen.add(name)
        later = known.models.get(name)
        name = later.replacement if later is not None else None
    return first, False if first is not None else None


class Announced(dict[str, str | None]):
    """A list of an account that was not asked."""


def announced(used: Iterable[Use], desired: Desired, known: Catalog) -> Lists:
    """Lists made of what OpenAI has announced, for who cannot ask: of accounts at OpenAI's own address alone.

    Only models that OpenAI announced the end of are in them, each until its day is past, so nothing is taken for gone.
    """
    away = elsewhere(desired)
    found: dict[tuple[str, str], Announced] = {}
    for use in used:
        if (key := (use.bot.instance, use.credentials)) not in away:
            entry = replacement(use.model, known)
            found.setdefault(key, Announced())[use.model] = entry.ends if entry else None
    return found


def elsewhere(desired: Desired) -> set[tuple[str, str]]:
    """The accounts that are not at OpenAI's own address, as (instance, name)."""
    return {
        (o.ref.instance, o.ref.name)
        for o in desired.objects
        if o.ref.kind == "Credentials" and not str(o.spec.get("baseUrl") or _OPENAI).startswith(_OPENAI)
    }


def price(model: str, known: Catalog) -> Price | None:
    """What a model's maker asks for a million tokens; of a snapshot (`gpt-4o-2024-08-06`) what its model costs."""
    found = known.models.get(model) or known.models.get(_SNAPSHOT.sub("", model))
    if found is None or found.input is None or found.output is None:
        return None
    return Price(input=found.input, cached=found.input if found.cached is None else found.cached, output=found.output)


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
            "replacementListed": one.listed,
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


def _in(days: int) -> str:
    return "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"


_SHOWN: Final = 5  # bots of a note


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
