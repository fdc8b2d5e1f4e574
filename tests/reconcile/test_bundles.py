from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from reconciler.model import Change, Kind, Ref, Secret
from reconciler.plan.order import Step
from reconciler.reconcile import bundles as module
from reconciler.reconcile.bundles import Bundle, bundles


def step(
    index: int,
    kind: Kind = "Bot",
    instance: str = "A",
    action: str = "update",
    needs: tuple[int, ...] = (),
    **values: Any,
) -> Step:
    ref = Ref(kind, instance.lower(), f"n{index}")
    change = Change(action=action, ref=ref, instance_name=instance)  # type: ignore[arg-type]
    return Step(
        index=index, action=change.action, ref=ref, instance_name=instance, change=change, values=values, needs=needs
    )


def told(found: tuple[Bundle, ...]) -> list[tuple[list[int], list[int], bool]]:
    return [([one.index for one in b.steps], sorted(b.after), b.together) for b in found]


NEW = [
    step(0, "Instance", "A", "create"),
    step(1, "Instance", "B", "create"),
    step(2, "Credentials", "A", "create", (0,), apiKey=Secret("sk-0123456789")),
    step(3, "Bot", "A", "create", (0, 2)),
    step(4, "Bot", "B", "create", (1,)),
]


def test_an_instance_is_made_first_and_filled_at_once() -> None:
    assert told(bundles(NEW, together=True)) == [
        ([0], [], False),
        ([1], [], False),
        ([2, 3], [0], True),
        ([4], [1], True),
    ]


def test_a_target_that_takes_one_step_at_a_time_gets_one_at_a_time() -> None:
    assert told(bundles(NEW, together=False)) == [
        ([0], [], False), ([1], [], False), ([2], [0], False), ([3], [0, 2], False), ([4], [1], False),
    ]  # fmt: skip


def test_an_instance_is_deleted_alone_and_updated_with_the_rest() -> None:
    steps = [step(0, "Instance", "A"), step(1, "Bot", "A"), step(2, "Instance", "B", "delete")]
    assert told(bundles(steps, together=True)) == [([2], [], False), ([0, 1], [], True)]


@pytest.mark.parametrize(("most", "largest"), [(2, 1 << 20), (100, 2 * 1500)])
def test_a_large_instance_goes_in_parts_one_after_the_other(
    most: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", most)
    monkeypatch.setattr(module, "LARGEST", largest)
    steps = [step(n, needs=(n - 1,) if n else (), text="x" * 980) for n in range(5)]
    found = bundles(steps, together=True)
    assert told(found) == [([0, 1], [], True), ([2, 3], [0], True), ([4], [1], True)]


def test_what_hangs_together_with_another_instance_goes_step_by_step() -> None:
    steps = [step(0, instance="A"), step(1, instance="B", needs=(0,)), step(2, instance="B"), step(3, instance="C")]
    found = bundles(steps, together=True)
    assert told(found) == [([0], [], False), ([1], [0], False), ([2], [], False), ([3], [], True)]


def test_every_step_is_in_one_bundle_and_none_waits_for_a_later_one() -> None:
    steps = [step(n, instance="AB"[n % 2], needs=(n - 2,) if n > 1 else ()) for n in range(2 * module.MOST + 4)]
    found = bundles(steps, together=True)
    assert sorted(one.index for b in found for one in b.steps) == list(range(len(steps)))
    assert all(place < at for at, b in enumerate(found) for place in b.after)
    assert all(a.index < b.index for bundle in found for a, b in pairwise(bundle.steps))


def test_only_secrets_are_more_than_data() -> None:
    with pytest.raises(TypeError, match="object in a step"):
        bundles([step(0, thing=object())], together=True)
