"""A desired state as an Evolution API server of 2.3.x can hold it: its units, what it has and what it has not. PURE.

Before it comes the desired state of `reconciler.desired`; after it `fit` and the plan. What is changed on
the way, and what cannot be followed, is said: by a note where the bot still does its work, by a fault where it would
do something else than declared or the server would refuse it.

| declared | there |
|---|---|
| `expire` in seconds | minutes, rounded up |
| `debounceTime` in milliseconds | seconds, rounded up |
| a bot of type `assistant` | chatCompletion: instructions first, then the bot's own messages |
| a second bot of one model and maxTokens | the next free maxTokens |
| trigger `none` | a keyword that nobody writes, for `none` answers everything there |
| a regex that begins with `(?i)` | the same with both cases of each letter |
| Settings whose account another instance's Settings hold | placeholder credentials; the bots use the account |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler.errors import Problem, Refusal
from reconciler.model import DEFAULTS, DEMO, Desired, Live, LiveObject, Mark, Object, Ref, Secret, join_mark
from reconciler.plan.evolution.accounts import PLACEHOLDER, accounts
from reconciler.plan.evolution.holders import SETTINGS, Holders
from reconciler.plan.evolution.regex import both_cases
from reconciler.plan.evolution.tokens import tokens_of
from reconciler.plan.own import instance_names
from reconciler.plan.profile import Lowered

UNITS: Final = {"expire": "min", "debounceTime": "s"}
PER_UNIT: Final = {"expire": 60, "debounceTime": 1000}
DEFAULT_TOKENS: Final = 1000  # of a bot that names no maxTokens, which that server needs
NOBODY: Final = "gitops-none-"  # begins the trigger of a bot that is reached only as fallback
OPENAI: Final = "https://api.openai.com/v1"

_LENGTHS: Final = {"keywordFinish": 100, "unknownMessage": 100, "functionUrl": 500, "model": 100, "description": 255}
_NAMED: Final = 5  # objects that a note names
_BOT: Final = (
    "enabled", "description", "botType", "credentials", "assistantId", "functionUrl", "model", "systemMessages",
    "assistantMessages", "userMessages", "maxTokens", "triggerType", "triggerOperator", "triggerValue", *DEFAULTS,
)  # fmt: skip
_NO_MAX_TOKENS: Final = re.compile(r"o\d|gpt-[5-9]|gpt-\d\d")  # OpenAI refuses `max_tokens` for these
_NEUTRAL: Final = Mark("", "x" * 63, "0" * 8)


def lower(desired: Desired, live: Live | None = None) -> Lowered:
    """The desired state in that server's terms. `live` is a reading of it, so that choices made before are kept."""
    work = _Lowering(desired, live)
    for one in desired.objects:
        if one.ref.kind != "Conversation":
            work.homes.setdefault(one.ref.instance, []).append(one)
    found = {one.ref: one for home in work.homes.values() for one in work.home(home)}
    found |= {one.ref: one for one in desired.objects if one.ref.kind == "Conversation"}
    order = {kind: at for at, kind in enumerate(("Instance", "Credentials", "Settings", "Bot", "Conversation"))}
    objects = sorted(found.values(), key=lambda one: (order[one.ref.kind], one.ref.instance, one.ref.name))
    notes = (*desired.notes, *(f"{what}: {_listed(whom)}" for what, whom in work.notes.items()))
    return Lowered(
        msgspec.structs.replace(desired, objects=tuple(objects), notes=notes), tuple(work.faults), tuple(work.problems)
    )


class _Lowering:
    """What is found while one desired state is lowered."""

    def __init__(self, desired: Desired, live: Live | None) -> None:
        self.source = desired.source
        self.names = instance_names(desired)
        self.accounts = accounts(desired, live)
        self.holders = Holders(desired, live, self.accounts, self.names)
        self.homes: dict[str, list[Object]] = {}
        self.bots: dict[str, list[LiveObject]] = {}
        for one in live.objects if live is not None else ():
            if one.kind == "Bot":
                self.bots.setdefault(one.instance, []).append(one)
        self.notes: dict[str, list[str]] = {}
        self.faults: list[Refusal] = []
        self.problems: list[Problem] = []

    def note(self, what: str, one: Object, value: str = "") -> None:
        """Something that is not as declared; notes of one text become one, with whom it is about."""
        self.notes.setdefault(what, []).append(f"{_short(one.ref)} ({value})" if value else _short(one.ref))

    def fault(self, one: Object, reason: str, remedy: str) -> None:
        at, said = one.at, f"{one.ref}: {reason}"
        self.faults.append(Refusal(reason=f"{at}: {said}", remedy=remedy))
        self.problems.append(Problem(path=at.path, line=at.line, column=at.column, message=said, hint=remedy))

    def home(self, objects: list[Object]) -> Iterator[Object]:
        """The objects of one instance."""
        assistants = {one.spec["assistantId"]: one for one in objects if one.ref.kind == "Assistant"}
        bots = []
        for one in objects:
            match one.ref.kind:
                case "Instance":
                    yield self.instance(one)
                case "Credentials":
                    yield self.credentials(one)
                case "Settings":
                    yield self.settings(one)
                case "Bot":
                    bots.append(self.bot(one, assistants))
        bots = list(self.apart(bots))
        self.clashes(bots)
        yield from bots
        if placeholder := self.holders.placeholder(objects[0].ref.instance):
            yield placeholder
        if bots and (implied := self.holders.implied(objects[0].ref.instance)):
            yield self.settings(implied)

    # --- one object --------------------------------------------------------------------------------------------

    def instance(self, one: Object) -> Object:
        spec = one.spec
        if spec.get("webhook"):
            self.note("webhook is set in that server's own settings, not from here", one)
        if spec.get("retention"):
            self.note("retention cannot be kept there: that server deletes no chats", one)
        integration = "EVOLUTION" if spec.get("integration") in (None, "WEB") else spec["integration"]
        return _with(
            one, {"instanceName": spec["instanceName"], "integration": integration, "number": spec.get("number")}
        )

    def credentials(self, one: Object) -> Object:
        spec = one.spec
        key, base = spec["apiKey"], spec.get("baseUrl")
        if base == DEMO:
            self.fault(
                one, "the key is not set here, and that server has no demo model", "set the variable that it names"
            )
        elif base and base.rstrip("/") != OPENAI:
            self.fault(
                one,
                f"that server sends every key to {OPENAI}, so {base} cannot be used",
                "leave baseUrl out for this target (an overlay can: `baseUrl: null`), or set OPENAI_BASE_URL there",
            )
        for field in ("organization", "project"):
            if spec.get(field):
                self.note(f"{field} is not sent by that server: the key's own default holds", one)
        if isinstance(key, Secret) and len(key.value) > 255:
            self.fault(one, "the key is longer than the 255 characters that server stores", "use a shorter key")
        return _with(one, {"apiKey": key})

    def settings(self, one: Object) -> Object:
        spec = {field: one.spec.get(field) for field in SETTINGS}
        account = spec["credentials"]
        if account is None:
            account = self.holders.filled(one.ref.instance)
            if account is None:
                self.fault(one, "that server's Settings need Credentials", "name some: `credentials: …`")
            else:
                self.note("Settings need Credentials there; those of the bots are put in", one)
        if account is not None and self.holders.elsewhere(one.ref.instance):
            holder = self.holders.holder_of(one.ref.instance)
            where = f"those of {holder} hold it" if holder else "others hold it"
            if spec["speechToText"]:
                self.fault(
                    one,
                    f"speechToText needs Credentials with a key of their own: an API key can be in the Settings of one "
                    f"instance only, and {where}",
                    "give this instance another key, or turn speechToText off",
                )
            self.note(f"an API key can be in the Settings of one instance only ({where}), so placeholder credentials "
                      "stand in others; their bots share the account", one)  # fmt: skip
            account = PLACEHOLDER
        spec["credentials"] = account
        self.units(one, spec)
        self.texts(one, spec)
        return _with(one, spec)

    def bot(self, one: Object, assistants: Mapping[str, Object]) -> Object:
        spec = {field: one.spec.get(field) for field in _BOT}
        tools = list(one.spec.get("tools") or ())
        if spec["botType"] == "assistant":
            tools += self.assistant(one, spec, assistants.get(str(spec["assistantId"])))
        for tool in dict.fromkeys(str(tool.get("name") or tool.get("type")) for tool in tools):
            self.note("tools are never called there: that server's chatCompletion bots have none", one, tool)
        for field in ("temperature", "reasoningEffort"):
            if one.spec.get(field) is not None:
                self.note("not sent by that server, so the model's default holds", one, field)
        if spec["maxTokens"] is None:
            spec["maxTokens"] = DEFAULT_TOKENS
            self.note("maxTokens is needed there, so one is put in", one, f"{DEFAULT_TOKENS}")
        if not spec["model"]:
            self.fault(one, "that server's bots need a model", "name one: `model: …`")
        elif _NO_MAX_TOKENS.match(spec["model"]):
            self.note(
                "the model refuses max_tokens, which that server sends: customers get an error", one, spec["model"]
            )
        self.trigger(one, spec)
        self.units(one, spec)
        self.texts(one, spec)
        return _with(one, spec)

    def assistant(self, one: Object, spec: dict[str, Any], declared: Object | None) -> list[Any]:
        """Makes a chatCompletion bot of one whose assistant that server cannot run; gives the assistant's tools."""
        id, spec["botType"], spec["assistantId"] = spec["assistantId"], "chatCompletion", None
        if declared is None:
            self.note(
                f"runs as chatCompletion there (OpenAI's Assistants API is gone) without what {id} held at OpenAI", one
            )
            return []
        self.note("runs as chatCompletion there (OpenAI's Assistants API is gone), with its Assistant's text", one)
        instructions = declared.spec.get("instructions")
        spec["systemMessages"] = [*([instructions] if instructions else []), *(spec["systemMessages"] or [])]
        spec["model"] = spec["model"] or declared.spec.get("model")
        for field in ("temperature", "reasoningEffort"):
            if declared.spec.get(field) is not None and one.spec.get(field) is None:
                self.note("not sent by that server, so the model's default holds", one, field)
        return list(declared.spec.get("tools") or ())

    def trigger(self, one: Object, spec: dict[str, Any]) -> None:
        kind = spec["triggerType"]
        if kind == "none":
            spec |= {"triggerType": "keyword", "triggerOperator": "equals", "triggerValue": f"{NOBODY}{one.ref.name}"}
            self.note("`none` answers every message there, so a keyword that nobody writes takes its place", one)
            return
        if kind != "keyword":
            spec["triggerOperator"] = None
        if kind == "all":
            spec["triggerValue"] = None
        if kind == "keyword" and spec["triggerOperator"] == "regex":
            spec["triggerValue"] = both_cases(spec["triggerValue"])

    def units(self, one: Object, spec: dict[str, Any]) -> None:
        for field, size in PER_UNIT.items():
            value = spec[field]
            if value is not None:
                spec[field] = -(-value // size)
                if value % size:
                    unit = "minutes" if field == "expire" else "seconds"
                    if field not in one.inherited:
                        self.note(f"{field} is rounded up to whole {unit} there", one, f"{spec[field]}{unit[0]}")

    def texts(self, one: Object, spec: dict[str, Any]) -> None:
        for field, most in _LENGTHS.items():
            text = spec.get(field) or ""
            if field == "description" and one.ref.kind == "Bot":
                text = join_mark(text, msgspec.structs.replace(_NEUTRAL, source=self.source, name=one.ref.name))
            if len(text) > most:
                self.fault(one, f"{field} has {len(text)} characters, that server stores {most}", "shorten it")
        for field, value in spec.items():
            if isinstance(value, list | tuple):
                value = "".join(part for part in value if isinstance(part, str))
            if isinstance(value, str) and "\0" in value:
                self.fault(one, f"{field} holds a NUL character, which that server cannot store", "take it out")

    # --- the bots of an instance -------------------------------------------------------------------------------

    def apart(self, bots: list[Object]) -> Iterator[Object]:
        """Bots of one model and maxTokens get the next free maxTokens: that server takes each pair once."""
        instance = self.names[bots[0].ref.instance] if bots else ""
        given = tokens_of(bots, self.bots.get(instance, []), self.source)
        for one in bots:
            tokens = given[one.ref]
            if tokens != one.spec["maxTokens"]:
                self.note(
                    "maxTokens is the next free one, for that server takes a model and maxTokens once", one, f"{tokens}"
                )
            yield _with(one, {**one.spec, "maxTokens": tokens})

    def clashes(self, bots: list[Object]) -> None:
        """Triggers that the server would refuse although the runtime takes them: those of disabled bots count."""
        seen: dict[tuple[str, str], Object] = {}
        for one in bots:
            kind, value = one.spec["triggerType"], one.spec["triggerValue"]
            if kind == "all":
                first = seen.get(("all", ""))
                if first is not None and (one.spec["enabled"] or first.spec["enabled"]):
                    self._taken(one, first, "a bot with trigger `all`, enabled or not, beside an enabled one")
                seen.setdefault(("all", ""), one)
                continue
            held = ("keyword", f"{one.spec['triggerOperator']} {value}") if kind == "keyword" else ("advanced", value)
            across = ("value", value) if kind == "advanced" else ("advanced", value)
            if (first := seen.get(held) or seen.get(across)) is not None:
                self._taken(one, first, "the same trigger")
            seen.setdefault(held, one)
            seen.setdefault(("value", value), one)

    def _taken(self, one: Object, first: Object, what: str) -> None:
        self.fault(
            one,
            f"that server refuses {what} ({first.ref.name}, declared at {first.at}); disabled bots count there too",
            "change one of them, or take the disabled one out",
        )


def _with(one: Object, spec: Mapping[str, Any]) -> Object:
    return msgspec.structs.replace(one, spec=spec)


def _short(ref: Ref) -> str:
    return ref.name if ref.kind == "Instance" else f"{ref.instance}/{ref.name}"


def _listed(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
