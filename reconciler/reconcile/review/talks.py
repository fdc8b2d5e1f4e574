"""Conversations with the bots of both sides of a change: which pass, which fail, and whether the change is to blame.

Before it `gather`; after it the review's verdict. Rules are played as they are, without a model. Where only a model can
tell, it is asked if an account is at hand; a failure is then repeated on both sides before anybody is blamed
(`plan/review/flaky.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal

from reconciler.model import Desired, Object, Ref, TargetType
from reconciler.plan.review.findings import Level, Ran, Talk
from reconciler.plan.review.flaky import ROUNDS, blame
from reconciler.reconcile.rehearse import Outcome, Where, rehearse
from reconciler.reconcile.review.voices import Voices

Change = Literal["same", "new", "changed", "removed"]

_RULES: Final = ("bot", "status", "silent")  # expectations for which no model is needed


def chosen(base: Desired, head: Desired, touched: Collection[str]) -> list[tuple[Object, Change]]:
    """The Conversations whose outcome may differ: of instances that change, and those that change themselves."""
    before = {one.ref: one for one in base.objects if one.ref.kind == "Conversation"}
    after = {one.ref: one for one in head.objects if one.ref.kind == "Conversation"}
    found: list[tuple[Object, Change]] = []
    for ref, one in sorted(after.items()):
        was = before.get(ref)
        change: Change = "new" if was is None else "same" if was.spec == one.spec else "changed"
        if change != "same" or ref.instance in touched:
            found.append((one, change))
    found += [(one, "removed") for ref, one in sorted(before.items()) if ref not in after]
    return found


async def run_talks(
    base: Desired,
    head: Desired,
    talks: Iterable[tuple[Object, Change]],
    voices: Voices,
    where: Where,
    why_not: str,
    type: TargetType = "runtime",
) -> tuple[Talk, ...]:
    """Runs Conversations on both sides, as a target of `type` starts them. `where` finds an expectation in the head's
    files, `why_not` says why a model is not asked, where it is not."""
    found, chosen = list[Talk](), tuple(talks)
    for number, (one, change) in enumerate(chosen):
        voices.told("conversations", number, len(chosen))
        found.append(await _Both(base, head, one, change, voices, where, why_not, type).run())
    return tuple(found)


class _Both:
    """One Conversation on both sides."""

    def __init__(
        self,
        base: Desired,
        head: Desired,
        one: Object,
        change: Change,
        voices: Voices,
        where: Where,
        why_not: str,
        type: TargetType,
    ) -> None:
        self._sides = (base, head)
        self._one, self._change = one, change
        self._voices, self._why_not = voices, why_not
        self._where: Where = where if change != "removed" else lambda found, _: found.at
        self._type: TargetType = type
        self._heard: list[bool] = []
        self._outcomes: tuple[list[Outcome], list[Outcome]] = ([], [])

    async def run(self) -> Talk:
        there = [Ref("Instance", (name := self._one.ref.instance), name) in _refs(side) for side in self._sides]
        for rounds in ROUNDS:
            for side in (1, 0):
                while there[side] and len(self._outcomes[side]) < rounds:
                    self._outcomes[side].append(await self._play(side))
            if not self._open():
                break
        before, after = (self._ran(side) for side in (0, 1))
        outcome, level = self._judged(before, after)
        return Talk(
            ref=self._one.ref,
            at=self._one.at,
            change=self._change,
            before=before,
            after=after,
            outcome=outcome,
            level=level,
            model=bool(self._heard),
        )

    async def _play(self, side: int) -> Outcome:
        repetition = len(self._outcomes[side])
        ask = self._voices.ask(repetition, self._heard)
        return await rehearse(self._sides[side], self._one, ask, self._where, self._type)

    def _open(self) -> bool:
        """Whether another round could change what is said: a model's failure that may be chance."""
        before, after = self._outcomes
        if not self._heard or not after or all(one.verdict == "passed" for one in after):
            return False
        if any(one.verdict == "incomplete" for one in (*before, *after)):
            return False
        if len(after) < ROUNDS[1] or not before:
            return len(after) < ROUNDS[1]
        return blame(_passes(before), len(before), _passes(after), len(after)) == "open"

    def _ran(self, side: int) -> Ran:
        outcomes = self._outcomes[side]
        if not outcomes:
            return Ran(result="absent", why=("the instance is not there",))
        passes = _passes(outcomes)
        bad = next((one for one in outcomes if one.verdict == "failed"), None)
        if bad is None and any(one.verdict == "incomplete" for one in outcomes):
            untold = (one.message for one in outcomes[0].failures if one.expectation in _RULES)
            return Ran(result="not run", runs=len(outcomes), why=(next(untold, self._why_not),))
        failures = () if bad is None else tuple(one for one in bad.failures if not one.incomplete)
        return Ran(
            result="passed" if bad is None else "failed" if not passes else "flaky",
            passes=passes,
            runs=len(outcomes),
            why=tuple(f"turn {one.turn}, {one.expectation}: {one.message}" for one in failures),
            places=tuple(one.at for one in failures),
        )

    def _judged(self, before: Ran, after: Ran) -> tuple[str, Level]:
        if after.result == "absent":
            return "goes with its instance", "note"
        if self._change == "removed":
            return _removed(before, after)
        new = {"new": "is new and ", "changed": "is changed and ", "same": ""}[self._change]
        match after.result:
            case "passed":
                if before.result in ("failed", "flaky"):
                    return f"{new}passes now; with the bots before it {_did(before)}", "note"
                return (f"{new}passes" if new else "passes as before"), "note"
            case "not run":
                return f"{new}not run: {'; '.join(after.why)}", "note"
        if before.result in ("absent", "not run") or self._change != "same":
            return (
                (f"{new}fails{_times(after)}", "broken") if after.result == "failed" else (_flaky(new, after), "human")
            )
        if self._heard:
            return self._blamed(before, after)
        if before.result == "passed":
            return "fails now; it passed before", "broken"
        return "fails as before", "human"

    def _blamed(self, before: Ran, after: Ran) -> tuple[str, Level]:
        counts = f"{after.passes} of {after.runs} runs pass, {before.passes} of {before.runs} before"
        match blame(before.passes, before.runs, after.passes, after.runs):
            case "yes":
                return f"fails now: {counts}, which is no chance", "broken"
            case "no":
                return f"is no baseline: {counts}, so this change is not blamed", "human"
        return f"may be chance: {counts}, so this change is not blamed", "human"


def _removed(before: Ran, after: Ran) -> tuple[str, Level]:
    if after.result == "failed" and before.result == "passed":
        return "is removed; it passed before and would fail with the changed bots", "human"
    return f"is removed; with the changed bots it {_would(after)}", "note"


def _would(ran: Ran) -> str:
    return {"passed": "would pass", "failed": "would fail, as before", "flaky": "would pass at times"}.get(
        ran.result, "cannot be told without a model"
    )


def _did(ran: Ran) -> str:
    return "failed" if ran.result == "failed" else f"passed {ran.passes} of {ran.runs} times"


def _flaky(new: str, ran: Ran) -> str:
    return f"{new}passes {ran.passes} of {ran.runs} times"


def _times(ran: Ran) -> str:
    return f" ({ran.runs} of {ran.runs} runs)" if ran.runs > 1 else ""


def _passes(outcomes: list[Outcome]) -> int:
    return sum(one.verdict == "passed" for one in outcomes)


def _refs(desired: Desired) -> set[Ref]:
    return {one.ref for one in desired.objects if one.ref.kind == "Instance"}
