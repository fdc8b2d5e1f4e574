"""`rollback`: back to the last good commit, in one plan; the commit it leaves is remembered and skipped."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.apply import Apply, finish, must_ask
from reconciler.cli.context import context
from reconciler.cli.output import Format, say
from reconciler.cli.site import Allow, TargetName, allowed, target_name
from reconciler.errors import Misuse


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

    Examples:

        reconciler rollback
        reconciler rollback --to HEAD~3 --target production
    """
    must_ask("rollback", auto_approve)
    from reconciler.reconcile.history import History
    from reconciler.reconcile.once import commit_of

    repository = context.repository
    name = target_name(target)
    with History(context.data.make().loop_database) as history:
        bad = commit_of(repository, None)[0]
        good = repository.resolve(to) if to else history.holds.last_good(name, bad)
        if good is None:
            raise Misuse(f"no commit before {bad[:8]} was applied whole to {name}: name one with --to")
        permitted = allowed(allow)
        say(f"back to {good[:8]}; {bad[:8]} is quarantined" if good != bad else f"{bad[:8]} leaves quarantine")

        def agreed() -> None:
            history.holds.roll_back(name, bad, good, permitted)

        run = Apply(history, name, good, permitted, parallel=parallelism, trigger="rollback", agreed=agreed)
        ended = asyncio.run(run.run(None, {}, ask=not auto_approve))
    finish(ended, format_)
