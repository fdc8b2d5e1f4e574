"""The process's environment, read once: the only place that looks at `os.environ`."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from reconciler.errors import Misuse
from reconciler.kept import Key

# The openai SDK reads these of the process even where it is told None: one tenant's calls would carry another's.
_OPENAI_LEAKS: Final = (
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_WEBHOOK_SECRET",
    "OPENAI_ADMIN_KEY",
)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says (spec: docs/cli.md). `variables` is all of it, for secrets that YAML names."""

    data: Path | None
    secret_key: str | None
    openai_base_url: str | None
    variables: Mapping[str, str]

    @property
    def api_key(self) -> str | None:
        """RECONCILER_API_KEY. Raises Misuse for what no header can carry."""
        key = self.variables.get("RECONCILER_API_KEY", "").strip()
        return usable_key(key, "the environment variable RECONCILER_API_KEY") if key else None

    @property
    def previous_api_key(self) -> str | None:
        """RECONCILER_API_KEY_PREVIOUS, valid beside the global key. Raises Misuse for what no header can carry."""
        key = self.variables.get("RECONCILER_API_KEY_PREVIOUS", "").strip()
        return usable_key(key, "the environment variable RECONCILER_API_KEY_PREVIOUS") if key else None

    @property
    def previous_secret_key(self) -> str | None:
        """RECONCILER_SECRET_KEY_PREVIOUS: what RECONCILER_SECRET_KEY was before."""
        return self.variables.get("RECONCILER_SECRET_KEY_PREVIOUS") or None

    @property
    def url(self) -> str | None:
        """RECONCILER_URL without a slash at its end. Raises Misuse for what is no address."""
        url = self.variables.get("RECONCILER_URL", "").strip()
        return usable_url(url, "RECONCILER_URL") if url else None


def usable_key(key: str, source: str) -> str:
    """The key. Raises Misuse, without showing it, for one that cannot stand in an HTTP header (RFC 9110, 5.5)."""
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise Misuse(f"{source} holds more than a key (spaces, line breaks or letters that no key has)")
    return key


def usable_url(url: str, source: str) -> str:
    """The address without a slash at its end. Raises Misuse, without showing it, for what cannot be called."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise Misuse(
            f"{source} is not the address of a server: such as http://127.0.0.1:8080, without user or password"
        )
    return url.rstrip("/")


def environment() -> Environment:
    """Reads the environment and takes out of it what the openai SDK would pick up by itself."""
    variables = dict(os.environ)  # noqa: TID251
    for name in (*_OPENAI_LEAKS, "OPENAI_BASE_URL"):
        os.environ.pop(name, None)  # noqa: TID251
    data = variables.get("RECONCILER_DATA")
    return Environment(
        data=Path(data).expanduser() if data else None,
        secret_key=variables.get("RECONCILER_SECRET_KEY") or None,
        openai_base_url=variables.get("OPENAI_BASE_URL") or None,
        variables=variables,
    )


class DataFolder:
    """Where keys, databases and caches of one repository (or one server) lie; git ignores it, others cannot read it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> DataFolder:
        """Creates the folder, closed to others, with a `.gitignore` of everything.

        Raises Misuse where it cannot, and for the top of a repository, all of whose files git would then ignore.
        """
        if (self.path / ".git").exists() or (self.path / "reconciler.yaml").exists():
            raise Misuse(
                f"the data folder {self.path} is a repository of its own: name a folder that holds nothing else"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise Misuse(f"the data folder {self.path} cannot be made: {error.strerror}") from error
        return self

    @property
    def runtime_database(self) -> Path:
        return self.path / "runtime.db"

    @property
    def loop_database(self) -> Path:
        return self.path / "loop.db"

    @property
    def documents(self) -> Path:
        return self.path / "documents.cache"

    @property
    def address(self) -> Path:
        return self.path / "address"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def loop_lock(self) -> Path:
        return self.path / "loop.lock"

    @property
    def restoring(self) -> Path:
        """There while a restore puts files in place: a folder with it is not whole."""
        return self.path / "restoring"

    @property
    def log(self) -> Path:
        return self.path / "log"

    def running_url(self) -> str | None:
        """The address of the runtime that `up` or `serve` last started on this folder."""
        try:
            return self.address.read_text().strip() or None
        except FileNotFoundError:
            return None

    @property
    def served(self) -> Path:
        """Where `up` writes the target that it serves."""
        return self.path / "served"

    def served_target(self) -> str | None:
        """The target that the running `up` serves, where one runs."""
        try:
            return (self.served.read_text().strip() or None) if self.address.exists() else None
        except FileNotFoundError:
            return None

    def kept_key(self) -> str | None:
        """The global key that was made here, if one was."""
        try:
            return (self.path / "api-key").read_text().strip() or None
        except FileNotFoundError:
            return None

    @property
    def api_key(self) -> Key:
        """The global key that is kept here."""
        return Key(self.path / "api-key", lambda: secrets.token_urlsafe(24))

    @property
    def secret_key(self) -> Key:
        """The key that is kept here of what is encrypted: 32 bytes, URL-safe base64."""
        return Key(self.path / "secret.key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())

    def make_key(self) -> tuple[str, bool]:
        """The global key kept here, made if there is none; and whether it was made now."""
        return self.api_key.kept_or_made()

    def make_secret_key(self) -> str:
        """The key that encrypts stored keys, made on first use."""
        return self.secret_key.kept_or_made()[0]
