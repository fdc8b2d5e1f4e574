"""Plain `import`: live objects that nobody owns, as YAML in the repository. `import_.py` has the options."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.output import Format, put, put_json, say
from reconciler.cli.progress import Progress
from reconciler.cli.site import connect, site
from reconciler.errors import InvalidBots, Misuse

if TYPE_CHECKING:
    from reconciler.desired.take import Taken
    from reconciler.model import Live, Plan
    from reconciler.reconcile.once import Wanted

_SHOWN = 20  # of a kind of remark


def import_live(
    target: str | None, instance: str | None, bots: Sequence[str], out: Path | None, format_: Format
) -> None:
    """Writes everything or nothing, says what will differ once it is applied, and what to do next."""
    from reconciler.desired.check import read_with
    from reconciler.desired.take import take
    from reconciler.desired.taking import Into
    from reconciler.plan.profiles import profile_of
    from reconciler.reconcile.once import make_plan, read_wanted

    here = site()
    wanted = read_wanted(here, target, worktree=True)
    with Progress("reading the target"):
        live = asyncio.run(_live(wanted))
    root = here.repository.root
    folder = wanted.target.overlay or wanted.config.path
    profile = profile_of(wanted.target.type)
    raised = profile.raised(profile.fit(profile.lower(wanted.desired, live).desired, live))
    into = Into(
        folder=folder,
        taken=_there(root),
        variables=here.variables,
        out=_inside(root, folder, out) if out else None,
        cannot=raised.left,
    )
    taken = take(wanted.desired, raised.live, into, instance, bots)
    if not taken.files:
        return _show(taken, None, wanted, format_)
    contents = {path: text.encode() for path, text in taken.files.items()}
    try:
        desired = read_with(here.repository, wanted.config, wanted.target, contents, here.cache)
    except InvalidBots as error:
        raise Misuse(f"what is live cannot stand beside what is declared, so nothing was written: {error}") from error
    plan = make_plan(here, wanted, desired, live)
    written = write_all({root / path: text for path, text in taken.files.items()})
    if format_ is Format.text:
        for path in written:
            put(os.path.relpath(path))
    return _show(taken, plan, wanted, format_)


async def _live(wanted: Wanted) -> Live:
    from reconciler.reconcile.once import read_all

    reach = connect(wanted.target, wanted.config.name)
    try:
        return await read_all(reach)
    finally:
        await reach.close()


def _there(root: Path) -> set[str]:
    """Every file of the working tree, by its path in the repository."""
    found = set()
    for here, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (".git", ".reconciler")]
        inside = os.path.relpath(here, root)
        found |= {name if inside == "." else f"{inside}/{name}" for name in (*names, *folders)}
    return found


def _inside(root: Path, folder: str, out: Path) -> str:
    """`--out` as a path of the repository. Raises Misuse where nothing there would be read."""
    path = Path(os.path.abspath(out))
    try:
        found = path.relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise Misuse(f"{out} is not in the repository {root}") from error
    if folder != "." and f"{found}/".startswith(f"{folder}/") is False:
        raise Misuse(f"{out} is not below {folder}, where bots are read from: choose a folder there")
    return found


def write_all(files: Mapping[Path, str]) -> list[Path]:
    """Writes new files, all or none. Raises Misuse where one is there already, or cannot be written."""
    if taken := [path for path in files if path.exists() or path.is_symlink()]:
        raise Misuse(f"{taken[0]} is already there: nothing was written; move it away, or choose a folder with --out")
    made: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="") as new:
                made.append(path)
                new.write(text)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise Misuse(f"{error.filename} cannot be written, so nothing was: {error.strerror}") from error
    return made


def _show(taken: Taken, plan: Plan | None, wanted: Wanted, format_: Format) -> None:
    refs = {one.ref for one in taken.objects}
    changes = [change for change in plan.changes if change.ref in refs and change.fields] if plan is not None else []
    if format_ is Format.json:
        put_json(
            {
                "target": wanted.target.name,
                "files": sorted(taken.files),
                "objects": [
                    {
                        "kind": one.ref.kind,
                        "instance": one.ref.instance,
                        "name": one.ref.name,
                        "id": one.id,
                        "file": one.path,
                        "variable": one.variable,
                        "notes": list(one.notes),
                    }
                    for one in taken.objects
                ],
                "leftOut": [
                    {"kind": one.kind, "instance": one.instance, "label": one.label, "id": one.id, "reason": one.reason}
                    for one in taken.left
                ],
                "differs": {str(change.ref): [field.field for field in change.fields] for change in changes},
            }
        )
        return
    for one in taken.left[:_SHOWN]:
        say(f"left out: {one.kind} {one.label!r} of {one.instance}: {one.reason}")
    if len(taken.left) > _SHOWN:
        say(f"… and {len(taken.left) - _SHOWN} more (--format json has them all)")
    if not taken.files:
        say(f"nobody's objects: none on {wanted.target.name} that could be taken over; nothing was written")
        return
    for made in taken.objects:
        for note in made.notes:
            say(f"{made.ref}: {note}")
    for change in changes:
        say(f"{change.ref}: the plan will change {', '.join(field.field for field in change.fields)}")
    _keys(taken)
    count = len(taken.objects)
    say(f"Next: look at the {count} object{'' if count == 1 else 's'}, git add and commit them; reconciler plan shows")
    say("what is adopted (a mark is put on it, nothing else changes); applied by the loop, or by reconciler apply")


def _keys(taken: Taken) -> None:
    """Which variables must hold which keys before anything is applied."""
    missing = sorted({one.variable for one in taken.objects if one.variable and not one.known})
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        say(f"Keys are never written: set {shown} where it is applied, to the keys that are live (or to new ones)")
