"""Every exit code that docs/cli.md gives a command is made to happen; what is not in its table does not stand here."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.test_test import TALK, TEXT
from tests.commands import command
from tests.conftest import Repo
from tests.e2e.conftest import Up
from tests.e2e.conftest import shared as shared
from tests.e2e.conftest import up as up
from tests.live.served import KEY, runtime
from tests.reconcile.conftest import ACCOUNT, bot_file, fleet

EVERYONE: Final = bot_file("one", more="  expire: 1h\n").replace("triggerType: none", "triggerType: all")
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def documented() -> set[tuple[str, int]]:
    """The filled cells of the table of commands."""
    rows = [re.split(r"\s*\|\s*", line.strip().strip("|").strip()) for line in PAGE.read_text().splitlines()]
    start = next(number for number, row in enumerate(rows) if row[:2] == ["command", "0"])
    codes = list(map(int, rows[start][1:]))
    found = set()
    for line in PAGE.read_text().splitlines()[start + 2 :]:
        if not line.startswith("|"):
            return found
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found |= {(name.strip("`"), code) for code, cell in zip(codes, cells, strict=True) if cell}
    return found


class World:
    """A repository with a fleet of one instance, and a runtime that serves its target."""

    def __init__(self, repo: Repo, folder: Path, url: str) -> None:
        self.repo, self.folder, self._url = repo, folder, url
        self.data = folder / "data"

    def code(self, *arguments: str, **variables: str) -> int:
        env = {"RECONCILER_API_KEY": KEY, "KEY": "sk-0123456789abcdef", "RECONCILER_URL": self._url}
        env |= {"RECONCILER_DATA": str(self.data), "NO_COLOR": "1", **variables}
        self.said = command(*arguments, folder=self.repo.root, **env)
        return self.said.returncode

    def away(self, *arguments: str) -> int:
        """With nobody behind the target's address."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        return self.code(*arguments, RECONCILER_URL=url)

    def broken(self, *arguments: str) -> int:
        self.repo.commit({"bots/bistro/a.yaml": "kind: ["})
        return self.code(*arguments)

    def applied(self) -> None:
        assert self.code("apply", "--auto-approve") == 0, self.said.stderr

    def refused(self) -> None:
        """A plan that a gate refuses: what is protected would go."""
        self.repo.commit({"bots/bistro/a.yaml": bot_file("a", 1, meta=", protect: true")})
        self.applied()
        self.repo.commit({"bots/bistro/a.yaml": None})

    def without_records(self, *arguments: str) -> int:
        """With no loop.db, and no loop behind RECONCILER_URL."""
        return self.code(*arguments, RECONCILER_URL="")

    def talks(self, text: str, *arguments: str) -> int:
        self.repo.commit({"bots/bistro/one.yaml": EVERYONE, "bots/bistro/talk.yaml": text})
        return self.code("test", *arguments)

    def reviewed(self, path: str, old: str, new: str) -> int:
        """The review of a branch that changes one file."""
        self.repo.git("switch", "--quiet", "--create", "change")
        text = (self.repo.root / path).read_text()
        assert old in text
        self.repo.commit({path: text.replace(old, new)})
        return self.code("review", "--base", "main")


def drifted(world: World) -> int:
    world.applied()
    import httpx

    with httpx.Client(base_url=world._url, headers={"apikey": KEY}) as http:
        row = next(one for one in http.get("/openai/find/bistro").json() if "[gitops a@" in one["description"])
        assert http.put(f"/openai/update/{row['id']}/bistro", json={"maxTokens": 77}).status_code == 200
    return world.code("drift")


def partial(world: World) -> int:
    """Applied but for an instance whose key is missing."""
    key = ACCOUNT.replace("KEY", "NO_SUCH_KEY")
    world.repo.commit({"bots/other/main.yaml": key, "bots/other/b.yaml": bot_file("b")})
    return world.code("apply", "--auto-approve")


def stale(world: World) -> int:
    file = str(world.folder / "saved.plan")
    assert world.code("plan", "--out", file) == 0
    assert world.code("apply", file) == 0
    return world.code("apply", file)


def rolled_back(world: World, *, refused: bool = False, failing: bool = False) -> int:
    if failing:
        partial(world)
    else:
        world.applied()
    good = world.repo.git("rev-parse", "HEAD").strip()
    world.repo.commit({"bots/bistro/c.yaml": bot_file("c", 1, meta=", protect: true")})
    if failing:
        assert world.code("apply", "--auto-approve") == 1
        return world.code("rollback", "--auto-approve", "--to", good)
    world.applied()
    if not refused:
        world.repo.commit({"bots/bistro/c.yaml": bot_file("c", 2)})
        world.applied()
        return world.code("rollback", "--auto-approve")
    return world.code("rollback", "--auto-approve", "--to", good)


def suspended(world: World, *then: str) -> int:
    world.applied()
    assert world.code("suspend", "incident 12") == 0
    return world.code(*then) if then else 0


def backed_up(world: World) -> str:
    """A backup of the served runtime's folder."""
    file = str(world.folder / "backup.tar.gz")
    assert world.code("backup", file, "--data", str(world.folder)) == 0
    return file


def rotated(world: World) -> int:
    """The exit code of both steps with a key that is kept in a folder."""
    folder = world.folder / "rotated"
    folder.mkdir()
    (folder / "api-key").write_text("kept\n")
    steps = [(), ("--finish",)]
    return max(world.code("rotate", "api-key", *step, "--data", str(folder), RECONCILER_API_KEY="") for step in steps)


SCENARIOS: dict[tuple[str, int], Callable[[World], int]] = {
    ("init", 0): lambda w: w.code("init", str(w.folder / "mine")),
    ("validate", 0): lambda w: w.code("validate", KEY=""),
    ("validate", 1): lambda w: w.broken("validate"),
    ("render", 0): lambda w: w.code("render"),
    ("render", 1): lambda w: w.broken("render"),
    ("models", 0): lambda w: w.code("models"),
    ("models", 1): lambda w: w.broken("models"),
    ("plan", 0): lambda w: w.code("plan"),
    ("plan", 1): lambda w: w.broken("plan"),
    ("plan", 2): lambda w: w.code("plan", "--detailed-exitcode"),
    ("plan", 3): lambda w: (w.refused(), w.code("plan"))[1],
    ("plan", 4): lambda w: w.away("plan"),
    ("apply", 0): lambda w: w.code("apply", "--auto-approve"),
    ("apply", 1): partial,
    ("apply", 3): lambda w: (w.refused(), w.code("apply", "--auto-approve"))[1],
    ("apply", 4): lambda w: w.away("apply", "--auto-approve"),
    ("rollback", 0): rolled_back,
    ("rollback", 1): lambda w: rolled_back(w, failing=True),
    ("rollback", 3): lambda w: rolled_back(w, refused=True),
    ("rollback", 4): lambda w: w.without_records("rollback", "--auto-approve"),
    ("status", 0): lambda w: (w.applied(), w.code("status"))[1],
    ("status", 2): lambda w: (w.applied(), w.repo.commit({"bots/bistro/a.yaml": bot_file("a", 9)}), w.code("status"))[
        2
    ],
    ("status", 4): lambda w: w.without_records("status"),
    ("drift", 0): lambda w: (w.applied(), w.code("drift"))[1],
    ("drift", 1): lambda w: w.broken("drift"),
    ("drift", 2): drifted,
    ("drift", 4): lambda w: w.away("drift"),
    ("why", 0): lambda w: w.code("why", "a"),
    ("route", 0): lambda w: (w.repo.commit({"bots/bistro/one.yaml": EVERYONE}), w.code("route", "bistro", "hi"))[1],
    ("route", 1): lambda w: w.broken("route", "bistro", "hi"),
    ("route", 2): lambda w: w.code("route", "bistro", "hi"),
    ("review", 0): lambda w: w.reviewed("bots/bistro/a.yaml", "maxTokens: 1", "description: one\n  maxTokens: 1"),
    ("review", 1): lambda w: w.reviewed("bots/bistro/a.yaml", "kind: Bot", "kind: ["),
    ("review", 3): lambda w: w.reviewed("bots/bistro/a.yaml", "triggerType: none", "triggerType: all"),
    ("test", 0): lambda w: w.talks(TALK.replace("status: ended", "status: opened")),
    ("test", 1): lambda w: w.talks(TALK),
    ("test", 2): lambda w: w.broken("test"),
    ("test", 3): lambda w: w.talks(TEXT),
    ("history", 0): lambda w: (w.applied(), w.code("history"))[1],
    ("history", 4): lambda w: w.without_records("history"),
    ("show", 0): lambda w: (w.applied(), w.code("show", "1"))[1],
    ("show", 4): lambda w: w.without_records("show", "1"),
    ("sync", 4): lambda w: (w.applied(), w.code("sync"))[1],
    ("suspend", 0): suspended,
    ("suspend", 4): lambda w: w.without_records("suspend", "incident 12"),
    ("resume", 0): lambda w: suspended(w, "resume"),
    ("resume", 4): lambda w: w.without_records("resume"),
    ("chat", 4): lambda w: w.away("chat", "bistro", "hi"),
    ("import", 0): lambda w: (w.applied(), w.code("import"))[1],
    ("import", 1): lambda w: w.broken("import"),
    ("import", 4): lambda w: w.away("import"),
    ("schema", 0): lambda w: w.code("schema", "bot"),
    ("rotate", 0): rotated,
    ("backup", 0): lambda w: 0 if backed_up(w) else 1,
    ("restore", 0): lambda w: w.code("restore", backed_up(w), "--data", str(w.folder / "restored")),
}

BROKEN: Final[dict[str, str | None]] = {"bots/bistro/menu.yaml": "kind: ["}

# What needs a running loop, or one that answers chats.
RUNNING: dict[tuple[str, int], Callable[[Up], int]] = {
    ("sync", 0): lambda up: up.run("sync", exit_code=None).returncode,
    ("chat", 0): lambda up: up.run("chat", "bistro", "start", exit_code=None).returncode,
    ("chat", 2): lambda up: up.run("chat", "bistro", "--timeout", "0.5", "hm", exit_code=None).returncode,
    ("sync", 1): lambda up: (
        (up.repo.commit({"bots/bistro/menu.yaml": "kind: ["}), up.run("sync", exit_code=None))[1].returncode
    ),
}


def test_the_page_says_all_that_is_tried_here_and_no_more() -> None:
    assert documented() == SCENARIOS.keys() | RUNNING.keys()


@pytest.fixture
def world(repo: Repo, tmp_path: Path) -> Iterator[World]:
    with runtime(tmp_path) as url:
        repo.commit({**fleet(a=bot_file("a", 1)), ".gitignore": ".reconciler/\n"})
        yield World(repo, tmp_path, url)


@pytest.mark.parametrize(("name", "code"), SCENARIOS)
def test_a_command_leaves_with_the_code_that_is_documented(world: World, name: str, code: int) -> None:
    assert SCENARIOS[name, code](world) == code, world.said.stdout + world.said.stderr


def test_so_do_those_that_need_a_loop(up: Up) -> None:
    up.run("sync")
    for (name, code), scenario in RUNNING.items():
        assert scenario(up) == code, name
