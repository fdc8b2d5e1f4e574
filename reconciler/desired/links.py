"""Links: the rules between objects. Before it comes `assemble`; after it `resolve`.

Each takes the objects of one target and yields (object, fault); nothing here knows of files or lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler.desired.assemble import Draft
from reconciler.desired.traps import UNSEEN, called
from reconciler.model import Kind, TargetType
from reconciler.shape import Fault, Path_, closest
from reconciler.talk.match import check_regex, trigger_key

Found = Iterator[tuple[Draft, Fault]]


class Links:
    """The objects of one target, by kind and instance."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.drafts = drafts
        self.named: dict[tuple[Kind, str], dict[str, Draft]] = defaultdict(dict)
        for draft in drafts:
            self.named[draft.ref.kind, draft.ref.instance][draft.ref.name] = draft
        self.instances = [draft.ref.name for draft in drafts if draft.ref.kind == "Instance"]

    def of(self, kind: Kind, instance: str) -> Mapping[str, Draft]:
        """The objects of a kind in an instance, by name."""
        return self.named.get((kind, instance), {})

    def settings(self, instance: str) -> Mapping[str, Any]:
        """What an instance's Settings say; empty where there are none."""
        return next((draft.spec for draft in self.of("Settings", instance).values()), {})


def missing(links: Links) -> Found:
    """Names that nothing has. Only sure where every file could be read."""
    known = set(links.instances)
    for draft in links.drafts:
        kind, instance = draft.ref.kind, draft.ref.instance
        if instance not in known:
            hint = closest(instance, links.instances) or "declare it with `kind: Instance`"
            yield draft, Fault(("metadata", "instance"), f"there is no Instance named '{instance}'", hint)
            continue  # nothing it names can be there
        match kind:
            case "Settings":
                yield from _absent(links, draft, "Credentials", "spec", "credentials")
                yield from _absent(links, draft, "Bot", "spec", "fallbackBot")
            case "Bot":
                yield from _absent(links, draft, "Credentials", "spec", "credentials")
                yield from _absent(links, draft, "Assistant", "spec", "assistant")
                if not draft.spec.get("credentials") and not links.settings(instance).get("credentials"):
                    accounts = list(links.of("Credentials", instance))
                    hint = (
                        f"name one, here or in the Settings: {', '.join(accounts[:5]) or 'declare Credentials first'}"
                    )
                    yield draft, Fault(("spec", "credentials"), "the bot has no Credentials", hint, "required")
            case "Conversation":
                for number, turn in enumerate(_list(draft.spec.get("turns"))):
                    if isinstance(turn, dict) and isinstance(turn.get("expect"), dict):
                        yield from _absent(links, draft, "Bot", "spec", "turns", number, "expect", "bot")


def clashes(links: Links) -> Found:
    """What no two objects may share."""
    yield from _taken(links, "Instance", "instanceName", "name")
    yield from _taken(links, "Instance", "number", None)
    yield from _taken(links, "Assistant", "id", "name", within="instance")
    yield from _triggers(links)
    yield from _renames(links)
    yield from _adoptions(links)
    for (kind, instance), named in links.named.items():
        if kind == "Settings" and len(named) > 1:
            first, *others = named.values()
            for draft in others:
                message = f"the instance '{instance}' has Settings already"
                yield draft, Fault(("metadata", "name"), message, f"first at {first.at}; keep one of them")


def patterns(links: Links, type: TargetType) -> Found:
    """Patterns of triggers that the target's engine refuses: RE2 on the runtime, JavaScript on an Evolution server."""
    for draft in links.drafts:
        spec = draft.spec
        if draft.ref.kind != "Bot" or not draft.sound or spec.get("triggerOperator") != "regex":
            continue
        value = spec.get("triggerValue")
        if spec.get("triggerType") != "keyword" or not isinstance(value, str):
            continue
        hint = ""
        if type == "evolution":
            from reconciler.plan.evolution.regex import wrong_pattern

            wrong = wrong_pattern(value)
            hint = "targets of type evolution take JavaScript's patterns; an overlay can say another for them"
        else:
            wrong = check_regex(value)
        if wrong is not None:
            yield draft, Fault(("spec", "triggerValue"), wrong, hint)


def warnings(links: Links) -> Found:
    """What is allowed but hardly meant."""
    for draft in links.drafts:
        if draft.ref.kind == "Settings":
            fallback = links.of("Bot", draft.ref.instance).get(str(draft.spec.get("fallbackBot")))
            if fallback is not None and fallback.spec.get("enabled") is False:
                yield draft, Fault(("spec", "fallbackBot"), "the fallback bot is not enabled, so it never answers")
        yield from _unseen(draft)
        if draft.ref.kind != "Bot":
            continue
        settings = links.settings(draft.ref.instance)
        spec = {**settings, **draft.spec}
        if spec.get("triggerType") == "all" and spec.get("keepOpen") is True and _zero(spec.get("expire")):
            message = "with `all`, `keepOpen` and no `expire`, the bot is silent for ever once its session is closed"
            yield draft, Fault(("spec", "triggerType"), message, "give an `expire`, such as 12h")
        functions = draft.spec.get("tools")
        if draft.spec.get("botType") == "assistant" and (name := draft.spec.get("assistant")) is not None:
            assistant = links.of("Assistant", draft.ref.instance).get(str(name))
            functions = [*_list(functions), *_list(assistant.spec.get("tools") if assistant else None)]
        called = any(isinstance(tool, dict) and tool.get("type") == "function" for tool in _list(functions))
        if called and not draft.spec.get("functionUrl"):
            message = "the bot has function tools but no functionUrl, so its calls go nowhere"
            yield draft, Fault(("spec", "functionUrl"), message, "give the address that answers them")
        if (bare := draft.spec.get("assistantId")) is not None and draft.spec.get("botType") == "assistant":
            ids = [one.spec.get("id", name) for name, one in links.of("Assistant", draft.ref.instance).items()]
            if bare not in ids and not draft.spec.get("model"):
                message = f"no Assistant here has the id '{bare}' and the bot names no model, so it cannot answer"
                yield draft, Fault(("spec", "assistantId"), message, "declare the Assistant, or give a model")


_QUOTES: Final = frozenset("“”„‟«»‘’‚‛")


def _unseen(draft: Draft) -> Found:
    """Characters in what customers have to write that none of them sees."""
    fields = ("triggerValue", "keywordFinish")
    words: list[tuple[Path_, Any]] = [(("spec", field), draft.spec.get(field)) for field in fields]
    words += [(("spec", "ignoreJids", n), jid) for n, jid in enumerate(_list(draft.spec.get("ignoreJids")))]
    for where, word in words:
        if isinstance(word, str) and (found := UNSEEN.search(word)) is not None:
            shown = UNSEEN.sub(lambda each: each[0].encode("unicode_escape").decode(), word[:60])
            said = f"holds {called(found[0])}, which nobody sees: '{shown}'"
            yield draft, Fault(where, said, "write it anew without")
        elif isinstance(word, str) and word and where[1] in fields and {word[0], word[-1]} & _QUOTES:
            said = f"holds quotes that customers would have to write too: {word[:60]}"
            yield draft, Fault(where, said, "take them out; around a text ' and \" are the ones that YAML takes away")


def _absent(links: Links, draft: Draft, kind: Kind, *path: str | int) -> Found:
    value: Any = draft.data
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            return
    known = links.of(kind, draft.ref.instance)
    if isinstance(value, str) and value not in known:
        near = closest(value, list(known))
        elsewhere = sorted(i for (k, i), named in links.named.items() if k == kind and value in named)
        hint = near or (
            f"it is in the instance '{elsewhere[0]}' only" if elsewhere else f"declare it with `kind: {kind}`"
        )
        what = "are no Credentials" if kind == "Credentials" else f"is no {kind}"
        message = f"there {what} named '{value}' in the instance '{draft.ref.instance}'"
        yield draft, Fault(path, message, hint)


def _taken(links: Links, kind: Kind, field: str, default: str | None, *, within: str = "") -> Found:
    """A field that no two objects of a kind may share: in the whole fleet, or `within` an instance."""
    seen: dict[tuple[str, str], Draft] = {}
    for draft in links.drafts:
        if draft.ref.kind != kind:
            continue
        value = draft.spec.get(field, draft.ref.name if default == "name" else None)
        if not isinstance(value, str):
            continue
        first = seen.setdefault((draft.ref.instance if within == "instance" else "", value), draft)
        if first is not draft:
            yield draft, Fault(("spec", field), f"'{value}' is taken by {first.ref}", f"declared at {first.at}")


def _triggers(links: Links) -> Found:
    seen: dict[tuple[str, str], Draft] = {}
    for draft in links.drafts:
        spec = draft.spec
        if draft.ref.kind != "Bot" or spec.get("enabled") is False or not draft.sound:
            continue
        key = trigger_key(spec["triggerType"], spec.get("triggerOperator"), spec.get("triggerValue"))
        if key is None:
            continue
        first = seen.setdefault((draft.ref.instance, key), draft)
        if first is draft:
            continue
        hint = f"declared at {first.at}; change one of them or disable it"
        if key == "all":
            message = f"a second enabled bot with trigger `all` beside '{first.ref.name}'"
            yield draft, Fault(("spec", "triggerType"), message, hint)
        else:
            message = f"the enabled bot '{first.ref.name}' has the same trigger"
            yield draft, Fault(("spec", "triggerValue"), message, hint)


def _renames(links: Links) -> Found:
    seen: dict[tuple[Kind, str, str], Draft] = {}
    for draft in links.drafts:
        former = draft.metadata.get("formerly")
        if not isinstance(former, str):
            continue
        kind, instance, name = draft.ref.kind, draft.ref.instance, draft.ref.name
        at = ("metadata", "formerly")
        if former == name:
            yield draft, Fault(at, "is its own name", "leave it out")
        elif former in links.of(kind, instance):
            other = links.of(kind, instance)[former]
            yield (
                draft,
                Fault(
                    at,
                    f"{other.ref} still exists",
                    f"declared at {other.at}; a rename takes its place: leave `formerly` out once it is applied",
                ),
            )
        elif (first := seen.setdefault((kind, instance, former), draft)) is not draft:
            yield draft, Fault(at, f"'{former}' was renamed to '{first.ref.name}' already", f"declared at {first.at}")


def _adoptions(links: Links) -> Found:
    seen: dict[tuple[Kind, str, str], Draft] = {}
    for draft in links.drafts:
        adopts = draft.metadata.get("adopts")
        if not isinstance(adopts, str):
            continue
        first = seen.setdefault((draft.ref.kind, draft.ref.instance, adopts), draft)
        if first is not draft:
            fault = Fault(("metadata", "adopts"), f"'{adopts}' becomes {first.ref} already", f"declared at {first.at}")
            yield draft, fault


def _zero(value: Any) -> bool:
    return value is None or value == 0 or (isinstance(value, str) and value.rstrip("dhms") == "0")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
