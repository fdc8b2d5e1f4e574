"""Where the runtime answers a recorded chat otherwise than the server it was recorded at, and why.

`asked` is brief: the bound on the reply, how many messages the model saw, the last of them.
"""

from __future__ import annotations

from typing import Any

CUSTOMER = "@s.whatsapp.net"


def row(status: str, number: str, bot: int) -> list[Any]:
    return [status, f"{number}{CUSTOMER}", bot]


OPERATORS = (101, 102, 103, 104, 105, 104, 104, 101)
ORDERS = (
    "a pizza", "a pizza please", "order a pizza please", "order 2 pizzas please", "order 2 pizza please",
    "order 2 VEGAN pizza please", "order 2 vegan meat pizza please", "Pizza",
)  # fmt: skip

DIFFERENCES: dict[str, tuple[str, dict[str, Any]]] = {
    "keyword_equals": (
        "case does not matter: START opens",
        {
            "asked": [(101, 4, "START"), (101, 6, "start"), (101, 8, "second question"), (101, 10, "third question")],
            "said": ["echo: START", "echo: start", "echo: second question", "echo: third question"],
            "rows between": [[], ["opened"], ["opened"]],
        },
    ),
    "all_beats_keyword": (
        "the most specific trigger is asked first",
        {"asked": [(101, 4, "start")], "rows": [row("opened", "5511935380003", 101)]},
    ),
    "none_trigger": ("a bot with `none` never starts by itself", {"asked": [], "said": [], "rows": []}),
    "bad_regex": (
        "a pattern that RE2 refuses is refused when the bot is written, so it disturbs no other bot",
        {
            "refused bots": 1,
            "asked": [(102, 4, "pizza")],
            "said": ["echo: pizza"],
            "rows": [row("opened", "5511935380005", 102)],
        },
    ),
    "ignore_jids_bot": ("a bot's own ignoreJids hold", {"asked": [], "said": [], "rows": []}),
    "assistant_plain": (
        "assistants run on the Responses API with our own history, bounded by maxTokens",
        {"asked": [(101, 1, "hello"), (101, 3, "again")]},
    ),
    "assistant_tool": (
        "the same, and functions are called likewise",
        {
            "asked": [(101, 1, "is there pizza? [tool]")],
            "said": ['tool said: {"stock":7,"item":"pizza"}'],
        },
    ),
    "assistant_tool_nourl": (
        "a model that calls a function without an address is told so (the second address works in the replay)",
        {
            "asked": [(101, 1, "A [tool]"), (102, 1, "B [tool]")],
            "functions": [
                {
                    "functionName": "check_stock",
                    "functionArguments": {"item": "pizza", "remoteJid": f"551155555{CUSTOMER}", "pushName": "Ana"},
                }
            ],
            "said": ['tool said: {"error":"this bot has no functionUrl"}', 'tool said: {"stock":7,"item":"pizza"}'],
        },
    ),
    "assistant_fail": (
        "a model that fails is the bot's unknownMessage, in its own language",
        {"asked": [(101, 1, "[fail]")], "said": ["UNKNOWN"]},
    ),
    "openai_errors": (
        "no error reaches the customer, and what was asked is remembered",
        {
            "asked": [(101, 4, "[err401]"), (101, 5, "[err429]"), (101, 6, "[err500]"), (101, 7, "fine now")],
            "said": ["UNKNOWN", "UNKNOWN", "UNKNOWN", "echo: fine now"],
        },
    ),
    "change_status": (
        "paused stays paused; closed is a session that stays silent, even for `all`",
        {
            "asked": [(101, 4, "one"), (101, 6, "three")],
            "said": ["echo: one", "echo: three"],
            "rows between": [["paused"], ["closed"], []],
        },
    ),
    "history_limit": (
        "twenty messages are remembered, not ten",
        {"asked": [(101, 1 + 2 * n, f"q{n}") for n in range(8)]},
    ),
    "send_text_api": (
        "a message that a person sends through the API is a human who takes over (stopBotFromMe)",
        {
            "asked": [(101, 4, "one")],
            "said": ["echo: one", "manual"],
            "rows": [row("paused", "5511935380039", 101)],
            "rows between": [["paused"]],
        },
    ),
    "no_text_keyword": (
        "a sticker is no text, so no keyword matches it, not even `unknown`",
        {"asked": [], "said": [], "rows": []},
    ),
    "keyword_operators": (
        "`advanced` is asked after the five plain operators, and case does not matter",
        {
            "asked": [(bot, 4, order) for bot, order in zip(OPERATORS, ORDERS, strict=True)],
            "said": [f"echo: {order}" for order in ORDERS],
            "rows": [row("opened", f"55118{n}000", bot) for n, bot in enumerate(OPERATORS)],
        },
    ),
    "image_message": (
        "base64 goes to the model as a data URL; an image that is nowhere is what its caption says, or unread",
        {
            "asked": [
                (101, 4, "what is this?\n<http://127.0.0.1:18999/cat.jpg>"),
                (101, 6, "what is this?\n<data:image/jpeg;base64,aGVsbG8=>"),
                (101, 8, "what is this?"),
            ],
            "said": [
                "echo: what is this?\n<http://127.0.0.1:18999/cat.jpg>",
                "echo: what is this?\n<data:image/jpeg;base64,aGVsbG8=>",
                "echo: what is this?",
                "UNKNOWN",
            ],
        },
    ),
    "audio_message": (
        "without speechToText a bot is found, and audio is answered with its unknownMessage",
        {"said": ["UNKNOWN"], "rows": [row("opened", "5511935380036", 101)]},
    ),
    "other_text_types": (
        "a location is read as a whole; a document is what its caption says",
        {
            "asked": [
                (101, 4, "extended"),
                (101, 6, "Location: -23.5, -46.6"),
                (101, 8, "btn1"),
                (101, 10, "my doc"),
            ],
            "said": ["echo: extended", "echo: Location: -23.5, -46.6", "echo: btn1", "echo: my doc"],
        },
    ),
}
