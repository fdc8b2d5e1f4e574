"""`apply`: makes a target what a commit says, after asking."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import Format, put, put_json, say
from reconciler.cli.progress import Progress
from reconciler.cli.site import (
    Allow,
    InstanceName,
    Ref,
    Select,
    TargetName,
    allowed,
    connect,
    labels,
    print_plan,
    site,
    stop_on_signals,
)
from reconciler.errors import InvalidBots, Misuse, PlanRefused, ReconcilerError, Refusal, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Desired, Live, Plan
    from reconciler.plan.order import Step
    from reconciler.reconcile.apply import Ending
    from reconciler.reconcile.history import History
    from reconciler.reconcile.once import Ended, Site, Wanted
    from reconciler.reconcile.saved import Saved

FAILED, UNAVAILABLE = 1, 4  # exit codes
_MOVED = Refusal(
    reason="the target changed while the plan was shown, and the plan with it", remedy="run `reconciler apply` again"
)


def apply(
    file: Annotated[
        Path | None,
        typer.Argument(help="A plan that `plan --out` saved: applied as it is, or refused.", metavar="FILE"),
    ] = None,
    target: TargetName = None,
    ref: Ref = None,
    select: Select = None,
    instance: InstanceName = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Apply without asking.")] = False,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Delete nothing.")] = False,
    allow: Allow = None,
    parallelism: Annotated[int, typer.Option(help="Calls to the target at a time.", min=1, max=100)] = 10,
    format_: Annotated[Format, typer.Option("--format", help="How to print the outcome.")] = Format.text,
) -> None:
    """Make a target what a commit says: shows the plan, asks, applies it and says what is done and what is not.

    A step that fails holds up only what needs it. Exit code 1: not all of it is done; 3: refused; 4: the target does
    not answer.

    Examples:

        reconciler apply
        reconciler apply --auto-approve --target production
        reconciler apply --instance bistro --no-prune
        reconciler apply --allow delete-instance:bistro
        reconciler apply menu.plan
    """
    from reconciler.reconcile.history import History

    if file is not None:
        if target or ref or select or instance or no_prune:
            raise Misuse("a saved plan says itself what it is of: leave the other options out")
        finish(_apply_saved(file, allowed(allow), parallelism), format_)
        return
    must_ask("apply", auto_approve)
    with History(context.data.make().loop_database) as history:
        run = Apply(history, target, ref, allowed(allow), prune=not no_prune, parallel=parallelism)
        ended = asyncio.run(run.run(instance, labels(select), ask=not auto_approve))
    finish(ended, format_)


def _apply_saved(file: Path, allow: frozenset[str], parallel: int) -> Ended | None:
    """Applies a saved plan without asking: it was looked at. Raises PlanRefused where it is stale."""
    from reconciler.reconcile.history import History
    from reconciler.reconcile.once import commit_of
    from reconciler.reconcile.saved import gone, load, moved

    saved = load(file)
    try:
        commit = context.source.resolve(saved.commit)
        now, _ = commit_of(context.source, saved.ref)
    except Misuse as error:
        raise gone(saved, str(error)) from error
    if now != commit:
        raise moved(saved, now)
    with History(context.data.make().loop_database) as history:
        run = Apply(history, saved.target, commit, allow | set(saved.allow), parallel=parallel, saved=saved)
        return asyncio.run(run.run(None, {}, ask=False))


def must_ask(command: str, auto_approve: bool) -> None:
    """Raises Misuse where there is nobody to ask."""
    if not auto_approve and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Misuse(f"{command} asks on a terminal, and this is none: add --auto-approve")


def finish(ended: Ended | None, format_: Format) -> None:
    """Prints how it ended; leaves with its exit code where that is not well."""
    if ended is None:
        say("nothing was applied")
        raise typer.Exit(FAILED)
    _show(ended, format_)
    if ended.outcome not in ("applied", "unchanged"):
        raise typer.Exit(UNAVAILABLE if ended.outcome == "unavailable" else FAILED)


class Apply:
    """One fresh plan, shown, agreed to and carried out; failures are written down too.

    `agreed` is called before the first step, when nothing stands in the way any more.
    """

    def __init__(
        self,
        history: History,
        target: str | None,
        ref: str | None,
        allow: frozenset[str],
        *,
        parallel: int,
        prune: bool = True,
        trigger: str = "apply",
        agreed: Callable[[], None] = lambda: None,
        saved: Saved | None = None,
    ) -> None:
        self._history, self._target, self._ref, self._allow = history, target, ref, allow
        self._prune, self._parallel = prune, parallel
        self._trigger, self._agreed = trigger, agreed
        self._saved, self._whole = saved, True
        self._commit: str | None = None
        self._began = time.time()

    async def run(self, instance: str | None, selected: dict[str, str], *, ask: bool) -> Ended | None:
        from reconciler.reconcile.once import commit_of

        here = site()
        self._commit, config = commit_of(here.repository, self._ref)
        name = self._target or config.targets[0].name
        try:
            return await self._run(here, instance, selected, ask)
        except ReconcilerError as error:
            outcomes: dict[type[ReconcilerError], str] = {InvalidBots: "invalid", PlanRefused: "refused"}
            outcome = outcomes.get(type(error), "unavailable" if isinstance(error, Unavailable) else "")
            if outcome:
                self._history.note(name, self._commit, self._trigger, outcome, str(error)[:4000], self._began)
            raise

    async def _run(self, here: Site, instance: str | None, selected: dict[str, str], ask: bool) -> Ended | None:
        from reconciler.desired.secrets import with_keys
        from reconciler.plan.gate import gate
        from reconciler.plan.keys import documents, notes
        from reconciler.plan.narrow import narrow
        from reconciler.reconcile.locks import one_pass
        from reconciler.reconcile.once import allowances, carry_out, read_all, read_wanted

        wanted = read_wanted(here, self._target, ref=self._commit)
        self._refuse_quarantined(wanted.target.name)
        self._allow |= allowances(here.repository, self._commit)
        desired = with_keys(wanted.desired, here.variables, here.repository.root)
        reach = connect(wanted.target, desired.source, self._parallel)

        def planned(live: Live) -> Plan:
            return narrow(self._planned(here, wanted, desired, live), instance, selected)

        try:
            shown = planned(await read_all(reach)) if ask else None
            if shown is not None:
                print_plan(shown)
                gate(shown, self._allow, wanted.target.gates)
                idle = self._trigger == "apply" and all(change.held for change in shown.changes)
                if not idle and not _agreed():
                    return None
            async with one_pass(context.data.path, wanted.target.name):
                plan = planned(await read_all(reach))
                if shown is not None and plan.changes != shown.changes:
                    raise PlanRefused((_MOVED,))
                if self._trigger == "rollback":
                    gate(plan, self._allow, wanted.target.gates)
                self._agreed()
                whole, stop = self._whole and instance is None and not selected, asyncio.Event()
                stop_on_signals(stop)
                with Progress("applying", len(plan.changes)) as progress:
                    ended = await carry_out(
                        plan,
                        self._history,
                        reach,
                        trigger=self._trigger,
                        gates=wanted.target.gates,
                        allow=self._allow,
                        parallel=self._parallel,
                        stop=stop,
                        watch=_Walked(progress),
                        began=self._began,
                        whole=whole,
                    )
        finally:
            await reach.close()
        if whole:
            self._history.targets.stand(
                plan.target,
                wanted=plan.commit,
                outcome=ended.outcome,
                message=ended.message,
                notes=notes(plan),
                number=ended.number,
                absent=documents(plan),
            )
        return ended

    def _refuse_quarantined(self, target: str) -> None:
        """Raises PlanRefused for a commit that was rolled back: the loop would put back what this applies."""
        found = self._history.holds.quarantined(target, self._commit)
        if found is not None and self._trigger == "apply":
            bad = found.bad[:8]
            raise PlanRefused(
                (
                    Refusal(
                        reason=f"{bad} is quarantined: it was rolled back to {found.good[:8]}",
                        remedy=f"commit a correction, or take it out: reconciler rollback --to {bad}",
                    ),
                )
            )

    def _planned(self, here: Site, wanted: Wanted, desired: Desired, live: Live) -> Plan:
        from reconciler.reconcile.once import make_plan

        sync = wanted.target.sync
        if self._saved is not None:
            from reconciler.reconcile.saved import bound, resolved

            # As `plan` made it: without keys, and with what the loop would hold.
            allow, prune, self_heal = self._saved.allow, sync.prune, sync.self_heal
            fresh = make_plan(here, wanted, wanted.desired, live, prune=prune, self_heal=self_heal, allow=allow)
            found = bound(self._saved, fresh)
            self._whole = len(found.changes) == len(fresh.changes)
            keyed = make_plan(here, wanted, desired, live, prune=prune, self_heal=self_heal, allow=allow)
            return resolved(found, keyed)
        # Who applies by hand wants what git says: drift is put back also where the loop would leave it.
        return make_plan(here, wanted, desired, live, prune=self._prune and sync.prune, allow=self._allow)


def _agreed() -> bool:
    return typer.confirm("Apply this?", default=False, err=True)


class _Walked:
    """How far the walk is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def moved(self, step: Step, ending: Ending) -> None:
        self._progress.did(int(step.note == ""), f"{step.action} {step.ref}: {ending}")


def _show(ended: Ended, format_: Format) -> None:
    from reconciler.plan.keys import notes, reasons
    from reconciler.plan.render import headline, summary

    plan, walked = ended.plan, ended.walked
    assert plan is not None
    endings = walked.endings if walked else {}
    messages = walked.messages if walked else {}
    if format_ is Format.json:
        steps = [
            {
                "action": step.action,
                "kind": step.ref.kind,
                "instance": step.ref.instance,
                "name": step.ref.name,
                "outcome": endings[step.index],
                "message": messages.get(step.index, ""),
            }
            for step in ended.steps
        ]
        counts = walked.counts if walked else {}
        put_json(
            {"outcome": ended.outcome, "pass": ended.number, "commit": plan.commit, "counts": counts, "steps": steps}
        )
        return
    for step in ended.steps:
        note = f" ({step.note})" if step.note else ""
        message = f": {messages[step.index]}" if step.index in messages else ""
        put(f"{endings[step.index]:8}{headline(step.change)}{note}{message}")
    for note in notes(plan):
        put(f"note: {note}")
    for reason in reasons(plan):
        say(reason)
    if walked is None:
        put(summary(plan))
        return
    counted = ", ".join(f"{count} {ending}" for ending, count in walked.counts.items())
    put(f"{ended.outcome}: {(plan.commit or '')[:8]} on {plan.target}: {counted} (reconciler show {ended.number})")
