"""What `init` writes beside a first fleet: the example fleet, a forge's CI files, what coding agents are to know.

They are files of the project, no texts of this module: in a wheel they lie inside the package, in a checkout beside it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent.parent


class CI(StrEnum):
    """The forges whose jobs there are files for."""

    github = "github"
    gitlab = "gitlab"
    gitea = "gitea"
    forgejo = "forgejo"


# Where a forge looks for its jobs, and the templates that go there.
_JOBS: Final = {
    CI.github: (".github/workflows", ("github/reconciler-review.yml", "github/reconciler-post.yml")),
    CI.gitlab: (".", ("gitlab/reconciler.gitlab-ci.yml",)),
    CI.gitea: (".gitea/workflows", ("gitea/reconciler.yml",)),
    CI.forgejo: (".forgejo/workflows", ("gitea/reconciler.yml",)),
}
GITLAB_FILE: Final = ".gitlab-ci.yml"
_GITLAB_LINE: Final = "include: {local: reconciler.gitlab-ci.yml}\n"


def ci_files(forge: CI) -> dict[str, str]:
    """The files that let a forge review each pull request, by their place in the repository."""
    folder, templates = _JOBS[forge]
    shipped = _shipped("templates", "templates")
    files = {(Path(folder) / Path(name).name).as_posix(): _text(shipped / name) for name in templates}
    return {**files, GITLAB_FILE: _GITLAB_LINE} if forge is CI.gitlab else files


def example_files() -> dict[str, str]:
    """The example fleet of the README, a restaurant and a dental clinic, by their place in the repository."""
    folder = _shipped("example", "bots")
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    # In this project's own repository the schemas lie in schemas/, in a fleet's in .schemas/.
    return {
        f"bots/{file.relative_to(folder).as_posix()}": _text(file).replace("=../../schemas/", "=../../.schemas/", 1)
        for file in found
    }


def agents() -> str:
    """AGENTS.md: what a coding agent is to know of a repository of bots."""
    return _text(_PACKAGE / "cli" / "AGENTS.md")


def _shipped(inside: str, beside: str) -> Path:
    return folder if (folder := _PACKAGE / inside).is_dir() else _PACKAGE.parent / beside


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
