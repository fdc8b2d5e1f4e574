"""A remote repository followed from here: a bare clone of the one ref that is desired, fetched by the `git` program.

Before it an address and the environment's credentials; after it `git.py` reads the clone like any repository. A token
goes to git through a credential helper that reads git's own environment, and to the address's own host only: it is
never in a URL, in an argument, in a file of git's or in an error. git asks nobody anything; a fetch is ended with its
helpers when its time is over. Force-pushes are followed; commits that were there once stay, for marks name them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from reconciler.desired.config import read_config
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse, Unavailable

FOLDER: Final = "source.git"  # of the data folder
_FOLLOWED: Final = "followed"  # a file in it: the address and ref that were fetched
_HEAD: Final = "refs/reconciler/head"  # what the remote's HEAD names
_WANTED: Final = "refs/reconciler/wanted"  # what its reconciler.yaml, or the caller, names
_LONGEST: Final = 600.0  # seconds that the first fetch may take
_LONG: Final = 120.0  # and each that follows
_KEPT: Final = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
_HELPER: Final = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$LOOP_USER" "$LOOP_TOKEN"; }; f'
_OPTIONS: Final = (
    *("-c", "credential.interactive=false", "-c", "core.askPass=", "-c", "protocol.allow=never"),
    *(part for name in ("https", "http", "ssh", "file") for part in ("-c", f"protocol.{name}.allow=always")),
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=20"),
    *("-c", "gc.pruneExpire=never", "-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"),
)
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/\s@]+@")


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A remote repository; `ref` None: the one that its reconciler.yaml names. `variables` is the environment, in which
    RECONCILER_GIT_TOKEN or RECONCILER_GIT_TOKEN_FILE, RECONCILER_GIT_USER, RECONCILER_GIT_SSH_KEY and
    RECONCILER_GIT_KNOWN_HOSTS say how to get in."""

    url: str
    ref: str | None
    variables: Mapping[str, str]

    @property
    def shown(self) -> str:
        """The address without whatever stands before the host."""
        return _USER_IN_URL.sub("", self.url)


class Clone:
    """The clone of a remote in a folder; `root` is where key files' paths start from."""

    def __init__(self, folder: Path, root: Path, remote: Remote) -> None:
        self.remote = remote
        self._folder = folder
        self.repository = Repository(root, folder, bare=True, pinned=True)

    def claim(self) -> None:
        """Takes the clone for this remote: what was fetched from another address, or of another ref, is desired no
        more. Its commits stay."""
        file = self._folder / _FOLLOWED
        if (self._folder / "HEAD").exists() and (not file.exists() or file.read_text() != self._followed):
            (self._folder / "HEAD").write_text("ref: refs/heads/nothing-yet\n")
            file.write_text(self._followed)

    @property
    def _followed(self) -> str:
        return f"{self.remote.shown}\n{self.remote.ref or ''}\n"

    @property
    def commit(self) -> str | None:
        """The desired commit as of the last fetch; None: nothing was fetched yet."""
        try:
            return self.repository.resolve("HEAD")
        except (Misuse, Unavailable):
            return None

    @property
    def ref(self) -> str:
        """The ref that is followed."""
        return self.remote.ref or self._named()

    async def fetch(self, timeout: float | None = None) -> str:
        """Brings the desired commit here and makes it the clone's HEAD. Raises Unavailable and Misuse, without
        anything secret in the text."""
        if not (self._folder / "HEAD").exists():
            await self._git("init", "--quiet", "--bare", str(self._folder), timeout=_LONG)
            (self._folder / _FOLLOWED).write_text(self._followed)
        wanted = _HEAD
        seconds = timeout or (_LONG if self.commit else _LONGEST)
        if self.remote.ref is not None:
            await self._fetch(seconds, f"+{self.remote.ref}:{_WANTED}")
            wanted = _WANTED
        else:
            await self._fetch(seconds, f"+HEAD:{_HEAD}")
            if (named := self._named(_HEAD)) != "HEAD":
                await self._fetch(seconds, f"+{named}:{_WANTED}")
                wanted = _WANTED
        commit = self.repository.resolve(wanted)
        await self._git("update-ref", "--no-deref", "HEAD", commit, timeout=_LONG)
        return commit

    def _named(self, at: str = _HEAD) -> str:
        """The ref that reconciler.yaml at a commit names; HEAD where that cannot be read, which a pass explains."""
        try:
            return read_config(self.repository, self.repository.resolve(at)).ref
        except (InvalidBots, Misuse, Unavailable):
            return "HEAD"

    async def _fetch(self, timeout: float, refspec: str) -> None:
        options = ("--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        await self._git("fetch", *options, "--", self.remote.url, refspec, timeout=timeout)

    async def _git(self, *arguments: str, timeout: float) -> None:
        options, environment = _access(self.remote)
        place = () if arguments[0] == "init" else (f"--git-dir={self._folder}",)
        try:
            process = await asyncio.create_subprocess_exec(
                *("git", *place, *options, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd=self._folder.parent,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Misuse("the program `git` is not on the PATH: install git") from error
        try:
            _, said = await asyncio.wait_for(process.communicate(), timeout)
        except TimeoutError as error:
            raise Unavailable(f"{self.remote.shown} did not answer git within {timeout:.0f} s") from error
        finally:
            if process.returncode is None:  # its time is over, or ours: its helpers end with it
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            raise Unavailable(_told(self.remote, arguments[0], said, environment))


def _access(remote: Remote) -> tuple[tuple[str, ...], dict[str, str]]:
    """git's options and environment for a remote. Raises Misuse for credentials that cannot be used."""
    given = remote.variables
    environment = {
        name: value for name, value in given.items() if not name.startswith(("GIT_", "RECONCILER_")) or name in _KEPT
    }
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "false", "SSH_ASKPASS": "false", "LC_ALL": "C"}
    environment["GIT_SSH_COMMAND"] = _ssh(given)
    token, parts = _token(given), urlsplit(remote.url)
    if not token or parts.scheme not in ("http", "https"):
        return _OPTIONS, environment
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Misuse(f"{remote.shown} would get the token in clear: follow it by https")
    environment |= {"LOOP_USER": given.get("RECONCILER_GIT_USER") or "x-access-token", "LOOP_TOKEN": token}
    # Only this host's own helper, so that no other that git may be led to is given the token.
    helper = f"credential.{parts.scheme}://{parts.netloc}.helper"
    return (*_OPTIONS, "-c", f"{helper}=", "-c", f"{helper}={_HELPER}"), environment


def _token(given: Mapping[str, str]) -> str:
    """The token, read anew each time: those of apps live for an hour."""
    if file := given.get("RECONCILER_GIT_TOKEN_FILE"):
        try:
            token = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Misuse(f"the file that RECONCILER_GIT_TOKEN_FILE names cannot be read: {file}") from error
    else:
        token = given.get("RECONCILER_GIT_TOKEN", "").strip()
    if not token.isprintable():
        raise Misuse("the git token holds a line break or a letter that no token has")
    return token


def _ssh(given: Mapping[str, str]) -> str:
    words = shlex.split(given.get("GIT_SSH_COMMAND") or "ssh")
    words += ["-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=15"]
    if key := given.get("RECONCILER_GIT_SSH_KEY"):
        words += ["-oIdentitiesOnly=yes", "-i", key]
    if known := given.get("RECONCILER_GIT_KNOWN_HOSTS"):
        words += [f"-oUserKnownHostsFile={known}"]
    return shlex.join(words)


_REMEDIES: Final = (
    ("could not read Username", "it wants credentials: set RECONCILER_GIT_TOKEN"),
    ("terminal prompts disabled", "it wants credentials: set RECONCILER_GIT_TOKEN"),
    ("Authentication failed", "it refuses RECONCILER_GIT_TOKEN (and RECONCILER_GIT_USER)"),
    (
        "Host key verification failed",
        "its host key is not known: put it into the file RECONCILER_GIT_KNOWN_HOSTS names",
    ),
    ("Permission denied (publickey", "it refuses the key: set RECONCILER_GIT_SSH_KEY to a deploy key's file"),
    ("couldn't find remote ref", "it has no such ref, or no commit yet"),
)


def _told(remote: Remote, command: str, said: bytes, environment: Mapping[str, str]) -> str:
    """What went wrong, with a remedy where one is known, without secrets."""
    text = said.decode("utf-8", "replace")
    if token := environment.get("LOOP_TOKEN"):
        text = text.replace(token, "…")
    lines = [line.strip() for line in _USER_IN_URL.sub("", text).splitlines() if line.strip()]
    last = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "no reason")
    remedy = next((f" ({remedy})" for words, remedy in _REMEDIES if words in text), "")
    return f"git {command} of {remote.shown} failed: {last[:300]}{remedy}"
