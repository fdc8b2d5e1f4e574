"""Effective values: a bot's own field, else its instance's Settings, else the built-in default."""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.model import DEFAULTS, Behaviour, Bot, Settings


class Effective(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a bot behaves, with nothing left open.

    `expire` in seconds (0: never); `delay_message`, `debounce_time` and `time_per_char` in milliseconds.
    """

    expire: int
    keyword_finish: str | None
    delay_message: int
    unknown_message: str | None
    listening_from_me: bool
    stop_bot_from_me: bool
    keep_open: bool
    debounce_time: int
    ignore_jids: frozenset[str]
    split_messages: bool
    time_per_char: int


_FIELDS = tuple(zip(Effective.__struct_fields__, Effective.__struct_encode_fields__, strict=True))


def effective(bot: Bot | None, settings: Settings | None) -> Effective:
    """The values that hold for a bot; without a bot those that hold for any. `ignoreJids` is the union of both.

    Rows are frozen and a message asks four times, so the last answers are kept by the rows' identity (which holds, for
    the rows are kept with them).
    """
    key = (id(bot), id(settings))
    if (kept := _kept.get(key)) is None:
        if len(_kept) >= _MOST:
            _kept.clear()
        _kept[key] = kept = (bot, settings, _made(bot, settings))
    return kept[2]


_MOST: Final = 4096  # pairs kept
_kept: Final[dict[tuple[int, int], tuple[Bot | None, Settings | None, Effective]]] = {}


def _made(bot: Bot | None, settings: Settings | None) -> Effective:
    levels: tuple[Behaviour | None, ...] = (bot, settings)
    found = {}
    for field, wire in _FIELDS:
        own = next((value for level in levels if (value := getattr(level, field, None)) is not None), None)
        found[field] = DEFAULTS[wire] if own is None else own
    found["ignore_jids"] = frozenset().union(*(level.ignore_jids or () for level in levels if level is not None))
    return Effective(**found)


def ignores(ignored: frozenset[str], jid: str) -> bool:
    """Whether a chat is to be left alone: its exact id, `@g.us` for groups, `@s.whatsapp.net` for single chats."""
    return jid in ignored or any(whole in ignored and jid.endswith(whole) for whole in ("@g.us", "@s.whatsapp.net"))
