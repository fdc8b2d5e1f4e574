"""Messages made of a trigger's own words: what `prove` tries before it searches, and the most readable examples."""

from __future__ import annotations

from reconciler.plan.routes.answer import Semantics
from reconciler.plan.routes.answering import Views, test_of
from reconciler.plan.routes.asking import ALWAYS, All, Any_, Asked, Atom, Formula


def samples(one: Asked, semantics: Semantics) -> tuple[str, ...]:
    """Some messages that a bot's trigger takes, the most natural first; none where that takes a search."""
    test = test_of(one, semantics)
    found = [text for text in _made(one) if text.strip()]
    return tuple(text for text in dict.fromkeys(found) if not one.unknown and test(Views(text, semantics)))


def join(ones: tuple[str, ...], twos: tuple[str, ...]) -> list[str]:
    """Messages that hold one of each."""
    return [text for one in ones[:1] for two in twos[:1] for text in (f"{one} {two}", f"{two} {one}")]


def _made(one: Asked) -> list[str]:
    trigger = one.trigger
    if trigger == ALWAYS:
        return ["hello"]
    if isinstance(trigger, Atom):
        value = one.value if trigger.operator == "equals" else one.value.strip()
        match trigger.operator:
            case "equals":
                return [one.value.strip(), one.value]
            case "startsWith":
                return [value, one.value, f"{value} please", f"{one.value}please"]
            case "endsWith":
                return [value, one.value, f"hello {value}", f"hello{one.value}"]
            case "contains":
                return [value, f"{value} please", f"hello {value}", f"hello {value} please", f"hello{one.value}please"]
        return []
    wanted: dict[str, list[str]] = {"startsWith": [], "contains": [], "endsWith": [], "equals": []}
    _words(trigger, wanted)
    words = [*wanted["equals"], *wanted["startsWith"], *wanted["contains"], *wanted["endsWith"]]
    return [" ".join(words), " ".join(dict.fromkeys(words)), "hello"]


def _words(formula: Formula, wanted: dict[str, list[str]]) -> None:
    """The values that make a rule hold: all of what it asks for, the first of what it leaves open."""
    if isinstance(formula, Atom):
        wanted[formula.operator].append(formula.value)
    elif isinstance(formula, All):
        for part in formula.parts:
            _words(part, wanted)
    elif isinstance(formula, Any_):
        for part in formula.parts[:1]:
            _words(part, wanted)
