from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before trying again."""
    monkeypatch.setattr("reconciler.live.client._FIRST_WAIT", 0.0)
    monkeypatch.setattr("reconciler.live.evolution._WAIT", 0.0)
