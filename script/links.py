"""Where the project's files lead: the repository's address that they name, and the relative links of its Markdown."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def elsewhere_addressed() -> Iterator[tuple[Path, str]]:
    """Files that name another repository than pyproject.toml, with the text that names it.

    Found are addresses that end in the repository's name, as `https://…/bot-reconciler` and `uses: …/bot-reconciler@`.
    """
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    address = hooks["custom"]["repository"]
    path = address.split("/", 3)[3]
    name = re.escape(path.rpartition("/")[2])
    web = re.compile(rf"https://(?!pypi\.org/)[\w.-]+(?:/[\w.-]+)+/{name}(?![\w-])")
    action = re.compile(rf"(?<=uses: )[\w.-]+/{name}(?=@)")
    for file in tracked():
        if file.name == "pyproject.toml" or file.relative_to(ROOT).parts[0] == "tests":
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if (named := action.sub(path, web.sub(address, text))) != text:
            yield file, named


def tracked(pattern: str = "*") -> Iterator[Path]:
    """The project's own files."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", pattern],
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (file := ROOT / name).is_file():
            yield file


def broken_links() -> Iterator[str]:
    """Relative links of the project's own Markdown that lead nowhere."""
    for page in tracked("*.md"):
        name = str(page.relative_to(ROOT))
        if name.startswith(("bots/", "tests/")):
            continue
        for target in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
            if target.startswith(("http://", "https://", "#", "mailto:")):
                continue
            if not (page.parent / target.partition("#")[0]).exists():
                yield f"{name}: the link to {target} leads nowhere"
