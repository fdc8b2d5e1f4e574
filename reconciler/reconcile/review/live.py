"""What a target says of a change: what drifted there of what it touches, and how many chats its bots have open.

Before it `gather` with the plan between two commits; after it the review's risks. Reads only, so a key that only reads
is enough; a target that does not answer is a sentence in the review and no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from reconciler.errors import Misuse, ReconcilerError, Unavailable
from reconciler.model import Live, Plan, Ref, Target
from reconciler.reconcile.once import Site, Wanted, make_plan
from reconciler.reconcile.review.gather import Look, Looked, Sides

if TYPE_CHECKING:
    import httpx

Read = Callable[[], Awaitable[Live]]
Count = Callable[[str, str], Awaitable[int | None]]  # (instance's name there, bot's id) -> open chats; None: not told

_BOTS: Final = 200  # whose chats are counted


def looking(site: Site, read: Read, count: Count) -> Look:
    """A `Look` at the target that `read` reads; `count` gives a bot's open chats."""

    async def look(sides: Sides, target: Target, plan: Plan) -> Looked:
        try:
            live = await read()
        except ReconcilerError as error:
            return Looked(said=f"{target.name} was not looked at: {error}")
        desired = sides.after[target.name]
        wanted = Wanted(sides.head, sides.head_config, target, desired)
        try:
            whole = make_plan(site, wanted, desired, live)
        except Misuse as error:
            return Looked(said=f"{target.name} was not looked at: {error}")
        touched = {change.ref for change in plan.changes}
        drift = msgspec.structs.replace(whole, changes=tuple(one for one in whole.changes if one.ref in touched))
        chats, said = await _chats(plan, _ids(whole), count)
        return Looked(drift=drift, chats=chats, said=said)

    return look


def unseen(why: str) -> Look:
    """A `Look` that only says why the target is not asked."""

    async def look(_sides: Sides, target: Target, _plan: Plan) -> Looked:
        return Looked(said=f"{target.name} was not looked at: {why}")

    return look


def _ids(whole: Plan) -> Mapping[Ref, tuple[str, str]]:
    """The instance's name and the id of each live bot, by the name it is declared under."""
    return {one.ref: (one.instance_name, one.live.id) for one in whole.changes if one.live is not None}


async def _chats(plan: Plan, ids: Mapping[Ref, tuple[str, str]], count: Count) -> tuple[dict[Ref, int], str]:
    bots = [one.ref for one in plan.changes if one.ref.kind == "Bot" and one.action != "create" and one.ref in ids]
    found: dict[Ref, int] = {}
    for ref in bots[:_BOTS]:
        try:
            number = await count(*ids[ref])
        except ReconcilerError as error:
            return found, f"open chats were not counted: {error}"
        if number is None:
            return found, "open chats were not counted: this key does not open them"
        if number:
            found[ref] = number
    left = len(bots) - _BOTS
    return found, f"open chats of {left:,} more bots were not counted" if left > 0 else ""


def counting(http: httpx.AsyncClient) -> Count:
    """Counts open chats over a target's HTTP API: by the runtime's own count, else by the list of sessions."""
    known: dict[str, dict[str, int] | None] = {}

    async def count(instance: str, bot: str) -> int | None:
        if instance not in known:
            answer = await _get(http, f"/openai/countSessions/{quote(instance, safe='')}")
            rows = answer.json() if answer.status_code == 200 else None
            known[instance] = {row["botId"]: row["opened"] for row in rows} if rows is not None else None
        if (counted := known[instance]) is not None:
            return counted.get(bot, 0)
        answer = await _get(http, f"/openai/fetchSessions/{quote(bot, safe='')}/{quote(instance, safe='')}")
        if answer.status_code != 200:
            return None
        return len([row for row in answer.json() if row["status"] == "opened"])

    return count


async def _get(http: httpx.AsyncClient, path: str) -> httpx.Response:
    import httpx

    try:
        return await http.get(path)
    except httpx.TransportError as error:
        raise Unavailable(f"{http.base_url} did not answer: {type(error).__name__}") from error
