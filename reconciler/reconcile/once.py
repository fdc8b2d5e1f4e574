"""One pass: a commit read, the target read, the difference planned, judged and applied, all of it written down.

Before it the loop or a command asks for a pass; after it the history says how it went. `apply`, `plan` and the loop
call the same functions; a dry run is not calling `run_pass`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.desired.secrets import resolve_secrets
from reconciler.errors import InvalidBots, Misuse, PlanRefused, ReconcilerError, Unavailable
from reconciler.model import Config, Desired, Gates, Live, Plan, Target
from reconciler.plan.diff import diff, questions
from reconciler.plan.gate import TRAILER, gate
from reconciler.plan.order import Step, order
from reconciler.plan.own import undeclared_marks
from reconciler.plan.render import count, summary
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
    """How a pass ended: an outcome of the history, and what was planned and walked, as far as it came."""

    outcome: str
    message: str = ""
    number: int | None = None
    plan: Plan | None = None
    steps: tuple[Step, ...] = ()
    walked: Walked | None = None
    error: ReconcilerError | None = None


class Memory:
    """What a loop remembers between passes of one target, so that a pass without changes costs one 304."""

    def __init__(self) -> None:
        self.wanted: Wanted | None = None
        self.resolved: Desired | None = None
        self.version: str | None = None  # of a live state that was as `resolved` says
        self.settled: tuple[str | None, str, str] | None = None  # commit, outcome and message last written down


def commit_of(repository: Repository, ref: str | None) -> tuple[str, Config]:
    """The commit that is desired and the configuration at it; `ref` None: the one that reconciler.yaml names."""
    head = repository.resolve(ref or "HEAD")
    config = read_config(repository, head)
    if ref is None and config.ref != "HEAD":
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
) -> Plan:
    """The plan for a reading of the target. Earlier commits are read only for objects that differ."""
    past = Past(site.repository, wanted.target, site.cache)
    former = past.instances(undeclared_marks(desired, live))
    before = past.objects(questions(desired, live, former), former, wanted.commit)
    return diff(desired, live, before, target=wanted.target.name, prune=prune, self_heal=self_heal, allow=allow)


async def read_all(reach: Reach) -> Live:
    """A reading of the target whatever it was before."""
    live = await reach.read()
    assert live is not None, "304 without If-None-Match"
    return live


async def run_pass(
    site: Site,
    history: History,
    target: str,
    reach: Reach,
    memory: Memory,
    *,
    trigger: str,
    commit: str | None = None,
    parallel: int = 10,
    stop: asyncio.Event | None = None,
    suspended: str = "",
) -> Ended:
    """One pass of the loop for one target; never raises what was foreseen, but writes it down and returns it.

    `commit` is the one found already, where the caller looked; one in quarantine gives way to the commit that it was
    rolled back to. `suspended` is the reason to look and not apply. A pass that found nothing to do, or fails as it did
    before, is written down only if somebody asked for it or committed.
    """
    began = time.time()
    try:
        commit = commit or commit_of(site.repository, None)[0]
        instead = history.holds.quarantined(target, commit)
        commit = instead.good if instead else commit
        allow = frozenset(instead.allow if instead else ())
        ended = await _pass(
            site, history, target, reach, memory, commit, trigger, parallel, stop, began, allow, suspended
        )
    except InvalidBots as error:
        ended = Ended(outcome="invalid", message=str(error)[:_MESSAGE], error=error)
    except PlanRefused as error:
        ended = Ended(outcome="refused", message=str(error)[:_MESSAGE], error=error)
    except (Unavailable, Misuse) as error:
        ended = Ended(outcome="unavailable", message=str(error)[:_MESSAGE], error=error)
    if ended.outcome not in ("applied", "unchanged"):
        memory.version = None
    notes = ended.plan.notes if ended.plan is not None else None
    return _written(history, target, memory, ended, trigger, commit, notes, began)


async def _pass(
    site: Site,
    history: History,
    target: str,
    reach: Reach,
    memory: Memory,
    commit: str,
    trigger: str,
    parallel: int,
    stop: asyncio.Event | None,
    began: float,
    allow: frozenset[str],
    suspended: str,
) -> Ended:
    if memory.wanted is None or memory.wanted.commit != commit:
        memory.version = memory.wanted = None
        config = read_config(site.repository, commit)
        chosen = target_of(config, target)
        found = read_desired(site.repository, commit, config, chosen, site.cache)
        memory.wanted = Wanted(commit, config, chosen, found)
    wanted = memory.wanted
    resolved = resolve_secrets(wanted.desired, site.variables, site.repository.root)
    if resolved != memory.resolved:  # a key file may have changed under the same commit
        memory.version = None
        memory.resolved = resolved
    live = await reach.read(memory.version)
    if live is None:
        return Ended(outcome="unchanged")
    config = wanted.config
    allow |= allowances(site.repository, commit)
    plan = make_plan(site, wanted, resolved, live, prune=config.prune, self_heal=config.self_heal, allow=allow)
    if suspended and any(not change.held for change in plan.changes):
        note_drift(plan, history)
        waiting = f"suspended ({suspended}): {summary(plan)}"
        return Ended(outcome="suspended", message=waiting[:_MESSAGE], plan=plan)
    ended = await carry_out(
        plan,
        history,
        reach,
        trigger=trigger,
        gates=wanted.target.gates,
        allow=allow,
        parallel=parallel,
        stop=stop,
        began=began,
    )
    memory.version = live.version if ended.outcome == "unchanged" else None
    return ended


def note_drift(plan: Plan, history: History) -> None:
    """Writes down what moved on the live side; the first sight of each field is kept."""
    history.drifting(
        plan.target,
        [
            (change.ref.kind, change.ref.instance, change.ref.name, field.field)
            for change in plan.changes
            for field in change.fields
            if field.origin in ("drift", "conflict")
        ],
    )


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
) -> Ended:
    """Judges a plan and applies it, every step written down. Raises PlanRefused."""
    note_drift(plan, history)
    gate(plan, allow, gates)
    steps = order(plan)
    if not steps:
        return Ended(outcome="unchanged", plan=plan)
    number = history.begin(plan.target, plan.commit, trigger, steps, began)
    record = _Recorder(history, number, watch)
    walked = await walk(steps, plan.ids, reach, record, parallel=parallel, stop=stop, grouped=history.grouped)
    outcome, message = _judged(walked, steps)
    history.end(number, outcome, message, {**count(plan), **walked.counts})
    if walked.complete:
        held = {change.ref for change in plan.changes if change.held}
        kept = [one for one in history.drift(plan.target) if any(one.name == ref.name for ref in held)]
        history.drifting(plan.target, [(one.kind, one.instance, one.name, one.field) for one in kept])
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


def _written(
    history: History,
    target: str,
    memory: Memory,
    ended: Ended,
    trigger: str,
    commit: str | None,
    notes: Collection[str] | None,
    began: float,
) -> Ended:
    """Writes down how a pass ended; one that is as before only moves the target's time of checking on."""
    state = (commit, ended.outcome, ended.message)
    new = memory.settled != state or ended.number is not None
    number = ended.number
    # Worth keeping: what somebody asked for or committed, and what is not as it was before.
    worth = trigger in ("sync", "start", "commit") or memory.settled != state
    if number is None and worth:
        number = history.begin(target, commit, trigger, started=began)
        counts = count(ended.plan) if ended.plan is not None else {}
        history.end(number, ended.outcome, ended.message, counts)
    memory.settled = state
    if new or number is not None or notes is not None:
        # A 304 says nothing of notes: those of the last reading hold.
        if notes is None:
            notes = next((row.notes for row in history.targets() if row.target == target), [])
        history.stand(target, wanted=commit, outcome=ended.outcome, message=ended.message, notes=notes, number=number)
    else:
        history.still(target)
    return msgspec.structs.replace(ended, number=number)
