"""What is learned of models while they are asked, by account and model: which options they refuse, and how their
tokens compare with our estimate.

Before it comes each request's answer or refusal; after it the next request. Kept in memory only: a restart learns it
again with one refused request.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from openai import APIStatusError

# Options that a turn can do without. Current models refuse `max_tokens`, older servers know nothing else; reasoning
# models refuse a temperature, others reasoning.
BOUND, OLD_BOUND = "max_completion_tokens", "max_tokens"
OPTIONAL: Final = (BOUND, OLD_BOUND, "temperature", "reasoning_effort", "reasoning", "include", "metadata")

_KEPT: Final = 4096  # accounts' models
_SHARE: Final = 0.3  # of the newest answer in the running ratio
_LOWEST, _HIGHEST = 0.25, 4.0


class _Model(msgspec.Struct):
    refused: frozenset[str] = frozenset()
    ratio: float = 1.0


class Learned:
    """What is known of each account's models."""

    def __init__(self) -> None:
        self._models: OrderedDict[Hashable, _Model] = OrderedDict()

    def fit(self, key: Hashable, options: Mapping[str, Any]) -> dict[str, Any]:
        """A request's options as its model takes them."""
        refused = self._of(key).refused
        kept = {name: value for name, value in options.items() if name not in refused}
        if BOUND in options and BOUND in refused:
            kept[OLD_BOUND] = options[BOUND]
        return kept

    def refuse(self, key: Hashable, error: APIStatusError, sent: Collection[str]) -> str | None:
        """Learns which of the options that were `sent` a refusal names; None where it names none."""
        if (name := _named(error, sent)) is None:
            return None
        model = self._of(key)
        model.refused = model.refused - {BOUND} if name == OLD_BOUND else model.refused | {name}
        return name

    def lacks(self, key: Hashable, name: str) -> bool:
        """Whether a server was found not to have something."""
        return name in self._of(key).refused

    def lack(self, key: Hashable, name: str) -> None:
        """A server was found not to have something."""
        model = self._of(key)
        model.refused |= {name}

    def ratio(self, key: Hashable) -> float:
        """Tokens of the model for each token of `talk.prompt.tokens`."""
        return self._of(key).ratio

    def count(self, key: Hashable, estimated: int, reported: int) -> None:
        """Learns from a request whose tokens the API counted."""
        if estimated > 0 and reported > 0:
            model = self._of(key)
            now = min(_HIGHEST, max(_LOWEST, reported / estimated))
            model.ratio += _SHARE * (now - model.ratio)

    def _of(self, key: Hashable) -> _Model:
        model = self._models.setdefault(key, _Model())
        self._models.move_to_end(key)
        if len(self._models) > _KEPT:
            self._models.popitem(last=False)
        return model


def _named(error: APIStatusError, sent: Collection[str]) -> str | None:
    """The option that a refusal names: as its `param`, else as a word of its message."""
    if error.status_code not in (400, 422):
        return None
    options = [name for name in OPTIONAL if name in sent]
    if error.param:
        root = re.split(r"[.\[]", error.param)[0]
        return root if root in options else None
    if "include" in options and "encrypted content" in error.message.lower():
        return "include"
    return next((name for name in options if name != "include" and re.search(rf"\b{name}\b", error.message)), None)
