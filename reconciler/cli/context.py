"""What most commands need: the environment, the repository one stands in, its data folder, where a target is."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import InvalidBots, Misuse, Problem
from reconciler.settings import DataFolder, Environment, environment

if TYPE_CHECKING:
    from reconciler.desired.git import Repository
    from reconciler.model import Target


class Context:
    """One process's view; made once by `main`."""

    debug: bool = False

    @cached_property
    def environment(self) -> Environment:
        return environment()

    @cached_property
    def repository(self) -> Repository:
        """The git repository that holds the working directory. Raises Misuse where there is none."""
        from reconciler.desired.git import Repository

        return Repository.discover(Path.cwd())

    @cached_property
    def data(self) -> DataFolder:
        """The data folder: RECONCILER_DATA, else `.reconciler/` in the repository; not made by asking for it."""
        return DataFolder(self.environment.data or self.repository.root / ".reconciler")

    def url(self, target: Target | None = None) -> str:
        """A target's address. A runtime's: RECONCILER_URL, else where `up` or `serve` last ran here, else its url."""
        if target is not None and target.type != "runtime":
            return target.url.rstrip("/")
        configured = target.url if target else "http://127.0.0.1:8080"
        return str(self.environment.url or self.data.running_url() or configured).rstrip("/")

    def api_key(self, target: Target | None = None) -> str:
        """The key for a target: what its `apiKey` names, else RECONCILER_API_KEY, else the one kept by `up`.

        Raises InvalidBots, naming reconciler.yaml, where the target names a variable or file that is not there.
        """
        env = self.environment
        wanted = dict(target.api_key) if target else {"env": "RECONCILER_API_KEY"}
        if name := wanted.get("env"):
            if value := env.variables.get(name):
                return value
            ours = name == "RECONCILER_API_KEY" and (target is None or target.type == "runtime")
            if ours and (kept := self.data.kept_key()):
                return kept
            if ours:
                raise Misuse("no API key: set RECONCILER_API_KEY, or start `reconciler up` here, which makes one")
            missing = f"the environment variable {name} is not set"
        else:
            path = self.repository.root / wanted["file"]
            try:
                return path.read_text().strip()
            except OSError as error:
                missing = f"the key file {wanted['file']} cannot be read: {error.strerror}"
        assert target is not None
        raise InvalidBots((Problem(path="reconciler.yaml", pointer=f"targets.{target.name}.apiKey", message=missing),))


context = Context()
