"""`route`: which bot of the desired state a first message would start, and who was asked before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.output import Format, put, put_json
from reconciler.cli.site import Ref, TargetName, site
from reconciler.errors import Misuse

if TYPE_CHECKING:
    from reconciler.model import Desired
    from reconciler.talk.match import Asked

NOBODY = 2  # exit code


def route(
    instance: Annotated[str, typer.Argument(help="The instance, by its YAML name or the target's name for it.")],
    text: Annotated[str, typer.Argument(help="A customer's first message.")],
    target: TargetName = None,
    ref: Ref = None,
    worktree: Annotated[
        bool, typer.Option("--worktree", help="Take the files as they are saved, committed or not.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """Which bot would answer a first message, and the order in which the others were asked.

    Asks the desired state, no server: the bots as a commit or the working tree declares them, in the order and with the
    rules of the target's type. Exit code 2: nobody would answer.

    Examples:

        reconciler route bistro "do you have a table?"
        reconciler route bistro menu --worktree
        reconciler route bistro menu --target production
    """
    from reconciler.reconcile.once import read_wanted
    from reconciler.reconcile.why import asked_of

    if worktree and ref:
        raise Misuse("--worktree and --ref exclude each other")
    wanted = read_wanted(site(), target, ref=ref, worktree=worktree)
    name = _instance(wanted.desired, instance)
    asked, why = asked_of(wanted.desired, name, text, wanted.target.type)
    answering = next((one.bot.id for one in asked if one.matched), None)
    if format_ is Format.json:
        found = {"instance": name, "text": text, "bot": answering, "asked": [_row(one) for one in asked]}
        put_json({**found, "why": why} if why else found)
    else:
        for number, one in enumerate(asked, 1):
            value = f" {one.bot.trigger_value!r}" if one.bot.trigger_value and one.by != "fallback" else ""
            put(f"{number:>3}. {'yes' if one.matched else 'no ':3} {one.bot.id}: {one.by}{value}")
        put(f"{answering} answers" if answering else f"nobody of {name} answers{f': {why}' if why else ''}")
    if answering is None:
        raise typer.Exit(NOBODY)


def _instance(desired: Desired, wanted: str) -> str:
    """The YAML name of an instance. Raises Misuse, naming those there are."""
    from reconciler import shape

    names = {one.ref.name: one.spec["instanceName"] for one in desired.objects if one.ref.kind == "Instance"}
    if wanted in names:
        return wanted
    for name, own in names.items():
        if own == wanted:
            return name
    hint = shape.closest(wanted, list(names)) or f"there are: {', '.join(list(names)[:10]) or 'none'}"
    raise Misuse(f"there is no instance '{wanted}' {hint}")


def _row(one: Asked) -> dict[str, Any]:
    return {"bot": one.bot.id, "by": one.by, "value": one.bot.trigger_value, "matched": one.matched}
