"""`review`: what a pull request will do to customers, before it is merged."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, put_json
from reconciler.cli.progress import Progress
from reconciler.cli.review_post import (
    ForgeName,
    ForgeUrl,
    Post,
    PostFile,
    Pull,
    RepositoryName,
    Save,
    Strict,
    job,
    post_review,
    post_saved,
    posting,
    refs,
)
from reconciler.cli.site import TargetName, connect
from reconciler.cli.validate import documents_cache
from reconciler.errors import InvalidBots, Misuse

if TYPE_CHECKING:
    from reconciler.plan.review.findings import Review
    from reconciler.plan.review.text import Tone
    from reconciler.reconcile.once import Site
    from reconciler.reconcile.review.gather import Look


class Shape(StrEnum):
    """Text for people, Markdown for comments, JSON for programs, annotations for GitHub's pull requests."""

    text = "text"
    markdown = "markdown"
    json = "json"
    github = "github"


class Voice(StrEnum):
    """Who answers in the bots' place."""

    none = "none"
    demo = "demo"
    live = "live"


def review(
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="The branch that it is to be merged into.  [default: the CI job's, or origin/main]",
            metavar="REF",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", help="The commit or branch to look at.  [default: the CI job's, or HEAD]", metavar="REF"
        ),
    ] = None,
    target: TargetName = None,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", help="Recorded chats (`sessions export`) to play with the bots of both sides."),
    ] = None,
    model: Annotated[
        Voice,
        typer.Option(
            "--model",
            help="Who answers in Conversations: nobody; the demo model; or live, the accounts of the Credentials whose "
            "keys are here: prompts and messages go there, and tokens are paid for.",
        ),
    ] = Voice.none,
    format_: Annotated[Shape, typer.Option("--format", help="How to print the review.")] = Shape.text,
    out: Annotated[Path | None, typer.Option("--out", help="Also write it here, as Markdown.", metavar="FILE")] = None,
    post: Post = False,
    save: Save = None,
    post_file: PostFile = None,
    forge: ForgeName = None,
    forge_url: ForgeUrl = None,
    repository: RepositoryName = None,
    pull: Pull = None,
    strict: Strict = False,
) -> None:
    """What a pull request will do to customers: plan, routes, conversations, risks, and a verdict.

    Compares the head with the commit that it shares with the base, as a pull request does. Needs only git; with
    --target also says what drifted there and which open chats are affected, for which a key that only reads is enough.
    Models are asked with --model live alone, and only by Credentials that the change leaves as they were; functions are
    never called.

    Exits with 0 if it is fine, 1 if something is broken, 3 if a person should look.

    Examples:

        reconciler review --base origin/main
        reconciler review --base main --head my-branch --format markdown --out review.md
        reconciler review --base main --model live
        reconciler review --target production --replay chats.jsonl
        reconciler review --format github
        reconciler review --post
    """
    from reconciler.plan.review.annotations import workflow_commands
    from reconciler.plan.review.document import document
    from reconciler.plan.review.markdown import markdown
    from reconciler.plan.review.verdict import EXIT_CODES, verdict
    from reconciler.reconcile.forge.artifact import save as keep

    if post_file is not None:
        post_saved(post_file, job(forge, forge_url, repository, pull), strict=strict)
        return
    to = job(forge, forge_url, repository, pull) if post else None
    base, head = refs(base, head)
    if replay is not None and not replay.is_file():
        raise Misuse(f"{replay} is not there: `reconciler sessions export` writes such a file")
    gc.disable()  # two fleets are built here, and next to nothing thrown away
    try:
        with Progress("reading both sides") as progress:
            found = asyncio.run(_gather(base, head, target, replay, model, progress))
    finally:
        gc.enable()
    if out is not None:
        out.write_text(markdown(found), encoding="utf-8")
    match format_:
        case Shape.markdown:
            put(markdown(found).rstrip())
        case Shape.json:
            put_json(document(found))
        case Shape.github:
            for line in workflow_commands(found):
                put(line)
        case Shape.text:
            _print(found)
    if post or save is not None:
        what = posting(found, to)
        if save is not None:
            keep(what, save)
        if to is not None:
            post_review(what, to, strict=strict, kept=save)
    raise typer.Exit(EXIT_CODES[verdict(found)[0]])


async def _gather(
    base: str, head: str, target: str | None, replay: Path | None, model: Voice, progress: Progress
) -> Review:
    from datetime import UTC, datetime

    from reconciler.egress import Gate
    from reconciler.llm.models import Models
    from reconciler.reconcile.once import Site
    from reconciler.reconcile.review.gather import gather
    from reconciler.reconcile.review.voices import Answers, Voices

    repository = context.repository
    cache = documents_cache(repository)
    site = Site(repository, context.environment.variables, cache)
    models = Models(context.environment.variables.get("OPENAI_BASE_URL"), gate=Gate())
    answers = Answers(None if cache is None else cache.parent / "answers.cache")
    voices = Voices(model.value, models.answer, answers, progress.now)
    try:
        async with AsyncExitStack() as stack:
            look = await _looking(site, (base, head), target, stack) if target is not None else None
            today = datetime.now(UTC).date()
            return await gather(site, (base, head), voices, target=target, today=today, look=look, recorded=replay)
    finally:
        answers.save()
        await models.close()


async def _looking(site: Site, refs: tuple[str, str], target: str, stack: AsyncExitStack) -> Look:
    """How the target is asked what drifted and which chats are open; where it is not asked, why.

    Its address and key are the base's: a pull request may come from anybody, and could name another host.
    """
    import httpx

    from reconciler.desired.config import read_config, target_of
    from reconciler.reconcile.once import read_all
    from reconciler.reconcile.review.gather import shared
    from reconciler.reconcile.review.live import counting, looking, unseen

    base, head, _ = shared(site.repository, *refs)
    try:
        config = read_config(site.repository, base)
        chosen, after = target_of(config, target), target_of(read_config(site.repository, head), target)
        if (chosen.type, chosen.url, chosen.api_key) != (after.type, after.url, after.api_key):
            return unseen("its type, address or key changes here, so no key is sent there")
        key = context.api_key(chosen)
    except (InvalidBots, Misuse) as error:
        return unseen(str(error))
    reach = connect(chosen, config.name)
    stack.push_async_callback(reach.close)
    http = await stack.enter_async_context(
        httpx.AsyncClient(base_url=context.url(chosen), headers={"apikey": key}, timeout=20)
    )
    return looking(site, lambda: read_all(reach), counting(http))


_STYLES: dict[Tone, str] = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "dim": "dim",
    "bold": "bold",
    "plain": "",
    "note": "",
    "human": "yellow",
    "broken": "red",
    "fine": "green",
}


def _print(found: Review) -> None:
    """The review on standard output, in colour on a terminal."""
    from reconciler.plan.review.text import lines, text

    if not sys.stdout.isatty():
        put(text(found))
        return
    from rich.text import Text

    from reconciler.cli.output import console

    out = console()
    for line in lines(found):
        out.print(Text.assemble(*((part, _STYLES[tone]) for tone, part in line)))
