"""`plan`: what would change, and who moved it; changes nothing."""

from __future__ import annotations

import asyncio
import gc
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, put_json, show_error
from reconciler.cli.progress import Progress
from reconciler.cli.site import Allow, InstanceName, Ref, Select, TargetName, allowed, connect, labels, print_plan, site
from reconciler.errors import Misuse, ReconcilerError, Refusal

if TYPE_CHECKING:
    from reconciler.desired.git import Repository
    from reconciler.model import Config, Desired, Gates, Live, Plan
    from reconciler.reconcile.once import Site, Wanted

CHANGES, ERROR = 2, 1  # exit codes of --detailed-exitcode
REFUSED = 3
_NAMED = 3  # files that a note names


class Shape(StrEnum):
    """Text for people, JSON for programs, Markdown for reviews."""

    text = "text"
    json = "json"
    markdown = "markdown"


def plan(
    target: TargetName = None,
    ref: Ref = None,
    worktree: Annotated[
        bool, typer.Option("--worktree", help="Take the files as they are saved, committed or not.")
    ] = False,
    select: Select = None,
    instance: InstanceName = None,
    format_: Annotated[Shape, typer.Option("--format", help="How to print the plan.")] = Shape.text,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode",
            help="Exit with 0 for no changes, 2 for changes, 1 for errors, 3 where it is refused.",
        ),
    ] = False,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Of what is created, show also what it inherits and what is built in.")
    ] = False,
    allow: Allow = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also save the plan here, for `apply FILE`.", metavar="FILE")
    ] = None,
) -> None:
    """What would change on a target, field by field, and whether git or somebody on the target moved it.

    Reads only. Keys are not resolved, so a review needs none but the target's own; a changed key does not show. Exit
    code 3: a gate refuses the plan.

    Examples:

        reconciler plan
        reconciler plan --worktree --instance bistro
        reconciler plan --ref feature --select team=hospitality
        reconciler plan --format markdown --detailed-exitcode
        reconciler plan --out menu.plan
    """
    from reconciler.plan.gate import refusals
    from reconciler.plan.narrow import narrow
    from reconciler.plan.render import document, markdown

    if worktree and ref:
        raise Misuse("--worktree and --ref exclude each other")
    if worktree and out:
        raise Misuse("--out saves the plan of a commit: leave --worktree out")
    wanted_labels, permitted = labels(select), allowed(allow)
    gc.disable()  # a lot is built here, and next to nothing thrown away
    try:
        with Progress("reading git and the target"):
            whole, permitted, gates = asyncio.run(fresh_plan(target, ref, worktree, permitted))
        found = narrow(whole, instance, wanted_labels)
    except ReconcilerError as error:
        if not detailed_exitcode:
            raise
        show_error(error)
        raise typer.Exit(ERROR) from error
    finally:
        gc.enable()
    if out is not None:
        from reconciler.reconcile.saved import save

        save(found, ref, permitted, out)
    refused = tuple(refusals(found, permitted, gates))
    match format_:
        case Shape.json:
            put_json(document(found, [str(one) for one in refused]))
        case Shape.markdown:
            put(markdown(_with(found, refused)).rstrip())
        case Shape.text:
            print_plan(_with(found, refused), defaults=defaults)
    if refused or found.faults:
        raise typer.Exit(REFUSED)
    if detailed_exitcode and found.changes:
        raise typer.Exit(CHANGES)


def _with(plan: Plan, refused: tuple[Refusal, ...]) -> Plan:
    import msgspec

    return msgspec.structs.replace(plan, faults=(*plan.faults, *refused))


async def fresh_plan(
    target: str | None, ref: str | None, worktree: bool, allow: frozenset[str]
) -> tuple[Plan, frozenset[str], Gates]:
    """The plan, what is allowed (also by the commit itself), and the target's gates."""
    from reconciler.desired.check import read_desired
    from reconciler.desired.config import target_of
    from reconciler.reconcile.once import Wanted, allowances, config_of, make_plan, read_all

    here = site(worktree=worktree)
    commit, config = config_of(here.repository, ref, worktree=worktree)
    chosen = target_of(config, target)
    reach = connect(chosen, config.name)
    try:
        # The target answers while the files are read.
        asked = asyncio.create_task(read_all(reach))
        try:
            desired = await asyncio.to_thread(read_desired, here.repository, commit, config, chosen, here.cache)
            live = await asked
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
    finally:
        await reach.close()
    wanted = Wanted(commit, config, chosen, desired)
    allow |= allowances(here.repository, commit)
    prune, self_heal = chosen.sync.prune, chosen.sync.self_heal
    plan = make_plan(here, wanted, desired, live, prune=prune, self_heal=self_heal, allow=allow)
    plan = _with_keys_here(plan, here, wanted, live)
    if not worktree and ref is None and (edited := _uncommitted(here.repository, config)):
        plan = _with_note(plan, edited)
    return with_records(plan, desired), allow, chosen.gates


def _with_note(plan: Plan, note: str) -> Plan:
    import msgspec

    return msgspec.structs.replace(plan, notes=(*plan.notes, note))


def _uncommitted(repository: Repository, config: Config) -> str:
    """Says of files that the plan does not see, since they are not committed; empty where there are none."""
    if repository.bare or repository.pinned:
        return ""
    overlays = [one.overlay for one in config.targets if one.overlay]
    edited = repository.uncommitted([config.path, "reconciler.yaml", *overlays])
    if not edited:
        return ""
    named = ", ".join(edited[:_NAMED]) + (f" and {len(edited) - _NAMED} more" if len(edited) > _NAMED else "")
    return f"not committed, so not in this plan: {named} (`--worktree` plans the files as they are saved)"


def _with_keys_here(plan: Plan, here: Site, wanted: Wanted, live: Live) -> Plan:
    """The plan with a note of each key that an apply from here would miss; no key is looked at for anything else."""
    import msgspec

    from reconciler.desired.secrets import with_keys
    from reconciler.plan.keys import absent_here, notes_here
    from reconciler.reconcile.once import make_plan

    keyed = with_keys(wanted.desired, here.variables, here.repository.root)
    shared = plan.type != "runtime"  # several Credentials may be one account there
    found = make_plan(here, wanted, keyed, live).absent if shared else absent_here(keyed, live, plan)
    return msgspec.structs.replace(plan, notes=(*notes_here(found), *plan.notes))


def with_records(plan: Plan, desired: Desired) -> Plan:
    """The plan with a note for a commit in quarantine and for each model that goes, as the loop's records say."""
    from datetime import UTC, datetime

    from reconciler.catalog import catalog
    from reconciler.plan.retire import notes, retiring, uses

    path = context.data.loop_database
    if not path.exists():
        return plan
    import msgspec

    from reconciler.reconcile.history import History

    with History(path) as history:
        lists = history.listings.lists(plan.target)
        skipped = history.holds.quarantined(plan.target, plan.commit)
    found = [*notes(retiring(uses(desired), lists, datetime.now(UTC).date(), catalog()))]
    if skipped is not None:
        bad, good = skipped.bad[:8], skipped.good[:8]
        found.insert(0, f"{bad} is quarantined: it was rolled back, and the loop applies {good} in its place")
    return msgspec.structs.replace(plan, notes=(*plan.notes, *found))
