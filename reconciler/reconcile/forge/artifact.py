"""A review from a job that is not trusted: a file of data, checked, tamed and posted by a job that is.

Before it a fork's pull request ran `reconciler review --save FILE` without any secret and kept the file as an artifact;
after it `post`. Whoever opened the pull request may have written every byte of the file. So it is bounded and fits its
shape or is refused, its pull request must have the very commit that the first job ran for, its Markdown loses its
powers, and where the pull request changes what ran that job, its verdict counts for nothing.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from reconciler.errors import Misuse
from reconciler.plan.neutral import tame
from reconciler.plan.review.marker import line, read
from reconciler.reconcile.forge.detect import CI
from reconciler.reconcile.forge.port import LIMITS, Forge, Pull
from reconciler.reconcile.forge.post import Posted, Posting, cut, post

MOST: Final = 8 << 20  # bytes of a file
# Folders whose files a forge runs, or takes the jobs from.
_RUN: Final = (".github/", ".gitea/", ".forgejo/", ".gitlab/", ".gitlab-ci.yml", "action.yml", "action.yaml")


def save(posting: Posting, path: Path) -> None:
    """Writes a review to a file for another job. Raises Misuse where that cannot be."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(posting), indent=2) + b"\n")
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error


def load(path: Path) -> Posting:
    """A review from a file that anybody may have written. Raises Misuse where it is none.

    Links, pipes and devices are not read: an archive can hold a link to anywhere.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Misuse(f"{path} is no file")
            content = file.read(MOST + 1)
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MOST:
        raise Misuse(f"{path} is larger than {MOST >> 20} MiB, which no review is")
    try:
        return msgspec.json.decode(content, type=Posting)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} is no saved review: {str(error)[:200]}") from error


async def post_file(forge: Forge, ci: CI, posting: Posting, *, strict: bool = False) -> Posted:
    """Posts a review that was loaded from a file of an untrusted job.

    `ci.expects` is the commit that the other job ran for, where the forge says so (workflow_run). Raises Misuse where
    the file is of another commit or pull request, and what `post` raises.
    """
    number = ci.number or posting.number
    if number is None:
        raise Misuse("the saved review names no pull request: name it with --pull")
    if ci.expects and posting.head != ci.expects:
        raise Misuse(f"the saved review is of {posting.head[:8]}, but the job before this one ran for {ci.expects[:8]}")
    pull = await forge.pull(number)
    if pull.head != posting.head:
        said = f"pull request {number} is at {pull.head[:8]}, the saved review is of {posting.head[:8]}"
        if ci.expects or not pull.open:
            return Posted(notes=(f"{said}: nothing is posted, its own job does that",))
        raise Misuse(f"{said}: it is of another one, or old")
    if ci.source and ci.source != pull.from_repository:
        raise Misuse(f"pull request {number} is from another repository than the job before this one")
    doubts = await _doubts(forge, pull)
    posting = msgspec.structs.replace(
        posting, number=number, markdown=_markdown(posting, doubts, LIMITS[ci.kind].comment)
    )
    return await post(forge, ci, posting, state="pending" if doubts else None, strict=strict)


async def _doubts(forge: Forge, pull: Pull) -> str:
    """Why a review's verdict cannot be believed; "" where the job that made it was the base's own."""
    if not pull.fork:
        return ""
    paths = await forge.changed(pull.number)
    if paths is None:
        return "This pull request changes too many files to know whether it changes the job that made this review"
    touched = sorted(path for path in paths if path.startswith(_RUN))
    return f"This pull request changes what made this review ({len(touched)} files of its jobs)" if touched else ""


def _markdown(posting: Posting, doubts: str, most: int) -> str:
    found = read(posting.markdown)
    if found is None or found.head != posting.head:
        raise Misuse("the saved review's first line is not that of a review of its commit")
    rest = posting.markdown.split("\n", 1)[1] if "\n" in posting.markdown else ""
    note = "*Made without secrets by the pull request's own job, and shown as text.*"
    if doubts:
        note = f"**{doubts}: read that change first, and do not believe the verdict before.**\n\n{note}"
    return cut(f"{line(found)}\n{note}\n\n{tame(rest)}", most)
