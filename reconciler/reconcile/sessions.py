"""Chats of a running runtime as recorded chats, for reviews to play: `sessions export`.

Before it the runtime's HTTP API, with a key that opens what customers wrote; after it a file of JSON lines that
`reconcile/review/replay.py` reads. One chat is read, redacted and written at a time, so any number of them takes the
memory of one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reconciler.errors import Misuse, Unavailable
from reconciler.model import split_mark
from reconciler.reconcile.redact import Redactor, introduced
from reconciler.reconcile.review.replay import Message, Recorded

if TYPE_CHECKING:
    import httpx

MESSAGES: Final = 1_000  # of one chat, the newest
_LONG: Final = 20_000  # characters of one message


class Chats:
    """The chats of a runtime. `http` has its address and key."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def recorded(
        self,
        *,
        redactor: Redactor | None,
        instance: str | None = None,
        bot: str | None = None,
        since: float | None = None,
        limit: int = 1_000,
        skipped: Callable[[str], None] = lambda _: None,
    ) -> AsyncIterator[Recorded]:
        """The chats with a session that is there, the newest messages of each, of those active after `since` (seconds
        since the epoch). `bot` is a bot's YAML name or id.

        Raises Misuse for names that are not there and keys that do not open it, Unavailable where nobody answers.
        """
        left = limit
        for name in await self._instances(instance):
            bots = await self._get(f"/openai/find/{_path(name)}")
            names = {row["id"]: _name(row) for row in bots}
            wanted = [id for id, known in names.items() if bot in (None, id, known)]
            if bot is not None and not wanted and instance is not None:
                raise Misuse(
                    f"there is no bot {bot!r} in {name}; there is: {', '.join(sorted(names.values())) or 'none'}"
                )
            seen: set[str] = set()
            for id in wanted:
                for session in await self._get(f"/openai/fetchSessions/{_path(id)}/{_path(name)}"):
                    jid = session["remoteJid"]
                    if jid in seen or (since is not None and _seconds(session["updatedAt"]) < since):
                        continue
                    if not left:
                        skipped(f"there are more than {limit:,} chats: --limit takes more")
                        return
                    seen.add(jid)
                    left -= 1
                    yield await self._chat(name, jid, session.get("pushName"), names, redactor, since)

    async def _chat(
        self,
        instance: str,
        jid: str,
        push_name: str | None,
        names: dict[str, str],
        redactor: Redactor | None,
        since: float | None,
    ) -> Recorded:
        rows = await self._get(f"/chat/{_path(instance)}/{_path(jid)}?limit={MESSAGES}")
        rows = [row for row in rows if row["text"] and (since is None or row["timestamp"] >= since)]
        first = rows[0]["timestamp"] if rows else 0
        called = (*((push_name,) if push_name else ()), *(name for row in rows for name in introduced(row["text"])))
        messages = tuple(
            Message(
                by="customer" if not row["fromMe"] else "bot" if row.get("botId") else "human",
                text=(redactor.text(row["text"], called) if redactor else row["text"])[:_LONG],
                at=float(row["timestamp"] - first),
                bot=names.get(row.get("botId") or ""),
            )
            for row in rows
        )
        return Recorded(instance=instance, chat=redactor.chat(jid) if redactor else jid, messages=messages)

    async def _instances(self, instance: str | None) -> list[str]:
        names = [str(row["name"]) for row in await self._get("/instance/fetchInstances")]
        if instance is None:
            return names
        if instance not in names:
            raise Misuse(f"there is no instance {instance!r}; there is: {', '.join(names) or 'none yet'}")
        return [instance]

    async def _get(self, path: str) -> Any:
        import httpx

        try:
            answer = await self._http.get(path)
        except httpx.TransportError as error:
            raise Unavailable(f"no runtime answers at {self._http.base_url}: {type(error).__name__}") from error
        if answer.status_code in (401, 403):
            said = "a token that only reads does not open what customers wrote"
            raise Misuse(f"{self._http.base_url} does not take this key: it needs the global or the instance's; {said}")
        if answer.is_error:
            raise Unavailable(f"{self._http.base_url} answered {answer.status_code} to {path.partition('?')[0]}")
        return answer.json()


def since_of(length: str) -> float:
    """`7d`, `12h`, `30m` as the moment so long ago, in seconds since the epoch. Raises Misuse."""
    from reconciler.desired.durations import milliseconds

    number = length.rstrip("dhms")
    if not (
        number.isascii() and number.isdigit() and len(number) <= 6 and length[len(number) :] in ("d", "h", "m", "s")
    ):
        raise Misuse(f"--since {length}: write how long ago, such as 7d, 12h or 30m")
    return time.time() - milliseconds(length) / 1000


def _name(row: dict[str, Any]) -> str:
    """A bot's YAML name from its mark, or its id."""
    mark = split_mark(row.get("description"))[1]
    return mark.name if mark is not None else str(row["id"])


def _seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def _path(part: str) -> str:
    return quote(part, safe="")
