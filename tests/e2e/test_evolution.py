"""The example fleet on an Evolution API server: commands as a person runs them, killed at any request, faults on the
wire."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.live.evolution import Evolution
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Site
from reconciler.reconcile.passes import Ask, Memory, run_pass
from tests.clock import until
from tests.conftest import Repo
from tests.e2e.test_kill_apply import Killer, ended
from tests.evolution.faults import KINDS, Kind
from tests.evolution.serve import KEY, Server, serving
from tests.reconcile.conftest import data, history, site  # noqa: F401  fixtures

EXAMPLES = Path(__file__).parents[2] / "bots"
GONE = "bots/bistro/menu.yaml"
OPENAI_KEY = "sk-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def fleet(repo: Repo, server: Server) -> Repo:
    """The example fleet, for this server alone."""
    shutil.copytree(EXAMPLES, repo.root / "bots")
    target = f"{{type: evolution, url: '{server.url}', apiKey: {{env: EVOLUTION_API_KEY}}}}"
    head = "apiVersion: reconciler/v1\nkind: Config\n"
    repo.commit({"reconciler.yaml": f"{head}targets:\n  production: {target}\n", ".gitignore": ".reconciler/\n"})
    return repo


def start(repo: Repo, folder: Path, *command: str, key: str = OPENAI_KEY) -> subprocess.Popen[bytes]:
    variables = {"EVOLUTION_API_KEY": KEY, "RECONCILER_DATA": str(folder), "OPENAI_API_KEY": key}
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", *command],
        cwd=repo.root,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def later(repo: Repo) -> None:
    """Another commit: two bots trade their triggers, one has another name, one is gone."""
    bots = repo.root / "bots"
    one, two = bots / "clinica" / "precos.yaml", bots / "clinica" / "agendamento.yaml"
    triggers = {path: path.read_text().partition("  triggerType:")[2] for path in (one, two)}
    for path, other in ((one, two), (two, one)):
        path.write_text(path.read_text().replace(triggers[path], triggers[other]))
    renamed = bots / "clinica" / "urgencia.yaml"
    if renamed.exists():
        text = renamed.read_text().replace("name: urgencia", "name: agora\n  formerly: urgencia")
        files = {"bots/clinica/urgencia.yaml": None, "bots/clinica/agora.yaml": text, GONE: None}
        repo.commit(files, "another\n\nReconciler-Allow: update:50, delete:50")


def managed(server: Server) -> list[str]:
    """The names in the marks of all bots."""
    return sorted(row["description"].split("[gitops ")[1].split("@")[0] for row in server.store.bots.values())


def declared(repo: Repo) -> list[str]:
    texts = [path.read_text() for path in (repo.root / "bots").glob("*/*.yaml")]
    return sorted(text.split("  name: ")[1].splitlines()[0] for text in texts if "kind: Bot" in text)


def test_commands_and_kills(fleet: Repo, server: Server, tmp_path: Path) -> None:
    folder, killed = tmp_path / "data", 0
    killer = Killer(server.faults._app)
    server.faults._app = killer
    for key, kills in ((OPENAI_KEY, (3, 15)), (f"{OPENAI_KEY}-new", (9, 16))):
        for place, at in enumerate(kills):
            killer.count, killer.at, killer.after = 0, at, place % 2 == 0
            killer.process = start(fleet, folder, "apply", "--auto-approve", "--allow", "update:50", key=key)
            code, said = ended(killer.process)
            killer.process = None
            assert code in (-signal.SIGKILL, 0), said
            killed += code != 0
        code, said = ended(start(fleet, folder, "apply", "--auto-approve", "--allow", "update:50", key=key))
        assert code == 0, said
        code, said = ended(start(fleet, folder, "plan", "--detailed-exitcode", key=key))
        assert code == 0, said
        assert managed(server) == declared(fleet)
        used = {server.store.credentials[bot["openaiCredsId"]]["apiKey"] for bot in server.store.bots.values()}
        assert used == {key}
        later(fleet)
    assert killed >= 3
    assert OPENAI_KEY not in {row["apiKey"] for row in server.store.credentials.values()}


@pytest.mark.parametrize("kind", KINDS)
async def test_faults_on_the_wire(
    kind: Kind,
    fleet: Repo,
    server: Server,
    site: Site,  # noqa: F811
    history: History,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reconciler.live.client._FIRST_WAIT", 0.01)
    monkeypatch.setattr("reconciler.live.evolution._WAIT", 0.01)
    site.variables["OPENAI_API_KEY"] = OPENAI_KEY  # type: ignore[index]
    draw = random.Random(KINDS.index(kind))

    async def once(patience: float = 20.0) -> tuple[str, str]:
        target = Evolution(server.url, KEY)
        target._client._http.timeout = httpx.Timeout(patience)
        try:
            ended = await run_pass(site, history, "production", target, Memory(), Ask(trigger="sync"))
            return ended.outcome, ended.message
        finally:
            await target.close()

    for requests in (18, 12):
        server.clear()
        fault = server.fault(kind, at=draw.randint(2, requests), seconds=0.6 * (kind == "slow"))
        outcome, message = await once(0.3 if kind == "slow" else 20.0)
        assert outcome in ("applied", "partial", "unavailable"), message
        assert fault.hits == 1
        await until(lambda: any(one.fault for one in server.seen))  # it acts although nobody waits any more
        server.clear()
        outcome, message = await once()
        assert outcome in ("applied", "unchanged"), message
        assert await once() == ("unchanged", "")
        assert managed(server) == declared(fleet)
        assert [one for one in server.seen if one.status >= 400 and not one.fault] == []
        later(fleet)
