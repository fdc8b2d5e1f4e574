"""The loop's passes, told to the terminal and, where reconciler.yaml or the environment names one, to a forge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.errors import InvalidBots, ReconcilerError

if TYPE_CHECKING:
    from reconciler.desired.git import Repository
    from reconciler.reconcile.course import Told
    from reconciler.reconcile.once import Ended
    from reconciler.settings import DataFolder


@asynccontextmanager
async def announcing(repository: Repository, folder: DataFolder, teller: Told) -> AsyncIterator[Told]:
    """Whom the loop tells of its passes: `teller`, and an announcer while this context lasts, if a forge is named.

    The forge is that of the commit at hand; another one is known after the next start. One that cannot be used is said
    and left: the loop runs without it.
    """
    from reconciler.reconcile.once import commit_of

    try:
        config = commit_of(repository, None)[1]
    except InvalidBots:  # a pass says what is wrong
        yield teller
        return
    if config.forge is None and not context.environment.variables.get("RECONCILER_FORGE"):
        yield teller
        return
    from reconciler.reconcile.forge.announce import Announcer, wanted
    from reconciler.reconcile.forge.detect import forge_of
    from reconciler.reconcile.history import History

    try:
        ci = wanted(context.environment.variables, repository.root, config.forge)
        assert ci is not None
        await forge_of(ci).close()  # says at the start, not after the first merge, that there is no token
    except ReconcilerError as error:
        say(f"note     nothing is said on pull requests: {error}")
        yield teller
        return
    with History(folder.loop_database) as history:
        several = len(config.targets) > 1
        async with Announcer(history, repository, ci, several=several, log=say) as announcer:
            yield _both(teller, announcer)


def _both(*heard: Callable[[str, Ended], None]) -> Told:
    def told(target: str, ended: Ended) -> None:
        for one in heard:
            one(target, ended)

    return told
