"""`review --post`, `--save` and `--post-file`: a review on its pull request, or on its way there."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.errors import Misuse

if TYPE_CHECKING:
    from reconciler.plan.review.findings import Review
    from reconciler.reconcile.forge.detect import CI
    from reconciler.reconcile.forge.port import Kind
    from reconciler.reconcile.forge.post import Posted, Posting


_KEPT: Final = Path("reconciler-review.json")  # in the working directory, as the templates for CI have it


class ForgeKind(StrEnum):
    """The forges; Forgejo is of Gitea's kind."""

    github = "github"
    gitlab = "gitlab"
    gitea = "gitea"


Post = Annotated[
    bool,
    typer.Option("--post", help="Post it to the pull request that this CI job is for: a comment and a commit status."),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", help="Keep it in this file, for a job that may post it.", metavar="FILE"),
]
PostFile = Annotated[
    Path | None,
    typer.Option(
        "--post-file",
        help="Post the review that a job without secrets kept with --save; the file is not trusted.",
        metavar="FILE",
    ),
]
ForgeName = Annotated[ForgeKind | None, typer.Option("--forge", help="The forge to post to.  [default: the CI job's]")]
ForgeUrl = Annotated[
    str | None, typer.Option("--forge-url", help="Its address.  [default: the CI job's]", metavar="URL")
]
RepositoryName = Annotated[
    str | None,
    typer.Option("--repository", help="The repository there.  [default: the CI job's]", metavar="OWNER/NAME"),
]
Pull = Annotated[
    int | None,
    typer.Option("--pull", help="The pull request's number.  [default: the CI job's]", min=1, metavar="NUMBER"),
]
Strict = Annotated[bool, typer.Option("--strict", help="Let the commit status fail, too, where a person should look.")]


def job(forge: ForgeKind | None, url: str | None, repository: str | None, pull: int | None) -> CI:
    """Where to post: what the CI job's variables say, with the options in their place. Raises Misuse."""
    from reconciler.reconcile.forge.detect import chosen

    kinds: dict[ForgeKind, Kind] = {
        ForgeKind.github: "github",
        ForgeKind.gitlab: "gitlab",
        ForgeKind.gitea: "gitea",
    }
    kind = kinds[forge] if forge is not None else None
    return chosen(context.environment.variables, kind=kind, url=url, repository=repository, number=pull)


def refs(base: str | None, head: str | None) -> tuple[str, str]:
    """Base and head: those given, else those of the CI job's pull request, else `origin/main` and `HEAD`."""
    from reconciler.reconcile.forge.detect import detect

    found = None if base and head else detect(context.environment.variables)
    of_pull = found if found is not None and found.number is not None else None
    return (
        base or (of_pull.base if of_pull else "") or "origin/main",
        head or (of_pull.head if of_pull else "") or "HEAD",
    )


def posting(found: Review, ci: CI | None) -> Posting:
    """A review as it is posted, within the limits of the forge that it is for (GitHub's where none is known)."""
    from reconciler.plan.render import count
    from reconciler.plan.review.markdown import markdown
    from reconciler.plan.review.verdict import verdict
    from reconciler.reconcile.forge.port import LIMITS
    from reconciler.reconcile.forge.post import Posting

    changed = [count(part.plan) for part in found.parts]
    counts = {
        "problems": len(found.problems),
        "changes": sum(one["create"] + one["update"] + one["delete"] for one in changed),
        "risks": sum(len(part.risks) for part in found.parts),
        "route findings": sum(len(part.routes) for part in found.parts),
        "conversations": sum(len(part.talks) for part in found.parts),
    }
    return Posting(
        head=found.head,
        verdict=verdict(found)[0],
        markdown=markdown(found, LIMITS[ci.kind if ci else "github"].comment),
        counts=counts,
        number=ci.number if ci else None,
    )


def post_review(what: Posting, ci: CI, *, strict: bool, kept: Path | None) -> None:
    """Posts a review and says what became of it. Raises Misuse where the token may not.

    But a fork's token never may: then the review is kept in a file, if it is not (`kept`), for another job.
    """
    from reconciler.reconcile.forge.artifact import save

    posted = asyncio.run(_post(what, ci, strict=strict, saved=False))
    if posted.refused and ci.fork and kept is None:
        kept = _KEPT
        save(what, kept)
    _said(posted, ci, kept)


def post_saved(path: Path, ci: CI, *, strict: bool) -> None:
    """Posts the review of a file that is not trusted, and says what became of it."""
    from reconciler.reconcile.forge.artifact import load

    _said(asyncio.run(_post(load(path), ci, strict=strict, saved=True)), ci, None)


async def _post(what: Posting, ci: CI, *, strict: bool, saved: bool) -> Posted:
    from reconciler.reconcile.forge.artifact import post_file
    from reconciler.reconcile.forge.detect import forge_of
    from reconciler.reconcile.forge.post import FORKS, Posted, post

    if ci.fork and ci.token is None and not saved:
        return Posted(refused=FORKS[ci.kind])
    forge = forge_of(ci)
    try:
        return await (post_file if saved else post)(forge, ci, what, strict=strict)
    finally:
        await forge.close()


def _said(posted: Posted, ci: CI, kept: Path | None) -> None:
    for note in posted.notes:
        say(f"note     {note}")
    if posted.refused and not ci.fork:
        raise Misuse(posted.refused)
    if posted.refused:
        say(f"not posted: {posted.refused}" + (f"; it is kept in {kept}" if kept else ""))
    if posted.comment is not None:
        say(f"posted   {posted.comment.url or f'to {ci.repository}'}")
