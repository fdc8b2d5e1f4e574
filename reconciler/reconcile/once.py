"""What a pass is made of: a commit read, the target read, the difference planned, judged and applied.

Before it a command, or the loop through `passes.py`; after it the history says how it went. `apply`, `plan` and the
loop call the same functions; a dry run is not calling `carry_out`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from reconciler.desired.again import Again
from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.errors import ReconcilerError
from reconciler.model import Config, Desired, Gates, Live, Plan, Target
from reconciler.plan.diff import diff, questions
from reconciler.plan.gate import ALLOWANCES, TRAILER, allowance, gate
from reconciler.plan.keys import reasons
from reconciler.plan.order import Step, order
from reconciler.plan.own import undeclared_marks
from reconciler.plan.profiles import profile_of
from reconciler.plan.render import count
from reconciler.reconcile.apply import Ending, Reach, Walked, walk
from reconciler.reconcile.history import History
from reconciler.reconcile.past import Past

_MESSAGE: Final = 4000  # characters kept of what went wrong


class Site(msgspec.Struct, frozen=True):
    """Where a pass works: the repository, the environment's variables, the cache of parsed documents."""

    repository: Repository
    variables: Mapping[str, str]
    cache: Path | None


class Wanted(msgspec.Struct, frozen=True):
    """What git wants of a target; `desired` has secrets as names. `commit` is None for a working tree."""

    commit: str | None
    config: Config
    target: Target
    desired: Desired


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a pass ended: an outcome of the history, and what was planned and walked, as far as it came.

    `number` is the pass in the history (None: not worth keeping), `commit` the one that was to be applied, in
    quarantine's place if need be; None where none could be told. `trigger` is what started it.
    """

    outcome: str
    message: str = ""
    number: int | None = None
    commit: str | None = None
    trigger: str = ""
    plan: Plan | None = None
    steps: tuple[Step, ...] = ()
    walked: Walked | None = None
    error: ReconcilerError | None = None


def commit_of(repository: Repository, ref: str | None) -> tuple[str, Config]:
    """The commit that is desired and the configuration at it; `ref` None: the one that reconciler.yaml names."""
    head = repository.resolve(ref or "HEAD")
    config = read_config(repository, head)
    if ref is None and config.ref != "HEAD" and not repository.pinned:
        commit = repository.resolve(config.ref)
        if commit != head:
            return commit, read_config(repository, commit)
    return head, config


def config_of(repository: Repository, ref: str | None, *, worktree: bool = False) -> tuple[str | None, Config]:
    """As `commit_of`; for a working tree None and its configuration."""
    return (None, read_config(repository, None)) if worktree else commit_of(repository, ref)


def read_wanted(site: Site, target: str | None, *, ref: str | None = None, worktree: bool = False) -> Wanted:
    """What the repository wants of a target. Raises InvalidBots with every problem, Misuse for unknown names."""
    commit, config = config_of(site.repository, ref, worktree=worktree)
    chosen = target_of(config, target)
    return Wanted(commit, config, chosen, read_desired(site.repository, commit, config, chosen, site.cache))


def allowances(repository: Repository, commit: str | None) -> frozenset[str]:
    """What a commit's own message allows, as `--allow` would: the words of its `Reconciler-Allow` trailers."""
    if commit is None:
        return frozenset()
    return frozenset(word for value in repository.trailers(commit, TRAILER) for word in value.replace(",", " ").split())


def make_plan(
    site: Site,
    wanted: Wanted,
    desired: Desired,
    live: Live,
    *,
    prune: bool = True,
    self_heal: bool = True,
    allow: Collection[str] = (),
    again: Again | None = None,
) -> Plan:
    """The plan for a reading of the target, in its own terms. Earlier commits are read only for objects that differ,
    and where `again` has read the desired one, no more of them than their instances."""
    profile = profile_of(wanted.target.type)
    lowered = profile.lower(desired, live)
    desired, seen = profile.whole(lowered.desired, live), profile.fit(lowered.desired, live)
    past = Past(site.repository, wanted.target, site.cache, again if profile.type == "runtime" else None)
    former = past.instances(undeclared_marks(desired, seen))
    before = past.objects(questions(desired, seen, former, profile.type), former, wanted.commit)
    plan = diff(
        desired,
        seen,
        before,
        target=wanted.target.name,
        type=profile.type,
        prune=prune,
        self_heal=self_heal,
        allow=allow,
    )
    plan = profile.settle(msgspec.structs.replace(plan, faults=(*lowered.faults, *plan.faults)), desired, live)
    if strange := [word for word in sorted(allowances(site.repository, wanted.commit)) if not allowance(word)]:
        said = f"{TRAILER}: {', '.join(strange)[:200]} permits nothing (there are {ALLOWANCES})"
        plan = msgspec.structs.replace(plan, notes=(*plan.notes, said))
    return plan


async def read_all(reach: Reach) -> Live:
    """A reading of the target whatever it was before."""
    live = await reach.read()
    assert live is not None, "304 without If-None-Match"
    return live


def note_drift(plan: Plan, history: History, *, whole: bool = True, applied: bool = False) -> None:
    """Writes down what moved on the live side, the first sight of each field being kept; of a part of a plan (`whole`
    is false) only what it is about. `applied`: what is held is left of it."""
    found = [
        (change.ref.kind, change.ref.instance, change.ref.name, field.field)
        for change in plan.changes
        if change.held or not applied
        for field in change.fields
        if field.origin in ("drift", "conflict")
    ]
    within = None if whole else {(one.ref.kind, one.ref.instance, one.ref.name) for one in plan.changes}
    history.targets.drifting(plan.target, found, within)


async def carry_out(
    plan: Plan,
    history: History,
    reach: Reach,
    *,
    trigger: str,
    gates: Gates,
    allow: Collection[str] = (),
    parallel: int = 10,
    stop: asyncio.Event | None = None,
    watch: Watch | None = None,
    began: float | None = None,
    whole: bool = True,
) -> Ended:
    """Judges a plan and applies it, every step written down; `whole`: it is of all that the target has. Raises
    PlanRefused."""
    note_drift(plan, history, whole=whole)
    gate(plan, allow, gates)
    steps = order(plan)
    if not steps:
        history.interrupted(plan.target)
        outcome, message = _without_gaps("unchanged", "", plan)
        return Ended(outcome=outcome, message=message, plan=plan)
    number = history.begin(plan.target, plan.commit, trigger, steps, began)
    record = _Recorder(history, number, watch)
    walked = await walk(steps, plan.ids, reach, record, parallel=parallel, stop=stop, grouped=history.grouped)
    outcome, message = _without_gaps(*_judged(walked, steps), plan)
    history.end(number, outcome, message, {**count(plan), **walked.counts})
    if walked.complete:
        note_drift(plan, history, whole=whole, applied=True)
    return Ended(outcome=outcome, message=message, number=number, plan=plan, steps=steps, walked=walked)


class Watch(Protocol):
    """Who is told how far a walk is: each step as it ends."""

    def moved(self, step: Step, ending: Ending) -> None: ...


class _Recorder:
    """Writes each step down before and after its call."""

    def __init__(self, history: History, number: int, watch: Watch | None) -> None:
        self._history = history
        self._number = number
        self._watch = watch

    def started(self, step: Step) -> None:
        self._history.step_started(self._number, step.index)

    def ended(self, step: Step, ending: Ending, message: str) -> None:
        self._history.step_ended(self._number, step.index, ending, message)
        if self._watch is not None:
            self._watch.moved(step, ending)


def _without_gaps(outcome: str, message: str, plan: Plan) -> tuple[str, str]:
    """An outcome that is well only where everything could be looked at, and no key was missing for anything."""
    if outcome not in ("applied", "unchanged"):
        return outcome, message
    unread = (f"{name or 'an instance'} could not be read whole: {why}" for name, why in plan.unproven.items())
    lines = (*unread, *reasons(plan))
    return ("partial", "\n".join(lines)[:_MESSAGE]) if lines else (outcome, message)


def _judged(walked: Walked, steps: tuple[Step, ...]) -> tuple[str, str]:
    """The outcome of a walk, and the first reasons where it is not whole."""
    if walked.complete:
        return "applied", ""
    told = [f"{step.action} {step.ref}: {walked.messages.get(step.index, '')}" for step in steps]
    bad = [line for step, line in zip(steps, told, strict=True) if walked.endings[step.index] in ("failed", "unknown")]
    message = "\n".join(bad[:20])[:_MESSAGE]
    done = any(ending == "done" for ending in walked.endings.values())
    if walked.stopped:
        return "stopped", message or "told to stop before the last step"
    if done:
        return "partial", message
    return ("unavailable" if walked.unreachable else "failed"), message
