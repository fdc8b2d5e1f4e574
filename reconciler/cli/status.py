"""`status`: how each target stands, from the loop's own records."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.output import Format, put, put_json
from reconciler.cli.site import when

if TYPE_CHECKING:
    from reconciler.reconcile.control import State
    from reconciler.reconcile.history import Source

OUT_OF_SYNC = 2  # exit code
_LONG = 2.0  # seconds from which a pass that is under way is told of
_KEEPS = "prune: false, deletes are only shown"
_LEAVES = "selfHeal: false, drift is only shown"


def status(
    target: Annotated[str | None, typer.Option("--target", help="Only this target.", metavar="NAME")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """How each target stands: commit wanted and applied, in sync or not, drift, and what is blocked and why.

    Of the loop of this data folder, else of the one behind RECONCILER_URL. Exit code 2: a target is not in sync.

    Examples:

        reconciler status
        reconciler status --format json
    """
    from reconciler.cli.loops import loop

    found = loop().status(target)
    if format_ is Format.json:
        put_json(found)
    else:
        for one in found:
            _show(one)
        if not found:
            put("no pass has ended yet")
    if not found or any(one.sync != "Synced" for one in found):
        raise typer.Exit(OUT_OF_SYNC)


def _show(one: State) -> None:
    from reconciler.plan.retire import lines
    from reconciler.reconcile.tries import ATTEMPTS

    put(f"{one.target}: {one.sync}, {one.health}")
    if held := one.suspended:
        put(f"  suspended {held.reason}, since {when(held.since)} (reconciler resume)")
    if skipped := one.quarantined:
        until = f"{skipped.good[:8]} stands in its place until another commit comes"
        put(f"  skipped   {skipped.bad[:8]}, rolled back {when(skipped.since)}: {until}")
    put(f"  wanted    {(one.wanted or 'unknown')[:8]}")
    put(f"  applied   {one.applied[:8] if one.applied else 'nothing yet'}")
    if one.source is not None:
        _show_source(one.source)
    number = f" (reconciler show {one.last_pass})" if one.last_pass else ""
    if one.checked is not None:
        put(f"  last      {one.outcome}, looked at {when(one.checked)}{number}")
    if one.looking is not None and (seconds := time.time() - one.looking) > _LONG:
        first = "; no pass has ended yet" if one.checked is None else ""
        put(f"  now       a pass is under way since {when(one.looking)}, for {seconds:.0f} s{first}")
    elif one.checked is None:
        put("  last      no pass has ended yet")
    if one.next is not None and one.attempts:
        tried = f"tried {one.attempts} of {ATTEMPTS} times" if one.attempts < ATTEMPTS else "given up until then"
        put(f"  next      {when(one.next)}, {tried}")
    elif one.next is not None:
        put(f"  next      {when(one.next)}")
    if off := [said for said, on in ((_KEEPS, one.prune), (_LEAVES, one.self_heal)) if on is False]:
        put(f"  sync      {', '.join(off)}")
    put(f"  loop      {'runs' if one.loop_runs else 'none follows it: start `reconciler up` or `reconciler run`'}")
    for drifted in one.drift:
        since = when(drifted.first_seen)
        put(f"  drift     {drifted.kind} {drifted.instance}/{drifted.name}: {drifted.field}, seen since {since}")
    for line in one.message.splitlines():
        put(f"  blocked   {line}")
    for note in one.notes:
        put(f"  note      {note}")
    for key in one.absent:
        if key["effect"] == "demo" and key["bots"]:
            put(f"  demo      {key['instance']}: the built-in demo model answers for {', '.join(key['bots'])}")
    for line in lines(one.retiring):
        put(f"  model     {line}")


def _show_source(source: Source) -> None:
    fetched = f"fetched {when(source.fetched)}" if source.fetched else "never fetched"
    put(f"  source    {source.url} ({source.ref}), {fetched}")
    if source.message:
        put(f"  source    {source.message}")
