"""One pass of the loop: what it may do, made with the functions of `once.py`, written down however it ended.

Before it the loop decides that it is time; after it the history says how it went, and what is remembered makes the next
pass without changes cost one 304.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

import msgspec

from reconciler.desired.again import Again
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.desired.secrets import with_keys
from reconciler.desired.times import opening, permitted
from reconciler.errors import InvalidBots, Misuse, PlanRefused, Unavailable
from reconciler.model import Change, Desired, Plan, Sync
from reconciler.plan.gate import gate
from reconciler.plan.keys import documents
from reconciler.plan.keys import notes as said
from reconciler.plan.render import count, summary
from reconciler.reconcile.apply import Reach
from reconciler.reconcile.clock import SYSTEM, Clock
from reconciler.reconcile.focus import Focus
from reconciler.reconcile.history import History
from reconciler.reconcile.holds import Rollback
from reconciler.reconcile.once import Ended, Site, Wanted, allowances, carry_out, commit_of, make_plan, note_drift
from reconciler.reconcile.tries import ATTEMPTS, tried

_MESSAGE: Final = 4000  # characters kept of what went wrong
_ENOUGH: Final = f"tried {ATTEMPTS} times: waits for another commit, a change on the target, or `reconciler sync`"
BY_HAND: Final = frozenset({"sync", "rollback"})  # triggers: who asks gets a pass, whatever holds the loop back


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass is to do. `trigger` is what started it, `suspended` the reason to look and not apply. `commit` is the
    desired one, where the caller found it already."""

    trigger: str
    commit: str | None = None
    suspended: str = ""
    rollback: Rollback | None = None
    parallel: int = 10
    stop: asyncio.Event | None = None
    clock: Clock = SYSTEM


class Memory:
    """What a loop remembers between passes of one target."""

    def __init__(self) -> None:
        self.wanted: Wanted | None = None
        self.resolved: Desired | None = None
        self.again: Again | None = None
        self.focus = Focus()
        self.version: str | None = None  # of a live state that was as `resolved` says
        self.settled: tuple[str | None, str, str] | None = None  # commit, outcome and message last written down


async def run_pass(site: Site, history: History, target: str, reach: Reach, memory: Memory, ask: Ask) -> Ended:
    """One pass of the loop for one target; never raises what was foreseen, but writes it down and returns it.

    A commit in quarantine gives way to the one that it was rolled back to. A pass that found nothing to do, or fails as
    it did before, is written down only if somebody asked for it or committed. A rollback that cannot be made leaves
    everything as it is.
    """
    began = ask.clock.now()
    commit = ask.commit
    try:
        commit = commit or commit_of(site.repository, None)[0]
        if ask.rollback is not None:
            bad, allow = commit, frozenset(ask.rollback.allow)
            commit = good = back_to(site.repository, history, target, bad, ask.rollback.to)

            def agreed() -> None:
                history.holds.roll_back(target, bad, good, allow)

            ended = await _pass(site, history, reach, memory, ask, target, commit, began, allow, agreed)
        else:
            instead = history.holds.quarantined(target, commit)
            commit = instead.good if instead else commit
            allow = frozenset(instead.allow if instead else ())
            ended = await _pass(site, history, reach, memory, ask, target, commit, began, allow)
    except InvalidBots as error:
        ended = Ended(outcome="invalid", message=str(error)[:_MESSAGE], error=error)
    except PlanRefused as error:
        ended = Ended(outcome="refused", message=str(error)[:_MESSAGE], error=error)
    except Misuse as error:
        outcome = "refused" if ask.rollback is not None else "unavailable"  # who asked for it asked for what is not
        ended = Ended(outcome=outcome, message=str(error)[:_MESSAGE], error=error)
    except Unavailable as error:
        ended = Ended(outcome="unavailable", message=str(error)[:_MESSAGE], error=error)
    if ended.outcome not in ("applied", "unchanged"):
        memory.version = None
    return _written(history, target, memory, ended, ask, commit, began)


def back_to(repository: Repository, history: History, target: str, bad: str, to: str | None) -> str:
    """The commit that a rollback goes back to. Raises Misuse where there is none."""
    if (good := repository.resolve(to) if to else history.holds.last_good(target, bad)) is None:
        raise Misuse(f"no commit before {bad[:8]} was applied whole to {target}: name one with --to")
    return good


def closed(sync: Sync, now: datetime) -> tuple[bool, datetime | None]:
    """Whether a target's windows keep it from being changed now, and when the next one opens."""
    if permitted(sync.windows, sync.timezone, now):
        return False, None
    return True, opening(sync.windows, sync.timezone, now)


async def _pass(
    site: Site,
    history: History,
    reach: Reach,
    memory: Memory,
    ask: Ask,
    target: str,
    commit: str,
    began: float,
    allow: frozenset[str],
    agreed: Callable[[], None] | None = None,
) -> Ended:
    if memory.wanted is None or memory.wanted.commit != commit:
        memory.version = memory.wanted = None
        config = read_config(site.repository, commit)
        chosen = target_of(config, target)
        memory.again = memory.again or Again(site.repository, site.cache)
        found = memory.again.read(commit, config, chosen)
        memory.wanted = Wanted(commit, config, chosen, found)
    wanted = memory.wanted
    resolved = with_keys(wanted.desired, site.variables, site.repository.root)
    if resolved != memory.resolved:  # a key file may have changed under the same commit
        memory.version = None
        memory.resolved = resolved
    live = await reach.read(None if agreed else memory.version)
    if live is None:
        return Ended(outcome="unchanged")
    allow |= allowances(site.repository, commit)
    part, seen = resolved, live
    if wanted.target.type == "runtime":  # elsewhere instances may share what belongs to one account
        part, seen = memory.focus.narrow(resolved, live)
    sync, again = wanted.target.sync, memory.again
    plan = make_plan(site, wanted, part, seen, prune=sync.prune, self_heal=sync.self_heal, allow=allow, again=again)
    plan = memory.focus.settle(part, seen, plan)
    gates = wanted.target.gates
    if agreed is not None:
        gate(plan, allow, gates)
        agreed()
    elif (ended := _held_back(plan, history, ask, wanted.target.sync)) is not None:
        note_drift(plan, history)
        return ended
    ended = await carry_out(
        plan,
        history,
        reach,
        trigger=ask.trigger,
        gates=gates,
        allow=allow,
        parallel=ask.parallel,
        stop=ask.stop,
        began=began,
    )
    memory.version = live.version if ended.outcome == "unchanged" else None
    return _counted(history, ended)


def _held_back(plan: Plan, history: History, ask: Ask, sync: Sync) -> Ended | None:
    """How a pass ends that has something to do and may not do it."""
    if not _to_make(plan):
        return None
    if ask.suspended:
        said = f"suspended ({ask.suspended}): {summary(plan)}"
        return Ended(outcome="suspended", message=said[:_MESSAGE], plan=plan)
    if ask.trigger in BY_HAND:
        return None
    shut, opens = closed(sync, ask.clock.moment())
    if shut:
        until = f" until {opens:%Y-%m-%d %H:%M} UTC" if opens else ""
        return Ended(outcome="waiting", message=f"outside its windows{until}: {summary(plan)}", plan=plan)
    before = history.tries.get(plan.target)
    if before is None or before.attempts < ATTEMPTS or not before.of(plan.commit, _to_make(plan)):
        return None
    return Ended(outcome=before.outcome, message=before.message, plan=plan)


def _counted(history: History, ended: Ended) -> Ended:
    """Counts a walk that the target refused in part or whole; says so once it was the last at this plan."""
    plan, walked = ended.plan, ended.walked
    assert plan is not None
    if walked is not None and walked.stopped:
        return ended
    if walked is None or walked.complete or walked.passing:  # what may pass by itself is tried again and again
        history.tries.put(plan.target, None)
        return ended
    undone = {step.ref for step in ended.steps if walked.endings[step.index] != "done"}
    changes = _to_make(plan)
    left = (change for change in changes if change.ref in undone)
    found = tried(history.tries.get(plan.target), plan.commit, changes, left, ended.outcome, ended.message)
    if found.attempts >= ATTEMPTS:
        found = msgspec.structs.replace(found, message=f"{ended.message}\n{_ENOUGH}")
    history.tries.put(plan.target, found)
    return msgspec.structs.replace(ended, message=found.message)


def _to_make(plan: Plan | None) -> tuple[Change, ...]:
    """The changes of a plan that are not held."""
    return () if plan is None else tuple(change for change in plan.changes if not change.held)


def _written(
    history: History, target: str, memory: Memory, ended: Ended, ask: Ask, commit: str | None, began: float
) -> Ended:
    """Writes down how a pass ended; one that is as before only moves the target's time of checking on."""
    state = (commit, ended.outcome, ended.message)
    new = memory.settled != state or ended.number is not None
    number = ended.number
    # Worth keeping: what somebody asked for or committed, and what is not as it was before.
    worth = ask.trigger in (*BY_HAND, "start", "commit") or memory.settled != state
    if number is None and worth:
        number = history.begin(target, commit, ask.trigger, started=began)
        counts = count(ended.plan) if ended.plan is not None else {}
        history.end(number, ended.outcome, ended.message, counts)
    ended = msgspec.structs.replace(ended, number=number, commit=commit, trigger=ask.trigger)
    if ask.rollback is not None and ended.plan is None:  # it was not to be: what is wanted is as before
        return ended
    memory.settled = state
    absent = documents(ended.plan) if ended.plan is not None else None
    notes: Collection[str] | None = said(ended.plan) if ended.plan is not None else None
    if new or number is not None or notes is not None:
        # A 304 says nothing of notes: those of the last reading hold.
        if notes is None:
            notes = next((row.notes for row in history.targets.all() if row.target == target), [])
        history.targets.stand(
            target,
            wanted=commit,
            outcome=ended.outcome,
            message=ended.message,
            notes=notes,
            number=number,
            absent=absent,
        )
    else:
        history.targets.still(target)
    return ended
