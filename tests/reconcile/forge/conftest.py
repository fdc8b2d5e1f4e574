from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from reconciler.model import Secret
from reconciler.reconcile.forge import calls
from reconciler.reconcile.forge.detect import CI, api_of, forge_of
from reconciler.reconcile.forge.port import Forge, Kind
from tests.reconcile.forge.served import Served, serve

KINDS = ("github", "gitlab", "gitea")
Open = Callable[..., Forge]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def served(kind: Kind) -> Iterator[Served]:
    with serve(kind) as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of the client are noted and not waited for."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(calls.asyncio, "sleep", sleep)
    return waits


def ci_of(served: Served, token: str = "writes", **more: object) -> CI:
    kind: Kind = served.kind  # type: ignore[assignment]
    name = {"github": "GITHUB_TOKEN", "gitlab": "GITLAB_TOKEN", "gitea": "GITEA_TOKEN"}[kind]
    if kind == "gitlab" and token != "writes":
        name = "CI_JOB_TOKEN"
    given = {"repository": "acme/bots", "number": 12, "token": Secret(token), "token_name": name}
    return CI(kind=kind, api=api_of(kind, served.url), **{**given, **more})  # type: ignore[arg-type]


def open_forge(served: Served, token: str = "writes", **more: object) -> Forge:
    return forge_of(ci_of(served, token, **more))
