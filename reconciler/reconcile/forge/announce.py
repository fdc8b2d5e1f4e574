"""After the merge: what became of a commit is said on its pull request, and set as a commit status.

Before it the loop, which tells it of each pass as it ends; after it the forge. It hears in the loop and writes a row;
a task of its own sends the rows, one after the other, tries again with back-off, and gives up after a while. So a
forge never fails or delays a pass. Each state of a commit on a target is said once, also across restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from reconciler.desired.git import Repository
from reconciler.errors import Misuse, ReconcilerError
from reconciler.model import ForgeAt
from reconciler.plan.review.marker import REVIEW, Shown, read
from reconciler.plan.review.outcome import MARKER, Facts, Outcome, comment, described, facts_of
from reconciler.reconcile.clock import SYSTEM, Clock
from reconciler.reconcile.forge.detect import CI, configured, forge_of
from reconciler.reconcile.forge.port import Forge, Kind, State, Status
from reconciler.reconcile.forge.post import say
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Ended
from reconciler.reconcile.targets import GOOD
from reconciler.reconcile.told import Row

CONTEXT: Final = "reconciler/apply"
ATTEMPTS: Final = 12  # at telling a forge of one state; with the back-off that is about six hours
_BACK_OFF: Final = (15.0, 3600.0)  # seconds: the first wait, doubled each time up to the second
_PATIENCE: Final = 20.0  # seconds waited within one attempt
_WAITS: Final = (
    60.0  # seconds after which the forge hears that a target waits for something; mostly it does not by then
)
_GRACE: Final = 3.0  # seconds at the end for what is being said
_COMMITS: Final = 20  # between two passes, that are looked up for their pull requests
_ABOUT: Final[Mapping[str, Outcome]] = {
    "applied": "applied",
    "unchanged": "unchanged",
    "refused": "refused",
    "invalid": "invalid",
    "partial": "partial",
    "failed": "failed",
    "unavailable": "pending",
    "suspended": "pending",
    "waiting": "pending",
    "stopped": "pending",
}
_STATES: Final[Mapping[Outcome, State]] = {
    "applied": "success",
    "unchanged": "success",
    "refused": "failure",
    "invalid": "failure",
    "partial": "failure",
    "failed": "failure",
    "rolled-back": "failure",
    "pending": "pending",
}


class Announcer:
    """Told of passes (it is the loop's `told`), it tells a forge; a context, within which it sends.

    `several`: the repository has several targets, so that each gets a status of its own name. `log` gets lines.
    """

    def __init__(
        self,
        history: History,
        repository: Repository,
        ci: CI,
        *,
        several: bool,
        log: Callable[[str], None],
        opened: Callable[[CI], Forge] = lambda ci: forge_of(ci, patience=_PATIENCE),
        clock: Clock = SYSTEM,
    ) -> None:
        self._history, self._repository, self._ci = history, repository, ci
        self._several, self._log, self._opened, self._clock = several, log, opened, clock
        self._news = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Announcer:
        self._task = asyncio.create_task(self._send())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._closing = True
        self._news.set()
        await asyncio.wait({self._task}, timeout=_GRACE)  # what is being said is said to its end; the rest waits
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def __call__(self, target: str, ended: Ended) -> None:
        """Notes what became of a commit; never raises, since no pass may fail by it."""
        try:
            if self._noted(target, ended):
                self._news.set()
        except (sqlite3.Error, ReconcilerError) as error:
            self._log(f"note     what became of {(ended.commit or '?')[:8]} is not told to the forge: {error}")

    def _noted(self, target: str, ended: Ended) -> bool:
        told = self._history.told
        if ended.outcome in GOOD and self._taken_back(target, ended):
            return True
        outcome = _ABOUT.get(ended.outcome)
        if ended.commit is None or ended.number is None or outcome is None:
            return False
        if any(one.good == ended.commit for one in self._history.holds.all(target)):
            return False  # it only stands in for one that was taken back
        before = told.state(target, ended.commit)
        if before == outcome or before in GOOD:
            return False  # what was once applied whole is no news any more: later passes only keep it so
        if outcome == "unchanged" and before not in (None, "pending"):
            outcome = "applied"  # by hand, or by a pass that was cut short
        silently = outcome == "unchanged" and not told.known(target)  # the first start on a target that is as it should
        now = self._clock.now()
        wait = _WAITS if outcome == "pending" else 0.0
        told.note(target, ended.commit, outcome, _json(_facts(ended)), now=now, wait=wait, silently=silently)
        return not silently

    def _taken_back(self, target: str, ended: Ended) -> bool:
        """Whether the pass made the end of a rollback that the forge does not know yet."""
        told = self._history.told
        for one in self._history.holds.all(target):
            before = told.state(target, one.bad)
            if one.good == ended.commit and before != "rolled-back" and (before or ended.trigger == "rollback"):
                facts = _json(Facts(number=ended.number, good=one.good))
                told.note(target, one.bad, "rolled-back", facts, now=self._clock.now())
                return True
        return False

    async def _send(self) -> None:
        while not self._closing:
            left: float | None = None
            try:
                row = self._history.told.waiting()
            except sqlite3.Error as error:
                self._log(f"note     the loop's database cannot be read for the forge: {error}")
                row, left = None, _BACK_OFF[0]
            else:
                left = row.due - self._clock.now() if row is not None else None
            if row is None or (left is not None and left > 0):
                self._news.clear()
                await self._clock.wait(self._news, left)
                continue
            try:
                await self._tell(row)
                self._history.told.done(row)
            except Exception as error:  # also a shape that nobody foresaw: it must not end the loop's voice
                self._failed(row, error)

    def _failed(self, row: Row, error: Exception) -> None:
        where = f"{row.commit[:8]} of {row.target}"
        if row.attempts + 1 >= ATTEMPTS:
            self._history.told.done(row)
            self._log(f"note     what became of {where} stays untold after {ATTEMPTS} attempts: {error}")
            return
        if row.attempts == 0:
            self._log(f"note     what became of {where} cannot be told to {self._ci.kind} yet: {error}")
        first, longest = _BACK_OFF
        wait = min(first * 2**row.attempts, longest) * random.uniform(0.75, 1.25)  # noqa: S311
        asked = getattr(error, "retry_after", None) or 0.0
        self._history.told.later(row, self._clock.now() + max(wait, min(asked, longest)))

    async def _tell(self, row: Row) -> None:
        forge = self._opened(self._ci)
        try:
            state: Outcome = row.state  # type: ignore[assignment]
            facts = msgspec.json.decode(row.facts, type=Facts)
            if state != "pending":
                commits = await asyncio.to_thread(self._commits, row)
                numbers = [number for commit in commits for number in await forge.merged(commit)]
                for number in dict.fromkeys(numbers):
                    await self._comment(forge, number, row, state, facts, alone=len(set(numbers)) == 1)
            context = f"{CONTEXT} ({row.target})" if self._several else CONTEXT
            description = described(row.target, state, facts)
            await forge.set_status(row.commit, Status(context, _STATES[state], description))
        finally:
            await forge.close()

    async def _comment(self, forge: Forge, number: int, row: Row, state: Outcome, facts: Facts, *, alone: bool) -> None:
        found = await forge.find(number, REVIEW, others=True)  # a job wrote it, mostly with another token
        review = read(found.body) if found is not None else None
        shown: Shown | None = review.plans.get(row.target) if review is not None else None
        if state == "unchanged" and (shown is None or shown.digest == facts.digest):
            return  # nothing was expected, and nothing was done
        body = comment(row.target, row.commit, state, facts, shown, alone=alone)
        await say(forge, number, f"{MARKER}{row.target} ", body)

    def _commits(self, row: Row) -> list[str]:
        """The commits whose pull requests a row is about: those of the branch since the last that was applied."""
        if row.state == "rolled-back" or row.since is None:
            return [row.commit]
        return self._repository.first_parents(row.since, row.commit, _COMMITS) or [row.commit]


def _facts(ended: Ended) -> Facts:
    counts: dict[str, int] = {}
    failed: list[str] = []
    if ended.walked is not None:
        for step in ended.steps:
            ending = ended.walked.endings[step.index]
            if ending == "done":
                counts[step.action] = counts.get(step.action, 0) + 1
            else:
                why = ended.walked.messages.get(step.index, "")
                failed.append(f"{step.action} {step.ref}: {ending}{f', {why}' if why else ''}")
    message = "" if ended.outcome in GOOD or failed else ended.message
    return msgspec.structs.replace(
        facts_of(ended.plan), message=message, number=ended.number, counts=counts, failed=tuple(failed[:1000])
    )


def _json(facts: Facts) -> str:
    return msgspec.json.encode(facts).decode()


def wanted(environ: Mapping[str, str], root: Path, at: ForgeAt | None) -> CI | None:
    """The forge to tell: `forge:` of reconciler.yaml, else RECONCILER_FORGE, _URL and _REPOSITORY; None: no forge.

    Raises Misuse where one is named and cannot be used.
    """
    if at is not None:
        return configured(at.type, at.url, at.repository, at.token, environ, root)
    if not (kind := environ.get("RECONCILER_FORGE", "")):
        return None
    if kind not in ("github", "gitlab", "gitea"):
        raise Misuse(f"RECONCILER_FORGE is '{kind[:40]}': there are github, gitlab and gitea")
    if not (repository := environ.get("RECONCILER_FORGE_REPOSITORY", "")):
        raise Misuse("RECONCILER_FORGE is set, so set RECONCILER_FORGE_REPOSITORY too, such as acme/bots")
    found: Kind = kind  # type: ignore[assignment]
    return configured(found, environ.get("RECONCILER_FORGE_URL") or None, repository, {}, environ, root)
