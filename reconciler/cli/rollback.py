"""`rollback`: back to the last good commit, in one plan; the commit it leaves is remembered and skipped."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.apply import Apply, finish, must_ask
from reconciler.cli.context import context
from reconciler.cli.output import Format, put, put_json, say
from reconciler.cli.site import Allow, TargetName, allowed, target_name


def rollback(
    to: Annotated[
        str | None, typer.Option("--to", help="The commit to go back to.  [default: the last that was applied whole]")
    ] = None,
    target: TargetName = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Apply without asking.")] = False,
    allow: Allow = None,
    parallelism: Annotated[int, typer.Option(help="Calls to the target at a time.", min=1, max=100)] = 10,
    format_: Annotated[Format, typer.Option("--format", help="How to print the outcome.")] = Format.text,
) -> None:
    """Go back to what an earlier commit said: shows the plan, asks, applies it. Exit codes as of `apply`.

    The desired commit is quarantined: the loop applies the earlier one in its place until another commit comes.
    Git stays as it is. `--to` the quarantined commit itself takes it out of quarantine again.

    Where no loop's records are at hand, the loop behind RECONCILER_URL does it: its gates judge the plan, which is
    shown once it is applied.

    Examples:

        reconciler rollback
        reconciler rollback --to HEAD~3 --target production
    """
    must_ask("rollback", auto_approve)
    from reconciler.cli.loops import at_hand
    from reconciler.reconcile.history import History
    from reconciler.reconcile.once import commit_of
    from reconciler.reconcile.passes import back_to

    if not at_hand():
        _there(target, to, tuple(sorted(allowed(allow))), auto_approve, format_)
        return
    context.refresh()
    repository = context.source
    name = target_name(target)
    with History(context.data.make().loop_database) as history:
        bad = commit_of(repository, None)[0]
        good = back_to(repository, history, name, bad, to)
        permitted = allowed(allow)
        say(f"back to {good[:8]}; {bad[:8]} is quarantined" if good != bad else f"{bad[:8]} leaves quarantine")

        def agreed() -> None:
            history.holds.roll_back(name, bad, good, permitted)

        run = Apply(history, name, good, permitted, parallel=parallelism, trigger="rollback", agreed=agreed)
        ended = asyncio.run(run.run(None, {}, ask=not auto_approve))
    finish(ended, format_)


def _there(target: str | None, to: str | None, allow: tuple[str, ...], auto_approve: bool, format_: Format) -> None:
    """Asks the loop behind RECONCILER_URL for it, and prints how it ended as `apply` does."""
    from reconciler.cli.history import step_lines
    from reconciler.cli.loops import chosen, loop, wait
    from reconciler.cli.sync import EXITS
    from reconciler.reconcile.holds import Rollback

    asked = loop()
    name = chosen(asked, target)
    back = f"Roll {name} back to {to or 'the last commit that was applied whole'}?"
    if not auto_approve and not typer.confirm(back, default=False, err=True):
        say("nothing was applied")
        raise typer.Exit(1)
    ended = wait(asked, asked.ask(name, Rollback(to=to, allow=allow)), 600).pass_
    assert ended is not None
    shown = asked.one(ended.id)
    steps = shown.steps if shown is not None else []
    if format_ is Format.json:
        rows = [{name: getattr(step, name) for name in _OF_A_STEP} for step in steps]
        put_json(
            {
                "outcome": ended.outcome,
                "pass": ended.id,
                "commit": ended.commit,
                "counts": {how: sum(step.outcome == how for step in steps) for how in {s.outcome for s in steps}},
                "steps": rows,
            }
        )
    else:
        for step in steps:
            for line in step_lines(step):
                put(line)
        for line in ended.message.splitlines():
            say(line)
        put(f"{ended.outcome}: {(ended.commit or 'unknown')[:8]} on {name} (reconciler show {ended.id})")
    if code := EXITS.get(ended.outcome, 1):
        raise typer.Exit(code)


_OF_A_STEP = ("action", "kind", "instance", "name", "outcome", "message")
