"""`status`: how each target stands, from the loop's own records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.context import context
from reconciler.cli.output import Format, put, put_json
from reconciler.cli.site import history, when
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.reconcile.history import History, TargetRow

OUT_OF_SYNC = 2  # exit code


def status(
    target: Annotated[str | None, typer.Option("--target", help="Only this target.", metavar="NAME")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """How each target stands: commit wanted and applied, in sync or not, drift, and what is blocked and why.

    Exit code 2: a target is not in sync.

    Examples:

        reconciler status
        reconciler status --format json
    """
    from reconciler.reconcile.locks import loop_runs

    running = loop_runs(context.data.path)
    with history() as records:
        found = [_state(records, row, running) for row in records.targets() if target in (None, row.target)]
    if format_ is Format.json:
        put_json(found)
    else:
        for one in found:
            _show(one)
        if not found:
            put("no pass has ended yet")
    if not found or any(one["sync"] != "Synced" for one in found):
        raise typer.Exit(OUT_OF_SYNC)


def _state(records: History, row: TargetRow, running: bool) -> dict[str, Any]:
    from reconciler.reconcile.history import GOOD

    desired = _wanted()
    skipped = records.holds.quarantined(row.target, desired)
    wanted = skipped.good if skipped else desired or row.wanted
    suspended = records.holds.suspended(row.target)
    drift = records.drift(row.target)
    good = row.outcome in GOOD
    if row.outcome == "unavailable":
        sync = "Unknown"
    else:
        sync = "Synced" if good and wanted == row.applied and not drift else "OutOfSync"
    return {
        "target": row.target,
        "sync": sync,
        "health": "Suspended" if suspended else "Healthy" if good else "Degraded",
        "suspended": suspended,
        "quarantined": skipped,
        "wanted": wanted,
        "applied": row.applied,
        "outcome": row.outcome,
        "message": row.message,
        "drift": drift,
        "notes": row.notes,
        "checked": row.checked,
        "lastPass": row.last_pass,
        "loopRuns": running,
    }


def _wanted() -> str | None:
    """The commit that is desired now, where the repository is at hand."""
    from reconciler.reconcile.once import commit_of

    try:
        return commit_of(context.repository, None)[0]
    except ReconcilerError:
        try:
            return context.repository.resolve("HEAD")
        except ReconcilerError:
            return None


def _show(one: dict[str, Any]) -> None:
    put(f"{one['target']}: {one['sync']}, {one['health']}")
    if held := one["suspended"]:
        put(f"  suspended {held.reason}, since {when(held.since)} (reconciler resume)")
    if skipped := one["quarantined"]:
        until = f"{skipped.good[:8]} stands in its place until another commit comes"
        put(f"  skipped   {skipped.bad[:8]}, rolled back {when(skipped.since)}: {until}")
    put(f"  wanted    {(one['wanted'] or 'unknown')[:8]}")
    put(f"  applied   {(one['applied'] or 'nothing yet')[:8] if one['applied'] else 'nothing yet'}")
    number = f" (reconciler show {one['lastPass']})" if one["lastPass"] else ""
    put(f"  last      {one['outcome']}, looked at {when(one['checked'])}{number}")
    put(f"  loop      {'runs' if one['loopRuns'] else 'does not run: start `reconciler up` or `reconciler run`'}")
    for drifted in one["drift"]:
        since = when(drifted.first_seen)
        put(f"  drift     {drifted.kind} {drifted.instance}/{drifted.name}: {drifted.field}, seen since {since}")
    for line in one["message"].splitlines():
        put(f"  blocked   {line}")
    for note in one["notes"]:
        put(f"  note      {note}")
