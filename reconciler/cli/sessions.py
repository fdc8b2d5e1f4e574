"""`sessions`: what a runtime remembers of its chats."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import say
from reconciler.cli.progress import Progress
from reconciler.errors import Misuse

sessions = typer.Typer(help="What a runtime remembers of its chats.", no_args_is_help=True)


@sessions.callback()
def main() -> None:
    """What a runtime remembers of its chats."""


@sessions.command("export")
def export(
    redact: Annotated[
        bool,
        typer.Option(
            "--redact/--no-redact", help="Take out names, numbers, e-mail and web addresses, keys; or keep them."
        ),
    ] = True,
    instance: Annotated[
        str | None, typer.Option("--instance", help="Only this instance, by the target's name.", metavar="NAME")
    ] = None,
    bot: Annotated[
        str | None, typer.Option("--bot", help="Only chats with this bot, by its YAML name or id.", metavar="NAME")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only what was said since then: 7d, 12h, 30m.", metavar="AGO")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Chats at the most.", min=1, max=100_000)] = 1_000,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write here in place of standard output.", metavar="FILE")
    ] = None,
) -> None:
    """Write a runtime's chats as JSON lines, redacted, for `review --replay` to play with changed bots.

    Reads chats that have a session, the newest 1,000 messages of each. Needs the runtime's key or an instance's.
    What redaction takes out and what it cannot know: docs/review.md. Read the file before you share it.

    Examples:

        reconciler sessions export --redact --since 7d --out chats.jsonl
        reconciler sessions export --instance bistro --bot restaurant
    """
    if out is not None and out.exists():
        raise Misuse(f"{out} is there already: name a new file")
    with Progress("reading chats"):
        chats, messages = asyncio.run(_export(redact, instance, bot, since, limit, out))
    say(f"{chats:,} chats, {messages:,} messages" + ("" if redact else "; not redacted: keep the file to yourself"))


async def _export(
    redact: bool, instance: str | None, bot: str | None, since: str | None, limit: int, out: Path | None
) -> tuple[int, int]:
    import httpx
    import msgspec

    from reconciler.reconcile.redact import Redactor
    from reconciler.reconcile.sessions import Chats, since_of

    after = since_of(since) if since is not None else None
    redactor = Redactor() if redact else None
    counts = [0, 0]
    headers = {"apikey": context.api_key()}
    http = httpx.AsyncClient(base_url=context.url(), headers=headers, timeout=httpx.Timeout(10, read=60))
    async with http, _file(out) as file:
        found = Chats(http).recorded(
            redactor=redactor, instance=instance, bot=bot, since=after, limit=limit, skipped=say
        )
        async for one in found:
            if one.messages:
                file.write(msgspec.json.encode(one) + b"\n")
                counts = [counts[0] + 1, counts[1] + len(one.messages)]
    return counts[0], counts[1]


@asynccontextmanager
async def _file(out: Path | None) -> AsyncIterator[IO[bytes]]:
    """Standard output, or a new file that only its owner reads."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    import os

    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Misuse(f"{out} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        yield file
