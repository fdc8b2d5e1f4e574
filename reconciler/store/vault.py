"""Secrets at rest: what is encrypted before it is stored, and how a key that was shown is found again.

Before it come the API keys and tokens of `store/fleet.py`; after it the database. One secret key opens all of it:
each use has a key of its own, derived from it, so that none can stand in for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

from reconciler.errors import Misuse


class Vault:
    """Encrypts and recognises secrets. `secret_key` is any long random text."""

    def __init__(self, secret_key: str) -> None:
        self._key = secret_key.encode()
        self._stored = Fernet(self._derived("stored keys"))
        self._sessions = Fernet(self._derived("console sessions"))
        self._chats = Fernet(self._derived("tokens of chats"))
        self._digest = self._derived("tokens")

    def _derived(self, use: str) -> bytes:
        return base64.urlsafe_b64encode(hmac.digest(self._key, use.encode(), "sha256"))

    def seal(self, secret: str) -> str:
        """A secret as it is stored."""
        return self._stored.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret again. Raises Misuse where it was sealed with another secret key."""
        try:
            return self._stored.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise Misuse(
                "the stored keys were encrypted with another secret key: "
                "set RECONCILER_SECRET_KEY (or the data folder's secret.key) to the one the store was made with"
            ) from error

    def digest(self, token: str) -> str:
        """By which a token is looked up; says nothing of it to whoever has the database alone."""
        return hmac.new(self._digest, token.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def session(self, said: str) -> str:
        """A console session's cookie; to whoever opens it here it says `said` and when it was made."""
        return self._sessions.encrypt(said.encode()).decode()

    def is_session(self, cookie: str, seconds: int, said: str) -> bool:
        """Whether a cookie is a session made here at most `seconds` ago that says `said`."""
        try:
            return hmac.compare_digest(self._sessions.decrypt(cookie.encode(), ttl=seconds), said.encode())
        except (InvalidToken, UnicodeEncodeError):
            return False

    def chat_token(self, said: bytes) -> str:
        """A token that says `said` to whoever opens it here, and to nobody else."""
        return self._chats.encrypt(said).decode()

    def said_by(self, token: str) -> bytes | None:
        """What a token of a chat made here says; None for anything else."""
        try:
            return self._chats.decrypt(token.encode())
        except (InvalidToken, UnicodeEncodeError):
            return None
