"""The nouns, as frozen structs; camelCase on the wire.

Two groups: what git says and what is live are `Desired`, `Live` and the `Plan` between them; what a chat is
made of are `Bot`, `Credentials`, `Settings`, `Assistant`, `Instance` (rows of the HTTP API), `Session` and
`Heard`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from reconciler.errors import Problem, Refusal

Kind = Literal["Instance", "Credentials", "Assistant", "Settings", "Bot", "Conversation"]
Origin = Literal["pending", "drift", "conflict", "unknown"]
Action = Literal["create", "update", "delete"]
Status = Literal["opened", "paused", "closed"]
TargetType = Literal["runtime", "evolution"]

# Kinds that live on a target, in the order in which they are created (deleted in reverse).
LIVE_KINDS: Final[tuple[Kind, ...]] = ("Instance", "Credentials", "Assistant", "Settings", "Bot")

DEMO: Final = "builtin:demo"  # the baseUrl of the built-in demo model


class Ref(msgspec.Struct, frozen=True, order=True):
    """The identity of an object: its kind, the YAML name of its instance, its name.

    An Instance's own `instance` is its name.
    """

    kind: Kind
    instance: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.instance}" if self.kind == "Instance" else f"{self.kind} {self.instance}/{self.name}"


class Place(msgspec.Struct, frozen=True):
    """Where something stands in the repository; `line` and `column` count from 1."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


# --- secrets -------------------------------------------------------------------------------------------------


class Secret:
    """A secret that shows itself nowhere: `str`, `repr` and JSON give its mask."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.value.encode(), other.value.encode())

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Secret({mask(self.value)})"

    __str__ = __repr__


class Missing(msgspec.Struct, frozen=True):
    """What stands in place of a key that was looked for where `source` says and is not there: `said` is why."""

    said: str
    source: Mapping[str, str]

    def items(self) -> Iterable[tuple[str, str]]:
        """Where the key is read from, as of a key that was not looked for."""
        return self.source.items()


def mask(secret: str) -> str:
    """A secret as it may be shown: `sk-…abcd`; short ones show nothing of themselves."""
    if len(secret) < 12:
        return "…"
    head = secret[:3] if secret[:3].endswith("-") else ""
    return f"{head}…{secret[-4:]}"


def fingerprint(salt: str, secret: str) -> str:
    """`salt$digest` by which whoever holds the same secret can tell that it is the same.

    HMAC-SHA256, 128 bits in hex. API keys are long and random, so a slow hash would add nothing.
    """
    return f"{salt}${hmac.new(salt.encode(), secret.encode(), hashlib.sha256).hexdigest()[:32]}"


def same_secret(shown: str, secret: str) -> bool:
    """Whether `secret` has the fingerprint `shown` (as made by `fingerprint`)."""
    return hmac.compare_digest(fingerprint(shown.partition("$")[0], secret), shown)


# --- marks: what a live object says of who owns it -----------------------------------------------------------

_MARK: Final = re.compile(r"\s*\[gitops (?:([a-z0-9-]{1,20}):)?([a-z0-9-]{1,63})@([0-9a-f]{8})\]\s*$")


class Mark(msgspec.Struct, frozen=True):
    """The end of a managed object's live description: `[gitops acme:restaurant@3f2a91c4]`.

    `source` is the repository's `source.name` ("" without one), `name` the YAML name, `commit` the first eight
    hex digits of the commit at which the object was last applied.
    """

    source: str
    name: str
    commit: str

    def __str__(self) -> str:
        return f"[gitops {self.source + ':' if self.source else ''}{self.name}@{self.commit}]"


def split_mark(description: str | None) -> tuple[str | None, Mark | None]:
    """A live description without its mark, and the mark; an empty rest is None."""
    if not description or (found := _MARK.search(description)) is None:
        return description or None, None
    source, name, commit = found.groups()
    return description[: found.start()] or None, Mark(source or "", name, commit)


def join_mark(description: str | None, mark: Mark) -> str:
    """The live description of a managed object: its own text, then the mark."""
    return f"{description} {mark}" if description else str(mark)


def unmanaged(name: str) -> str:
    """How a reference to a live object without a mark reads: a name that no object in YAML can have."""
    return f"{name} (not managed)"


# --- what git says and what is live --------------------------------------------------------------------------


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """One declared object with its effective values.

    `spec` has the target-independent form that `plan` compares, in the runtime's units (`expire` and `retention`
    seconds, `delayMessage`, `debounceTime` and `timePerChar` milliseconds), texts from files in place, a complete
    set of fields in the kind's order (unset is None). Credentials are named, not identified. A Credentials' `apiKey`
    is `{"env": …}` or `{"file": …}` until secrets are resolved, then a `Secret`.
    `inherited` names the fields whose value came from the instance's Settings, `implied` those that nobody wrote and
    that have a built-in default. `adopts` is the target's id of a live object without a mark that is to become this
    one.
    """

    ref: Ref
    spec: Mapping[str, Any]
    at: Place
    labels: Mapping[str, str] = {}
    formerly: str | None = None
    adopts: str | None = None
    protect: bool = False
    inherited: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a commit declares for one target, ordered by kind, instance and name.

    `commit` is the full hash, or None for a working tree; `source` is the repository's `source.name` or "".
    `warnings` are things that are allowed but hardly meant. `notes` say what was put in place of what is missing.
    """

    commit: str | None
    source: str
    objects: tuple[Object, ...]
    warnings: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class LiveObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a target, in the form of `Object.spec`; fields that the target derives are left out.

    `name` is the YAML name of the mark, or None for an object without one; `instance` is the target's own
    instance name. `label` is what a person recognises it by.
    """

    kind: Kind
    instance: str
    id: str
    spec: Mapping[str, Any]
    mark: Mark | None
    label: str


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a target says is running; `version` is the ETag of the reading.

    `unproven` says why the listing of an instance (the target's name of it) cannot be trusted to be whole: nothing of
    it is to be changed.
    """

    objects: tuple[LiveObject, ...]
    version: str
    unproven: Mapping[str, str] = {}


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field that differs: `before` is live, `after` desired, `origin` who moved it; `unit` is theirs where it is
    not that of YAML."""

    field: str
    before: Any
    after: Any
    origin: Origin
    unit: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan does to one object.

    `id` and `live` are set for updates and deletes, `spec` for creates and updates. `instance_name` is the target's
    own name of the instance. `commit` is the eight-digit commit of the live mark. `inherited` names the changed
    fields that came from the instance's Settings, `implied` those of a create that nobody wrote. `held` says why the
    change is shown but not applied ("": it is applied). `adopted`: the live object has no mark yet and gets this
    repository's. `unfounded`: the commit in the mark of what would be deleted never declared it. `units` names the
    units of fields where they are not those of YAML.
    """

    action: Action
    ref: Ref
    instance_name: str
    fields: tuple[FieldChange, ...] = ()
    spec: Mapping[str, Any] | None = None
    live: LiveObject | None = None
    inherited: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()
    renamed_from: str | None = None
    labels: Mapping[str, str] = {}
    protected: bool = False
    unfounded: bool = False
    held: str = ""
    adopted: bool = False
    units: Mapping[str, str] = {}

    @property
    def origin(self) -> Origin:
        """Who moved the object as a whole: the gravest of its fields' origins."""
        found = {field.origin for field in self.fields}
        for origin in ("conflict", "unknown", "drift"):
            if origin in found:
                return origin
        return "pending"


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials whose key is missing where the plan was made, and what becomes of them.

    `kept`: the account that is live stays as it is. `demo`: there was never one, and the demo model answers for `bots`.
    `held`: there was never one, and nothing of their instance is applied. `said` is what is missing, `at` where it is
    declared.
    """

    ref: Ref
    effect: Literal["kept", "demo", "held"]
    said: str
    at: Place
    bots: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would make a target what a commit says; `version` is the ETag of what was read.

    `ids` are the target's ids of the owned objects that stay, by the name they are declared under. `faults` are what
    must be put right before any of it is applied. `strangers` counts instances that this repository never declared.
    `owned` counts live objects of this repository by instance (YAML name) and kind, `empty` says that nothing is
    declared; both are of the whole, also where only a part is planned. `type` is the target's; `unproven` are the
    instances (by the target's name, with the reason) that were left out because they could not be read whole. `absent`
    are the Credentials whose key is missing.
    """

    target: str
    commit: str | None
    source: str
    version: str
    changes: tuple[Change, ...]
    foreign: tuple[LiveObject, ...] = ()
    notes: tuple[str, ...] = ()
    ids: Mapping[Ref, str] = {}
    faults: tuple[Refusal, ...] = ()
    strangers: int = 0
    owned: Mapping[tuple[str, str], int] = {}
    empty: bool = False
    type: TargetType = "runtime"
    unproven: Mapping[str, str] = {}
    absent: tuple[Absent, ...] = ()


# --- rows of the HTTP API ------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What all rows of the HTTP API have; times are ISO 8601 in UTC with milliseconds and `Z`."""

    id: str
    created_at: str
    updated_at: str


class Instance(Row, frozen=True, kw_only=True, rename="camel"):
    """A line with its chats; `retention` in seconds (None: the default of 90 days)."""

    name: str
    integration: str = "WEB"
    number: str | None = None
    webhook: str | None = None
    retention: int | None = None


class Credentials(Row, frozen=True, kw_only=True, rename="camel"):
    """An OpenAI-compatible account; `api_key` is the mask, the key itself is stored encrypted beside the row."""

    name: str
    api_key: str
    fingerprint: str
    base_url: str | None = None
    organization: str | None = None
    project: str | None = None
    description: str | None = None
    instance_id: str


class Behaviour(Row, frozen=True, kw_only=True, rename="camel"):
    """The fields that a bot takes from its instance's Settings where it leaves them out (units: `Object`)."""

    expire: int | None = None
    keyword_finish: str | None = None
    delay_message: int | None = None
    unknown_message: str | None = None
    listening_from_me: bool | None = None
    stop_bot_from_me: bool | None = None
    keep_open: bool | None = None
    debounce_time: int | None = None
    ignore_jids: tuple[str, ...] | None = None
    split_messages: bool | None = None
    time_per_char: int | None = None


# The built-in defaults of Behaviour; keywordFinish and unknownMessage have none.
DEFAULTS: Final[Mapping[str, Any]] = {
    "expire": 0,
    "keywordFinish": None,
    "delayMessage": 1000,
    "unknownMessage": None,
    "listeningFromMe": False,
    "stopBotFromMe": False,
    "keepOpen": False,
    "debounceTime": 1000,
    "ignoreJids": (),
    "splitMessages": False,
    "timePerChar": 0,
}


class Bot(Behaviour, frozen=True, kw_only=True, rename="camel"):
    """A bot; unset is None."""

    enabled: bool
    description: str | None = None
    bot_type: Literal["assistant", "chatCompletion"]
    assistant_id: str | None = None
    function_url: str | None = None
    model: str | None = None
    system_messages: tuple[str, ...] | None = None
    assistant_messages: tuple[str, ...] | None = None
    user_messages: tuple[str, ...] | None = None
    max_tokens: int | None = None
    trigger_type: Literal["all", "keyword", "none", "advanced"]
    trigger_operator: Literal["equals", "contains", "startsWith", "endsWith", "regex"] | None = None
    trigger_value: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    openai_creds_id: str
    instance_id: str


class Settings(Behaviour, frozen=True, kw_only=True, rename="camel"):
    """An instance's defaults for its bots."""

    speech_to_text: bool | None = None
    openai_creds_id: str | None = None
    openai_id_fallback: str | None = None
    instance_id: str


class Assistant(Row, frozen=True, kw_only=True, rename="camel"):
    """What a bot of type assistant runs, found by `assistant_id` in the bot's instance."""

    assistant_id: str
    description: str | None = None
    instructions: str | None = None
    model: str | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    metadata: dict[str, str] | None = None
    instance_id: str


# --- chats ---------------------------------------------------------------------------------------------------


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a message: the bytes themselves or where they are (http or https); `name` is a document's own."""

    kind: Literal["image", "audio", "document"]
    mime: str
    url: str | None = None
    data: bytes | None = None
    name: str | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One inbound message as a channel understood it.

    `text` is None where there is nothing to read (a sticker); `kind` is the channel's own word for the content
    (`conversation`, `audioMessage`, …); `at` is seconds since the epoch when it arrived. `send`: the business says
    it through the API (sendText), so that the channel must carry it. `media` is stored beside the message until its
    turn is over, and is not read back with it.
    """

    id: str
    instance_id: str
    jid: str
    from_me: bool
    push_name: str | None
    kind: str
    text: str | None
    at: float
    send: bool = False
    media: Media | None = None


class Spoken(msgspec.Struct, frozen=True):
    """One entry of a session's history; `at` is seconds since the epoch when it was said."""

    role: Literal["user", "assistant"]
    text: str
    at: float = 0.0


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A chat's talk with one bot; times are seconds since the epoch, `active_at` the last message either way."""

    id: str
    instance_id: str
    jid: str
    bot_id: str
    status: Status
    push_name: str | None = None
    history: tuple[Spoken, ...] = ()
    await_user: bool = False
    failure: str | None = None
    created_at: float
    active_at: float


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials as a model call needs them; `base_url` None means OpenAI (or the operator's OPENAI_BASE_URL)."""

    id: str
    name: str
    api_key: Secret
    base_url: str | None
    organization: str | None
    project: str | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """All that answering one instance's chats needs: bots oldest first, accounts by id, assistants by assistantId."""

    instance: Instance
    settings: Settings | None
    bots: tuple[Bot, ...]
    accounts: Mapping[str, Account]
    assistants: Mapping[str, Assistant]


# --- reconciler.yaml -----------------------------------------------------------------------------------------


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an instance one plan may change: percent of its owned objects that exist, where there are more than
    `above` of them."""

    updates: float = 30
    deletes: float = 30
    above: int = 10


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A time that begins at each moment of a cron expression: changes are allowed in it, or denied."""

    allow: bool
    cron: str
    seconds: float


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """When a target is looked at without being woken: each `interval` (seconds), or at the moments of `schedule`
    (cron); and the windows in which it may be changed. Both in the time zone of that name. `prune`: what is declared
    no more is deleted; `self_heal`: what was moved on the live side is put back."""

    interval: float = 60
    schedule: str | None = None
    timezone: str = "UTC"
    windows: tuple[Window, ...] = ()
    prune: bool = True
    self_heal: bool = True


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One server to reconcile; `api_key` is `{"env": …}` or `{"file": …}`, `overlay` a folder of the repository.

    `here`: the one that RECONCILER_URL and the runtime of this machine stand for, the first of type runtime.
    """

    name: str
    type: TargetType = "runtime"
    url: str = "http://127.0.0.1:8080"
    api_key: Mapping[str, str] = msgspec.field(default_factory=lambda: {"env": "RECONCILER_API_KEY"})
    overlay: str | None = None
    gates: Gates = Gates()
    sync: Sync = Sync()
    here: bool = True


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of a model cost: sent, sent and found in the server's cache, answered."""

    input: float
    cached: float
    output: float


class KnownModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its maker announced it: what a million tokens cost, the day on which it goes, what replaces it."""

    input: float | None = None
    cached: float | None = None
    output: float | None = None
    ends: str | None = None
    replacement: str | None = None


class Catalog(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The models that are known here, by name, as of a day (`2026-11-27`); prices are in `currency` (ISO 4217)."""

    as_of: str
    currency: str
    sources: tuple[str, ...]
    models: Mapping[str, KnownModel]


class ForgeAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a repository's pull requests are (`forge:`); `token` is {"env": …} or {"file": …}, {}: the usual one."""

    type: Literal["github", "gitlab", "gitea"]
    repository: str
    url: str | None = None
    token: Mapping[str, str] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`reconciler.yaml` with its defaults; `ref` is the git ref whose commit is desired, `url` the remote repository
    that is followed, if it is not the one at hand, looked at each `fetch` seconds. `prices` are by model, in
    `currency` (ISO 4217)."""

    path: str = "bots"
    ref: str = "HEAD"
    url: str | None = None
    fetch: float = 60
    name: str = ""
    targets: tuple[Target, ...] = (Target(name="local"),)
    prices: Mapping[str, Price] = {}
    currency: str = "USD"
    forge: ForgeAt | None = None
