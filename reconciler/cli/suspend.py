"""`suspend` and `resume`: the loop of a target stops applying, for a reason, and goes on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put
from reconciler.cli.site import TargetName, target_name
from reconciler.errors import Misuse


def suspend(
    reason: Annotated[str, typer.Argument(help="Why: `status` shows it to whoever wonders.")],
    target: TargetName = None,
) -> None:
    """Stop the loop from applying to a target, with a reason. It goes on looking, and notes drift.

    Waits for a running pass to end. `reconciler sync` makes one pass all the same; `reconciler resume` ends it.

    Examples:

        reconciler suspend "the provider moves our line tonight"
        reconciler suspend "incident 12" --target production
    """
    if not reason.strip():
        raise Misuse("say why: the reason is what others see in `reconciler status`")
    name = target_name(target)
    asyncio.run(_suspend(name, reason.strip()))
    put(f"{name} is suspended: {reason.strip()}")


async def _suspend(target: str, reason: str) -> None:
    from reconciler.reconcile.history import History
    from reconciler.reconcile.locks import one_pass

    folder = context.data.make()
    with History(folder.loop_database) as history:
        async with one_pass(folder.path):
            history.holds.suspend(target, reason)


def resume(target: TargetName = None) -> None:
    """End a suspension: the loop applies again, beginning with a pass now.

    Examples:

        reconciler resume
        reconciler resume --target production
    """
    from reconciler.reconcile.history import History
    from reconciler.reconcile.locks import loop_runs
    from reconciler.reconcile.wake import touch

    folder = context.data.make()
    name = target_name(target)
    with History(folder.loop_database) as history:
        if not history.holds.resume(name):
            raise Misuse(f"{name} is not suspended")
        if loop_runs(folder.path):
            history.ask(name)
            touch(folder.path)
    put(f"{name} is applied to again")
