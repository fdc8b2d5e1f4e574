"""Who calls: the global key, an instance's token, a token that reads, one of a chat, or a console session.

Before it comes the request's header or cookie, after it the dispatch of `runtime/call.py`, which looks at it before
anything else. Keys are compared in constant time; tokens are looked up by a keyed digest. A key in the query string is
no key.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
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


GlobalKeys = Callable[[], tuple[str, ...]]  # those that are valid now, the one that stays first


class _Known(msgspec.Struct, frozen=True):
    """A global key, and what the console sessions say that were opened with it."""

    key: bytes
    console: bytes
    previous: bool


class Keys:
    """The keys of one runtime; without a store there is the global key alone. While that is being replaced the one
    before is valid too, everywhere; `noticed` is called when it is used."""

    def __init__(
        self, api_key: str | GlobalKeys, store: Store | None, noticed: Callable[[], None] = lambda: None
    ) -> None:
        self._valid: GlobalKeys = _always(api_key) if isinstance(api_key, str) else api_key
        self._kept, self._noticed = store, noticed
        self._texts: tuple[str, ...] = ()
        self._globals: list[_Known] = []

    def _known(self) -> list[_Known]:
        if (texts := self._valid()) is not self._texts:
            digest = self._kept.vault.digest if self._kept is not None else str
            self._globals = [
                _Known(text.encode(), digest(text).encode(), place > 0)
                for place, text in enumerate(dict.fromkeys(texts))
            ]
            self._texts = texts
        return self._globals

    @property
    def _store(self) -> Store:
        assert self._kept is not None
        return self._kept

    def is_global(self, key: str) -> bool:
        """Whether this is the global key."""
        return self._matched(key) is not None

    def _matched(self, key: str) -> _Known | None:
        """The global key that this is. All are compared, whichever it is, each in constant time."""
        given = key.encode("utf-8", "surrogateescape")
        found = [known for known in self._known() if hmac.compare_digest(given, known.key)]
        return self._told(found[0]) if found else None

    def _told(self, known: _Known) -> _Known:
        if known.previous:
            self._noticed()
        return known

    def found(self, request: Request) -> Caller | None:
        """Who calls, by the header `apikey`, else by the console's cookie, with whatever key; the caller of this must
        look at what the key opens. None: nobody."""
        if (key := given(request)) is not None:
            return self._holder(key) if key else None
        if self._kept is None:
            return None
        cookie = request.cookies.get(COOKIE) if from_here(request.headers) else None
        said = self._store.vault.session_says(cookie, SESSION) if cookie else None
        if said is None:
            return None
        opened = [known for known in self._known() if hmac.compare_digest(said, known.console)]
        return Caller() if opened and self._told(opened[0]) else None

    def session(self, key: str) -> str | None:
        """A console session for whoever shows a global key, and None for others; it ends with that key."""
        known = self._matched(key)
        return self._store.vault.session(known.console.decode()) if known is not None else None

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


def _always(key: str) -> GlobalKeys:
    keys = (key,)
    return lambda: keys


def given(request: Request) -> str | None:
    """The key in the header `apikey`, the bytes as they were sent; None: no key was sent."""
    header = request.headers.get("apikey")
    return None if header is None else header.encode("latin-1").decode("utf-8", "surrogateescape")
