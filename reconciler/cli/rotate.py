"""`rotate`: another global key, or another key of what is encrypted, without a moment in which neither is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, say
from reconciler.cli.serve import Data, only_one
from reconciler.errors import Misuse
from reconciler.settings import DataFolder

rotate = typer.Typer(
    help="Replace a key, in two steps: the one before is valid until the second.", no_args_is_help=True
)

Finish = Annotated[bool, typer.Option("--finish", help="The second step: let the previous key go.")]


@rotate.callback()
def main() -> None:
    """Replace a key, in two steps: the one before is valid until the second."""


@rotate.command("api-key")
def api_key(finish: Finish = False, data: Data = None) -> None:
    """Another global key in the data folder; the one so far stays valid too, until `--finish`.

    A runtime or loop that runs takes either up at once. Where RECONCILER_API_KEY is set that is the key: give it
    another value, and RECONCILER_API_KEY_PREVIOUS the one it had.

    Examples:

        reconciler rotate api-key
        reconciler rotate api-key --finish
    """
    if context.environment.api_key:
        raise Misuse(
            "the global key is that of RECONCILER_API_KEY: set that to a new one and RECONCILER_API_KEY_PREVIOUS to "
            "the one so far, and start the runtime anew; once the previous one is not used any more, take it out"
        )
    key = _folder(data).api_key
    if finish:
        put(f"{key.before} is gone: that key opens nothing any more" if key.finish() else _nothing(key.before.name))
        return
    if not key.rotate():
        raise Misuse(f"the key in {key.before} is still valid: end that first, `reconciler rotate api-key --finish`")
    put(f"{key.path}: a new key; the one so far is in {key.before.name} and stays valid")
    say("Give the new key to every client, then: reconciler rotate api-key --finish")


@rotate.command("secret-key")
def secret_key(finish: Finish = False, data: Data = None) -> None:
    """Another key of what is encrypted, and everything that is stored encrypted anew with it, while nothing runs.

    The one so far goes on reading what it made, such as tokens of chats and backups, until `--finish`. Where
    RECONCILER_SECRET_KEY is set that is the new key, and RECONCILER_SECRET_KEY_PREVIOUS the one so far. It may be
    interrupted at any moment: called again it goes on.

    Examples:

        reconciler rotate secret-key
        reconciler rotate secret-key --finish
    """
    from reconciler.store.reseal import reseal

    folder, environment = _folder(data), context.environment
    if not folder.runtime_database.exists():
        raise Misuse(f"{folder.path} holds no runtime.db: name the data folder with --data")
    with only_one(folder):
        kept = None if environment.secret_key else folder.secret_key
        before = environment.previous_secret_key
        if kept is None and not before and not finish:
            raise Misuse(
                "the secret key is that of RECONCILER_SECRET_KEY: set that to a new one, "
                "RECONCILER_SECRET_KEY_PREVIOUS to the one so far, and call this again"
            )
        began = kept is not None and not finish and kept.rotate()
        now = environment.secret_key or folder.make_secret_key()
        previous = tuple(key for key in (kept.previous() if kept is not None else None, before) if key)
        count = reseal(folder.runtime_database, now, previous)
        said = f"{folder.runtime_database}: {count} secrets encrypted anew"
        if finish:
            gone = kept.finish() if kept is not None else bool(before)
            put(said if count else f"{folder.runtime_database}: the secret key opens everything")
            say(_gone(folder, kept is not None) if gone else _nothing("secret.key.previous"))
            return
    put(said)
    if kept is not None and not began and not count:
        raise Misuse(
            f"the key in {kept.before} still reads what it made: end that first, "
            "`reconciler rotate secret-key --finish`"
        )
    where = kept.before.name if kept is not None else "RECONCILER_SECRET_KEY_PREVIOUS"
    say(f"The key so far is in {where} and reads what it made, until: reconciler rotate secret-key --finish")


def _folder(data: Path | None) -> DataFolder:
    return DataFolder(data) if data else context.data


def _gone(folder: DataFolder, kept: bool) -> str:
    if kept:
        return (
            f"{folder.secret_key.before} is gone; backups from before need it all the same, so keep it where they are"
        )
    return (
        "Take RECONCILER_SECRET_KEY_PREVIOUS out; backups from before need it all the same, so keep it where they are"
    )


def _nothing(name: str) -> str:
    return f"there is no {name}: no key is being replaced"
