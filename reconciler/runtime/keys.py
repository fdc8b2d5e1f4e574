"""Who calls: the global key, an instance's token, or a console session, found before anything else is looked at.

Before it comes the request's header or cookie, after it the dispatch of `runtime/call.py`. Keys are compared in
constant time; tokens are looked up by a keyed digest. A key in the query string is no key.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from starlette.requests import Request

from reconciler.runtime.origins import from_here
from reconciler.store.fleet import Fleet
from reconciler.store.vault import Vault

COOKIE: Final = "reconciler_session"
SESSION: Final = 12 * 3600  # seconds that a console session lasts


class Caller(msgspec.Struct, frozen=True):
    """Whoever holds a right key: of everything (`instance_id` None), or of one instance alone."""

    instance_id: str | None = None

    def opens(self, instance_id: str | None) -> bool:
        """Whether the key opens this instance (None: one that does not exist)."""
        return self.instance_id is None or self.instance_id == instance_id


class Keys:
    """The keys of one runtime."""

    def __init__(self, api_key: str, fleet: Fleet, vault: Vault) -> None:
        self._global, self._fleet, self._vault = api_key.encode(), fleet, vault

    def is_global(self, key: str) -> bool:
        """Whether this is the global key."""
        return hmac.compare_digest(key.encode("utf-8", "surrogateescape"), self._global)

    def caller(self, request: Request) -> Caller | None:
        """Who calls, by the header `apikey`, else by the console's cookie; None: nobody who may."""
        if (header := request.headers.get("apikey")) is not None:
            key = header.encode("latin-1").decode("utf-8", "surrogateescape")  # the bytes as they were sent
            if self.is_global(key):
                return Caller()
            instance = self._fleet.instance_by_token(key) if key else None
            return Caller(instance.id) if instance else None
        cookie = request.cookies.get(COOKIE) if from_here(request.headers) else None
        return Caller() if cookie and self._vault.is_session(cookie, SESSION) else None
