"""The demo model: answers offline and always the same, from the prompt's own lines, and says that it is a demo.

Used only where credentials name `builtin:demo`. It takes the sentence of the prompt that shares the most telling words
with the customer's message: each shared word counts by its length and by how rare it is among the sentences (inverse
document frequency), so that "the" decides nothing. Accents and case do not matter; of equals the first
wins. Where nothing matches it greets, if the bot has words for that.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from reconciler.llm.answer import Answer, Usage
from reconciler.talk.match import bare
from reconciler.talk.prompt import Request, tokens

PREFIX: Final = "(demo)"
NOTHING: Final = f"{PREFIX} I am the built-in demo model, and nothing in my prompt matches that."

_SENTENCE: Final = re.compile(r"(?<=[.!?…。！？])\s+")
_BULLET: Final = re.compile(r"^\s*(?:[-*+>]|#+|\d+[.)])\s+")
_SHARE: Final = 0.15  # of the message's weight that a sentence must share to be an answer


def answer(request: Request) -> Answer:
    """The demo's answer to a turn; the same for the same request."""
    question = request.messages[-1].text
    lines = [request.instructions or "", *(each.text for each in request.messages if each.role == "system")]
    text = best_sentence(lines, question) or greeting(request)
    said = NOTHING if text is None else f"{PREFIX} {text}"
    taken = tokens(request.instructions or "") + sum(tokens(each.text) for each in request.messages)
    return Answer(said, Usage(taken, tokens(said)))


def greeting(request: Request) -> str | None:
    """What the bot opens a chat with: its first assistant message, where one stands right behind the system's."""
    first = next((each for each in request.messages if each.role != "system"), None)
    return first.text if first is not None and first.role == "assistant" else None


def best_sentence(texts: list[str], question: str) -> str | None:
    """The sentence of `texts` that matches a question best; None where none shares enough with it."""
    sentences = [sentence for text in texts for sentence in sentences_of(text)]
    words = [_words(sentence) for sentence in sentences]
    spread = Counter(word for each in words for word in each)
    weight = {
        word: min(len(word), 8) * math.log(1 + (len(sentences) + 1) / (spread[word] + 0.5))
        for word in sorted(_words(question))
    }
    least = _SHARE * sum(weight.values())
    best, found = 0.0, None
    for sentence, each in zip(sentences, words, strict=True):
        # Summed in order of the words: floating point addition depends on it, and sets have none of their own.
        score = sum(weight[word] for word in sorted(each) if word in weight)
        if score > best and score >= least:
            best, found = score, sentence
    return found


def sentences_of(text: str) -> list[str]:
    """The sentences of a prompt: its lines without list marks and headings, cut after full stops."""
    rows = (_BULLET.sub("", row).strip() for row in text.splitlines())
    return [sentence for row in rows if row for sentence in _SENTENCE.split(row)]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", bare(text)))
