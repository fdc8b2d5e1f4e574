"""Whom a first message starts on a target, for who rehearses chats: by the rules of the target's own matcher.

Before it a line as `rehearse.line_of` makes it; after it a rehearsed chat. All else of a chat goes by the rules of the
runtime everywhere: of an Evolution API server only the matcher is known.
"""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler.model import Bot, Desired, Line, TargetType
from reconciler.plan.evolution import match as evolution
from reconciler.plan.evolution.match import Verdict
from reconciler.plan.profiles import profile_of
from reconciler.talk.match import explain, match

# What is to be said of chats that are rehearsed for a target that is not the runtime.
OTHERWISE: Final = (
    "whom a first message starts is told by the rules of an Evolution API server, all else of a chat by the runtime's: "
    "what ends a session there, or pauses it, and when, may be otherwise"
)


def first(line: Line, text: str | None, type: TargetType) -> Verdict:
    """Who is asked about a first message on a target of a type, and who answers, if that is known."""
    if type == "evolution":
        return evolution.judge(line, text)
    return Verdict(tuple(explain(line, text)), match(line, text))


def as_there(line: Line, desired: Desired, type: TargetType) -> Line:
    """An instance's line with the triggers that its bots have on a target of a type."""
    if type == "runtime":
        return line
    own = tuple(one for one in desired.objects if one.ref.instance == line.instance.id)
    lowered = profile_of(type).lower(msgspec.structs.replace(desired, objects=own), None).desired
    specs = {one.ref.name: one.spec for one in lowered.objects if one.ref.kind == "Bot"}
    last = line.settings.openai_id_fallback if line.settings else None

    def made(bot: Bot) -> Bot:
        if bot.id == last and not bot.enabled:  # it answers what is left all the same, but is not asked before
            return msgspec.structs.replace(bot, enabled=True, trigger_type="keyword", trigger_value=None)
        spec = specs[bot.id]
        return msgspec.structs.replace(
            bot,
            trigger_type=spec["triggerType"],
            trigger_operator=spec["triggerOperator"],
            trigger_value=spec["triggerValue"],
        )

    return msgspec.structs.replace(line, bots=tuple(map(made, line.bots)))
