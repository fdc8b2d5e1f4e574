"""`drift`, `why` and `route`: what is asked of a running fleet, on a real repository and the real runtime."""

from __future__ import annotations

import json
import os

import httpx
import pytest

from tests.cli.test_plan import Cli
from tests.cli.test_plan import cli as cli
from tests.conftest import Repo
from tests.live.served import KEY
from tests.reconcile.conftest import bot_file, fleet

INSTANCE = "apiVersion: reconciler/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def keyword(name: str, value: str, operator: str = "equals") -> str:
    trigger = f"triggerType: keyword\n  triggerOperator: {operator}\n  triggerValue: {value}"
    return bot_file(name).replace("triggerType: none", trigger)


def settings(fallback: str) -> str:
    return INSTANCE.format(kind="Settings", name="default", spec=f"{{credentials: main, fallbackBot: {fallback}}}")


def moved(**values: object) -> None:
    """Somebody changes bot `a` on the target."""
    with httpx.Client(base_url=os.environ["RECONCILER_URL"], headers={"apikey": KEY}) as http:
        rows = http.get("/openai/find/bistro").json()
        one = next(row for row in rows if "[gitops a@" in row["description"])
        assert http.put(f"/openai/update/{one['id']}/bistro", json=values).status_code == 200


def test_drift_says_what_moved_and_changes_nothing(cli: Cli, repo: Repo) -> None:
    assert cli("apply", "--auto-approve")[0] == 0
    assert cli("drift") == (0, "no drift on local\n", "")
    moved(maxTokens=77)
    repo.commit(fleet(b=bot_file("b", 5)))
    for _ in range(2):
        code, out, _ = cli("drift")
        assert (code, out) == (
            2,
            "Bot bistro/a: not seen by a pass yet\n    maxTokens: 77 → 1  (drift: changed on the target)\n",
        )
    (row,) = json.loads(cli("drift", "--format", "json", "--instance", "bistro")[1])
    assert (row["live"], row["declared"], row["origin"], row["firstSeen"]) == (77, 1, "drift", None)
    config = "apiVersion: reconciler/v1\nkind: Config\nsync: {selfHeal: false}\n"
    repo.commit({"reconciler.yaml": config, "bots/bistro/a.yaml": bot_file("a", 9, meta=", protect: true")})
    assert "(conflict" in cli("drift")[1]


def test_drift_keeps_the_time_of_its_first_sight(cli: Cli, repo: Repo) -> None:
    from reconciler.reconcile.history import History

    assert cli("apply", "--auto-approve")[0] == 0
    moved(maxTokens=77)
    with History(repo.root / ".reconciler" / "loop.db") as history:
        history.targets.drifting("local", [("Bot", "bistro", "a", "maxTokens")])
        (seen,) = history.targets.drift("local")
    assert json.loads(cli("drift", "--format", "json")[1])[0]["firstSeen"] == seen.first_seen
    assert "first seen 20" in cli("drift")[1]
    repo.commit({"bots/other/i.yaml": INSTANCE.format(kind="Instance", name="other", spec="{}")})
    assert cli("apply", "--auto-approve", "--instance", "other")[0] == 0
    assert json.loads(cli("drift", "--format", "json")[1])[0]["firstSeen"] == seen.first_seen  # it was not looked at


def test_route_asks_in_order(cli: Cli, repo: Repo) -> None:
    repo.commit(fleet(a=keyword("a", "menu"), b=keyword("b", "men", "startsWith")))
    code, out, _ = cli("route", "bistro", "Menus, please")
    assert (code, out) == (0, "  1. no  a: equals 'menu'\n  2. yes b: startsWith 'men'\nb answers\n")
    assert cli("route", "bistro", "hello")[0] == 2
    repo.write("bots/bistro/settings.yaml", settings("a"))
    found = json.loads(cli("route", "bistro", "hello", "--worktree", "--format", "json")[1])
    assert (found["bot"], found["asked"][-1]["by"]) == ("a", "fallback")
    repo.write("bots/bistro/instance.yaml", INSTANCE.format(kind="Instance", name="bistro", spec="{instanceName: B_1}"))
    assert cli("route", "B_1", "menu", "--worktree")[0] == 0
    code, _, err = cli("route", "bisto", "menu")
    assert (code, "did you mean 'bistro'?" in err) == (64, True)
    assert cli("route", "zzz", "menu", "--ref", "HEAD", "--worktree")[0] == 64


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "never answers  its trigger is `none`, and it is not the fallback bot"),
        ({"a": bot_file("a", more="  enabled: false\n")}, "never answers  it is disabled"),
        ({"settings": settings("a")}, "nothing stands in its way"),
        (
            {"settings": settings("a"), "b": bot_file("b").replace("triggerType: none", "triggerType: all")},
            "never answers  it is the fallback bot, but b takes every message",
        ),
        (
            {"a": keyword("a", "menu", "contains"), "b": keyword("b", "Menu")},
            "note           'menu' alone starts b (equals), which is asked before it",
        ),
        ({"a": keyword("a", "menu"), "b": keyword("b", "Menu", "contains")}, "nothing stands in its way"),
        (
            {"a": keyword("a", "menu please", "contains"), "b": keyword("b", "(?i)m[e3]nu", "regex")},
            "never answers  b takes all its messages and is asked before it: 'menu please' starts b",
        ),
        (
            {"a": keyword("a", "(abcd){900}", "regex")},
            "note           whether it ever answers is not proven: it is too large",
        ),
    ],
)
def test_why_a_bot_never_answers(cli: Cli, repo: Repo, files: dict[str, str], expected: str) -> None:
    repo.commit(fleet(**files))
    assert cli("apply", "--auto-approve")[0] == 0
    code, out, _ = cli("why", "a")
    assert (code, expected in out, len(out.splitlines())) == (0, True, 1), out


def test_why_a_bot_is_not_as_declared(cli: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(fleet(a=keyword("a", "x")))
    assert "not applied    it is not on local yet" in cli("why", "bistro/a")[1]
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit(fleet(a=keyword("a", "y")))
    assert 'not applied    triggerValue: "x" → "y"' in cli("why", "a")[1]
    moved(maxTokens=5)
    assert "drifted        maxTokens: 5 → 100  (drift" in cli("why", "a")[1]
    assert cli("why", "nope")[0] == cli("why", "other/a")[0] == 64
    monkeypatch.setenv("RECONCILER_URL", "http://127.0.0.1:9")
    assert cli("apply", "--auto-approve")[0] == 4
    out = cli("why", "a")[1]
    assert "blocked        what is live is not known" in out
    repo.commit({"bots/bistro/b.yaml": "kind: ["})
    found = json.loads(cli("why", "a", "--format", "json")[1])["findings"]
    assert (found[0]["topic"], "b.yaml" in found[0]["text"]) == ("blocked", True)


def test_why_finds_the_failed_step_and_the_gate(cli: Cli, repo: Repo) -> None:
    from reconciler.reconcile.history import History

    files = {f"x{number}": bot_file(f"x{number}") for number in range(10)}
    repo.commit(fleet(a=keyword("a", "x"), **files))
    assert cli("apply", "--auto-approve")[0] == 0
    repo.commit(fleet(a=keyword("a", "z"), **{name: bot_file(name, 7) for name in files}))
    assert cli("apply", "--auto-approve")[0] == 3
    assert "Too many updates in bistro" in cli("why", "a")[1]
    with History(repo.root / ".reconciler" / "loop.db") as history:
        history.targets.stand("local", wanted=None, outcome="refused", message="Too many updates in bistro")
    assert "blocked        the last pass was refused" in cli("why", "a")[1]
    second = bot_file("a").replace("triggerType", "enabled: false\n  triggerType")
    repo.commit({"bots/other/all.yaml": f"{INSTANCE.format(kind='Instance', name='other', spec='{}')}"})
    main = (repo.root / "bots/bistro/main.yaml").read_text()
    repo.commit({"bots/other/main.yaml": main, "bots/other/a.yaml": second})
    code, _, err = cli("why", "a")
    assert (code, "bistro/a, other/a" in err) == (64, True)
