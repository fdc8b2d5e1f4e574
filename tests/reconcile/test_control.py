"""What is asked of a loop, on its records alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import Unavailable
from reconciler.model import Config, Sync, Target
from reconciler.reconcile import control as module
from reconciler.reconcile.control import Control
from reconciler.reconcile.history import History
from reconciler.reconcile.locks import one_pass


def test_status_is_of_the_targets_that_there_are_and_says_what_they_do_not_do(data: Path, history: History) -> None:
    for name in ("gone", "here"):
        history.targets.stand(name, wanted="c", outcome="applied")
    target = Target(name="here", sync=Sync(prune=False))
    control = Control(data, lambda: ("c", Config(targets=(target, Target(name="new")))))
    assert [(one.target, one.prune, one.self_heal) for one in control.status()] == [("here", False, True)]
    assert [(one.target, one.prune) for one in control.status("gone")] == [("gone", None)]  # who asks for it gets it
    unread = Control(data, lambda: (None, None))
    assert [(one.target, one.prune) for one in unread.status()] == [("gone", None), ("here", None)]


async def test_a_target_whose_pass_does_not_end_is_suspended_all_the_same(
    data: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    control = Control(data, lambda: (None, None))
    async with one_pass(data, "t"):
        with pytest.raises(Unavailable, match="t is suspended from the next pass on; but another pass of t"):
            await control.suspend("t", "incident 12")
    held = history.holds.suspended("t")
    assert held is not None
    assert held.reason == "incident 12"
    assert (await control.suspend("t", "incident 13")).reason == "incident 13"
