"""`why`: why a bot is not applied, drifted, blocked, failed or never answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import Format, put, put_json
from reconciler.cli.plan import fresh_plan
from reconciler.cli.site import Ref, TargetName, site
from reconciler.errors import InvalidBots, Misuse, Unavailable

if TYPE_CHECKING:
    from reconciler import model
    from reconciler.model import Desired
    from reconciler.reconcile.once import Wanted
    from reconciler.reconcile.why import Finding


def why(
    bot: Annotated[str, typer.Argument(help="INSTANCE/NAME, or NAME where it is the only one.", metavar="BOT")],
    target: TargetName = None,
    ref: Ref = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """Why a bot is not applied, drifted, blocked, failed, or never answers.

    Looks at the desired state, at the target where it answers, and at the loop's own records.

    Examples:

        reconciler why restaurant
        reconciler why bistro/restaurant --format json
    """
    from reconciler.reconcile.once import read_wanted
    from reconciler.reconcile.why import Finding, answering, recorded

    try:
        wanted = read_wanted(site(), target, ref=ref)
    except InvalidBots as error:
        blocked = [Finding("blocked", f"the commit is no desired state, so nothing of it is applied: {error}")]
        return _print(bot, blocked, format_)
    chosen = _chosen(wanted.desired, bot)
    name = wanted.target.name
    found = _on_target(wanted, ref, chosen)
    path = context.data.loop_database
    if path.exists():
        from reconciler.reconcile.history import History

        with History(path) as history:
            found += recorded(history, name, chosen, wanted.commit)
    found += answering(wanted.desired, chosen, wanted.target.type)
    return _print(f"{chosen.instance}/{chosen.name}", list(dict.fromkeys(found)), format_)


def _chosen(desired: Desired, bot: str) -> model.Ref:
    from reconciler import shape
    from reconciler.reconcile.why import found_bots

    refs = found_bots(desired, bot)
    if len(refs) == 1:
        return refs[0]
    if refs:
        raise Misuse(f"there are several: name one of {', '.join(f'{ref.instance}/{ref.name}' for ref in refs)}")
    names = sorted({one.ref.name for one in desired.objects if one.ref.kind == "Bot"})
    hint = shape.closest(bot.rpartition("/")[2], names)
    raise Misuse(f"no bot '{bot}' is declared at {(desired.commit or '')[:8]} {hint}".rstrip())


def _on_target(wanted: Wanted, ref: str | None, chosen: model.Ref) -> list[Finding]:
    from reconciler.plan.gate import refusals
    from reconciler.plan.own import instance_names
    from reconciler.reconcile.why import Finding, planned

    try:
        plan, allow, gates = asyncio.run(fresh_plan(wanted.target.name, ref, False, frozenset()))
    except Unavailable as error:
        return [Finding("blocked", f"what is live is not known: {error}")]
    live_name = instance_names(wanted.desired)[chosen.instance]
    return planned(plan, chosen, live_name, (*plan.faults, *refusals(plan, allow, gates)))


def _print(bot: str, found: list[Finding], format_: Format) -> None:
    if format_ is Format.json:
        put_json({"bot": bot, "findings": found})
        return
    for one in found:
        first, *more = one.text.splitlines()
        put(f"{one.topic:13}  {first}")
        for line in more:
            put(f"{'':13}  {line}")
    if not found:
        put(f"{bot}: nothing stands in its way; it is live as declared, and its trigger is asked")
