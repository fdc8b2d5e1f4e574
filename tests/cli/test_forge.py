"""`review --post` and its options, and a loop that tells a forge, on a forge's API over loopback."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Repo
from tests.live.served import KEY, runtime
from tests.reconcile.conftest import bot_file, fleet
from tests.reconcile.forge.served import ANA, Served, serve

TIMEOUT = 40
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def hub() -> Iterator[Served]:
    with serve("github") as found:
        found.merged.clear()
        yield found


@pytest.fixture
def branch(repo: Repo, hub: Served) -> str:
    """A pull request's head, which is the forge's too."""
    repo.commit({**fleet(a=bot_file("a", 2)), ".gitignore": ".reconciler/\nreview.json\n"})
    repo.git("checkout", "--quiet", "-b", "topic")
    head = repo.commit(fleet(a=bot_file("a", 1)))
    hub.pulls[12]["head"] = head
    return head


@pytest.fixture
def review(repo: Repo, hub: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `review` in this process with a forge named by options; gives its exit code and what it says."""
    from reconciler.cli import main
    from reconciler.cli.context import Context

    monkeypatch.chdir(repo.root)

    def run(*arguments: str, token: str = "writes", where: bool = True) -> tuple[int, str]:
        named = ("--forge", "github", "--forge-url", hub.url, "--repository", "acme/bots", "--pull", "12")
        monkeypatch.setenv("GITHUB_TOKEN", token)
        fresh = Context()
        for name in ("review", "review_post", "validate", "site"):
            monkeypatch.setattr(importlib.import_module(f"reconciler.cli.{name}"), "context", fresh)
        with pytest.raises(SystemExit) as ended:
            main.run(["review", *(named if where else ()), *arguments])
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_a_review_is_posted_by_options(review: Run, branch: str, hub: Served) -> None:
    code, said = review("--base", "main", "--post", "--model", "none")
    assert code == 0, said
    assert f"posted   http://forge/c/{hub.comments[0]['id']}" in said
    assert hub.statuses[branch][0]["description"].startswith("fine to merge: 1 change")


def test_a_token_that_may_not_write_is_an_error_but_on_a_fork(review: Run, branch: str, hub: Served) -> None:
    code, said = review("--base", "main", "--post", "--model", "none", token="reads")
    assert (code, "pull-requests: write" in said) == (64, True)
    assert hub.comments == []


def test_a_review_is_kept_and_posted_later(review: Run, branch: str, hub: Served, repo: Repo) -> None:
    code, said = review("--base", "main", "--save", "review.json", "--model", "none", where=False, token="")
    assert code == 0, said
    assert json.loads((repo.root / "review.json").read_text())["head"] == branch
    code, said = review("--post-file", "review.json")
    assert code == 0, said
    assert "Made without secrets" in hub.comments[0]["body"]
    hub.pulls[12]["head"] = "e" * 40
    code, said = review("--post-file", "review.json")
    assert (code, "of another one, or old" in said) == (64, True)


@pytest.mark.parametrize(
    ("arguments", "where", "said"),
    [
        (("--post",), False, "name it with --forge"),
        (("--post-file", "none.json"), True, "cannot be read"),
        (("--base", "main", "--save", "no/folder/x", "--model", "none"), True, "cannot be written"),
    ],
    ids=range(3),
)
def test_what_cannot_be(review: Run, branch: str, arguments: tuple[str, ...], where: bool, said: str) -> None:
    code, err = review(*arguments, where=where)
    assert (code, said in err) == (64, True), err


# --- the loop ------------------------------------------------------------------------------------------------


def looped(repo: Repo, url: str, seen: Callable[[], bool], **variables: str) -> str:
    """What a loop on the repository says until `seen`."""
    env = {**os.environ, "RECONCILER_URL": url, "RECONCILER_API_KEY": KEY, "KEY": "sk-0123456789abcdef", **variables}
    log = repo.root.parent / "talk.txt"
    with log.open("w") as file:
        loop = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "run", "--until-stdin-closes"],
            cwd=repo.root,
            stdin=subprocess.PIPE,
            stderr=file,
            env=env,
        )
        try:
            deadline = time.monotonic() + TIMEOUT
            while not (seen() or "nothing is said" in log.read_text()):
                assert time.monotonic() < deadline, log.read_text()
                assert loop.poll() is None, log.read_text()
                time.sleep(0.05)
            assert loop.stdin is not None
            loop.stdin.close()
            assert loop.wait(TIMEOUT) == 0
        finally:
            loop.kill()
            loop.wait()
    return log.read_text()


def config(hub: Served) -> dict[str, Any]:
    text = (
        "apiVersion: reconciler/v1\nkind: Config\n"
        f"forge: {{type: github, url: '{hub.url}', repository: acme/bots, token: {{env: FORGE_TOKEN}}}}\n"
    )
    return {**fleet(a=bot_file("a", 1)), "reconciler.yaml": text, ".gitignore": ".reconciler/\n"}


def test_a_loop_tells_a_forge_what_became_of_a_commit(repo: Repo, hub: Served, tmp_path: Path) -> None:
    commit = repo.commit(config(hub))
    hub.merged = {commit: [12]}
    hub.comment(ANA, "a person's")
    with runtime(tmp_path) as url:
        said = looped(repo, url, lambda: commit in hub.statuses, FORGE_TOKEN="writes")
        assert "writes" not in said
        heard = len(hub.heard)
        again = looped(repo, url, lambda: True, FORGE_TOKEN="writes")
    assert "nothing is said" not in again
    assert "### ✅ Applied to local" in hub.comments[1]["body"]
    assert hub.statuses[commit][0]["state"] == "success"
    assert len(hub.heard) == heard


def test_a_loop_runs_without_its_forge(repo: Repo, hub: Served, tmp_path: Path) -> None:
    repo.commit(config(hub))
    with runtime(tmp_path) as url:
        said = looped(repo, url, lambda: False)
    assert "nothing is said on pull requests: there is no token for github: set FORGE_TOKEN" in said
    assert hub.heard == []


def test_what_the_review_showed_is_what_is_applied_after_the_merge(
    repo: Repo, hub: Served, review: Run, tmp_path: Path
) -> None:
    first = repo.commit({**config(hub), **fleet(a=bot_file("a", 3), c=bot_file("c", 3))})
    with runtime(tmp_path) as url:
        looped(repo, url, lambda: first in hub.statuses, FORGE_TOKEN="writes")
        repo.git("checkout", "--quiet", "-b", "topic")
        renamed = {"bots/bistro/c.yaml": None, "bots/bistro/d.yaml": bot_file("d", 9, meta=", formerly: c")}
        hub.pulls[12]["head"] = repo.commit({**fleet(a=bot_file("a", 2), b=bot_file("b", 1)), **renamed})
        assert review("--base", "main", "--post", "--model", "none")[0] in (0, 3)
        repo.git("checkout", "--quiet", "main")
        repo.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
        merged = repo.git("rev-parse", "HEAD")
        hub.merged = {merged: [12]}
        looped(repo, url, lambda: merged in hub.statuses, FORGE_TOKEN="writes")
    _, outcome = hub.comments
    assert "The plan was the one that the review showed." in outcome["body"]
