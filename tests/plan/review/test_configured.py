"""Changes of reconciler.yaml that a person should see."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.model import Config, ForgeAt, Gates, Sync, Target
from reconciler.plan.review.configured import configured

LIVE = Target(name="live", url="https://bots.example/api", api_key={"env": "LIVE_KEY"}, sync=Sync(prune=False))
CONFIG = Config(targets=(LIVE,), forge=ForgeAt(type="github", repository="acme/bots"))

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"overlay": "overlays/live", "sync": Sync(prune=False, interval=5)}, ""),
    ({"url": "https://evil.example/api"},
     "the target live is at evil.example, no longer at bots.example: its key is sent there"),
    ({"url": "https://bots.example/v2"}, "the target live has another address at bots.example"),
    ({"type": "evolution"}, "the target live becomes an Evolution API server, and was a runtime"),
    ({"api_key": {"file": "keys/live"}},
     "the key of the target live is taken from the file keys/live, no longer from the variable LIVE_KEY"),
    ({"gates": Gates(deletes=100)},
     "the gates of the target live change: what was refused may pass, or the other way round"),
    ({"sync": Sync()}, "the target live is pruned from now on: what is not declared is deleted"),
    ({"name": "new"}, "the target new is new: the key from the variable LIVE_KEY is sent to bots.example"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), CASES, ids=[" ".join(changed) or "nothing" for changed, _ in CASES])
def test_a_target(changed: dict[str, Any], said: str) -> None:
    after = msgspec.structs.replace(CONFIG, targets=(msgspec.structs.replace(LIVE, **changed),))
    assert configured(CONFIG, after) == ((said,) if said else ())


@pytest.mark.parametrize(("changed", "said"), [
    ({"path": "fleet", "name": "other", "currency": "EUR"}, ()),
    ({"ref": "next"}, ("reconciler.yaml follows another ref or repository: what is applied comes from there",)),
    ({"url": "https://git.example/x"},
     ("reconciler.yaml follows another ref or repository: what is applied comes from there",)),
    ({"forge": None}, ("reconciler.yaml names another forge, repository or token for outcomes",)),
    ({"targets": ()}, ()),
])  # fmt: skip
def test_the_rest_of_it(changed: dict[str, Any], said: tuple[str, ...]) -> None:
    assert configured(CONFIG, msgspec.structs.replace(CONFIG, **changed)) == said


def test_a_first_forge_is_no_change() -> None:
    assert configured(msgspec.structs.replace(CONFIG, forge=None), CONFIG) == ()
