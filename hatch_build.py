"""What a package index shows of the project: the README with links that lead somewhere from there, and the addresses.

Both are made of one value, `repository` in pyproject.toml; the packager (hatchling) asks at each build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_RELATIVE = r"\((?![a-z][a-z0-9+.-]*:|#|/)([^)\s]+)\)"
_IMAGE, _LINK = re.compile(rf"(!\[[^\]]*\]){_RELATIVE}"), re.compile(rf"(\]){_RELATIVE}")


class ProjectMetadata(MetadataHookInterface):
    """Gives `readme` and `urls`, which pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        repository, version = self.config["repository"], metadata["version"]
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(readme, repository, f"v{version}")}
        metadata["urls"] = {
            "Source": repository,
            "Documentation": f"{repository}/tree/v{version}/docs",
            "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
            "Security": f"{repository}/blob/v{version}/SECURITY.md",
        }


def absolute(text: str, repository: str, tag: str) -> str:
    """Markdown with its relative links leading to the repository's files at a tag; fenced examples stay as they are."""

    def lead(found: re.Match[str], view: str) -> str:
        return f"{found[1]}({repository}/{view}/{tag}/{found[2].removeprefix('./')})"

    def led(part: str) -> str:
        part = _IMAGE.sub(lambda found: lead(found, "raw"), part)
        return _LINK.sub(lambda found: lead(found, "tree" if found[2].endswith("/") else "blob"), part)

    return "".join(part if part.startswith("```") else led(part) for part in _FENCE.split(text))
