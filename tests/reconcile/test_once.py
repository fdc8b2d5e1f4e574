from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reconciler.errors import Misuse, Rejected, Unavailable
from reconciler.live.client import AnswerLost
from reconciler.model import Live, Mark, Ref
from reconciler.plan.order import Step
from reconciler.reconcile import why
from reconciler.reconcile.history import History
from reconciler.reconcile.once import Ended, Site, commit_of, make_plan, read_wanted
from reconciler.reconcile.passes import Ask, Memory, run_pass
from tests.conftest import Repo
from tests.live.served import InMemory
from tests.plan.target import Model
from tests.reconcile.conftest import ACCOUNT, bot_file, fleet


class Failing(InMemory):
    """A target that answers some steps with an error."""

    def __init__(self, **errors: Exception) -> None:
        super().__init__(Model())
        self.errors = errors
        self.down: Exception | None = None

    async def read(self, known_version: str | None = None) -> Live | None:
        if self.down:
            raise self.down
        return await super().read(known_version)

    async def perform(self, step: Step, ids: Any) -> str | None:
        if (error := self.errors.get(step.ref.name)) is not None:
            raise error
        return await super().perform(step, ids)


async def go(
    site: Site, history: History, reach: InMemory, memory: Memory | None = None, trigger: str = "interval", **more: Any
) -> Ended:
    return await run_pass(site, history, "local", reach, memory or Memory(), Ask(trigger=trigger, **more))


async def test_a_commit_is_applied_and_written_down(repo: Repo, site: Site, history: History) -> None:
    commit = repo.commit(fleet(a=bot_file("a")))
    ended = await go(site, history, InMemory(Model()))
    assert ended.outcome == "applied"
    (one,) = history.passes()
    assert (one.commit, one.outcome, one.counts["create"], one.counts["done"]) == (commit, "applied", 3, 3)
    steps = history.steps(one.id)
    assert [(step.kind, step.outcome) for step in steps] == [
        ("Instance", "done"),
        ("Credentials", "done"),
        ("Bot", "done"),
    ]
    assert "sk-0123" not in str(steps)
    (row,) = history.targets.all()
    assert (row.wanted, row.applied, row.outcome) == (commit, commit, "applied")


async def test_a_pass_without_changes_asks_once_and_writes_nothing(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a=bot_file("a")))
    reach, memory = InMemory(Model()), Memory()
    for _ in range(3):
        await go(site, history, reach, memory)
    passes = len(history.passes())
    reach.reads = 0
    before = history.targets.checked("local")
    assert (await go(site, history, reach, memory)).outcome == "unchanged"
    assert reach.reads == 1
    assert len(history.passes()) == passes == 2  # what was applied, and the first look that found it settled
    assert (history.targets.checked("local") or 0) > (before or 0)


async def test_pending_and_drift_are_told_apart_by_the_marked_commit(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a=bot_file("a", 1), b=bot_file("b", 1)))
    reach = InMemory(Model())
    await go(site, history, reach)
    repo.commit(fleet(a=bot_file("a", 2)))
    for row in reach.model.rows.values():
        if row["label"] == "b":
            row["spec"]["maxTokens"] = 9
    reach.model.version += 1
    ended = await go(site, history, reach)
    assert ended.plan is not None
    assert [(c.ref.name, c.fields[0].origin) for c in ended.plan.changes] == [("a", "pending"), ("b", "drift")]
    assert [(s.name, s.origin, s.fields[0]["before"]) for s in history.steps(ended.number or 0)] == [
        ("a", "pending", 1),
        ("b", "drift", 9),
    ]
    assert history.targets.drift("local") == []  # put back
    assert history.passes()[0].counts["drift"] == 1


async def test_without_self_healing_drift_stays_and_is_dated(repo: Repo, site: Site, history: History) -> None:
    config = "apiVersion: reconciler/v1\nkind: Config\nsync: {selfHeal: false}\n"
    repo.commit({**fleet(a=bot_file("a", 1)), "reconciler.yaml": config})
    reach = InMemory(Model())
    await go(site, history, reach)
    for row in reach.model.rows.values():
        if row["kind"] == "Bot":
            row["spec"]["maxTokens"] = 9
    reach.model.version += 1
    assert (await go(site, history, reach)).outcome == "unchanged"
    (drifted,) = history.targets.drift("local")
    assert (drifted.name, drifted.field) == ("a", "maxTokens")
    await go(site, history, reach)
    assert history.targets.drift("local") == [drifted]


async def test_an_invalid_commit_applies_nothing_and_is_written_once(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a="kind: ["))
    reach, memory = InMemory(Model()), Memory()
    for _ in range(2):
        ended = await go(site, history, reach, memory)
    assert ended.outcome == "invalid"
    assert "bots/bistro/a.yaml" in ended.message
    assert reach.reads == 0
    assert len(history.passes()) == 1


OTHER = "apiVersion: reconciler/v1\nkind: Instance\nmetadata: {name: other}\nspec: {}\n"
FROM_FILE = "apiVersion: reconciler/v1\nkind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {file: key}}\n"


DEMO_ALLOWED = {"bots/bistro/main.yaml": ACCOUNT.replace("spec: {", "spec: {whenMissing: 'builtin:demo', ")}


def two_lines() -> dict[str, str | None]:
    """The bistro, whose key is in the environment, and another line, whose key is in a file."""
    return {
        **fleet(a=bot_file("a")),
        "bots/other/instance.yaml": OTHER,
        "bots/other/main.yaml": FROM_FILE,
        "bots/other/b.yaml": bot_file("b"),
    }


def rows(reach: InMemory, kind: str) -> dict[str, Any]:
    return {
        f"{row['instance']}/{row['label']}": row["spec"] for row in reach.model.rows.values() if row["kind"] == kind
    }


async def test_an_instance_without_its_key_is_held_and_the_others_are_applied(
    repo: Repo, site: Site, history: History
) -> None:
    repo.commit(two_lines())
    reach, memory = InMemory(Model()), Memory()
    ended = await go(site, history, reach, memory)
    assert ended.outcome == "partial"
    assert ended.message.startswith("bots/other/main.yaml:4: the key file key cannot be read: No such file")
    assert set(rows(reach, "Bot")) == {"bistro/a"}
    assert set(rows(reach, "Instance")) == {"bistro/"}
    again = await go(site, history, reach, memory)
    assert (again.outcome, again.message) == (ended.outcome, ended.message)
    assert (await go(site, history, reach, memory)).number is None, "it is as it was"
    (repo.root / "key").write_text("sk-abcdefghijklmnop")
    assert (await go(site, history, reach, memory)).outcome == "applied", "no restart is needed"
    assert set(rows(reach, "Bot")) == {"bistro/a", "other/b"}


async def test_a_key_that_goes_missing_takes_no_account_away(repo: Repo, site: Site, history: History) -> None:
    """Customers of a line would read the demo model's answers."""
    repo.commit({**fleet(a=bot_file("a")), **DEMO_ALLOWED})
    reach, memory, blind = InMemory(Model()), Memory(), Site(site.repository, {}, None)
    await go(site, history, reach)
    account = dict(rows(reach, "Credentials")["bistro/main"])
    assert account["baseUrl"] == "https://llm.example"
    for tokens in (1, 2):
        repo.commit(fleet(a=bot_file("a", tokens)))
        ended = await go(blind, history, reach, memory)
        assert (ended.outcome, "keeps the account that is live" in ended.message) == ("partial", True)
        assert rows(reach, "Credentials")["bistro/main"] == account
        assert rows(reach, "Bot")["bistro/a"]["maxTokens"] == tokens, "the rest goes on"
    assert (await go(site, history, reach, memory)).outcome in ("applied", "unchanged")


async def test_the_demo_model_stays_said_of_instances_that_a_pass_leaves_out(
    repo: Repo, site: Site, history: History
) -> None:
    repo.commit({**two_lines(), **DEMO_ALLOWED})
    (repo.root / "key").write_text("sk-abcdefghijklmnop")
    reach, memory, blind = InMemory(Model()), Memory(), Site(site.repository, {}, None)
    said = "KEY is not set, so the built-in demo model answers for bistro/main"
    for tokens in (1, 2, 3):
        repo.commit({"bots/other/b.yaml": bot_file("b", tokens)})
        ended = await go(blind, history, reach, memory)
        assert ended.outcome == "applied"
        (row,) = history.targets.all()
        assert row.notes == [said]
    assert rows(reach, "Credentials")["bistro/main"]["baseUrl"] == "builtin:demo"


async def test_a_target_that_is_down_or_a_plan_refused(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a=bot_file("a", more="", meta=", protect: true")))
    reach = Failing()
    await go(site, history, reach)
    reach.down = Unavailable("it is away")
    assert (await go(site, history, reach)).outcome == "unavailable"
    reach.down = None
    repo.commit({"bots/bistro/a.yaml": None})
    ended = await go(site, history, reach)
    assert (ended.outcome, "protected" in ended.message) == ("refused", True)


async def test_a_protection_that_was_lifted_before_the_file_went_is_lifted(
    repo: Repo, site: Site, history: History
) -> None:
    reach = InMemory(Model())
    repo.commit(fleet(a=bot_file("a", meta=", protect: true")))
    await go(site, history, reach)
    repo.commit(fleet(a=bot_file("a", meta=", protect: false")))
    assert (await go(site, history, reach)).outcome == "unchanged"  # the mark still names the first commit
    repo.commit({"bots/bistro/a.yaml": None})
    ended = await go(site, history, reach)
    assert (ended.outcome, ended.message) == ("applied", "")


async def test_a_step_that_fails_spares_the_others(repo: Repo, site: Site, history: History) -> None:
    second = "apiVersion: reconciler/v1\nkind: Credentials\nmetadata: {name: second}\nspec: {apiKey: {env: KEY}}\n"
    repo.commit(
        {**fleet(a=bot_file("a"), b=bot_file("b").replace("main", "second")), "bots/bistro/second.yaml": second}
    )
    ended = await go(site, history, Failing(second=Rejected(409, "taken")))
    assert ended.outcome == "partial"
    steps = {step.name: (step.outcome, step.message) for step in history.steps(ended.number or 0)}
    assert steps["a"] == ("done", "")
    assert steps["second"] == ("failed", "409: taken")
    assert steps["b"] == ("skipped", "skipped because create Credentials bistro/second failed")
    assert "create Credentials bistro/second: 409: taken" in ended.message


async def test_a_create_whose_answer_was_lost_is_unknown_and_found_again(
    repo: Repo, site: Site, history: History
) -> None:
    repo.commit(fleet(a=bot_file("a")))

    class Losing(InMemory):
        lost = False

        async def perform(self, step: Step, ids: Any) -> str | None:
            made = await super().perform(step, ids)
            if step.ref.kind == "Credentials" and not self.lost:
                self.lost = True
                raise AnswerLost("gone")
            return made

    reach = Losing(Model())
    ended = await go(site, history, reach)
    assert ended.walked is not None
    assert ended.walked.counts == {"done": 1, "skipped": 1, "unknown": 1}
    assert (await go(site, history, reach)).outcome == "applied"
    marks = [one.mark for one in reach.model.live().objects if one.mark]
    assert len(marks) == len({mark.name for mark in marks}) == 2


async def test_a_target_that_goes_away_is_not_tried_for_every_step(repo: Repo, site: Site, history: History) -> None:
    names = [f"b{n}" for n in range(30)]
    repo.commit(fleet(**{name: bot_file(name) for name in names}))
    reach = Failing()
    await go(site, history, reach)
    repo.commit(fleet(**{name: bot_file(name, 7) for name in names}))
    repo.git("commit", "--allow-empty", "-m", "All of them\n\nReconciler-Allow: update:30")
    reach.errors = {name: Unavailable("away") for name in names}
    ended = await go(site, history, reach, parallel=1)
    assert (ended.outcome, ended.walked and ended.walked.counts) == ("unavailable", {"failed": 3, "skipped": 27})
    reach.errors = {name: Rejected(400, "no") for name in names}
    assert (await go(site, history, reach)).outcome == "failed"


async def test_told_to_stop_it_starts_no_more_steps(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a=bot_file("a")))
    stop = asyncio.Event()
    stop.set()
    ended = await go(site, history, InMemory(Model()), stop=stop)
    assert ended.outcome == "stopped"
    assert {step.outcome for step in history.steps(ended.number or 0)} == {"skipped"}


async def test_a_key_file_that_changes_is_applied_without_a_commit(repo: Repo, site: Site, history: History) -> None:
    text = "apiVersion: reconciler/v1\nkind: Credentials\nmetadata: {name: main}\nspec: {apiKey: {file: key}}\n"
    repo.commit({**fleet(), "bots/bistro/main.yaml": text, ".gitignore": "key\n"})
    (repo.root / "key").write_text("sk-first-0123456789")
    reach, memory = InMemory(Model()), Memory()
    await go(site, history, reach, memory)
    assert (await go(site, history, reach, memory)).outcome == "unchanged"
    (repo.root / "key").write_text("sk-second-0123456789")
    assert (await go(site, history, reach, memory)).outcome == "applied"


def test_the_ref_of_the_configuration_is_what_is_wanted(repo: Repo, site: Site) -> None:
    first = repo.commit(
        {**fleet(), "reconciler.yaml": "apiVersion: reconciler/v1\nkind: Config\nsource: {ref: live}\n"}
    )
    repo.git("branch", "live")
    second = repo.commit(fleet(a=bot_file("a")))
    assert commit_of(site.repository, None)[0] == first
    assert commit_of(site.repository, "main")[0] == second
    assert read_wanted(site, None, worktree=True).commit is None
    with pytest.raises(Misuse, match="nope"):
        read_wanted(site, "nope")


async def test_an_instance_no_longer_declared_is_known_by_its_marks(repo: Repo, site: Site, history: History) -> None:
    reach = InMemory(Model())
    clinic = {
        name.replace("bistro", "clinic"): (text or "").replace("bistro", "clinic")
        for name, text in fleet(x=bot_file("x")).items()
    }
    repo.commit({**fleet(a=bot_file("a")), **clinic})
    await go(site, history, reach)
    reach.model.add("Instance", "Stranger", {"instanceName": "Stranger"}, None)
    reach.model.add("Bot", "Stranger", {}, Mark("", "x", "0" * 8))
    repo.commit(dict.fromkeys(clinic))
    wanted = read_wanted(site, None)
    plan = make_plan(site, wanted, wanted.desired, reach.model.live())
    assert [str(change.ref) for change in plan.changes] == ["Bot clinic/x", "Credentials clinic/main"] or {
        str(change.ref) for change in plan.changes
    } == {"Bot clinic/x", "Credentials clinic/main"}
    assert plan.strangers == 1
    assert any("Instance clinic" in note for note in plan.notes)


async def test_settings_compare_with_the_newest_mark_and_lost_commits_are_unknown(
    repo: Repo, site: Site, history: History
) -> None:
    def settings(expire: int) -> str:
        return f"apiVersion: reconciler/v1\nkind: Settings\nmetadata: {{name: s}}\nspec: {{expire: {expire}}}\n"

    reach = InMemory(Model())
    repo.commit(fleet(a=bot_file("a"), b=bot_file("b"), s=settings(1)))
    await go(site, history, reach)
    repo.commit(fleet(a=bot_file("a", 5), s=settings(2)))
    await go(site, history, reach)
    repo.commit(fleet(s=settings(3)))
    wanted = read_wanted(site, None)
    plan = make_plan(site, wanted, wanted.desired, reach.model.live())
    origins = {str(c.ref): {f.origin for f in c.fields} for c in plan.changes}
    assert origins["Settings bistro/s"] == {"pending"}
    for row in reach.model.rows.values():
        if row["mark"]:
            row["mark"] = Mark("", row["mark"].name, "0" * 8)
    plan = make_plan(site, wanted, wanted.desired, reach.model.live())
    assert {f.origin for c in plan.changes for f in c.fields} == {"unknown"}
    assert Ref("Settings", "bistro", "s") in {c.ref for c in plan.changes}


async def test_a_commit_may_allow_what_a_gate_refuses(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a=bot_file("a"), b=bot_file("b")))
    reach = InMemory(Model())
    await go(site, history, reach)
    gone: dict[str, str | None] = {"bots/bistro/a.yaml": None, "bots/bistro/b.yaml": None}
    repo.commit(gone)
    ended = await go(site, history, reach)
    assert (ended.outcome, "All 2 bots of bistro would be deleted" in ended.message) == ("refused", True)
    assert "Reconciler-Allow: delete:2" in ended.message
    repo.git("commit", "--allow-empty", "-m", "Too few\n\nReconciler-Allow: delete:1")
    assert (await go(site, history, reach)).outcome == "refused"
    repo.git(
        "commit",
        "--allow-empty",
        "-m",
        "Closed for good\n\nReconciler-Allow: delete:2, update:7\nSigned-off-by: A <a@b>",
    )
    assert (await go(site, history, reach)).outcome == "applied"


async def test_why_names_the_step_that_failed_until_it_is_done(repo: Repo, site: Site, history: History) -> None:
    repo.commit(fleet(a=bot_file("a"), b=bot_file("b")))
    reach = Failing(a=Rejected(400, "no such model"))
    ended = await go(site, history, reach)
    failed = why.recorded(history, "local", Ref("Bot", "bistro", "a"))
    assert [(one.topic, one.text) for one in failed] == [
        ("failed", "the last pass was partial: create Bot bistro/a: 400: no such model"),
        ("failed", f"pass {ended.number}: create failed: 400: no such model"),
    ]
    reach.errors = {}
    await go(site, history, reach)
    assert why.recorded(history, "local", Ref("Bot", "bistro", "a")) == []
