"""Addresses that bots and lines send to: their hosts, and secrets that stand in them.

Before it a plan; after it `risks`, which speaks of new hosts, and the renderings, which show no secret that a query
carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from reconciler.model import Change, Plan

# Fields that hold an address, and what is sent there.
SENDS: Final[Mapping[str, str]] = {
    "functionUrl": "what the model passes to functions, with each customer's number,",
    "webhook": "every message of the line",
    "baseUrl": "prompts, chats and the key",
}

_WORDS: Final = r"token|key|secret|passw|signature|sig|auth|credential"
_QUERY: Final = re.compile(rf"([?&#][^=&#]*(?:{_WORDS})[^=&#]*=)([^&#]{{8,}})", re.IGNORECASE)


def host(url: str) -> str:
    """The host and port of an address."""
    return urlsplit(url).netloc.lower()


def secret_in(url: str) -> str:
    """The name of a query parameter that looks like a secret's; "" without one."""
    if (found := _QUERY.search(url)) is None:
        return ""
    return next((name for name, _ in parse_qsl(found[0][1:])), found[1][1:-1])


def hidden(url: str) -> str:
    """The address without the values of such parameters."""
    return _QUERY.sub(r"\1…", url)


def masked(plan: Plan) -> Plan:
    """The plan as it may be shown: no address in it carries a secret."""
    return msgspec.structs.replace(plan, changes=tuple(map(_masked, plan.changes)))


def _masked(change: Change) -> Change:
    fields = tuple(
        msgspec.structs.replace(one, before=_shown(one.before), after=_shown(one.after)) if one.field in SENDS else one
        for one in change.fields
    )
    spec = {name: _shown(value) if name in SENDS else value for name, value in (change.spec or {}).items()}
    return msgspec.structs.replace(change, fields=fields, spec=spec if change.spec is not None else None)


def _shown(value: Any) -> Any:
    return hidden(value) if isinstance(value, str) else value
