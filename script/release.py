"""Makes what is released, in dist/, and tries it (docs/releasing.md): builds twice and compares, checks the metadata,
installs the wheel with the locked dependencies into an empty environment, and walks from an empty folder to an answered
chat with it. Needs git and a package registry that pip can reach.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from trial import Refused, git, plain_environment, run, tell, walk

ROOT = Path(__file__).resolve().parent.parent
HEADING = r"^## \[?{}\]?(?: .*)?$"


def main() -> int:
    options = argparse.ArgumentParser(prog="script/release", description=__doc__)
    options.add_argument(
        "--tag",
        help="release this tag, vVERSION: CHANGELOG.md must have a heading for the version, and the tag name this "
        "commit; without it the same is made and tried as a rehearsal",
    )
    options.add_argument("--out", type=Path, default=ROOT / "dist", help="where to put it (default: dist/)")
    given = options.parse_args()
    try:
        release(given.tag, given.out.resolve())
    except Refused as why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    return 0


def release(tag: str | None, out: Path) -> None:
    version = stated_version()
    commit = clean_commit(ROOT)
    notes = changes(ROOT.joinpath("CHANGELOG.md").read_text(encoding="utf-8"), version, tagged=tag is not None)
    if tag is not None:
        right_tag(ROOT, tag, version, commit)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        work = Path(folder)
        wheel, sdist = build(work, commit)
        tools = environment(ROOT / ".venv" / "release", "release.lock", keep=True)
        run([str(tools / "twine"), "check", "--strict", str(wheel), str(sdist)])
        tell("twine check --strict: passed")
        python = environment(work / "venv", "runtime.lock") / "python"
        # From a folder and not by its path, which the installed metadata, and so the bill of materials, would keep.
        pip(python, "--no-deps", "--no-index", "--find-links", str(wheel.parent), f"bot-reconciler=={version}")
        run([str(python), "-I", "-m", "pip", "check"])
        (work / "home").mkdir()
        walk(python.parent, work / "home", version)
        bill = work / f"bot-reconciler-{version}.cdx.json"
        materials(tools, python, bill, commit)
        put(out, [wheel, sdist, bill], notes)
    if tag is None:
        tell(f"made and tried {version} as a rehearsal: what is published is made from its tag, with --tag v{version}")


def stated_version() -> str:
    """The version, which the project and the program must both state."""
    project = re.search(r'^version = "([^"]+)"$', ROOT.joinpath("pyproject.toml").read_text(), re.MULTILINE)
    program = re.search(r'^__version__ = "([^"]+)"$', ROOT.joinpath("reconciler/__init__.py").read_text(), re.MULTILINE)
    if project is None or program is None or project[1] != program[1]:
        raise Refused("pyproject.toml and reconciler/__init__.py state different versions: make them one")
    return project[1]


def clean_commit(root: Path) -> str:
    """The commit that is checked out. Raises Refused where the files are not exactly that commit's."""
    if changed := git(root, "status", "--porcelain"):
        first = changed.splitlines()[0].split(maxsplit=1)[-1]
        raise Refused(f"the tree has changes that no commit holds ({first}, …): commit, stash or remove them first")
    return git(root, "rev-parse", "HEAD")


def changes(changelog: str, version: str, *, tagged: bool) -> str:
    """The version's part of CHANGELOG.md; before it is tagged, that of what is not released yet will do."""
    for name in (version,) if tagged else (version, "Unreleased"):
        if found := re.search(HEADING.format(re.escape(name)), changelog, re.MULTILINE):
            rest = changelog[found.end() :]
            following = re.search(r"^## ", rest, re.MULTILINE)
            return rest[: following.start() if following else None].strip() + "\n"
    where = f"'## {version}'" if tagged else f"'## {version}' or '## Unreleased'"
    raise Refused(f"CHANGELOG.md has no heading {where}: say there what changes")


def right_tag(root: Path, tag: str, version: str, commit: str) -> None:
    """Raises Refused unless the tag is this version's, and of this commit."""
    if tag != f"v{version}":
        raise Refused(f"the tag {tag} is not v{version}: pyproject.toml says which version this is")
    try:
        tagged = git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    except Refused:
        raise Refused(f"there is no tag {tag}: `git tag --sign {tag}` first") from None
    if tagged != commit:
        raise Refused(f"the tag {tag} names {tagged[:8]}, and {commit[:8]} is checked out: check out the tag")


def build(work: Path, commit: str) -> tuple[Path, Path]:
    """Wheel and sdist, the same from this tree, from a fresh clone, and (the wheel) from the sdist."""
    here, clone = built(ROOT, work / "here", commit), work / "clone"
    run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)])
    run(["git", "-C", str(clone), "checkout", "--quiet", "--detach", commit])
    again = built(clone, work / "again", commit)
    with tarfile.open(here[1]) as archive:
        archive.extractall(work / "unpacked", filter="data")
    (unpacked,) = (work / "unpacked").iterdir()
    from_sdist = built(unpacked, work / "from-sdist", commit, "--target", "wheel")
    for one, other in [*zip(here, again, strict=True), (here[0], from_sdist[0])]:
        if one.read_bytes() != other.read_bytes():
            raise Refused(f"{one.name} is not the same bytes when it is built again, from {other.parent.name}")
    wheel, sdist = here
    tell(f"built {wheel.name} and {sdist.name}: the same bytes from this tree, a clone, and the sdist")
    return wheel, sdist


def built(source: Path, out: Path, commit: str, *target: str) -> tuple[Path, ...]:
    """What a folder of sources comes to: wheel, then sdist."""
    variables = {**plain_environment(out), "SOURCE_DATE_EPOCH": git(ROOT, "log", "-1", "--format=%ct", commit)}
    run([sys.executable, "-I", "-m", "hatchling", "build", "-d", str(out), *target], cwd=source, env=variables)
    return (*out.glob("*.whl"), *out.glob("*.tar.gz"))


def environment(folder: Path, lock: str, *, keep: bool = False) -> Path:
    """An environment with exactly what a lock pins; its folder of commands. A kept one is made again for a new lock."""
    mark, want = folder / ".lock", digest(ROOT / lock)
    if keep and mark.is_file() and mark.read_text() == want:
        return folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(folder)])
    pip(folder / "bin" / "python", "--require-hashes", "--no-deps", "--requirement", str(ROOT / lock))
    mark.write_text(want)
    return folder / "bin"


def pip(python: Path, *arguments: str) -> None:
    run([str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


def materials(tools: Path, python: Path, bill: Path, commit: str) -> None:
    """The software bill of materials (CycloneDX, JSON) of what was installed."""
    variables = plain_environment(bill.parent) | {"SOURCE_DATE_EPOCH": git(ROOT, "log", "-1", "--format=%ct", commit)}
    command = [str(tools / "cyclonedx-py"), "environment", "--output-reproducible", "--mc-type", "application"]
    run([*command, "--pyproject", str(ROOT / "pyproject.toml"), "-o", str(bill), str(python)], env=variables)
    text = json.dumps(needed(json.loads(bill.read_text())), indent=2, sort_keys=True, ensure_ascii=False)
    if str(bill.parent) in text:
        raise Refused("the bill of materials names a path of this machine")
    bill.write_text(text + "\n")


def needed(bill: dict[str, Any]) -> dict[str, Any]:
    """The bill without what is in the environment for other reasons: pip, and what builds."""
    edges = {row["ref"]: row.get("dependsOn", []) for row in bill["dependencies"]}
    found, waiting = set[str](), [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        if (ref := waiting.pop()) not in found:
            found.add(ref)
            waiting += edges.get(ref, [])
    return {
        **bill,
        "components": [one for one in bill["components"] if one["bom-ref"] in found],
        "dependencies": [row for row in bill["dependencies"] if row["ref"] in found],
    }


def put(out: Path, files: list[Path], notes: str) -> None:
    """Puts the files, their checksums and the release's notes into a folder, in place of those of earlier times."""
    out.mkdir(parents=True, exist_ok=True)
    for pattern in ("bot_reconciler-*", "bot-reconciler-*.cdx.json", "SHA256SUMS", "NOTES.md"):
        for old in out.glob(pattern):
            old.unlink()
    sums = "".join(f"{digest(file)}  {file.name}\n" for file in sorted(files, key=lambda file: file.name))
    for file in files:
        shutil.copyfile(file, out / file.name)
    (out / "SHA256SUMS").write_text(sums)
    (out / "NOTES.md").write_text(notes)
    for file in sorted(out.iterdir()):
        print(file)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
