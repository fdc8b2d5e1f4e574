"""Conversations on both sides: what changed outcome, who is blamed, and to whom no key is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.llm.answer import Answer, Call, ModelFailed
from reconciler.model import Account, Desired, Object, Place, Secret
from reconciler.plan.review.findings import Talk
from reconciler.reconcile.review.talks import chosen, run_talks
from reconciler.reconcile.review.voices import MOST_ASKED, Answers, Voices, has_account, question
from reconciler.talk.prompt import Request
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main

KEY = {"KEY": "sk-0123456789abcdef"}
ROOT = Path()


def talk(name: str, *turns: dict[str, Any]) -> Object:
    return Object(
        ref=declared("Bot", name).ref.__class__("Conversation", "bistro", name),
        spec={"turns": list(turns)},
        at=Place("bots/bistro/talks.yaml", 3, 1),
    )


def says(text: str, **expect: Any) -> dict[str, Any]:
    return {"user": text, "expect": expect}


def fleet(*objects: Object) -> Desired:
    return desired(bistro(), main(apiKey={"env": "KEY"}), *objects)


class Model:
    """Answers what `words` gives, turn by turn; counts."""

    def __init__(self, words: Callable[[Request, int], str]) -> None:
        self.words, self.asked = words, 0

    async def answer(self, account: Account, request: Request) -> Answer:
        self.asked += 1
        return Answer(self.words(request, self.asked))


def run(base: Desired, head: Desired, model: Model | None = None, mode: Any = "live", **more: Any) -> list[Talk]:
    async def nobody(account: Account, request: Request) -> Answer:
        raise AssertionError("asked")

    voices = more.get("voices") or Voices(mode, model.answer if model else nobody)
    old, new, _ = voices.prepare(base, head, more.get("variables", KEY if model else {}), ROOT)
    found = chosen(base, head, more.get("touched", {"bistro"}))
    type = more.get("type", "runtime")
    return list(asyncio.run(run_talks(old, new, found, voices, lambda one, _: one.at, "no account", type)))


A = bot("a", **keyword("start"), systemMessages=["old"])
B = bot("a", **keyword("start"), systemMessages=["new"])
ROUTES = talk("t", says("start", bot="a", status="opened"))
MOVED = bot("a", **keyword("begin"))

RULES: list[tuple[str, tuple[Object, ...], tuple[Object, ...], str, str]] = [
    ("still passes", (A, ROUTES), (B, ROUTES), "note", "passes as before"),
    ("fails now", (A, ROUTES), (MOVED, ROUTES), "broken", "fails now; it passed before"),
    ("fails as before", (MOVED, ROUTES), (bot("a"), ROUTES), "human", "fails as before"),
    ("mended", (MOVED, ROUTES), (A, ROUTES), "note", "passes now; with the bots before it failed"),
    ("new and passes", (A,), (A, ROUTES), "note", "is new and passes"),
    ("new, and the change makes it pass", (MOVED,), (A, ROUTES), "note",
     "is new and passes now; with the bots before it failed"),
    ("new and fails", (A,), (MOVED, ROUTES), "broken", "is new and fails"),
    ("changed and fails", (A, ROUTES), (A, talk("t", says("begin", bot="a"))), "broken", "is changed and fails"),
    ("removed", (A, ROUTES), (B,), "note", "is removed; with the changed bots it would pass"),
    ("removed, and would fail", (A, ROUTES), (MOVED,), "human",
     "is removed; it passed before and would fail with the changed bots"),
    ("removed, failed anyway", (MOVED, ROUTES), (bot("a"),), "note",
     "is removed; with the changed bots it would fail, as before"),
    ("needs a model", (A, talk("t", says("start", contains=["x"]))), (B, talk("t", says("start", contains=["x"]))),
     "note", "not run: no account"),
    ("removed, needs a model", (A, talk("t", says("start", contains=["x"]))), (B,), "note",
     "is removed; with the changed bots it cannot be told without a model"),
    ("new, needs a model", (A,), (A, talk("t", says("start", contains=["x"]))), "note",
     "is new and not run: no account"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "level", "outcome"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_rules_are_played_without_a_model(before: Any, after: Any, level: str, outcome: str) -> None:
    (found,) = run(fleet(*before), fleet(*after))
    assert (found.level, found.outcome, found.model) == (level, outcome, False)


def test_only_what_the_change_may_touch_is_run() -> None:
    assert run(fleet(A, ROUTES), fleet(A, ROUTES), touched=set()) == []
    assert len(run(fleet(A), fleet(A, ROUTES), touched=set())) == 1


def test_an_instance_that_is_not_there_on_a_side() -> None:
    (new,) = run(desired(), fleet(A, ROUTES))
    assert (new.before.result, new.outcome) == ("absent", "is new and passes")
    (gone,) = run(fleet(A, ROUTES), desired())
    assert (gone.after.result, gone.outcome, gone.level) == ("absent", "goes with its instance", "note")


PARKING = talk("t", says("start", contains=["yard"]))


def always(old: str, new: str) -> Callable[[Request, int], str]:
    return lambda request, _: old if request.messages[0].text == "old" else new


def test_a_model_is_asked_once_a_side_while_all_passes() -> None:
    model = Model(always("the yard", "in the yard"))
    (found,) = run(fleet(A, PARKING), fleet(B, PARKING), model)
    assert (found.outcome, found.level, found.model, model.asked) == ("passes as before", "note", True, 2)


def test_a_failure_is_repeated_on_both_sides_before_the_change_is_blamed() -> None:
    model = Model(always("the yard", "nowhere"))
    (found,) = run(fleet(A, PARKING), fleet(B, PARKING), model)
    assert found.outcome == "fails now: 0 of 4 runs pass, 4 of 4 before, which is no chance"
    assert (found.level, found.before.runs, found.after.runs, model.asked) == ("broken", 4, 4, 8)
    assert found.after.why[0].startswith("turn 1, contains: 'yard' not in the reply")


def test_no_baseline_no_blame() -> None:
    model = Model(always("nowhere", "nowhere either"))
    (found,) = run(fleet(A, PARKING), fleet(B, PARKING), model)
    assert found.outcome == "is no baseline: 0 of 4 runs pass, 0 of 4 before, so this change is not blamed"
    assert found.level == "human"


def test_a_failure_now_and_then_may_be_chance() -> None:
    counts = {"new": 0}

    def words(request: Request, _: int) -> str:
        if request.messages[0].text == "old":
            return "the yard"
        counts["new"] += 1
        return "nowhere" if counts["new"] in (1, 5) else "the yard"

    model = Model(words)
    (found,) = run(fleet(A, PARKING), fleet(B, PARKING), model)
    assert found.outcome == "may be chance: 6 of 8 runs pass, 8 of 8 before, so this change is not blamed"
    assert (found.after.result, found.level, model.asked) == ("flaky", "human", 16)


def test_a_new_conversation_that_fails_each_time_is_broken_and_at_times_is_for_a_human() -> None:
    (found,) = run(fleet(A), fleet(A, PARKING), Model(lambda *_: "nowhere"))
    assert (found.level, found.outcome) == ("broken", "is new and fails (4 of 4 runs)")
    turns = iter(["nowhere", *["the yard"] * 7])
    (found,) = run(fleet(), fleet(B, PARKING), Model(lambda *_: next(turns)))
    assert (found.level, found.outcome) == ("human", "is new and passes 3 of 4 times")


def test_answers_are_kept_by_content_and_asked_again_for_each_repetition(tmp_path: Path) -> None:
    path = tmp_path / "answers.cache"
    model = Model(always("the yard", "in the yard"))
    for expected in (2, 2):
        answers = Answers(path)
        run(fleet(A, PARKING), fleet(B, PARKING), voices=Voices("live", model.answer, answers), variables=KEY)
        answers.save()
        assert model.asked == expected
    assert path.stat().st_mode & 0o777 == 0o600
    later = Answers(path, now=2**33)
    run(fleet(A, PARKING), fleet(B, PARKING), voices=Voices("live", model.answer, later), variables=KEY)
    assert model.asked == 4


def test_a_file_that_is_not_ours_counts_as_none(tmp_path: Path) -> None:
    account = Account(id="m", name="m", api_key=Secret("k"), base_url=None, organization=None, project=None)
    path = tmp_path / "answers.cache"
    answers = Answers(path, now=1e10)
    answers.keep("key", Answer("yes", calls=(Call("book", False),)))
    answers.save()
    assert Answers(path, now=1e10).get("key") == Answer("yes", calls=(Call("book", False),))
    path.chmod(0o644)
    assert Answers(path, now=1e10).get("key") is None
    path.chmod(0o600)
    path.write_bytes(b"no msgpack")
    assert Answers(path).get("key") is None
    missing = Answers(tmp_path / "no folder" / "x")
    missing.keep("key", Answer("yes"))
    missing.save()
    assert not account.base_url


def test_a_review_asks_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.reconcile.review.voices.MOST_ASKED", 1)
    (found,) = run(fleet(A), fleet(B, PARKING), Model(lambda *_: "the yard"))
    assert "a review asks a model 1 times at the most" in " ".join(found.before.why)
    assert MOST_ASKED > 1


def test_no_key_goes_where_the_base_did_not_send_it() -> None:
    model = Model(lambda *_: "the yard")
    elsewhere = desired(bistro(), main(apiKey={"env": "KEY"}, baseUrl="https://evil.example"), B, PARKING)
    (found,) = run(fleet(A, PARKING), elsewhere, model)
    assert (found.after.result, found.before.result, model.asked) == ("not run", "not run", 0)
    voices = Voices("live", model.answer)
    old, new, changed = voices.prepare(fleet(A), elsewhere, KEY, ROOT)
    assert (changed, has_account(old), has_account(new)) == (("bistro/main",), False, False)


def test_functions_have_no_address_and_stand_ins_do_not_answer() -> None:
    voices = Voices("live", Model(lambda *_: "x").answer)
    called = bot("a", functionUrl="https://a.example")
    stands_in = main(apiKey={"env": "GONE"}, whenMissing="builtin:demo")
    old, new, _ = voices.prepare(desired(called, stands_in), desired(called, stands_in), {}, ROOT)
    for side in (old, new):
        assert [one.spec["functionUrl"] for one in side.objects if one.ref.kind == "Bot"] == [None]
        assert not has_account(side)
    assert has_account(voices.prepare(fleet(), fleet(), KEY, ROOT)[0])
    assert not has_account(voices.prepare(fleet(), fleet(), {}, ROOT)[0])


@pytest.mark.parametrize(("mode", "result"), [("demo", "passed"), ("none", "not run")])
def test_the_demo_model_and_nobody(mode: str, result: str) -> None:
    from reconciler.llm.demo import answer as demo

    async def answer(account: Account, request: Request) -> Answer:
        return demo(request)

    parks = bot("a", **keyword("start"), systemMessages=["When somebody says start: guests park in the yard."])
    (found,) = run(fleet(parks, PARKING), fleet(parks, PARKING), voices=Voices(mode, answer))  # type: ignore[arg-type]
    assert found.after.result == result


def test_a_model_that_fails_is_the_bots_unknown_message() -> None:
    def fails(request: Request, _: int) -> str:
        raise ModelFailed("answered 500")

    (found,) = run(fleet(A, PARKING), fleet(B, PARKING), Model(fails))
    assert found.level == "human"


def test_a_question_is_the_same_whoever_asks_it() -> None:
    account = Account(id="m", name="m", api_key=Secret("k"), base_url=None, organization=None, project=None)
    seen: list[str] = []

    async def answer(account: Account, request: Request) -> Answer:
        seen.append(question(account, request, 0))
        return Answer("the yard")

    run(fleet(A, PARKING), fleet(A, PARKING), voices=Voices("live", answer), variables=KEY)
    assert len(seen) == 1
    assert account.api_key.value not in seen[0]


def test_the_target_says_whom_a_first_message_starts() -> None:
    small, capital = bot("a", **keyword("menu")), bot("a", **keyword("MENU"))
    one = talk("t", says("menu", bot="a"))
    assert outcomes(run(fleet(small, one), fleet(capital, one))) == ["passes as before"]
    assert outcomes(run(fleet(small, one), fleet(capital, one), type="evolution")) == ["fails now; it passed before"]


def test_a_disabled_fallback_bot_answers_on_an_evolution_api_server() -> None:
    last = bot("last", enabled=False, triggerType="all")
    one = talk("t", says("hello", bot="last", status="opened"))
    side = fleet(declared("Settings", "default", fallbackBot="last"), last, one)
    assert outcomes(run(side, side)) == ["fails as before"]
    assert outcomes(run(side, side, type="evolution")) == ["passes as before"]


def test_what_is_not_known_of_the_target_is_not_run() -> None:
    dark = bot("d", triggerType="keyword", triggerOperator="regex", triggerValue="^(?i:q)")
    one = talk("t", says("hello", bot="d"))
    (found,) = run(fleet(dark, one), fleet(dark, one), type="evolution")
    assert found.level == "note"
    assert found.outcome.startswith("not run: not known whether d takes it: modifiers such as (?i:…)")


def outcomes(found: list[Talk]) -> list[str]:
    return [one.outcome for one in found]
