"""`import`: what is elsewhere, as YAML in the repository: live objects by itself, other sources by commands of its own.

`import_live.py` does the former.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reconciler.cli.context import context
from reconciler.cli.import_live import write_all
from reconciler.cli.output import Format, put, say
from reconciler.cli.site import TargetName
from reconciler.errors import Misuse

if TYPE_CHECKING:
    from reconciler.desired.export import Exported

_LIMIT: Final = 64 << 20  # bytes of an export

imports = typer.Typer(rich_markup_mode="markdown", subcommand_metavar="[COMMAND]")


@imports.callback(invoke_without_command=True)
def live(
    asked: typer.Context,
    target: TargetName = None,
    instance: Annotated[
        str | None,
        typer.Option("--instance", help="Only this instance (its YAML name or the target's).", metavar="NAME"),
    ] = None,
    bot: Annotated[
        list[str] | None,
        typer.Option("--bot", help="Only this bot (its id or description), with what it needs; may be given again."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder to write to.  [default: the instance's, below the source path]"),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print what was written.")] = Format.text,
) -> None:
    """Live objects that nobody owns become YAML, prompts of several lines Markdown files beside it.

    Committed, `plan` shows them as adopted: a mark is put on each, and nothing else changes. Keys are never written,
    but named: `{env: …}`. Files that are there already are not overwritten; either everything is written or nothing.
    Where the target has an overlay, that is where the files go.

    Examples:

        reconciler import
        reconciler import --instance bistro --target production
        reconciler import --bot cmwsddlsu00xt977d9bqba3r5
        reconciler import assistant asst_123.json
    """
    if asked.invoked_subcommand is None:
        from reconciler.cli.import_live import import_live

        import_live(target, instance, bot or (), out, format_)


@imports.command("assistant")
def assistant(
    file: Annotated[Path, typer.Argument(help="JSON as OpenAI's API gave it: an assistant, or a list of them.")],
    instance: Annotated[
        str | None, typer.Option("--instance", help="The Instance it is for; needed where there are several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write to; default: the instance's folder.")
    ] = None,
) -> None:
    """An exported OpenAI assistant becomes an Assistant document, its instructions a Markdown file beside it.

    Says what has no equivalent here. Files that are already there are never overwritten: if one is, nothing is written.

    Examples:

        reconciler import assistant asst_123.json
        reconciler import assistant assistants.json --instance bistro
        reconciler import assistant asst_123.json --instance bistro --out overlays/production/bistro
    """
    from reconciler.desired.export import read_export

    wanted, folder = _place(instance, out)
    found = read_export(_json(file), wanted if out is not None else None)
    files = {path: text for one in found for path, text in _files(folder, one).items()}
    for path in write_all(files):
        put(str(path))
    for one in found:
        for note in one.notes:
            say(f"{one.name}: {note}")
    say(f"Next: give a bot `botType: assistant` and `assistant: {found[0].name}`, then reconciler validate")


def _json(file: Path) -> object:
    import msgspec

    from reconciler.desired.text import text_of

    try:
        if file.stat().st_size > _LIMIT:
            raise Misuse(f"{file} is larger than {_LIMIT >> 20} MiB")
        return msgspec.json.decode(text_of(file, file.read_bytes()))
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Misuse(f"{file} is no JSON: {error}") from error


def _place(instance: str | None, out: Path | None) -> tuple[str, Path]:
    """The instance and the folder to write to."""
    from reconciler.desired.config import read_config
    from reconciler.errors import InvalidBots
    from reconciler.model import Config

    try:
        source = context.repository.root / read_config(context.repository, None).path
    except InvalidBots:
        source = context.repository.root / Config().path
    if instance is None:
        folders = [path.name for path in source.iterdir() if path.is_dir()] if source.is_dir() else []
        there = sorted(name for name in folders if not name.startswith("_"))  # `_base`, `_shared`
        if len(there) != 1:
            known = f" ({', '.join(there)})" if there else ""
            raise Misuse(f"which instance is it for? Say it with --instance{known}")
        (instance,) = there
    from reconciler import shape

    if not shape.fits("instance", {"kind": "Instance", "metadata": {"name": instance}, "spec": {}}):
        raise Misuse(f"'{instance}' is no name of an instance: use lower-case letters, digits and -")
    return instance, out if out is not None else source / instance


def _files(folder: Path, one: Exported) -> dict[Path, str]:
    """What is written for one assistant."""
    from reconciler.desired.keys import redact
    from reconciler.desired.write import dump

    title = redact(" ".join("".join(c if c.isprintable() else " " for c in one.title).split()))
    files = {folder / f"{one.name}.yaml": f"# Imported from the OpenAI assistant {title}\n{dump(one.document)}"}
    if one.instructions is not None:
        files[folder / "prompts" / f"{one.name}.md"] = one.instructions + "\n"
    return files
