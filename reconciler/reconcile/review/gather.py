"""A pull request read and looked at: both commits, the plan between them, and everything that is found on the way.

Before it a command names two refs; after it `plan/review/` judges and shows. Needs git alone. The base is the commit
that both sides share, as pull requests compare (`git diff base...head`), so what others merged meanwhile is not in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from reconciler.catalog import catalog
from reconciler.desired.again import Again
from reconciler.desired.check import read_desired, read_targets
from reconciler.desired.config import read_config, target_of
from reconciler.desired.files import Files, files_of
from reconciler.desired.git import Repository
from reconciler.desired.places import Places
from reconciler.errors import InvalidBots, Misuse, Problem
from reconciler.model import Config, Desired, Object, Place, Plan, Ref, Target
from reconciler.plan.gate import refusals
from reconciler.plan.profiles import profile_of
from reconciler.plan.review.align import aligned
from reconciler.plan.review.compare import compare, staying
from reconciler.plan.review.configured import configured
from reconciler.plan.review.cost import costs
from reconciler.plan.review.findings import Part, Replay, Review, Risk, Route, Talk
from reconciler.plan.review.risks import drifted, risks
from reconciler.plan.review.routing import routed
from reconciler.reconcile.once import Site, allowances
from reconciler.reconcile.rehearse import Where
from reconciler.reconcile.review.layers import Layers
from reconciler.reconcile.review.replay import replay
from reconciler.reconcile.review.talks import chosen, run_talks
from reconciler.reconcile.review.voices import Voices, has_account
from reconciler.reconcile.starts import OTHERWISE

_TRIGGER: Final = ("triggerValue", "triggerOperator", "triggerType", "enabled")
_PLACES: Final = 2_000  # lines looked up for findings; the rest are shown at their document


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a target says: the plan against it of what the change touches, open chats by bot; `said` is what could not
    be looked at, and why."""

    drift: Plan | None = None
    chats: Mapping[Ref, int] = {}
    said: str = ""


class Sides(msgspec.Struct, frozen=True, kw_only=True):
    """Both commits (full hashes) with what they declare for each target of the head's configuration.

    A target that the base does not have declares nothing there. `files` and `places` are of the head, `former` of the
    base.
    """

    base: str
    head: str
    base_config: Config
    head_config: Config
    before: Mapping[str, Desired]
    after: Mapping[str, Desired]
    former: Files
    files: Files
    places: Places


def shared(repository: Repository, base: str, head: str) -> tuple[str, str, int]:
    """The commit both refs share, the head's, and how many commits of the base branch head lacks.

    Raises Misuse where they share none that this clone has.
    """
    tip, commit = repository.resolve(base), repository.resolve(head)
    found = repository.merge_base(tip, commit)
    if found is None:
        hint = "fetch more of it: git fetch --unshallow, or fetch-depth: 0 in the job" if repository.shallow else ""
        raise Misuse(f"{base} and {head} have no commit in common{'; ' + hint if hint else ''}")
    return found, commit, repository.count(found, tip)


def read_sides(site: Site, base: str, head: str, target: str | None) -> Sides:
    """Both commits read. Raises InvalidBots for a head that is no desired state, Misuse where the base is none."""
    repository = site.repository
    try:
        head_config = read_config(repository, head)
    except InvalidBots as error:
        raise InvalidBots((*error.problems, *_problems(site, head))) from error
    chosen_targets = head_config.targets if target is None else (target_of(head_config, target),)
    try:
        base_config = read_config(repository, base)
    except InvalidBots as error:
        raise BaseInvalid(error) from error
    known = {one.name: one for one in base_config.targets}
    read: dict[tuple[object, ...], tuple[Desired, Desired]] = {}
    pairs: dict[str, tuple[Desired, Desired]] = {}
    for one in chosen_targets:
        was = known.get(one.name)
        kind = (one.overlay, one.type, was and (was.overlay, was.type))
        if kind not in read:
            try:
                read[kind] = _read(site, (base, base_config, was), (head, head_config, one))
            except InvalidBots as error:
                read_targets(repository, head, head_config, chosen_targets, site.cache)  # raises for all of them
                raise BaseInvalid(error) from error
        pairs[one.name] = read[kind]
    files = files_of(repository, head)
    return Sides(
        base=base,
        head=head,
        base_config=base_config,
        head_config=head_config,
        before={name: old for name, (old, _) in pairs.items()},
        after={name: new for name, (_, new) in pairs.items()},
        former=files_of(repository, base),
        files=files,
        places=Places(files),
    )


def _read(
    site: Site, base: tuple[str, Config, Target | None], head: tuple[str, Config, Target]
) -> tuple[Desired, Desired]:
    """What both commits declare for a target; what they share is read once. Nothing for one that the base lacks."""
    again = Again(site.repository, site.cache)
    after = again.read(*head)
    commit, config, target = base
    if target is None:
        return Desired(commit=commit, source=config.name, objects=()), after
    return again.read(commit, config, target), after


def _problems(site: Site, commit: str) -> tuple[Problem, ...]:
    """What is wrong with the bots of a commit whose reconciler.yaml is wrong too: shown all the same."""
    try:
        read_desired(site.repository, commit, Config(), Config().targets[0], site.cache)
    except InvalidBots as error:
        return error.problems
    return ()


class BaseInvalid(Exception):
    """The base commit is no desired state, so what changes cannot be told."""

    def __init__(self, error: InvalidBots) -> None:
        super().__init__(str(error))
        self.problems = error.problems


Look = Callable[[Sides, Target, Plan], Awaitable[Looked]]  # asks a target


async def gather(
    site: Site,
    refs: tuple[str, str],
    voices: Voices,
    *,
    target: str | None = None,
    today: date,
    look: Look | None = None,
    recorded: Path | None = None,
) -> Review:
    """The review of `refs` (base, head). `look` asks the target, `recorded` is a file of recorded chats.

    Raises Misuse for refs that are not there or have nothing in common, and for a file that holds no chats.
    """
    base, head, behind = shared(site.repository, *refs)
    review = Review(base=base, head=head, base_ref=refs[0], head_ref=refs[1], behind=behind)
    try:
        sides = read_sides(site, base, head, target)
    except InvalidBots as error:
        return msgspec.structs.replace(review, problems=error.problems)
    except BaseInvalid as error:
        return msgspec.structs.replace(review, base_problems=error.problems)
    parts, groups = list[Part](), _groups(sides)
    for number, group in enumerate(groups):
        voices.told(f"plan and routes of {' and '.join(one.name for one in group)}", number, len(groups))
        parts.append(await _part(site, sides, group, voices, today, look))
    warnings = dict.fromkeys(one for each in sides.after.values() for one in each.warnings)
    stood = {one for each in sides.before.values() for one in each.warnings}
    return msgspec.structs.replace(
        review,
        parts=tuple(parts),
        warnings=tuple(one for one in warnings if one not in stood),
        configured=configured(sides.base_config, sides.head_config),
        replay=await _replayed(site, sides, parts, recorded, voices) if recorded is not None else None,
        currency=sides.head_config.currency,
        notes=(*_notes(sides, target), *_otherwise(sides, parts, recorded)),
    )


def _groups(sides: Sides) -> list[tuple[Target, ...]]:
    """The targets for which the change is the same: what they are and what is declared for them."""
    found: dict[tuple[object, ...], list[Target]] = {}
    for name in sides.after:
        one = target_of(sides.head_config, name)
        key = (one.type, id(sides.after[name]), id(sides.before[name]), one.gates, one.sync.prune)
        found.setdefault(key, []).append(one)
    return [tuple(group) for group in found.values()]


async def _part(
    site: Site, sides: Sides, group: tuple[Target, ...], voices: Voices, today: date, look: Look | None
) -> Part:
    target = group[0]
    base, head = sides.before[target.name], sides.after[target.name]
    profile = profile_of(target.type)
    lowered = profile.lower(head, None)
    former = profile.lower(base, None).desired
    plan = compare(former, lowered.desired, target.name, prune=target.sync.prune)
    instances = {change.ref.instance for change in plan.changes}
    later = staying(former, lowered.desired, plan)
    routes = routed(*aligned(_only(former, instances), _only(later, instances)), instances, target.type)
    looked = await look(sides, target, plan) if look is not None else Looked()
    found = risks(base, head, plan, today=today, known=catalog(), chats=looked.chats)
    places = (*(one.at for one in routes.routes), *(one.at for one in found))
    at = {place.path for place in places if place is not None}
    sides.files.read(sorted(at)[:_PLACES])  # all at once: a git process for each would cost more than the rest
    layers = Layers(sides.former, sides.files, target, sides.places)
    return Part(
        targets=tuple(one.name for one in group),
        plan=plan,
        bots=(_bots(base), _bots(head)),
        refused=(*plan.faults, *lowered.faults, *refusals(plan, allowances(site.repository, sides.head), target.gates)),
        risks=_placed(layers, (*found, *drifted(looked.drift))),
        costs=costs(
            base,
            head,
            plan,
            sides.head_config.prices,
            catalog() if sides.head_config.currency == catalog().currency else None,
        ),
        routes=_placed_routes(layers, routes.routes),
        routed=routes.said,
        talks=await _talks(site, sides, target, plan, voices),
        drift=looked.drift,
        live=looked.said,
    )


async def _replayed(site: Site, sides: Sides, parts: list[Part], path: Path, voices: Voices) -> Replay:
    """Recorded chats with the bots of the first target."""
    name = next(iter(sides.after))
    plan = next(part.plan for part in parts if name in part.targets)
    base, head = aligned(sides.before[name], staying(sides.before[name], sides.after[name], plan))
    base, head, _ = voices.prepare(base, head, site.variables, site.repository.root)
    return await replay(path, base, head, voices, target_of(sides.head_config, name).type)


async def _talks(site: Site, sides: Sides, target: Target, plan: Plan, voices: Voices) -> tuple[Talk, ...]:
    base = sides.before[target.name]
    head = staying(base, sides.after[target.name], plan)
    found = chosen(base, head, {change.ref.instance for change in plan.changes})
    if not found:
        return ()
    instances = {one.ref.instance for one, _ in found}
    base, head = aligned(_only(base, instances), _only(head, instances))
    old, new, changed = voices.prepare(base, head, site.variables, site.repository.root)
    why_not = _why_not(voices, new, changed)
    return await run_talks(old, new, found, voices, _where(sides.places), why_not, target.type)


def _why_not(voices: Voices, head: Desired, changed: tuple[str, ...]) -> str:
    if voices.mode == "none":
        return "it needs a model, and none was to be asked"
    if voices.mode == "demo":
        return "the demo model calls no functions"
    if changed:
        return (
            f"it needs a model, and the Credentials {', '.join(changed[:5])} change here, so no key is used with them"
        )
    return (
        "it needs a model, and no account is at hand" if not has_account(head) else "not all of its accounts are here"
    )


def _where(places: Places) -> Where:
    def where(one: Object, path: tuple[str | int, ...]) -> Place:
        return places.within(one.at, *path)

    return where


def _placed(layers: Layers, found: tuple[Risk, ...]) -> tuple[Risk, ...]:
    """Risks at the line of their field; the first many only, since files are read again for it."""
    return tuple(
        msgspec.structs.replace(one, at=layers.place(one.ref, one.at, one.field))
        if one.at is not None and one.field and number < _PLACES
        else one
        for number, one in enumerate(found)
    )


def _placed_routes(layers: Layers, found: tuple[Route, ...]) -> tuple[Route, ...]:
    """Routes at the line of the trigger."""
    return tuple(
        msgspec.structs.replace(one, at=layers.place(Ref("Bot", one.instance, one.bot), one.at, *_TRIGGER))
        if one.at is not None and number < _PLACES
        else one
        for number, one in enumerate(found)
    )


def _notes(sides: Sides, target: str | None) -> list[str]:
    old, new = {one.name for one in sides.base_config.targets}, {one.name for one in sides.head_config.targets}
    found = [f"the target {name} is new: all that it is to have is created" for name in sorted(new - old)]
    if target is None:
        found += [f"the target {name} is no longer declared: what is live there stays" for name in sorted(old - new)]
    if sides.base_config.name != sides.head_config.name:
        found.append("source.name changes: what is live carries the former name's marks, so it becomes foreign")
    return found


def _otherwise(sides: Sides, parts: list[Part], recorded: Path | None) -> Iterator[str]:
    """What is not as it would be on a target, of chats that were played for it."""
    played = {name for part in parts if part.talks for name in part.targets}
    played |= {next(iter(sides.after))} if recorded is not None else set()
    names = [name for name in sides.after if name in played]
    if there := [name for name in names if target_of(sides.head_config, name).type == "evolution"]:
        yield f"Conversations and recorded chats: for {', '.join(there)} {OTHERWISE}"


def _only(desired: Desired, instances: set[str]) -> Desired:
    objects = tuple(one for one in desired.objects if one.ref.instance in instances)
    return msgspec.structs.replace(desired, objects=objects)


def _bots(desired: Desired) -> int:
    return sum(one.ref.kind == "Bot" for one in desired.objects)
