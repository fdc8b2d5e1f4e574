"""Walking steps: what each ends as, one at a time and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from reconciler.errors import Rejected, Unavailable
from reconciler.live.client import AnswerLost
from reconciler.live.together import PartRefused, Stale
from reconciler.model import Desired, Object, Ref
from reconciler.plan.diff import diff
from reconciler.plan.order import Step, order
from reconciler.reconcile import bundles
from reconciler.reconcile.apply import Walked, walk
from tests.live.served import InBatches
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main
from tests.plan.target import Model


class Journal:
    """Every line in its order, and which were written as one."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []
        self.groups: list[int] = []

    def started(self, step: Step) -> None:
        self.lines.append(("started", step.index))

    def ended(self, step: Step, ending: str, message: str) -> None:
        self.lines.append((ending, step.index))

    @contextmanager
    def grouped(self) -> Iterator[None]:
        before = len(self.lines)
        yield
        self.groups.append(len(self.lines) - before)


class Refusing(InBatches):
    """Refuses what has these names, the second of a list once the first is left out."""

    def __init__(self, *waves: dict[str, tuple[int, str]]) -> None:
        super().__init__(Model())
        self.waves = list(waves)
        self.error: Exception | None = None

    async def together(self, steps: Sequence[Step], ids: Mapping[Ref, str]) -> Mapping[int, str]:
        if self.error is not None:
            raise self.error
        wave = self.waves.pop(0) if self.waves else {}
        if faults := {step.index: wave[step.ref.name] for step in steps if step.ref.name in wave}:
            raise PartRefused(faults)
        return await super().together(steps, ids)


def clinic(*more: Object) -> tuple[Object, ...]:
    named = declared("Instance", "clinic", "clinic", instanceName="Clinic")
    return (named, declared("Credentials", "main", "clinic", apiKey=main().spec["apiKey"]), *more)


async def go(
    reach: InBatches, wanted: Desired, journal: Journal | None = None, **more: Any
) -> tuple[dict[str, str], Walked]:
    journal = journal or Journal()
    plan = diff(wanted, reach.model.live(), target="t")
    steps = order(plan)
    walked = await walk(steps, plan.ids, reach, journal, grouped=journal.grouped, **more)
    assert set(walked.endings) == {step.index for step in steps}
    shown = {}
    for step in steps:
        message = walked.messages.get(step.index, "")
        shown[f"{step.ref}{' ' + step.note if step.note else ''}"] = walked.endings[step.index] + (
            message and f": {message}"
        )
    return shown, walked


SETTINGS = declared("Settings", "default", credentials="main", fallbackBot="b")
WANTED = desired(bistro(), main(), SETTINGS, bot("a"), bot("b"), *clinic(declared("Bot", "c", "clinic")))


async def test_an_instance_s_steps_go_as_one_each_with_its_lines() -> None:
    reach, journal = InBatches(Model()), Journal()
    shown, walked = await go(reach, WANTED, journal)
    assert set(shown.values()) == {"done"}
    assert walked.complete
    assert sorted(reach.batches) == [2, 5]
    assert sorted(journal.lines) == sorted((word, n) for n in range(9) for word in ("started", "done"))
    assert all(journal.lines.index(("started", n)) < journal.lines.index(("done", n)) for n in range(9))
    assert sorted(journal.groups) == [1, 1, 1, 1, 2, 2, 5, 5]
    assert diff(WANTED, reach.model.live(), target="t").changes == ()


async def test_what_is_refused_takes_only_what_needs_it_along() -> None:
    reach = Refusing({"b": (409, "taken")})
    shown, walked = await go(reach, desired(bistro(), main(), SETTINGS, bot("a"), bot("b")))
    assert shown == {
        "Instance bistro": "done",
        "Credentials bistro/main": "done",
        "Settings bistro/default": "done",
        "Bot bistro/a": "done",
        "Bot bistro/b": "failed: 409: taken",
        "Settings bistro/default fallback bot b": "skipped: skipped because create Bot bistro/b failed",
    }
    assert walked.counts == {"done": 4, "failed": 1, "skipped": 1}


async def test_refusal_after_refusal_ends() -> None:
    reach = Refusing({"a": (400, "no")}, {"main": (422, "never")})
    shown, _ = await go(reach, desired(bistro(), main(), bot("a"), bot("b")))
    assert (shown["Bot bistro/a"], shown["Credentials bistro/main"]) == ("failed: 400: no", "failed: 422: never")
    assert shown["Bot bistro/b"] == "skipped: skipped because create Credentials bistro/main failed"
    assert reach.batches == []


async def test_deleting_what_is_gone_already_is_done() -> None:
    reach = Refusing()
    await go(reach, desired(bistro(), main(), bot("a"), bot("b")))
    reach.waves = [{"a": (404, "no such bot")}]
    shown, _ = await go(reach, desired(bistro(), main()))
    assert shown == {"Bot bistro/a": "done", "Bot bistro/b": "done"}


@pytest.mark.parametrize(
    ("error", "expected", "unreachable"),
    [
        (Stale(412, "moved"), "failed: not applied because its instance was changed since it was read", False),
        (Rejected(413, "too large"), "failed: 413: too large", False),
        (Unavailable("away"), "failed: away", False),
        (AnswerLost("no answer"), "unknown: no answer; the next pass finds it by its mark, or makes it", False),
    ],
    ids=["stale", "refused", "away", "lost"],
)
async def test_what_fails_as_a_whole_fails_each_step(error: Exception, expected: str, unreachable: bool) -> None:
    reach = Refusing()
    reach.error = error
    shown, walked = await go(reach, desired(bistro(), main(), bot("a")))
    assert shown.pop("Instance bistro") == "done"
    assert all(text.startswith(expected) for text in shown.values()), shown
    assert walked.unreachable is unreachable
    reach.error = None
    shown, _ = await go(reach, desired(bistro(), main(), bot("a")))
    assert set(shown.values()) == {"done"}


async def test_a_large_instance_goes_in_parts_and_what_needs_a_failed_part_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundles, "MOST", 2)
    reach = Refusing({"main": (400, "no")})
    shown, _ = await go(
        reach, desired(bistro(), declared("Credentials", "other"), main(), bot("a"), bot("b", credentials="other"))
    )
    assert shown["Bot bistro/b"] == "done"
    assert shown["Bot bistro/a"] == "skipped: skipped because create Credentials bistro/main failed"
    assert reach.batches == [1, 1]


async def test_a_target_that_goes_away_is_given_up_and_told_to_stop_nothing_more_starts() -> None:
    many = [one for n in range(8) for one in (
        declared("Instance", f"i{n}", f"i{n}", instanceName=f"I{n}"),
        declared("Credentials", "main", f"i{n}", apiKey=main().spec["apiKey"]),
    )]  # fmt: skip
    reach = Refusing()
    reach.error = Unavailable("away")
    shown, walked = await go(reach, desired(*many), parallel=1)
    assert walked.unreachable
    assert list(shown.values()).count("skipped: skipped because the target does not answer") == 5
    stop = asyncio.Event()
    stop.set()
    shown, walked = await go(reach, desired(*many), stop=stop)
    assert (set(shown.values()), walked.stopped) == ({"skipped: skipped because the process was told to stop"}, True)


async def test_bots_that_trade_triggers_do_so_in_one_go() -> None:
    reach = InBatches(Model())
    await go(reach, desired(bistro(), main(), bot("a", **keyword("x")), bot("b", **keyword("y"))))
    shown, _ = await go(
        reach, desired(bistro(), main(), bot("a", **keyword("y")), bot("b", **keyword("x")), commit="b" * 40)
    )
    assert set(shown.values()) == {"done"}
    assert reach.batches == [3, 3]
