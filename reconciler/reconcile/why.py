"""Why a bot is not as its file says, or never answers: findings from what is declared, planned and written down.

Before it a command read git, the target and the history, as far as they are to be had; after it the findings are
printed. Only what is certain is said: of triggers, that one can never win is claimed in proven cases only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from reconciler.errors import Refusal
from reconciler.model import Desired, Line, Plan, Ref, TargetType
from reconciler.plan.evolution import match as evolution
from reconciler.plan.evolution.fit import UNLISTED
from reconciler.plan.profiles import profile_of
from reconciler.plan.render import field_lines
from reconciler.plan.routes.answer import fleet_of
from reconciler.plan.routes.prove import unreachable
from reconciler.plan.routes.say import why_never
from reconciler.reconcile.history import History
from reconciler.reconcile.rehearse import line_of
from reconciler.reconcile.targets import GOOD
from reconciler.talk.match import Asked, explain

Topic = Literal["not applied", "drifted", "blocked", "failed", "never answers", "note"]
_PASSES: Final = 20  # looked through for a bot's last step


class Finding(msgspec.Struct, frozen=True):
    """One reason; `text` may have further lines."""

    topic: Topic
    text: str


def found_bots(desired: Desired, name: str) -> list[Ref]:
    """The declared bots that `INSTANCE/NAME` or `NAME` means."""
    instance, slash, bot = name.rpartition("/")
    refs = [one.ref for one in desired.objects if one.ref.kind == "Bot"]
    return [ref for ref in refs if ref.name == bot and (not slash or ref.instance == instance)]


def planned(plan: Plan, ref: Ref, instance_name: str, refused: Iterable[Refusal]) -> list[Finding]:
    """What differs on the target, where its instance goes by `instance_name`, and what stops the plan: of a bot that is
    as declared only what names it."""
    found = [
        Finding("blocked", f"what is live is not known: the listing of {name or 'an instance'} is not whole: {why}")
        for name, why in plan.unproven.items()
        if name in (instance_name, UNLISTED)
    ]
    change = next((one for one in plan.changes if one.ref == ref), None)
    if change is not None:
        held = f"; it is held: {change.held}" if change.held else ""
        if change.action == "create":
            found.append(Finding("not applied", f"it is not on {plan.target} yet{held}"))
        for field in change.fields:
            topic: Topic = "drifted" if field.origin in ("drift", "conflict") else "not applied"
            lines = "\n".join(line.strip() for _, line in field_lines(field))
            found.append(Finding(topic, f"{lines}{held}"))
    about = re.compile(rf"{re.escape(str(ref))}(?![a-z0-9-])")
    return found + [Finding("blocked", str(one)) for one in refused if change is not None or about.search(one.reason)]


def recorded(history: History, target: str, ref: Ref, commit: str | None = None) -> list[Finding]:
    """What holds `commit` back, how the last pass ended where it ended badly, and how the bot's own last step did."""
    found = []
    if held := history.holds.suspended(target):
        found.append(Finding("blocked", f"{target} is suspended: {held.reason}"))
    if skipped := history.holds.quarantined(target, commit):
        said = f"{skipped.bad[:8]} is quarantined: {skipped.good[:8]} stands in its place until another commit comes"
        found.append(Finding("blocked", said))
    row = next((one for one in history.targets.all() if one.target == target), None)
    if row is not None and row.outcome not in GOOD:
        topic: Topic = "failed" if row.outcome in ("failed", "partial", "stopped") else "blocked"
        found.append(Finding(topic, f"the last pass was {row.outcome}: {row.message}"))
    found += [
        Finding("note", f"the built-in demo model answers for it: {key['reason']} where the loop runs")
        for key in (row.absent if row is not None else ())
        if key["instance"] == ref.instance and ref.name in key["bots"]
    ]
    for one in history.passes(_PASSES, target):
        steps = [step for step in history.steps(one.id) if (step.kind, step.instance, step.name) == _key(ref)]
        if steps:
            bad = [step for step in steps if step.outcome not in ("done", "waiting", "started")]
            found += [Finding("failed", f"pass {one.id}: {step.action} {step.outcome}: {step.message}") for step in bad]
            break
    return found


def _key(ref: Ref) -> tuple[str, str, str]:
    return ref.kind, ref.instance, ref.name


def asked_of(desired: Desired, instance: str, text: str, type: TargetType) -> tuple[list[Asked], str]:
    """Who would be asked about a first message on a target of a type, and why nobody answers, if that is known."""
    lowered = profile_of(type).lower(desired, None).desired
    if type == "evolution":
        verdict = evolution.judge(line_of(lowered, instance), text)
        return list(verdict.asked), verdict.why
    return explain(line_of(lowered, instance), text), ""


def answering(desired: Desired, ref: Ref, type: TargetType = "runtime") -> list[Finding]:
    """Why a bot can never start on a target of a type, and who takes the very text that it waits for."""
    line = line_of(desired, ref.instance)
    bot = next(one for one in line.bots if one.id == ref.name)
    is_fallback = line.settings is not None and line.settings.openai_id_fallback == bot.id
    if not bot.enabled and not (is_fallback and type == "evolution"):  # which asks its fallback bot all the same
        return [Finding("never answers", "it is disabled (`enabled: false`)")]
    if is_fallback and bot.trigger_type == "none":
        return _as_fallback(line)
    fleet = fleet_of(profile_of(type).lower(desired, None).desired, ref.instance)
    proven = unreachable(fleet, type, bot.id)
    if proven.unreachable:
        return [Finding("never answers", why_never(one)) for one in proven.unreachable]
    if proven.not_proven:
        return [Finding("note", f"{one.question} is not proven: {one.reason}") for one in proven.not_proven]
    if bot.trigger_type == "keyword" and bot.trigger_operator != "regex" and bot.trigger_value:
        asked, why = asked_of(desired, ref.instance, bot.trigger_value, type)
        if why:
            return [Finding("note", f"{bot.trigger_value!r} alone starts nobody: {why}")]
        first = next((one for one in asked if one.matched), None)
        if first is not None and first.bot.id != bot.id:
            said = f"{bot.trigger_value!r} alone starts {first.bot.id} ({first.by}), which is asked before it"
            return [Finding("note", said)]
    return []


def _as_fallback(line: Line) -> list[Finding]:
    every = next((one for one in line.bots if one.enabled and one.trigger_type == "all"), None)
    if every is None:
        return []
    return [Finding("never answers", f"it is the fallback bot, but {every.id} takes every message (trigger `all`)")]
