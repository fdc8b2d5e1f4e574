"""Who calls: the global key, an instance's token, a token that reads, one of a chat, or a console session.

Before it comes the request's header or cookie, after it the dispatch of `runtime/call.py`, which looks at it before
anything else. Keys are compared in constant time; tokens are looked up by a keyed digest. A key in the query string is
no key.
"""

from __future__ import annotations

import hmac
import time
from typing import Final

import msgspec
from starlette.requests import Request

from reconciler.runtime.origins import from_here
from reconciler.store.changes import gone
from reconciler.store.sqlite import Store

COOKIE: Final = "reconciler_session"
SESSION: Final = 12 * 3600  # seconds that a console session lasts


class Caller(msgspec.Struct, frozen=True):
    """Whoever holds a right key: of everything (`instance_id` None), or of one instance alone.

    `reads` is the id of a token that only reads what is configured; `jid` the one chat that a chat's token opens.
    """

    instance_id: str | None = None
    reads: str | None = None
    jid: str | None = None

    @property
    def whole(self) -> bool:
        """Whether the key opens all of what it opens: it is no token that only reads, or of one chat."""
        return self.reads is None and self.jid is None

    @property
    def everything(self) -> bool:
        """Whether this is the global key, or the console of whoever entered it."""
        return self.whole and self.instance_id is None

    def opens(self, instance_id: str | None) -> bool:
        """Whether the key opens this instance (None: one that does not exist)."""
        return self.instance_id is None or self.instance_id == instance_id


class _Chat(msgspec.Struct, frozen=True, array_like=True):
    """What a chat's token says. `issuer` is the start of the digest of the instance's token: another one ends it."""

    instance_id: str
    jid: str
    until: float
    issuer: str


class Keys:
    """The keys of one runtime; without a store there is the global key alone."""

    def __init__(self, api_key: str, store: Store | None) -> None:
        self._global, self._kept = api_key.encode(), store
        self._console = store.vault.digest(api_key) if store is not None else ""

    @property
    def _store(self) -> Store:
        assert self._kept is not None
        return self._kept

    def is_global(self, key: str) -> bool:
        """Whether this is the global key."""
        return hmac.compare_digest(key.encode("utf-8", "surrogateescape"), self._global)

    def found(self, request: Request) -> Caller | None:
        """Who calls, by the header `apikey`, else by the console's cookie, with whatever key; the caller of this must
        look at what the key opens. None: nobody."""
        if (key := given(request)) is not None:
            return self._holder(key) if key else None
        if self._kept is None:
            return None
        cookie = request.cookies.get(COOKIE) if from_here(request.headers) else None
        return Caller() if cookie and self._store.vault.is_session(cookie, SESSION, self._console) else None

    def session(self) -> str:
        """A console session, for whoever has shown the global key; another global key ends it."""
        return self._store.vault.session(self._console)

    def _holder(self, key: str) -> Caller | None:
        if self.is_global(key):
            return Caller()
        if self._kept is None:
            return None
        if (instance := self._store.fleet.instance_by_token(key)) is not None:
            return Caller(instance.id)
        if (token := self._store.tokens.find(key)) is not None:
            return Caller(token.instance_id, reads=token.id)
        return self._chatter(key)

    def chat_token(self, instance_id: str, jid: str, until: float) -> str:
        """A token that opens one chat until a moment (seconds since the epoch) or its instance's token changes. Raises
        Rejected 404 once the instance is deleted."""
        if (issuer := self._issuer(instance_id)) is None:
            raise gone()
        return self._store.vault.chat_token(msgspec.json.encode(_Chat(instance_id, jid, until, issuer)))

    def _chatter(self, key: str) -> Caller | None:
        said = self._store.vault.said_by(key)
        if said is None:
            return None
        chat = msgspec.json.decode(said, type=_Chat)
        if chat.until < time.time() or chat.issuer != self._issuer(chat.instance_id):
            return None
        return Caller(chat.instance_id, jid=chat.jid)

    def _issuer(self, instance_id: str) -> str | None:
        held = self._store.fleet.directory.get(instance_id)
        return held.token_digest[:16] if held is not None else None


def given(request: Request) -> str | None:
    """The key in the header `apikey`, the bytes as they were sent; None: no key was sent."""
    header = request.headers.get("apikey")
    return None if header is None else header.encode("latin-1").decode("utf-8", "surrogateescape")
