"""Renderings of reviews that are made by hand: everything that can stand in one, limits, injection."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from reconciler.errors import Problem, Refusal
from reconciler.model import Change, Object, Place, Plan, Ref
from reconciler.plan.review.annotations import annotation, workflow_commands
from reconciler.plan.review.compare import compare
from reconciler.plan.review.digest import digest_of
from reconciler.plan.review.document import document
from reconciler.plan.review.entries import chapters
from reconciler.plan.review.findings import Cost, Divergence, Part, Ran, Replay, Review, Risk, Route, Side, Talk
from reconciler.plan.review.markdown import LIMIT, commands, markdown
from reconciler.plan.review.sections import size
from reconciler.plan.review.text import text
from reconciler.plan.review.verdict import EXIT_CODES, verdict
from tests.plan.fleet import OLD, bistro, bot, declared, desired, keyword, main

AT = Place("bots/bistro/a.yaml", 7, 3)
EVIL = "</details> @team #1 [x](https://evil.example) <img src=x> `code` ::error:: \x1b[31m\u202e /approve"
A = Ref("Bot", "bistro", "a")


def plan(before: tuple[Object, ...] = (), after: tuple[Object, ...] = ()) -> Plan:
    key = main(apiKey={"env": "KEY"})
    return compare(desired(bistro(), key, *before, commit=OLD), desired(bistro(), key, *after), "local")


def part(**more: Any) -> Part:
    return Part(**{"targets": ("local",), "plan": plan(), **more})


def review(*parts: Part, **more: Any) -> Review:
    given = {"base": "b" * 40, "head": "a" * 40, "base_ref": "main", "head_ref": "change", "parts": parts, **more}
    return Review(**given)


def talk(name: str, level: Any, after: Ran, **more: Any) -> Talk:
    given = {"ref": Ref("Conversation", "bistro", name), "at": AT, "change": "same", "before": Ran(result="passed")}
    return Talk(**{**given, "after": after, "outcome": f"{name} it is", "level": level, **more})


def everything() -> Review:
    side = Side(bots=("a",), status="opened", replies=("Hi", EVIL), calls=("book",))
    other = Side(bots=(), status="ended")
    more = (bot("a", **keyword(EVIL)), bot("long", systemMessages=["x y\n" * 90], description="d"), bot("gone"))
    head = (bot("a", **keyword("b")), bot("long", systemMessages=["x z\n" * 90]), bot("new", systemMessages=[EVIL * 3]))
    first = part(
        targets=("local", "far"),
        plan=msgspec.structs.replace(plan(more, head), notes=("a note of the plan",)),
        bots=(3, 4),
        refused=(Refusal(reason="Too many", remedy="--allow update:7 permits it; `Reconciler-Allow: update:7`"),),
        risks=(
            Risk(rule="delete", level="human", ref=A, message=EVIL),
            Risk(rule="delete", level="human", ref=A, message="another"),
            Risk(rule="odd", level="broken", ref=A, message="odd", at=AT),
            Risk(rule="odd", level="note", ref=A, message="note", at=AT),
        ),
        routes=(
            Route(rule="moved", level="human", instance="bistro", message=EVIL, example=EVIL, before="a", after=""),
            Route(rule="odd", level="human", instance="bistro", message="odd", example="words", at=AT),
            Route(rule="overlap", level="note", instance="bistro", message="shares"),
        ),
        routed="triggers compared: 1 question not proven",
        talks=(
            talk("fails", "broken", Ran(result="failed", runs=1, why=(EVIL,), places=(AT,))),
            talk("flaky", "human", Ran(result="flaky", passes=3, runs=4, why=("turn 1",)), change="changed"),
            talk("unrun", "note", Ran(result="not run", why=("no account",))),
            talk("passes", "note", Ran(result="passed"), outcome="passes as before"),
        ),
        costs=(
            Cost(ref=A, model_before="m", model_after="n", input_before=1000, input_after=2000, output_before=5,
                 output_after=5, money_before=(1.0, 2.0), money_after=None),
        ),
        drift=plan(more, more),
        live="local was not looked at: why",
    )  # fmt: skip
    second = part(targets=("other",), drift=_drifted(), costs=(
        Cost(ref=A, model_before=None, model_after="n", input_before=None, input_after=2000, output_before=None,
             output_after=5),))  # fmt: skip
    return review(
        first,
        second,
        behind=2,
        currency="EUR",
        notes=("a note", "a note"),
        warnings=(Problem(path="bots/a.yaml", line=3, column=1, pointer="spec.x", message="warned", hint="mend it"),),
        replay=Replay(
            file="c.jsonl",
            chats=2,
            turns=3,
            skipped=("1 chats of no",),
            divergences=(
                Divergence(
                    instance="bistro", chat="chat-1", turn=1, said=EVIL, before=side, after=other, what=("bot",)
                ),
                Divergence(
                    instance="bistro", chat="chat-1", turn=2, said="x", before=side, after=side, what=("words",)
                ),
            ),
        ),
    )


def _drifted() -> Plan:
    found = plan((bot("a", maxTokens=1),), (bot("a", maxTokens=2),))
    fields = tuple(msgspec.structs.replace(one, origin="drift") for one in found.changes[0].fields)
    return msgspec.structs.replace(found, changes=(msgspec.structs.replace(found.changes[0], fields=fields),))


def test_everything_stands_in_the_markdown_in_its_order() -> None:
    shown = markdown(everything())
    titles = re.findall(r"^#+ (.*)$", shown, re.MULTILINE)
    assert titles == [
        "✘ Broken", "Risks: local, far", "Routes: local, far", "Conversations: local, far", "Recorded chats",
        "Cost: local, far", "Cost: other", "Plan: local, far", "Warnings", "Next",
    ]  # fmt: skip
    for said in (
        "| bots | 3 → 4 | 0 |", "| plan | +1 ~\u200b2 −1 | no changes |", "2 to look at", "1 of note",
        "1 passed, 1 failed, 1 flaky, 1 not run", "| 1,000 turns | at most 2.00 → 0.00 EUR | 0 → 2,000 input tokens |",
        "| live | as the base says | 1 object drifted |", "| replay | 2 recorded chats, 1 turn differ |  |",
        "2 commits of main are not in this branch", "local was not looked at: why", "a note of the plan",
        "2 objects are deleted", "1 turn of recorded chats goes another way", "1.00–2.00 → –", "m → n",
        "Triggers compared: 1 question not proven", "  - turn 1\n", "1 chats of no", "calls book", "nobody (ended)",
    ):  # fmt: skip
        assert said in shown, said
    assert shown.count("a note\n") == 1
    assert shown.count("<details>") == shown.count("</details>")


def test_everything_stands_in_the_text_and_the_data() -> None:
    shown = text(everything())
    for said in (
        "refused: Too many", "         --allow update:7", "risk: another", "route: bistro: shares",
        "for example “words”",
        "routes: triggers compared", "conversation bistro/fails: fails it is", "    turn 1", "cost: 1,000 turns of",
        "1,000 → 2,000 input tokens, 1.00–2.00 → – EUR", "– → 2,000 input tokens",
        "c.jsonl: 2 chats, 3 turns, 1 differ",
        "    after   nobody (ended)", "warning: bots/a.yaml:3:1: spec.x: warned (mend it)", "note: a note",
        "2 commits of main", "next: git commit --amend   # with the trailer Reconciler-Allow: update:7", "- Bot gone",
        "next: reconciler test --ref change --model live", "x [-y-]{+z+}", "      …", "note: local was not looked at",
    ):  # fmt: skip
        assert said in shown, said
    found = document(everything())
    assert (found["verdict"], len(found["parts"]), found["replay"]["moved"]) == ("broken", 2, 1)
    assert found["parts"][1]["costs"][0]["before"] is None


BAD = Problem(path="a", message="b")
LIVE = ["</details> @", "@team", "#1 ", "](http", "https://", "<img", "\x1b", "\u202e", "\n/approve"]


@pytest.mark.parametrize("live", LIVE, ids=[repr(one) for one in LIVE])
def test_what_anybody_wrote_does_nothing_in_a_comment(live: str) -> None:
    shown = markdown(everything())
    fold = "</details>"
    outside = "\n".join(line for line in shown.splitlines() if line != fold)
    assert live not in outside


def test_nothing_moves_a_terminals_cursor_and_no_annotation_has_two_lines() -> None:
    assert "\x1b" not in text(everything())
    for line in workflow_commands(everything()):
        assert re.match(r"::(error|warning|notice) file=", line)
        assert line.count("\n") == 0


def test_annotations() -> None:
    found = list(workflow_commands(everything()))
    assert [line.split(" ")[0] for line in found] == [
        "::error",
        "::error",
        "::warning",
        "::warning",
        "::notice",
        "::notice",
    ]
    assert "file=bots/bistro/a.yaml,line=7,col=3,title=odd::odd (for example “words”)" in found[2]
    assert "::notice file=bots/a.yaml,line=3,col=1,title=spec.x::warned (mend it)" in found
    assert annotation("error", "a,b:c", 0, 0, "50%\r\n", "x\ny%") == (
        "::error file=a%2Cb%3Ac,title=50%25%0D%0A::x%0Ay%25"
    )
    broken = review(problems=(Problem(path="a.yaml", message="bad"),))
    assert list(workflow_commands(broken)) == ["::error file=a.yaml::bad"]


def test_a_fleet_of_changes_stays_within_the_limit_and_says_what_is_cut() -> None:
    before = tuple(bot(f"bot-{n}", systemMessages=[f"We open at {n}. " * 2]) for n in range(1_000))
    after = tuple(bot(f"bot-{n}", systemMessages=[f"We close at {n}. " * 2]) for n in range(1_000))
    risks = tuple(Risk(rule="delete", level="human", ref=A, message=f"risk {n}") for n in range(10_000))
    given = review(part(plan=plan(before, after), risks=risks))
    shown = markdown(given)
    assert LIMIT * 0.9 < size(shown) <= LIMIT
    risks_cut, plan_cut = re.findall(r"\*Cut here: ([\d,]+) more (\w+)", shown)
    assert (risks_cut[1], plan_cut[1]) == ("risks", "changes")
    assert shown.count("risk ") - 2 + int(risks_cut[0].replace(",", "")) >= 9_990
    assert shown.count("<details>") == shown.count("</details>")
    assert "### Next" in shown
    assert size(markdown(given, 5_000)) <= 5_000


def test_no_text_of_anybody_takes_the_room_of_the_rest() -> None:
    signs = "@#!&$%~^" * 400
    targets = tuple(
        part(
            targets=(f"target-{n}",),
            refused=(Refusal(reason=f"{n}{signs}", remedy=signs),) * 5,
            plan=msgspec.structs.replace(plan(), notes=tuple(f"{n}{k}{signs}" for k in range(9))),
            routes=(Route(rule="moved", level="human", instance="bistro", message=signs, example="x" * 9_000),),
        )
        for n in range(11)
    )
    shown = markdown(review(*targets, configured=tuple(f"{n}{signs}" for n in range(9)), head_ref="x'" * 100))
    assert size(shown) <= LIMIT
    assert "3 more targets: see the sections below." in shown
    assert all(part in shown for part in ("### Risks", "### Routes", "### Next", "more risks"))
    assert "reconciler route" not in shown


def test_what_many_bots_inherit_is_one_entry() -> None:
    settings = [declared("Settings", "s", expire=value) for value in (60, 120)]
    inherits = [tuple(bot(f"b{n}", expire=value, inherited=("expire",)) for n in range(25)) for value in (60, 120)]
    shown = markdown(review(part(plan=plan((settings[0], *inherits[0]), (settings[1], *inherits[1])))))
    assert "- update Settings **bistro** (25 bots inherit it)\n  - expire: 1m → 2m\n" in shown
    assert "and 5 more" in shown
    assert "b0, b1, b10" in text(review(part(plan=plan((settings[0], *inherits[0]), (settings[1], *inherits[1])))))


def test_entries_of_renames_and_of_what_is_held() -> None:
    found = plan((bot("a"),), (bot("b", formerly="a"),))
    held = msgspec.structs.replace(found.changes[0], held="pruning is off")
    (chapter,) = chapters(msgspec.structs.replace(found, changes=(held,)))
    assert chapter.entries[0].said == "was a, not applied: pruning is off"
    assert chapter.counts == {"create": 0, "update": 1, "delete": 0}
    key = msgspec.structs.replace(
        found.changes[0],
        ref=Ref("Credentials", "bistro", "main"),
        fields=tuple(msgspec.structs.replace(one, field="apiKey") for one in found.changes[0].fields),
    )
    (chapter,) = chapters(msgspec.structs.replace(found, changes=(key,)))
    assert chapter.entries[0].fields[0].before == "(sensitive)"


KEYS = [({"env": "A"}, {"file": "b"}, "the variable A", "the file b")]


@pytest.mark.parametrize(("was", "now", "before", "after"), KEYS)
def test_where_keys_come_from_is_shown(was: Any, now: Any, before: str, after: str) -> None:
    base, head = (desired(bistro(), main(apiKey=one), commit=OLD) for one in (was, now))
    (chapter,) = chapters(compare(base, head, "local"))
    assert (chapter.entries[0].fields[0].before, chapter.entries[0].fields[0].after) == (before, after)


def test_long_lines_are_shortened_where_nothing_differs() -> None:
    words = "the same words again and again " * 12
    found = plan(
        (bot("a", systemMessages=[f"{words}old {words}"]),), (bot("a", systemMessages=[f"{words}new {words}"]),)
    )
    for shown in (markdown(review(part(plan=found))), text(review(part(plan=found)))):
        assert "…" in shown
        assert shown.count("the same words") < 12
    blanks = plan((bot("a", systemMessages=["x" * 90 + " y"]),), (bot("a", systemMessages=["x" * 90 + "  y"]),))
    assert "0 words out, 0 in" in markdown(review(part(plan=blanks)))


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        (review(), "fine", ()),
        (review(part()), "fine", ()),
        (review(problems=(BAD, BAD)), "broken", ("the head commit is not valid: 2 problems",)),
        (review(base_problems=(BAD,)), "human",
         ("the base commit is not valid, so what changes cannot be told",)),
        (review(part(talks=(talk("x", "human", Ran(result="failed")),))), "human",
         ("1 Conversation should be looked at",)),
        (review(part(talks=(talk("x", "broken", Ran(result="failed")),) * 2)), "broken", ("2 Conversations fail",)),
        (review(part(refused=(Refusal(reason="no"),))), "broken", ("a gate would refuse to apply it: no",)),
        (review(part(risks=(Risk(rule="new", level="human", ref=A, message="x"),) * 2)), "human", ("2 × new",)),
        (review(part(risks=(Risk(rule="conflict", level="human", ref=A, message="x"),))), "human",
         ("what was changed on the target is overwritten",)),
        (review(replay=Replay(file="f", chats=1, turns=1)), "fine", ()),
    ],
    ids=["nothing", "no change", "head", "base", "human talk", "talks", "gate", "unknown rule", "conflict", "replay"],
)  # fmt: skip
def test_verdicts(given: Review, expected: str, said: tuple[str, ...]) -> None:
    decided, reasons = verdict(given)
    assert (decided, tuple(one.text for one in reasons)) == (expected, said)
    assert EXIT_CODES[decided] == {"fine": 0, "broken": 1, "human": 3}[expected]
    assert markdown(given).startswith("<!-- reconciler:review plan=")
    assert text(given)


def test_what_gates_refuse_is_three_reasons_and_a_list_with_what_to_do() -> None:
    refused = tuple(Refusal(reason=f"Too many updates in shop-{n}", remedy=f"--allow update:{n}") for n in range(5))
    found = review(part(refused=refused))
    assert [one.text.partition("apply it")[2] for one in verdict(found)[1]] == [
        *(f": Too many updates in shop-{n}" for n in range(3)),
        " for 2 more reasons",
    ]
    assert markdown(found).count("Too many updates") == 3 + 5


def test_what_is_wrong_with_the_base_is_shown() -> None:
    found = review(base_problems=(BAD,))
    assert f"  base: {BAD.path}:{BAD.line}:" in text(found)
    assert "### Problems of the base" in markdown(found)


def test_the_longest_replies_are_shown_where_they_change() -> None:
    one = Cost(ref=A, model_before="m", model_after="m", input_before=1000, input_after=1000, output_before=5000,
               output_after=9000)  # fmt: skip
    assert "1,000 turns of bistro/a: 1,000 input tokens, replies of at most 5,000 → 9,000" in text(
        review(part(costs=(one,)))
    )


def test_many_reasons_are_counted_and_other_objects_too() -> None:
    risks = tuple(Risk(rule=f"rule-{n}", level="human", ref=A, message="x") for n in range(15))
    shown = markdown(review(part(risks=risks, plan=plan((), (declared("Assistant", "x"),)))))
    assert "- and 3 more\n" in shown
    assert "1 other object" in shown
    both = plan((), (declared("Assistant", "x"), bot("a")))
    assert "1 bot changes and 1 other object" in markdown(review(part(plan=both)))
    assert "nothing changes on any target" in markdown(review(part()))


def test_what_to_do_next_is_safe_to_paste() -> None:
    route = Route(rule="moved", level="human", instance="bistro", message="m", example="a'; rm -rf ~ #")
    found = commands(review(part(routes=(route,)), head_ref="x$(touch y)"))
    assert found == (
        "reconciler review --base main --head 'x$(touch y)'",
        "reconciler route bistro 'a'\"'\"'; rm -rf ~ #' --ref 'x$(touch y)'",
    )
    odd = msgspec.structs.replace(route, example="two\nlines")
    assert len(commands(review(part(routes=(odd,))))) == 1


def test_long_and_odd_texts() -> None:
    new = (bot("a", systemMessages=["a line of a prompt\n" * 400]), bot("b", systemMessages=["x" * 90 + "\n\n"]))
    shown = markdown(review(part(plan=plan((), new))))
    assert "    > …\n" in shown
    assert shown.count("a line of a prompt") < 150
    ends = plan((bot("a", systemMessages=["x" * 90]),), (bot("a", systemMessages=["x" * 90 + "\n"]),))
    for rendered in (markdown(review(part(plan=ends))), text(review(part(plan=ends)))):
        assert "line 1:" in rendered


def test_a_target_that_was_not_read_has_nothing_to_say_of_drift() -> None:
    shown = markdown(review(part(drift=plan()), part(targets=("far",))))
    assert "| live | as the base says |  |" in shown


def test_digests_of_several_targets() -> None:
    one, other = plan((bot("a"),), ()), plan((bot("b"),), ())
    assert digest_of([one, one]) == digest_of([one]) != digest_of([one, other])
    assert digest_of([one, other]) == digest_of([other, one])
    assert isinstance(one.changes[0], Change)


def test_what_a_base_brings_to_many_instances_is_told_once() -> None:
    base = Place("bots/_base/menu.yaml", 9, 3)
    refs = [Ref("Bot", f"line-{number}", "menu") for number in range(200)]
    risks = [Risk(rule="limit", level="human", ref=one, message=f"{one.instance}/menu: 9 → 3", at=base) for one in refs]
    odd = Risk(rule="limit", level="human", ref=refs[0], message="line-0/menu: 9 → 4", at=base)
    placeless = [Risk(rule="delete", level="human", ref=one, message="gone") for one in refs[:2]]
    routes = [
        Route(
            rule="moved",
            level="human",
            instance=one.instance,
            message="menu in place of a",
            example=f"{number}",
            at=base,
        )
        for number, one in enumerate(refs[:2])
    ]
    shown = review(part(risks=(*risks, odd, *placeless), routes=tuple(routes)))
    said = [line for line in text(shown).splitlines() if line.startswith(("risk", "route:"))]
    assert [line.split("  ")[0] for line in said] == [
        "risk: line-0/menu: 9 → 3 (and so in 199 more instances)",
        "risk: line-0/menu: 9 → 4",
        "risk: gone",
        "risk: gone",
        "route: line-0: menu in place of a (and so in 1 more instance)",
    ]
    assert markdown(shown).count("9 → 3") == 1
    assert sum("9 → 3" in line for line in workflow_commands(shown)) == 1
    assert len(document(shown)["parts"][0]["risks"]) == 203
