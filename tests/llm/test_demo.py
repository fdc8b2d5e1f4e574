"""The demo model: the best line of the prompt, always the same."""

from __future__ import annotations

import pytest

from reconciler.llm.demo import NOTHING, answer, best_sentence, sentences_of
from reconciler.talk.prompt import Utterance
from tests.llm.test_models import request

PROMPT = """# The bistro
You are the restaurant's assistant. We open at eight in the evening.
- The pizza margherita costs 12 euros.
- The tiramisu costs 6 euros.
1. Book a table by phone.

Açaí is served cold.
"""


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("When do you open?", "We open at eight in the evening."),
        ("what costs the PIZZA?", "The pizza margherita costs 12 euros."),
        ("tiramisù!", "The tiramisu costs 6 euros."),
        ("acai", "Açaí is served cold."),
        ("can I book a table", "Book a table by phone."),
        ("costs", "The pizza margherita costs 12 euros."),
        ("weather", None),
        ("is the weather in Lisbon fine today", None),
        ("", None),
    ],
)
def test_best_sentence(question, found):
    assert best_sentence([PROMPT], question) == found


def test_sentences_lose_list_marks():
    assert sentences_of(PROMPT)[:4] == [
        "The bistro",
        "You are the restaurant's assistant.",
        "We open at eight in the evening.",
        "The pizza margherita costs 12 euros.",
    ]


def test_says_that_it_is_a_demo_and_is_always_the_same():
    asked = request(messages=(Utterance("system", PROMPT), Utterance("user", "pizza")))
    assert answer(asked).text == "(demo) The pizza margherita costs 12 euros."
    assert answer(asked) == answer(asked)
    assert answer(request(messages=(Utterance("user", "pizza"),))).text == NOTHING


def test_where_nothing_matches_it_greets_with_the_bots_own_words():
    opening = (Utterance("system", PROMPT), Utterance("assistant", "Hello!"), Utterance("user", "Hi"))
    assert answer(request(messages=(*opening, Utterance("user", "xyz")))).text == "(demo) Hello!"
    said_before = (Utterance("system", PROMPT), Utterance("user", "Hi"), Utterance("assistant", "Hello!"))
    assert answer(request(messages=(*said_before, Utterance("user", "xyz")))).text == NOTHING
