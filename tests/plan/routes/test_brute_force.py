"""The prover against brute force: random triggers and changes over a small alphabet with all that is awkward in it.

Whatever difference a random message shows must be in what the prover says, or be `not proven`; every message that it
gives must show what it is given for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.model import Bot, Instance, Line, Settings
from reconciler.plan.evolution import match as evolution
from reconciler.plan.patterns.tree import Beyond
from reconciler.plan.routes.answer import Fleet, Routes, Semantics
from reconciler.plan.routes.letters import ordinary
from reconciler.plan.routes.prove import MOST_MOVED, prove
from reconciler.talk import match
from tests.conftest import many

ALPHABET = [
    *("a", "b", "A", "ß", "s", "é", "e\u0301", "E", "İ", "i", "I", " ", "σ", "ς", "Σ", "\n", "1", "😀", "ﬁ"),
    *(
        "\u200b",
        "\ufe0f",
        "'",
        "\u2019",
        "\uff11",
        "\uff21",
        "\u00a0",
        "\t",
    ),  # clean texts hold none of these
]
SHORT = ["".join(parts) for size in (1, 2) for parts in product(ALPHABET, repeat=size)]
WORDS = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=3).map("".join)

ATOMS = st.sampled_from(
    [
        "a", "b", "A", "é", ".", "ß", "s", "i", "[ab]", "[^a]", "\\w", "\\s", "\\d", "\\W", "(?:a|b)", "(?:é|)", "\\b",
        "$", "^", "[a-é]", "[^\\s]", " ", "\n", "İ", "Σ", "😀", "(?:^|b$)", "(?:ab)",
    ]
)  # fmt: skip
REPEATED = st.tuples(ATOMS, st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
    lambda parts: parts[0] + ("" if parts[0] in ("\\b", "$", "^") else parts[1])
)
PATTERNS = st.tuples(
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)"]), st.lists(REPEATED, min_size=1, max_size=4).map("".join)
).map("".join)
TERMS = st.tuples(
    st.sampled_from(["contains", "notcontains", "startswith", "endswith", "exact"]),
    st.lists(WORDS.filter(lambda word: word.split() == [word] and match.bare(word)), min_size=1, max_size=2).map(
        ",".join
    ),
).map(":".join)
RULES = st.lists(TERMS, min_size=1, max_size=3).map(" ".join)


def keyword(operator: str, value: str) -> dict[str, Any]:
    return {"triggerType": "keyword", "triggerOperator": operator, "triggerValue": value}


KEYWORDS = st.builds(keyword, st.sampled_from(["equals", "contains", "startsWith", "endsWith"]), WORDS)
TRIGGERS = st.one_of(
    KEYWORDS,
    KEYWORDS,
    st.builds(keyword, st.just("regex"), PATTERNS),
    RULES.map(lambda rule: {"triggerType": "advanced", "triggerValue": rule}),
    st.sampled_from([{"triggerType": "all"}, {"triggerType": "none"}]),
)
SPECS = st.tuples(TRIGGERS, st.sampled_from([True, True, True, False])).map(
    lambda parts: {**parts[0], "enabled": parts[1]}
)
NAMES = ["one", "two", "three", "four"]


@st.composite
def changes(draw: st.DrawFn) -> tuple[Fleet, Fleet]:
    """Two fleets that share some of their bots."""
    before = draw(st.dictionaries(st.sampled_from(NAMES), SPECS, max_size=4))
    after = {name: spec for name, spec in before.items() if draw(st.integers(0, 3))}
    after |= draw(st.dictionaries(st.sampled_from(NAMES), SPECS, max_size=2))
    last = st.sampled_from([None, None, *NAMES])
    return Fleet(before, draw(last)), Fleet(after, draw(last))


def line(fleet: Fleet) -> Line:
    bots = tuple(
        Bot(
            id=name,
            created_at=f"{number:03}",
            updated_at="",
            enabled=spec.get("enabled", True),
            bot_type="chatCompletion",
            trigger_type=spec["triggerType"],
            trigger_operator=spec.get("triggerOperator"),
            trigger_value=spec.get("triggerValue"),
            openai_creds_id="c",
            instance_id="i",
        )
        for number, (name, spec) in enumerate(fleet.specs.items())
    )
    return Line(
        instance=Instance(id="i", name="i", created_at="", updated_at=""),
        settings=Settings(id="s", created_at="", updated_at="", instance_id="i", openai_id_fallback=fleet.fallback),
        bots=bots,
        accounts={},
        assistants={},
    )


def judge_of(fleet: Fleet, semantics: Semantics) -> Callable[[str | None], str | None]:
    """Who answers a message, by the target's own matcher; raises Beyond where it does not know."""
    own = line(fleet)

    def on_runtime(text: str | None) -> str | None:
        found = match.match(own, text)
        return found.id if found else None

    def on_evolution(text: str | None) -> str | None:
        verdict = evolution.judge(own, text)
        if not verdict.known:
            raise Beyond("not known")
        return verdict.bot.id if verdict.bot else None

    return on_runtime if semantics == "runtime" else on_evolution


def takes(fleet: Fleet, name: str, text: str, semantics: Semantics) -> bool:
    """Whether a bot's own trigger takes a message."""
    return judge_of(Fleet({name: {**fleet.specs[name], "enabled": True}}), semantics)(text) == name


def check(before: Fleet, after: Fleet, found: Routes, texts: list[str], semantics: Semantics) -> None:
    old, new = judge_of(before, semantics), judge_of(after, semantics)
    for one in found.moved:
        assert one.before != one.after
        assert old(one.message) == one.before, one
        assert new(one.message) == one.after, one
    for overlap in found.overlaps:
        assert takes(after, overlap.first, overlap.message, semantics), overlap
        assert takes(after, overlap.second, overlap.message, semantics), overlap
    for reached in found.reached:
        assert new(reached.message) == reached.bot, reached
    for never in found.unreachable:
        assert after.specs[never.bot].get("enabled", True)
        if never.message is not None:
            if after.fallback != never.bot:
                assert takes(after, never.bot, never.message, semantics), never
            if never.why == "shadowed":
                assert new(never.message) == never.by[0], never
    silent = {one.bot for one in found.unreachable}
    pairs = {(one.before, one.after) for one in found.moved}
    open_pairs = [set(one.bots) for one in found.not_proven if "move" in one.question]
    for text in [*texts, None]:
        if text is not None and (not text.strip() or not ordinary(text, semantics)):
            continue
        try:
            was, now = old(text), new(text)
        except Beyond:
            continue
        if now is not None:
            assert now not in silent, (text, now)
        if was != now and (was, now) not in pairs and not found.more:
            assert {was, now} - {None} in open_pairs, (text, was, now)
    changed = list(before.specs.items()) != list(after.specs.items()) or before.fallback != after.fallback
    assert changed or found == Routes()
    assert len(found.moved) <= MOST_MOVED + 1


ODD = [
    (
        Fleet({"one": keyword("contains", "s")}),
        Fleet({"one": keyword("contains", "ß")}),
    ),
    (
        Fleet({"one": keyword("regex", "^a$"), "two": keyword("contains", "a")}),
        Fleet({"one": keyword("regex", "^a"), "two": keyword("startsWith", "a")}),
    ),
]


@pytest.mark.parametrize("semantics", ["runtime", "evolution"])
@settings(max_examples=many(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(change=changes(), texts=st.lists(st.lists(st.sampled_from(ALPHABET), max_size=6).map("".join), max_size=40))
@example(change=ODD[0], texts=[])
@example(change=ODD[1], texts=[])
def test_nothing_is_missed_and_every_message_is_true(
    semantics: Semantics, change: tuple[Fleet, Fleet], texts: list[str]
) -> None:
    before, after = change
    found = prove(before, after, semantics)
    check(before, after, found, [*SHORT, *texts], semantics)


def never(fleet: Mapping[str, Any], semantics: Semantics) -> set[str]:
    return {one.bot for one in prove(Fleet({}), Fleet(fleet), semantics).unreachable}
