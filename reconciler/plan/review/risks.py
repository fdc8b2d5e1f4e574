"""What of a plan a person should know before merging: risks, each at the line that causes it.

Before it `compare`; after it `verdict` and the renderings. Pure: `today` and the number of open chats come in. What a
bot does is judged by its effective values, so a change of the Settings counts for each bot that inherits it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from reconciler.model import Catalog, Change, Desired, Object, Plan, Ref
from reconciler.plan.retire import announced, retiring, uses
from reconciler.plan.review.addresses import SENDS, host, secret_in
from reconciler.plan.review.findings import LEVELS, Level, Risk
from reconciler.plan.slots import trigger_of
from reconciler.talk.match import fold

SHORT: Final = 3  # letters of a `contains` up to which it is found in words nobody thought of

# Which other text an operator reaches at least as far as: `equals` start is narrower than `startsWith` start.
_WIDER: Final[Mapping[str, frozenset[str]]] = {
    "equals": frozenset({"startsWith", "endsWith", "contains"}),
    "startsWith": frozenset({"contains"}),
    "endsWith": frozenset({"contains"}),
}

Chats = Mapping[Ref, int]  # bots with open chats, and how many


def risks(
    base: Desired, head: Desired, plan: Plan, *, today: date, known: Catalog, chats: Chats | None = None
) -> tuple[Risk, ...]:
    """Every risk of a plan, the gravest first. `chats` are the open chats of a target's bots, where they are known;
    `known` says which models go."""
    old = {one.ref: one for one in base.objects}
    new = {one.ref: one for one in head.objects}
    found = [risk for change in plan.changes for risk in _of(change, old, new, chats or {})]
    found += _unprotected(old, new)
    found += _models(base, head, plan, today, known)
    return tuple(sorted(found, key=lambda one: (LEVELS.index(one.level), one.ref.instance, one.ref, one.rule)))


def drifted(plan: Plan | None) -> tuple[Risk, ...]:
    """What somebody changed on the target, of what this change touches: merging it puts that back, or overwrites it."""
    found = []
    for change in plan.changes if plan is not None else ():
        for one in change.fields:
            if one.origin in ("drift", "conflict"):
                shown = f"{one.field} of {_name(change.ref)} was changed on the target"
                ends = "is overwritten" if one.origin == "conflict" else "is put back"
                level: Level = "human" if one.origin == "conflict" else "note"
                found.append(Risk(rule=one.origin, level=level, ref=change.ref, message=f"{shown}, which {ends}"))
    return tuple(found)


def _of(change: Change, old: Mapping[Ref, Object], new: Mapping[Ref, Object], chats: Chats) -> Iterator[Risk]:
    ref = change.ref
    if change.action == "delete":
        if not change.held:
            yield from _deleted(ref, old, chats)
        return
    one = new[ref]
    was = old.get(ref) or old.get(Ref(ref.kind, ref.instance, change.renamed_from or ""))
    before = was.spec if was is not None else {}
    if ref.kind == "Bot":
        yield from _bot(one, before, chats)
    elif ref.kind == "Credentials":
        yield from _credentials(one, before)
    elif ref.kind == "Settings":
        yield from _settings(one, before)
    for field in SENDS:
        yield from _address(one, before, field, created=was is None)


def _deleted(ref: Ref, old: Mapping[Ref, Object], chats: Chats) -> Iterator[Risk]:
    was = old.get(ref)
    if ref.kind != "Bot":
        yield Risk(rule="delete", level="human", ref=ref, message=f"{ref} is deleted")
        return
    ended = f"; {_many(open_, 'open chat')} of it {_end(open_)}" if (open_ := chats.get(ref, 0)) else ""
    enabled = was is not None and was.spec.get("enabled")
    said = f"is deleted{ended}" if enabled else f"is deleted (it was not enabled){ended}"
    yield Risk(rule="delete", level="human", ref=ref, message=f"the bot {_name(ref)} {said}")


def _bot(one: Object, before: Mapping[str, Any], chats: Chats) -> Iterator[Risk]:
    spec, name = one.spec, _name(one.ref)
    open_ = chats.get(one.ref, 0)
    if before.get("enabled") and not spec["enabled"]:
        ended = f"; {_many(open_, 'open chat')} of it {_end(open_)}" if open_ else ""
        yield _risk(
            "disabled", "human", one, f"the bot {name} is no longer enabled, so it answers nobody{ended}", "enabled"
        )
    elif open_ and before:
        message = f"{_many(open_, 'open chat')} of {name} {_go(open_)} on with the changed bot"
        yield _risk("open-chats", "human", one, message, "")
    if spec["enabled"] and (said := _widened(spec, before)):
        yield _risk("widened-trigger", "human", one, f"the trigger of {name} {said}", _trigger(spec))
    most, least = spec["maxTokens"], before.get("maxTokens")
    if before and most != least and (most is None or (least is not None and most > least)):
        shown = "no bound" if most is None else f"{most:,}"
        yield _risk("max-tokens", "human", one, f"maxTokens of {name} grows from {least:,} to {shown}", "maxTokens")
    tools, had = _functions(spec), _functions(before)
    if more := sorted(tools - had):
        yield _risk("new-function", "note", one, f"{name} may now call {', '.join(more)}", "tools")


def _widened(spec: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Why a trigger reaches more than it did, or more than is likely meant; "" where it does not."""
    kind, operator, value = spec["triggerType"], spec["triggerOperator"], spec["triggerValue"]
    if trigger_of(spec) is None or (before.get("enabled") and trigger_of(spec) == trigger_of(before)):
        return ""
    was = f"was {_shown(before)}, now" if before.get("enabled") else "is new:"
    if kind == "all":
        return f"{was} all: it answers everything that no other bot does"
    bare = fold(value or "")
    if kind == "keyword" and operator == "contains" and len(bare) <= SHORT:
        return f"{was} contains '{bare}': so short a text is part of many words"
    if before.get("enabled") and before.get("triggerType") == kind == "keyword":
        once, earlier = before["triggerOperator"], fold(before["triggerValue"] or "")
        reaches = operator in _WIDER.get(once, frozenset()) and _within(operator, bare, earlier)
        if reaches or (
            operator == once and once in _SHORTENED and bare != earlier and _within(operator, bare, earlier)
        ):
            return f"{was} {_shown(spec)}: it answers all that it did, and more"
    return ""


_SHORTENED: Final = frozenset({"startsWith", "endsWith", "contains"})


def _within(operator: str, wanted: str, text: str) -> bool:
    if operator == "contains":
        return wanted in text
    return text.startswith(wanted) if operator == "startsWith" else text.endswith(wanted)


def _credentials(one: Object, before: Mapping[str, Any]) -> Iterator[Risk]:
    if before and before.get("apiKey") != one.spec["apiKey"]:
        message = f"the key of {_name(one.ref)} is now taken from {_source(one.spec['apiKey'])}"
        message += f", no longer from {_source(before['apiKey'])}"
        yield _risk("key-source", "human", one, message, "apiKey")


def _settings(one: Object, before: Mapping[str, Any]) -> Iterator[Risk]:
    if before and before.get("fallbackBot") != one.spec["fallbackBot"]:
        said = f"goes to {one.spec['fallbackBot']}" if one.spec["fallbackBot"] else "is answered by nobody"
        yield _risk("fallback", "human", one, f"what no trigger of {one.ref.instance} takes {said}", "fallbackBot")


def _address(one: Object, before: Mapping[str, Any], field: str, *, created: bool) -> Iterator[Risk]:
    url, was = one.spec.get(field), before.get(field)
    if not isinstance(url, str) or url == was or url.startswith("builtin:"):
        return
    if (here := host(url)) != (there := host(was or "")):
        said = f"was {there}" if there else "it is new" if created else "there was none"
        message = f"{field} of {_name(one.ref)} sends {SENDS[field]} to {here} ({said})"
        yield _risk("new-host", "human", one, message, field)
    if secret := secret_in(url):
        message = f"{field} of {_name(one.ref)} carries what looks like a secret in its address ({secret}=…)"
        yield _risk("secret", "human", one, f"{message}: whoever reads the repository has it", field)


def _unprotected(old: Mapping[Ref, Object], new: Mapping[Ref, Object]) -> Iterator[Risk]:
    """Objects that may be deleted from now on: no change of a plan, but the first step to one."""
    for ref, was in old.items():
        if was.protect and ref in new and not new[ref].protect:
            yield _risk("unprotected", "note", new[ref], f"{ref} is no longer protected against being deleted", "")


def _models(base: Desired, head: Desired, plan: Plan, today: date, known: Catalog) -> Iterator[Risk]:
    """Models about to go: asks for a person where this change chooses one, is a note where it only touches the bot."""
    changed = {change.ref: change for change in plan.changes if change.action != "delete"}
    renewed = {ref for ref in changed if ref.kind == "Assistant"}
    before = {use.bot: use.model for use in uses(base)}
    of = {one.ref: one for one in head.objects if one.ref.kind == "Bot"}
    used = [
        use
        for use in uses(head)
        if use.bot in changed
        or (any(ref.instance == use.bot.instance for ref in renewed) and before.get(use.bot) != use.model)
    ]
    for one in retiring(used, announced(used, head, known), today, known):
        level: Level = "human" if before.get(one.bot) != one.model else "note"
        yield _risk("retiring-model", level, of[one.bot], f"{_name(one.bot)}: the model {one.text}", "model")


def _risk(rule: str, level: Level, one: Object, message: str, field: str) -> Risk:
    return Risk(rule=rule, level=level, ref=one.ref, message=message, at=one.at, field=field)


def _trigger(spec: Mapping[str, Any]) -> str:
    return "triggerType" if spec["triggerType"] == "all" else "triggerValue"


def _functions(spec: Mapping[str, Any]) -> set[str]:
    return {str(tool.get("name")) for tool in spec.get("tools") or () if tool.get("type") == "function"}


def _shown(spec: Mapping[str, Any]) -> str:
    kind = spec.get("triggerType")
    if kind == "keyword":
        return f"{spec['triggerOperator']} '{spec['triggerValue']}'"
    return f"{kind} '{spec['triggerValue']}'" if kind == "advanced" else str(kind)


def _source(key: Mapping[str, str]) -> str:
    return f"the variable {key['env']}" if "env" in key else f"the file {key.get('file')}"


def _name(ref: Ref) -> str:
    return f"{ref.instance}/{ref.name}" if ref.kind != "Instance" else ref.instance


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _end(count: int) -> str:
    return "ends" if count == 1 else "end"


def _go(count: int) -> str:
    return "goes" if count == 1 else "go"
