"""Once a day the loop reads each account's list of models, beside its passes, and notes which bots' models go.

Before it the loop's rounds, with what each target's commit declares and the keys resolved; after it `listings`.
Accounts of one content are asked once, a few at a time; what fails is tried an hour later and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from reconciler.catalog import catalog
from reconciler.errors import Unavailable
from reconciler.model import DEMO, Account, Desired, Secret
from reconciler.plan.retire import Listed, retiring, uses
from reconciler.reconcile.clock import SYSTEM, Clock
from reconciler.reconcile.history import History
from reconciler.reconcile.listings import Key

Ask = Callable[[Account], Awaitable[Listed]]

_AT_ONCE: Final = 4  # accounts
_A_ROUND: Final = 50  # accounts of different content; the others come in the next round


class Models:
    """The readings of one loop; `ask` reads one account's list."""

    def __init__(self, history: History, ask: Ask, clock: Clock = SYSTEM) -> None:
        self._history, self._ask, self._clock = history, ask, clock
        self._seen: dict[str, Desired] = {}
        self._task: asyncio.Task[None] | None = None

    def look(self, targets: Iterable[tuple[str, Desired | None]]) -> None:
        """Notes anew which models go where another commit is in force, and begins to read what is due; at once back."""
        due: list[tuple[str, Account, list[Key]]] = []
        busy = self._task is not None and not self._task.done()
        for target, desired in targets:
            if desired is None:
                continue
            if self._seen.get(target) is not desired:
                self._history.listings.forget(target, set(_accounts(desired)))
                self._note(target, desired)
                self._seen[target] = desired
            if not busy:
                due += self._due(target, desired)
        if due:
            self._task = asyncio.get_running_loop().create_task(self._read(due[:_A_ROUND]))

    async def close(self) -> None:
        """Ends a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _due(self, target: str, desired: Desired) -> list[tuple[str, Account, list[Key]]]:
        accounts = _accounts(desired)
        asked = {one.credentials and (one.bot.instance, one.credentials) for one in uses(desired)}
        bases = {key: account.base_url or "" for key, account in accounts.items() if key in asked}
        alike: dict[tuple[str | None, ...], tuple[str, Account, list[Key]]] = {}
        for key in self._history.listings.due(target, bases, self._clock.now()):
            one = accounts[key]
            content = (one.base_url, one.api_key.value, one.organization, one.project)
            alike.setdefault(content, (target, one, []))[2].append(key)
        return list(alike.values())

    async def _read(self, due: list[tuple[str, Account, list[Key]]]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(target: str, account: Account, keys: list[Key]) -> None:
            base = account.base_url or ""
            try:
                async with gate:
                    models = await self._ask(account)
            except Unavailable as error:
                self._history.listings.failed(target, keys, base, str(error), self._clock.now())
            else:
                self._history.listings.keep(target, keys, base, models, self._clock.now())

        with contextlib.suppress(Unavailable):  # what cannot be written down is read again
            await asyncio.gather(*(one(*each) for each in due))
            for target in {target for target, _, _ in due}:
                self._note(target, self._seen[target])

    def _note(self, target: str, desired: Desired) -> None:
        found = retiring(uses(desired), self._history.listings.lists(target), self._clock.moment().date(), catalog())
        self._history.listings.stand(target, found)


def _accounts(desired: Desired) -> dict[Key, Account]:
    """The accounts whose key is known here; the demo model's are none."""
    found = {}
    for one in desired.objects:
        spec = one.spec
        if one.ref.kind == "Credentials" and isinstance(spec["apiKey"], Secret) and spec["baseUrl"] != DEMO:
            found[one.ref.instance, one.ref.name] = Account(
                id=one.ref.name,
                name=f"{one.ref.instance}/{one.ref.name}",
                api_key=spec["apiKey"],
                base_url=spec["baseUrl"],
                organization=spec["organization"],
                project=spec["project"],
            )
    return found
