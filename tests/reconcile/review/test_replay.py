"""Recorded chats on both sides: turns as they were written, and what differs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Misuse
from reconciler.llm.answer import Answer
from reconciler.model import Account, Desired
from reconciler.plan.review.findings import Divergence, Replay
from reconciler.reconcile.review.replay import recorded, replay
from reconciler.reconcile.review.voices import Voices
from reconciler.talk.prompt import Request
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main

ALL = {"triggerType": "all"}


def fleet(*bots: Any) -> Desired:
    return desired(bistro(), main(apiKey={"env": "KEY"}), *bots)


def said(text: str, at: float = 0, by: str = "customer") -> dict[str, Any]:
    return {"by": by, "text": text, "at": at}


def play(path: Path, base: Desired, head: Desired, *chats: Any, answer: Any = None, type: Any = "runtime") -> Replay:
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in chats))

    async def ask(account: Account, request: Request) -> Answer:
        return Answer(answer(request))

    voices = Voices("live", ask)
    old, new, _ = voices.prepare(base, head, {"KEY": "sk-0123456789abcdef"} if answer else {}, Path())
    return asyncio.run(replay(path, old, new, voices, type))


def chat(*messages: Any, instance: str = "bistro", name: str = "chat-1") -> dict[str, Any]:
    return {"instance": instance, "chat": name, "messages": messages}


def shown(found: Replay) -> list[tuple[int, str, tuple[str, ...], str, str]]:
    def side(one: Divergence, which: str) -> str:
        it = getattr(one, which)
        return f"{'+'.join(it.bots) or '-'} {it.status}"

    return [(one.turn, one.said, one.what, side(one, "before"), side(one, "after")) for one in found.divergences]


A, B = bot("a", **keyword("start")), bot("a", **keyword("begin"))


def test_a_turn_that_goes_to_another_bot(tmp_path: Path) -> None:
    rest = bot("z", **ALL)
    one = chat(said("start"), said("Hello!", 1, "bot"), said("more", 30))
    found = play(tmp_path / "c.jsonl", fleet(A, rest), fleet(B, rest), one)
    assert (found.chats, found.turns, len(found.moved)) == (1, 2, 2)
    assert shown(found) == [
        (1, "start", ("bot",), "a opened", "z opened"),
        (2, "more", ("bot",), "a opened", "z opened"),
    ]


def test_silence_and_status(tmp_path: Path) -> None:
    found = play(tmp_path / "c.jsonl", fleet(A), fleet(B), chat(said("start")))
    assert shown(found) == [(1, "start", ("bot", "status", "silence"), "a opened", "- none")]


def test_nothing_differs(tmp_path: Path) -> None:
    found = play(tmp_path / "c.jsonl", fleet(A), fleet(A), chat(said("start"), said("x", 9)), "", chat(said("y")))
    assert (found.chats, found.turns, found.divergences, found.moved) == (2, 3, (), ())


def test_messages_in_quick_succession_are_one_turn_and_pauses_are_kept(tmp_path: Path) -> None:
    short, long = bot("a", **keyword("start"), expire=60), bot("a", **keyword("start"), expire=600)
    one = chat(said("start"), said("and", 2), said("this", 4), said("later", 300))
    found = play(tmp_path / "c.jsonl", fleet(short), fleet(long), one)
    assert (found.turns, shown(found)) == (2, [(2, "later", ("bot", "status", "silence"), "- ended", "a opened")])


def test_a_humans_messages_pause_the_bot_as_they_did(tmp_path: Path) -> None:
    stays, pauses = bot("a", **keyword("start")), bot("a", **keyword("start"), stopBotFromMe=True)
    one = chat(said("start"), said("I am here", 10, "human"), said("good", 20))
    found = play(tmp_path / "c.jsonl", fleet(stays), fleet(pauses), one)
    assert [(turn, text) for turn, text, *_ in shown(found)] == [(2, "I am here"), (3, "good")]


def test_other_words_are_told_apart_from_other_ways(tmp_path: Path) -> None:
    old, new = (bot("a", **keyword("start"), systemMessages=[text]) for text in ("old", "new"))
    found = play(
        tmp_path / "c.jsonl", fleet(old), fleet(new), chat(said("start")), answer=lambda one: one.messages[0].text
    )
    assert [(one.what, one.before.replies, one.after.replies) for one in found.divergences] == [
        (("words",), ("old",), ("new",))
    ]
    assert found.moved == ()


def test_instances_by_either_name_and_those_that_are_not_on_both_sides(tmp_path: Path) -> None:
    other = declared("Instance", "other", "other", instanceName="Other")
    both = [
        chat(said("start"), instance="Bistro_01"),
        chat(said("x"), instance="Other"),
        chat(said("x"), instance="no"),
    ]
    found = play(tmp_path / "c.jsonl", fleet(A, other), fleet(B), *both)
    assert (found.chats, found.skipped) == (
        1,
        ("1 chats of Other, which is not declared on both sides", "1 chats of no, which is not declared here"),
    )


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "reconciler.reconcile.review.replay"
    monkeypatch.setattr(f"{module}.CHATS", 2)
    monkeypatch.setattr(f"{module}.TURNS", 2)
    monkeypatch.setattr(f"{module}.SHOWN", 1)
    one = chat(said("start"), said("a", 10), said("b", 20), said("c", 30))
    found = play(tmp_path / "c.jsonl", fleet(A), fleet(B), one, one, one)
    assert (found.chats, found.turns, len(found.divergences)) == (2, 4, 1)
    assert found.skipped == ("only the first 2 chats are played", "3 more turns differ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "this is no recorded chat"),
        ('{"instance": 1}', "this is no recorded chat"),
        ("\udcff", "which is not UTF-8"),
    ],
    ids=["no JSON", "another shape", "no UTF-8"],
)
def test_a_file_that_holds_no_chats(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(line, errors="surrogateescape")
    with pytest.raises(Misuse, match=said):
        list(recorded(path))


def test_a_chat_that_is_too_large_and_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.reconcile.review.replay._LINE", 10)
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(chat()))
    with pytest.raises(Misuse, match="larger than"):
        list(recorded(path))
    with pytest.raises(Misuse, match="cannot be read"):
        list(recorded(tmp_path / "gone"))


def test_chats_start_as_the_target_starts_them(tmp_path: Path) -> None:
    small, capital = bot("a", **keyword("menu")), bot("a", **keyword("MENU"))
    went = [(1, "menu", ("bot", "status", "silence"), "a opened", "- none")]
    for type, expected in (("runtime", []), ("evolution", went)):  # there case counts
        found = play(tmp_path / "c.jsonl", fleet(small), fleet(capital), chat(said("menu")), type=type)
        assert shown(found) == expected, type


def test_a_chat_of_which_it_is_not_known_whom_it_starts_is_counted(tmp_path: Path) -> None:
    regex = {"triggerType": "keyword", "triggerOperator": "regex"}
    known, dark = bot("b", **regex, triggerValue="^x$"), bot("d", **regex, triggerValue="^(?i:q)")
    chats = chat(said("x")), chat(said("y"), said("x", 60))
    found = play(tmp_path / "c.jsonl", fleet(known, dark), fleet(known), *chats, type="evolution")
    assert (found.chats, found.turns, shown(found)) == (2, 1, [])
    (skipped,) = found.skipped
    assert skipped.startswith("1 chats of which the end is not known whether d takes it: modifiers such as")
