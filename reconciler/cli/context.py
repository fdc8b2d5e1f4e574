"""What most commands need: the environment, the repository one stands in, its data folder, where a target is."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import InvalidBots, Misuse, Problem, ReconcilerError, Unavailable
from reconciler.settings import DataFolder, Environment, environment, usable_key, usable_url

if TYPE_CHECKING:
    from reconciler.desired.git import Repository
    from reconciler.desired.remote import Clone
    from reconciler.model import Target


class Context:
    """One process's view; made once by `main`."""

    debug: bool = False
    repo: str | None = None  # `--repo`: the remote repository to follow
    served: str | None = None  # in the loop of `up`: the target that its own runtime is

    @cached_property
    def environment(self) -> Environment:
        return environment()

    @cached_property
    def repository(self) -> Repository:
        """The git repository that holds the working directory. Raises Misuse where there is none."""
        from reconciler.desired.git import Repository

        return Repository.discover(Path.cwd())

    @cached_property
    def home(self) -> Path:
        """The folder that one works in: the repository's, or this one where a remote repository is followed."""
        try:
            return self.repository.root
        except Misuse:
            here = Path.cwd()
            if self._followed[0] is None and not (self.environment.data or here / ".reconciler").is_dir():
                raise
            return here

    @cached_property
    def _followed(self) -> tuple[str | None, str | None]:
        """The address of the remote repository that is followed, and the ref, where it is named here."""
        ref = self.environment.variables.get("RECONCILER_REF") or None
        if url := self.repo or self.environment.variables.get("RECONCILER_REPO"):
            return url, ref
        from reconciler.desired.config import read_config

        try:
            config = read_config(self.repository, self.repository.resolve("HEAD"))
        except (Misuse, InvalidBots, Unavailable):
            return None, None
        return config.url, ref or (config.ref if config.ref != "HEAD" else None)

    @cached_property
    def clone(self) -> Clone | None:
        """The clone of the remote repository that is followed; None: the one at hand is. Raises Misuse for an address
        that is none."""
        url, ref = self._followed
        if url is None:
            return None
        from reconciler import shape
        from reconciler.desired.remote import FOLDER, Clone, Remote

        if shape.faults("config", {"kind": "Config", "source": {"url": url, **({"ref": ref} if ref else {})}}):
            raise Misuse("what is to be followed is no git repository's address, or has a user and password in it")
        remote = Remote(url=url, ref=ref, variables=self.environment.variables)
        clone = Clone(self.data.path.absolute() / FOLDER, self.home, remote)
        from reconciler.reconcile.locks import loop_runs

        if not loop_runs(self.data.path):  # the clone is that of the loop that runs, whatever it was told to follow
            clone.claim()
        return clone

    @property
    def source(self) -> Repository:
        """The repository whose commits are desired: the clone of the one that is followed, else the one at hand."""
        if self.clone is not None:
            return self.clone.repository
        try:
            return self.repository
        except Misuse:
            from reconciler.desired.git import Repository
            from reconciler.desired.remote import FOLDER

            fetched = self.data.path.absolute() / FOLDER  # by the loop that runs here, which was told what to follow
            if not fetched.is_dir():
                raise
            return Repository(self.home, fetched, bare=True, pinned=True)

    def refresh(self) -> None:
        """Fetches what is followed, unless a loop does that here. Raises Unavailable where nothing was ever fetched."""
        clone = self.clone
        if clone is None:
            return
        import asyncio
        import threading

        from reconciler.reconcile.follow import fetch_once
        from reconciler.reconcile.history import History
        from reconciler.reconcile.locks import loop_runs

        folder = self.data.make()
        if loop_runs(folder.path) and clone.commit is not None:
            return
        failed: list[ReconcilerError] = []

        def fetch() -> None:
            with History(folder.loop_database) as history:
                try:
                    asyncio.run(fetch_once(clone, folder.path, history, 60))
                except ReconcilerError as error:
                    failed.append(error)

        thread = threading.Thread(target=fetch)  # whoever asks may be in an event loop already
        thread.start()
        thread.join()
        if failed:
            if (known := clone.commit) is None:
                raise failed[0]
            from reconciler.cli.output import say

            say(f"note: {failed[0]}; going on with {known[:8]}, the last that was fetched")

    @cached_property
    def data(self) -> DataFolder:
        """The data folder: RECONCILER_DATA, else `.reconciler/` in the repository; not made by asking for it."""
        return DataFolder(self.environment.data or self.home / ".reconciler")

    def url(self, target: Target | None = None) -> str:
        """A target's address. A runtime's: RECONCILER_URL, else where `up` or `serve` last ran here, else its url.

        The first two are one target's alone: RECONCILER_TARGET's, else the one `up` serves, else the first runtime's.
        """
        if target is not None and not self._here(target):
            return usable_url(target.url, f"the url of the target '{target.name}'")
        configured = target.url if target else "http://127.0.0.1:8080"
        if (here := self.environment.url or self.data.running_url()) is not None:
            return here.rstrip("/")
        return usable_url(configured, "the target's url")

    def _here(self, target: Target) -> bool:
        wanted = self.served or self.environment.variables.get("RECONCILER_TARGET") or self.data.served_target()
        return target.type == "runtime" and (target.name == wanted if wanted else target.here)

    def api_key(self, target: Target | None = None) -> str:
        """The key for a target: what its `apiKey` names, else RECONCILER_API_KEY, else the one kept by `up`.

        Raises InvalidBots, naming reconciler.yaml, where the target names a variable or file that is not there.
        """
        env = self.environment
        own = target is None or target.name == self.served  # whatever it says of its key: `up` knows its own
        wanted = {"env": "RECONCILER_API_KEY"} if own or target is None else dict(target.api_key)
        if name := wanted.get("env"):
            if value := env.variables.get(name, "").strip():
                return usable_key(value, f"the environment variable {name}")
            ours = name == "RECONCILER_API_KEY" and (target is None or target.type == "runtime")
            if ours and (kept := self.data.kept_key()):
                return kept
            if ours:
                raise Misuse("no API key: set RECONCILER_API_KEY, or start `reconciler up` here, which makes one")
            missing = f"the environment variable {name} is not set"
        else:
            named = f"the key file {wanted['file']}"
            try:
                if value := (self.home / wanted["file"]).read_text().strip():
                    return usable_key(value, named)
                missing = f"{named} is empty"
            except UnicodeDecodeError:
                missing = f"{named} holds no text"
            except OSError as error:
                missing = f"{named} cannot be read: {error.strerror}"
        assert target is not None
        raise InvalidBots((Problem(path="reconciler.yaml", pointer=f"targets.{target.name}.apiKey", message=missing),))


context = Context()
