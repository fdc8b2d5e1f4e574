"""Where this runtime answers otherwise than the recorded server, on purpose, and why.

`test_exchanges.py` compares: a difference that is not here fails, and so does an entry that no longer differs. The
body of an error is another matter, the same everywhere: `message` is always a list of texts, where the recorded server
answers a text, a list, or a list in a list.
"""

from __future__ import annotations

# Why -> exchange -> the status given here. Those with a success status were refused by the recorded server.
STATUSES: dict[str, dict[int, int]] = {
    "keys are looked at before names and bodies, so that neither can be probed": {20: 401, 21: 401, 24: 401},
    "a message to the webhook needs a key; anybody could write to a bot otherwise": {
        237: 401,
        249: 401,
        253: 401,
        262: 401,
        264: 401,
    },
    "what is taken is 409": {4: 409, 49: 409, 77: 409, 78: 409, 98: 409, 102: 409, 170: 409, 172: 409},
    "a word matches in upper and lower case, so its trigger is taken in both": {80: 409},
    "the path exists, with other methods: 405 says which": {26: 405, 28: 405, 74: 405},
    "what is not there, or is another instance's, is 404: not null, an empty list or a 500": {
        38: 404,
        72: 404,
        73: 404,
        157: 404,
        168: 404,
        169: 404,
        232: 404,
        240: 404,
        266: 404,
        272: 404,
    },
    "the query cannot choose another instance or bot than the path": {152: 422, 153: 404},
    "another instance's bots and credentials cannot be read or used": {136: 422, 158: 404, 212: 422},
    "a reference that leads nowhere is 422, not 500": {134: 422, 176: 422, 190: 422, 192: 422, 208: 422},
    "a body that does not fit is 400, not 500": {
        61: 400,
        81: 400,
        82: 400,
        84: 400,
        88: 400,
        89: 400,
        90: 400,
        92: 400,
        140: 400,
        177: 400,
    },
    "a name that is left out is missing, not taken": {6: 400},
    "a body that is neither JSON nor a form is 415": {66: 415},
    "a pattern that cannot be matched is refused when it is stored": {105: 422},
    "there are no credentials to ask with: 404, not 500": {40: 404},
    "the provider refused the key: 502, not 500": {233: 502},
    "credentials in use cannot be deleted; the recorded server deletes the bots with them, or answers 500": {
        277: 409,
        280: 409,
    },
    "the web channel is the default": {5: 201},
    "two instances may use one API key, and one name for credentials": {48: 201, 50: 201},
    "bots may share model and maxTokens": {86: 201},
    "null is as good as left out": {96: 201, 133: 201},
    "unknownMessage may have 1,000 characters": {141: 201},
    "an update keeps what it leaves out; the result is checked as a whole": {162: 200, 164: 200, 165: 200},
    "the settings keep what is left out": {196: 200, 197: 200, 198: 200, 200: 200},
    "an empty finish word is none": {206: 200},
    "a fallback bot can be set, and unset, together with credentials": {186: 200, 193: 200},
    "several instances' settings can use credentials alike": {210: 200},
}

# What a webhook message is answered with the key, where the recorded server asked for none.
KEYED: dict[int, tuple[int, str]] = {
    262: (400, "a message without a number is answered at once, not never"),
}

_INHERITED = (
    "expire",
    "keywordFinish",
    "delayMessage",
    "unknownMessage",
    "listeningFromMe",
    "stopBotFromMe",
    "keepOpen",
    "debounceTime",
    "ignoreJids",
    "splitMessages",
    "timePerChar",
)
_BOTS = (
    "POST /openai/create",
    "GET /openai/find",
    "GET /openai/fetch",
    "PUT /openai/update",
    "GET /openai/fetchSettings",
)
_CREDENTIALS = ("POST /openai/creds", "GET /openai/creds")


def _of_bots(*differences: str) -> frozenset[str]:
    return frozenset(prefix + text for text in differences for prefix in ("", "Fallback.", "fallback."))


# Why, in which calls, which differences of the body. Each must be seen at least once.
BODIES: list[tuple[str, tuple[str, ...], frozenset[str]]] = [
    (
        "null inherits from the Settings when the bot answers; the recorded server copies them when it is created,"
        " after which a change of the Settings does nothing",
        _BOTS,
        _of_bots(*(f"{name} null" for name in _INHERITED)),
    ),
    ("this project's own fields", _BOTS, _of_bots("tools added", "temperature added", "reasoningEffort added")),
    ("keys are shown as a mask and a fingerprint", _CREDENTIALS, frozenset({"apiKey value", "fingerprint added"})),
    (
        "this project's own fields",
        _CREDENTIALS,
        frozenset({"baseUrl added", "description added", "organization added", "project added"}),
    ),
    (
        "a leftover of that server, always an empty list",
        ("GET /openai/creds",),
        frozenset({"OpenaiAssistant missing"}),
    ),
    (
        "who answers, and this project's own fields",
        ("GET /instance/fetchInstances",),
        frozenset({"clientName value", "retention added", "webhook added", "webhookSecret added"}),
    ),
    (
        "timePerChar is 0 by default",
        ("POST /openai/settings", "GET /openai/fetchSettings"),
        frozenset({"timePerChar value"}),
    ),
    ("when a model ends is said where it is known", ("GET /openai/getModels",), frozenset({"shutdown_date added"})),
    (
        "why a session ended badly is said; its history has the texts alone",
        ("GET /openai/fetchSessions",),
        frozenset({"failure added", "context value"}),
    ),
]

_DEFAULTS = {"debounceTime value", "expire value", "keywordFinish null", "stopBotFromMe value", "unknownMessage null"}
_KEPT = {"fallbackId type", "openaiIdFallback type"}

# Exchange -> why and which differences, for what is true of it alone.
CASES: dict[int, tuple[str, frozenset[str]]] = {
    37: (
        "the defaults are this project's: no expiry, no finish word, no word for what is not understood",
        frozenset({*_DEFAULTS, "listeningFromMe value", "speechToText added", "Fallback added"}),
    ),
    69: (
        "the query cannot choose another instance: its own credentials are listed",
        frozenset({" length", "id value", "instanceId value", "name value"}),
    ),
    76: (
        "creating a bot does not set the instance's settings",
        frozenset(
            {
                *_DEFAULTS,
                "keepOpen value",
                "fallbackId type",
                "createdAt missing",
                "updatedAt missing",
                "id missing",
                "instanceId missing",
                "openaiCredsId missing",
                "openaiIdFallback missing",
            }
        ),
    ),
    149: ("page and limit choose a part", frozenset({"id value", "maxTokens value", "triggerValue value"})),
    154: ("the query is not echoed", frozenset({"bot.foo missing", "bot.x missing"})),
    194: ("a fallback bot that is left out is kept", frozenset(_KEPT)),
    209: ("a fallback bot that is left out is kept", frozenset(_KEPT)),
    213: ("a fallback bot that is left out is kept", frozenset(_KEPT)),
    214: ("a fallback bot that is left out is kept", frozenset({*_KEPT, "Fallback type", "fallback type"})),
    252: ("a fallback bot that is left out is kept", frozenset(_KEPT)),
    248: (
        "a session that was closed by hand is still there, so that the chat stays silent",
        frozenset({"bot.bot.session.count value"}),
    ),
    281: ("the bot is still there: credentials in use cannot be deleted", frozenset({" type"})),
}
