"""Secrets at rest: what is encrypted before it is stored, and how a key that was shown is found again.

Before it come the API keys and tokens of `store/fleet.py`; after it the database. One secret key opens all of it:
each use has a key of its own, derived from it, so that none can stand in for another. While the secret key is being
replaced the one before opens what it made, and makes nothing more. What tokens are looked up by outlives that: of a
token that only reads nothing but its digest is kept, so the digest's key is stored too, sealed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress

from cryptography.fernet import Fernet, InvalidToken

from reconciler.errors import Misuse


class Vault:
    """Encrypts and recognises secrets. `secret_key` is any long random text, `previous` what it was before.

    `noticed` is called whenever something was opened that the previous key had made for a chat or a console.
    """

    def __init__(self, secret_key: str, previous: Sequence[str] = ()) -> None:
        self._keys = [key.encode() for key in dict.fromkeys((secret_key, *previous))]
        self._stored, self._sessions, self._chats = (
            [Fernet(_derived(key, use)) for key in self._keys]
            for use in ("stored keys", "console sessions", "tokens of chats")
        )
        self._digest = _derived(self._keys[0], "tokens")
        self.noticed: Callable[[], None] = lambda: None

    def recognise(self, sealed: str, digest_key: str | None) -> str | None:
        """Takes up the digest's key as it is stored, else the one that belongs to the secret key which `sealed` was
        sealed with; how it is to be stored from now on, None where it is so already. Raises Misuse where none of the
        secret keys opens them."""
        secret, which = self._opened(sealed)
        del secret
        if digest_key is None:
            self._digest = _derived(self._keys[which], "tokens")
            return self.seal(self._digest.decode())
        self._digest = self.open(digest_key).encode()
        return None

    def seal(self, secret: str) -> str:
        """A secret as it is stored."""
        return self._stored[0].encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret again. Raises Misuse where it was sealed with another secret key."""
        return self._opened(sealed)[0]

    def is_current(self, sealed: str) -> bool:
        """Whether it was sealed with the secret key, and not with the one before. Raises as `open`."""
        return self._opened(sealed)[1] == 0

    def _opened(self, sealed: str) -> tuple[str, int]:
        for which, key in enumerate(self._stored):
            with suppress(InvalidToken):
                return key.decrypt(sealed.encode()).decode(), which
        raise Misuse(
            "the stored keys were encrypted with another secret key: "
            "set RECONCILER_SECRET_KEY (or the data folder's secret.key) to the one the store was made with; "
            "while it is being replaced, RECONCILER_SECRET_KEY_PREVIOUS to the one before"
        )

    def digest(self, token: str) -> str:
        """By which a token is looked up; says nothing of it to whoever has the database alone."""
        return hmac.new(self._digest, token.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def session(self, said: str) -> str:
        """A console session's cookie; to whoever opens it here it says `said` and when it was made."""
        return self._sessions[0].encrypt(said.encode()).decode()

    def session_says(self, cookie: str, seconds: int) -> bytes | None:
        """What a console session's cookie says that was made here at most `seconds` ago; None for anything else."""
        return self._read(self._sessions, cookie, seconds)

    def chat_token(self, said: bytes) -> str:
        """A token that says `said` to whoever opens it here, and to nobody else."""
        return self._chats[0].encrypt(said).decode()

    def said_by(self, token: str) -> bytes | None:
        """What a token of a chat made here says; None for anything else."""
        return self._read(self._chats, token)

    def _read(self, keys: Sequence[Fernet], token: str, seconds: int | None = None) -> bytes | None:
        for which, key in enumerate(keys):
            with suppress(InvalidToken, UnicodeEncodeError):
                said = key.decrypt(token.encode(), ttl=seconds)
                if which:
                    self.noticed()
                return said
        return None


def _derived(key: bytes, use: str) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(key, use.encode(), "sha256"))
