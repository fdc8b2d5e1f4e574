"""What `prove` found, in sentences. Before it `prove`; after it `why` and whoever shows routes to people."""

from __future__ import annotations

from reconciler.plan.routes.answer import Moved, Unreachable

_MOST_NAMES = 3


def why_never(one: Unreachable) -> str:
    """Why a bot never answers."""
    names = _names(one.by)
    match one.why:
        case "no trigger":
            return "its trigger is `none`, and it is not the fallback bot of its instance's Settings"
        case "nothing":
            return "its trigger takes no message at all"
        case "refused":
            return "the target cannot read its pattern"
        case "dropped":
            return f"the target cannot read the pattern of {names}, and drops every message before this bot is asked"
    shown = "" if one.message is None else f": {one.message!r} starts {one.by[0]}"
    if len(one.by) == 1:
        return f"{names} takes all its messages and is asked before it{shown}"
    return f"{names} together take all its messages and are asked before it{shown}"


def what_moves(one: Moved) -> str:
    """Which messages go from whom to whom."""
    message = "a message without text" if one.message is None else repr(one.message)
    return f"{message} goes to {one.after or 'nobody'} instead of {one.before or 'nobody'}"


def _names(names: tuple[str, ...]) -> str:
    shown = list(names[:_MOST_NAMES])
    if more := len(names) - len(shown):
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "nobody"
