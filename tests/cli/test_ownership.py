"""Whose is what, by every rule: two repositories on one real runtime, renames, lost and doubled marks, what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.cli.context import context
from reconciler.cli.main import run
from tests.conftest import Repo
from tests.live.served import KEY, runtime

HEAD = "apiVersion: reconciler/v1\n"


def bot(name: str, word: str = "", meta: str = "", tokens: int = 10) -> str:
    trigger = f"triggerType: keyword, triggerOperator: equals, triggerValue: {word}" if word else "triggerType: none"
    return (
        f"{HEAD}kind: Bot\nmetadata: {{name: {name}{meta}}}\n"
        f"spec: {{credentials: main, botType: chatCompletion, model: gpt-4o, maxTokens: {tokens}, {trigger}}}\n"
    )


def line(instance: str = "bistro", account: str = "main", more: str = "") -> dict[str, str | None]:
    return {
        f"bots/{instance}/line.yaml": f"{HEAD}kind: Instance\nmetadata: {{name: {instance}}}\nspec: {{}}\n",
        f"bots/{instance}/account.yaml": (
            f"{HEAD}kind: Credentials\nmetadata: {{name: {account}{more}}}\nspec: {{apiKey: {{env: MY_KEY}}}}\n"
        ),
    }


class Owner:
    """A repository and who works in it."""

    def __init__(self, root: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any, source: str = "") -> None:
        root.mkdir()
        self.repo, self.url = Repo(root), url
        self._monkeypatch, self._capsys = monkeypatch, capsys
        named = f"source: {{name: {source}}}\n" if source else ""
        self.repo.write("reconciler.yaml", f"{HEAD}kind: Config\n{named}")
        self.repo.write(".gitignore", ".reconciler/\n")
        self.err = ""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Runs a command here; gives what it printed."""
        self._monkeypatch.chdir(self.repo.root)
        context.__dict__.clear()
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(list(arguments))
        said = self._capsys.readouterr()
        self.err = said.err
        assert int(ended.value.code or 0) == code, said.out + said.err
        return str(said.out)

    def apply(self, files: dict[str, str | None] | None = None, *more: str) -> None:
        """Commits and applies; then there is nothing to do."""
        self.repo.commit(files)
        self("apply", "--auto-approve", *more)
        self("plan", "--detailed-exitcode")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with runtime(tmp_path) as address:
        for name, value in {"RECONCILER_URL": address, "RECONCILER_API_KEY": KEY, "MY_KEY": "sk-0123456789ab"}.items():
            monkeypatch.setenv(name, value)
        yield address
    context.__dict__.clear()


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"apikey": KEY}, timeout=60) as client:
        yield client


@pytest.fixture
def owners(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> tuple[Owner, Owner]:
    first, second = (Owner(tmp_path / name, url, monkeypatch, capsys, name) for name in ("acme", "zeta"))
    return first, second


@pytest.fixture
def owner(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Owner:
    return Owner(tmp_path / "mine", url, monkeypatch, capsys)


def rows(http: httpx.Client, instance: str = "bistro", what: str = "find") -> dict[str, dict[str, Any]]:
    """Rows by what stands before the commit in their mark."""
    found = http.get(f"/openai/{what}/{instance}").json()
    return {(row["description"] or "").partition("@")[0] or row["id"]: row for row in found}


# --- two repositories ----------------------------------------------------------------------------------------


def test_two_repositories_share_an_instance_and_neither_touches_what_is_the_others(
    owners: tuple[Owner, Owner], http: httpx.Client
) -> None:
    acme, zeta = owners
    acme.apply({**line(account="main"), "bots/bistro/a.yaml": bot("a", "one"), "bots/bistro/b.yaml": bot("b")})
    theirs = {**line(account="other"), "bots/bistro/a.yaml": bot("a", "two").replace("main", "other")}
    zeta.apply(theirs)
    assert set(rows(http)) == {"[gitops acme:a", "[gitops acme:b", "[gitops zeta:a"}
    assert "3 foreign (without a mark of this repository; never changed):" in zeta("plan")
    assert "2 foreign" in acme("plan", "--detailed-exitcode")

    before = rows(http)["[gitops zeta:a"]
    acme.apply({"bots/bistro/a.yaml": bot("a", "one", tokens=77), "bots/bistro/b.yaml": None})
    after = rows(http)
    assert set(after) == {"[gitops acme:a", "[gitops zeta:a"}
    assert after["[gitops zeta:a"] == before
    zeta("plan", "--detailed-exitcode")
    assert "nothing was written" in zeta("import") + zeta.err

    # What one of them holds the other cannot take, and is told who has it.
    acme.repo.commit({"bots/bistro/c.yaml": bot("c", "two")})
    acme("apply", "--auto-approve", code=3)
    assert "which carries the mark [gitops zeta:a@" in acme.err
    assert "has the trigger of Bot bistro/c" in acme.err
    acme.apply({"bots/bistro/c.yaml": None})


def test_an_instance_given_up_by_one_of_two_stays_with_what_the_other_has_there(
    owners: tuple[Owner, Owner], http: httpx.Client
) -> None:
    acme, zeta = owners
    acme.apply({**line(account="main"), **line("clinic"), "bots/bistro/a.yaml": bot("a", "one")})
    zeta.apply({**line(account="other"), "bots/bistro/z.yaml": bot("z", "two").replace("main", "other")})
    gone: dict[str, str | None] = dict.fromkeys([*line(), "bots/bistro/a.yaml"])
    acme.repo.commit(gone)
    acme("apply", "--auto-approve", "--allow", "delete-instance:bistro", code=3)
    assert "would be deleted with 2 that others made: Bot 'z'" in acme.err
    assert "Instance bistro (bistro) is no longer declared: it is left as it is" in acme("apply", "--auto-approve")
    acme("plan", "--detailed-exitcode")
    assert set(rows(http)) == {"[gitops zeta:z"}
    assert [row["name"] for row in http.get("/openai/creds/bistro").json()] == ["other"]
    zeta("plan", "--detailed-exitcode")


def test_two_repositories_with_instances_of_their_own_do_not_see_each_other(
    owners: tuple[Owner, Owner], http: httpx.Client
) -> None:
    acme, zeta = owners
    acme.apply({**line("bistro"), "bots/bistro/a.yaml": bot("a")})
    zeta.apply({**line("clinic"), "bots/clinic/a.yaml": bot("a")})
    assert "1 other instance of the target, not declared here" in acme("plan")
    assert "foreign" not in acme("plan")
    acme.repo.commit(dict.fromkeys([*line("bistro"), "bots/bistro/a.yaml"]))
    acme("apply", "--auto-approve", "--allow", "empty", "--allow", "delete-instance:bistro")
    assert [row["name"] for row in http.get("/instance/fetchInstances").json()] == ["clinic"]
    zeta("plan", "--detailed-exitcode")


def test_a_repository_without_a_name_and_one_with_a_name_are_two(
    owner: Owner, owners: tuple[Owner, Owner], http: httpx.Client
) -> None:
    owner.apply({**line(account="main"), "bots/bistro/a.yaml": bot("a", "one")})
    owners[0].apply({**line(account="other"), "bots/bistro/a.yaml": bot("a", "two").replace("main", "other")})
    owner.apply({"bots/bistro/a.yaml": None})
    assert set(rows(http)) == {"[gitops acme:a"}


# --- one's own -----------------------------------------------------------------------------------------------


def test_renames_keep_the_live_objects_and_formerly_may_stay_or_go(owner: Owner, http: httpx.Client) -> None:
    owner.apply({**line(), "bots/bistro/a.yaml": bot("old", "one")})
    bots, accounts = rows(http), rows(http, what="creds")
    renamed = bot("new", "one", ", formerly: old").replace("main", "fresh")
    owner.apply({**line(account="fresh", more=", formerly: main"), "bots/bistro/a.yaml": renamed})
    assert [row["id"] for row in rows(http).values()] == [row["id"] for row in bots.values()]
    (account,) = rows(http, what="creds").values()
    assert (account["id"], account["name"]) == (next(iter(accounts.values()))["id"], "fresh")
    owner.repo.commit({"bots/bistro/a.yaml": renamed.replace(", formerly: old", "")})
    owner("plan", "--detailed-exitcode")


def test_a_copied_bot_with_its_mark_is_refused_and_both_are_named(owner: Owner, http: httpx.Client) -> None:
    owner.apply({**line(), "bots/bistro/a.yaml": bot("a")})
    (mine,) = rows(http).values()
    fields = ("enabled", "description", "botType", "model", "maxTokens", "triggerType", "openaiCredsId")
    copy = http.post("/openai/create/bistro", json={field: mine[field] for field in fields}).json()
    owner("apply", "--auto-approve", code=3)
    assert "2 objects of bistro carry the mark of Bot bistro/a" in owner.err
    assert mine["id"] in owner.err
    assert copy["id"] in owner.err
    assert http.put(f"/openai/update/{copy['id']}/bistro", json={"description": "a copy"}).status_code == 200
    assert "1 foreign" in owner("plan", "--detailed-exitcode")


def test_a_lost_mark_is_put_back_by_a_commit_that_allows_it(owner: Owner, http: httpx.Client) -> None:
    owner.apply({**line(), "bots/bistro/a.yaml": bot("a", "one")})
    (mine,) = rows(http).values()
    assert http.put(f"/openai/update/{mine['id']}/bistro", json={"description": None}).status_code == 200
    owner("apply", "--auto-approve", code=3)
    assert f"adopt it: reconciler apply --allow adopt:{mine['id']}" in owner.err
    assert f"`Reconciler-Allow: adopt:{mine['id']}`" in owner.err
    owner("apply", "--auto-approve", "--allow", "adopt:another", code=3)
    owner.repo.git("commit", "--allow-empty", "-m", f"It is ours\n\nReconciler-Allow: adopt:{mine['id']}")
    assert "~ Bot bistro/a (adopted)" in owner("plan")
    owner("apply", "--auto-approve")
    assert {name: row["id"] for name, row in rows(http).items()} == {"[gitops a": mine["id"]}
    owner("plan", "--detailed-exitcode")


def test_an_instance_no_longer_declared_loses_its_objects_and_stays(owner: Owner, http: httpx.Client) -> None:
    owner.apply({**line(), **line("clinic"), "bots/clinic/a.yaml": bot("a")})
    owner.apply(dict.fromkeys([*line("clinic"), "bots/clinic/a.yaml"]))
    assert http.get("/openai/find/clinic").json() == http.get("/openai/creds/clinic").json() == []
    # Nothing of this repository is there any more: from now on it is another instance like any.
    assert "1 other instance of the target, not declared here" in owner("plan")


def test_settings_no_longer_declared_are_left_and_said_to_be(owner: Owner, http: httpx.Client) -> None:
    settings = f"{HEAD}kind: Settings\nmetadata: {{name: s}}\nspec: {{credentials: main, expire: 1h}}\n"
    owner.apply({**line(), "bots/bistro/s.yaml": settings})
    owner.repo.commit({"bots/bistro/s.yaml": None})
    assert "note: Settings of bistro are not declared: they are left as they are" in owner(
        "plan", "--detailed-exitcode"
    )
    assert http.get("/openai/fetchSettings/bistro").json()["expire"] == 3600
    # And the credentials that they use are not taken from under them.
    owner.repo.commit({"bots/bistro/account.yaml": None})
    assert "the Settings of bistro, which are not declared, still use it" in owner("plan")
    owner("apply", "--auto-approve")
    assert len(http.get("/openai/creds/bistro").json()) == 1


def test_settings_of_an_instance_are_drift_against_its_newest_mark(owner: Owner, http: httpx.Client) -> None:
    settings = f"{HEAD}kind: Settings\nmetadata: {{name: s}}\nspec: {{expire: 1h}}\n"
    owner.apply({**line(), "bots/bistro/s.yaml": settings, "bots/bistro/a.yaml": bot("a")})
    assert http.post("/openai/settings/bistro", json={"expire": 5}).status_code in (200, 201)
    assert "expire: 5s → 1h  (drift: changed on the target)" in owner("plan")
    owner.apply({"bots/bistro/s.yaml": settings.replace("1h", "2h")})
    assert http.get("/openai/fetchSettings/bistro").json()["expire"] == 7200


def test_nothing_is_owned_without_a_mark_of_a_commit_that_declared_it(owner: Owner, http: httpx.Client) -> None:
    """Marks that name no commit of this repository, in an instance that it never declared, are somebody else's."""
    owner.apply(line())
    assert http.post("/instance/create", json={"instanceName": "stranger"}).status_code == 201
    account = {"name": "x", "apiKey": "k", "description": "[gitops x@deadbeef]"}
    assert http.post("/openai/creds/stranger", json=account).status_code == 201
    assert "1 other instance of the target" in owner("plan", "--detailed-exitcode")
    owner("import", "--instance", "stranger", code=64)
    assert "a `source.name` of its own" in owner.err


def test_a_mark_whose_name_was_edited_deletes_nothing_by_itself(owner: Owner, http: httpx.Client) -> None:
    owner.apply({**line(), "bots/bistro/a.yaml": bot("a", "one"), "bots/bistro/b.yaml": bot("b", "two")})
    row = rows(http)["[gitops b"]
    body = {field: row[field] for field in ("botType", "openaiCredsId", "model", "maxTokens", "triggerType")}
    forged = {**body, "triggerType": "none", "description": row["description"].replace("gitops b@", "gitops zzz@")}
    http.put(f"/openai/update/{row['id']}/bistro", json=forged).raise_for_status()
    owner("apply", "--auto-approve", code=3)
    assert "Bot bistro/zzz would be deleted, but the commit in its mark [gitops zzz@" in owner.err
    assert "--allow delete:1 permits it" in owner.err
    assert set(rows(http)) == {"[gitops a", "[gitops zzz"}
    owner("apply", "--auto-approve", "--allow", "delete:1")
    assert set(rows(http)) == {"[gitops a", "[gitops b"}
