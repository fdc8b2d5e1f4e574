"""What a change does to who answers what, said to people: the prover's findings as routes of a review.

Before it `plan/routes` proves; after it `verdict` and the renderings. That a new or changed trigger takes messages from
the bot that takes everything else is what such a change is for, and a note; that messages go anywhere else, to nobody,
or never reach a bot, is for a person to see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from reconciler.model import Desired, Object, Place
from reconciler.plan.review.findings import LEVELS, Level, Route
from reconciler.plan.routes.answer import Fleet, Moved, Overlap, Routes, Semantics, Unreachable, fleet_of
from reconciler.plan.routes.prove import prove
from reconciler.plan.slots import trigger_of

_RULES: Final = ("unanswered", "never answers", "moved", "not proven", "answers now", "overlap")  # as they are read
_FEW: Final = 5  # bots named in a line
STATES: Final = 400_000  # of automata, for all instances of a review; each instance has its own bound below that


class Routed(msgspec.Struct, frozen=True):
    """The findings of all instances that a change touches, and in a sentence how far they are proven."""

    routes: tuple[Route, ...] = ()
    said: str = ""


def routed(base: Desired, head: Desired, instances: Collection[str], semantics: Semantics) -> Routed:
    """The routes of the instances whose bots or Settings change. Pure; the same for the same fleets."""
    found: list[Route] = []
    left, proven, opened, unseen = STATES, 0, 0, 0
    sides = [_apart(side, instances) for side in (base, head)]
    for instance in sorted(instances):
        before, after = (fleet_of(side[instance], instance) for side in sides)
        if left <= 0:
            unseen += 1
            continue
        routes = prove(before, after, semantics)
        left -= routes.states
        opened += len(routes.not_proven)
        proven += 1
        of = {one.ref.name: one for one in sides[1][instance].objects if one.ref.kind == "Bot"}
        found += _found(instance, before, after, routes, of)
    if unseen:
        found.append(_unseen(unseen))
    found.sort(key=lambda one: (LEVELS.index(one.level), one.instance, _RULES.index(one.rule), one.bot, one.message))
    return Routed(tuple(found), _said(proven, opened, unseen))


def _apart(desired: Desired, instances: Collection[str]) -> dict[str, Desired]:
    """What is declared for each of some instances."""
    found: dict[str, list[Object]] = {instance: [] for instance in instances}
    for one in desired.objects:
        if one.ref.instance in found:
            found[one.ref.instance].append(one)
    return {name: msgspec.structs.replace(desired, objects=tuple(own)) for name, own in found.items()}


def _said(proven: int, opened: int, unseen: int) -> str:
    if not proven:
        return ""
    said = f"triggers of {proven:,} instance{'' if proven == 1 else 's'} compared for every message"
    gaps = [f"{opened:,} question{'' if opened == 1 else 's'} not proven"] if opened else []
    gaps += [f"{unseen:,} instances not looked at"] if unseen else []
    return f"{said}: {', '.join(gaps) if gaps else 'all of it proven'}"


def _unseen(count: int) -> Route:
    message = f"not proven: the triggers of {count:,} more instances, for together they are too many to compare"
    return Route(rule="not proven", level="human", instance="all", message=message)


def _found(instance: str, before: Fleet, after: Fleet, routes: Routes, of: dict[str, Object]) -> Iterator[Route]:
    changed = {name for name in after.specs if name not in before.specs or _moved(before, after, name)}
    for one in routes.unreachable:
        if not one.before:
            yield _never(instance, one, _at(of, one.bot))
    gone = {one.before for one in routes.moved if one.before and not _enabled(after, one.before)}
    for name in sorted(gone):
        yield _left(instance, name, [one for one in routes.moved if one.before == name], after, _at(of, name))
    for moved in routes.moved:
        if moved.before not in gone:
            yield _went(instance, moved, after, changed, of)
    for reached in routes.reached:
        if not any(moved.after == reached.bot for moved in routes.moved):
            message = f"{reached.bot} answers now; it never did before"
            yield Route(
                rule="answers now",
                level="note",
                instance=instance,
                bot=reached.bot,
                message=message,
                example=reached.message,
                at=_at(of, reached.bot),
            )
    if routes.more:
        message = "more messages go to other bots than are listed here"
        yield Route(rule="moved", level="human", instance=instance, message=message)
    for name in sorted(changed):
        if shared := [one for one in routes.overlaps if name in (one.first, one.second)]:
            yield _shared(instance, name, shared, _at(of, name))
    for question in routes.not_proven:
        about = changed & set(question.bots)
        yield Route(
            rule="not proven",
            level="human" if about else "note",
            instance=instance,
            bot=next(iter(question.bots), ""),
            message=f"not proven: {question.question} ({question.reason})",
            at=_at(of, min(about)) if about else None,
        )


def _moved(before: Fleet, after: Fleet, name: str) -> bool:
    return trigger_of(before.specs[name]) != trigger_of(after.specs[name])


def _never(instance: str, one: Unreachable, at: Place | None) -> Route:
    by = " and ".join(one.by)
    said = {
        "shadowed": f"all that its trigger takes goes to {by}, which {'is' if len(one.by) == 1 else 'are'} asked first",
        "no trigger": "it has no trigger and is nobody's fallback",
        "nothing": "its trigger takes no message at all",
        "dropped": f"the server cannot read the pattern of {by} and drops what it is asked for before",
        "refused": "the target cannot read its pattern",
    }[one.why]
    level: Level = "note" if one.why == "no trigger" else "human"
    return Route(
        rule="never answers",
        level=level,
        instance=instance,
        bot=one.bot,
        message=f"{one.bot} never answers: {said}",
        example=one.message,
        before=None,
        after=None,
        at=at,
    )


def _left(instance: str, name: str, moves: list[Moved], after: Fleet, at: Place | None) -> Route:
    """Where the messages of a bot go that answers none any more."""
    others = sorted(one.after for one in moves if one.after is not None)
    lost = next((one for one in moves if one.after is None), None)
    shown = lost or moves[0]
    what = "is disabled" if name in after.specs else "is gone"
    ends = ["are answered by nobody"] if lost else []
    ends += [f"go to {_few(others)}"] if others else []
    some = " and ".join(f"some {end}" for end in ends)
    said = f"of its messages {some}" if len(ends) > 1 else f"messages that it answered {ends[0]}"
    return Route(
        rule="unanswered" if lost else "moved",
        level="human",
        instance=instance,
        bot=name,
        message=f"{name} {what}; {said}",
        example=shown.message,
        before=name,
        after=shown.after or "",
        at=at,
    )


def _shared(instance: str, name: str, found: list[Overlap], at: Place | None) -> Route:
    """With whom a changed bot shares messages."""
    earlier = sorted({one.first for one in found if one.second == name})
    later = sorted({one.second for one in found if one.first == name})
    said = [f"{_few(earlier)} {'is' if len(earlier) == 1 else 'are'} asked first"] if earlier else []
    said += [f"it is asked before {_few(later)}"] if later else []
    return Route(
        rule="overlap",
        level="note",
        instance=instance,
        bot=name,
        message=f"{name} shares messages with other bots: {' and '.join(said)}",
        example=found[0].message,
        at=at,
    )


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return f"{shown} and {len(names) - _FEW:,} more" if len(names) > _FEW else shown


def _enabled(fleet: Fleet, name: str) -> bool:
    return name in fleet.specs and bool(fleet.specs[name]["enabled"])


def _went(instance: str, one: Moved, after: Fleet, changed: Collection[str], of: dict[str, Object]) -> Route:
    what = "messages" if one.message is not None else "pictures and what else has no text"
    if one.before is None:
        message = f"{what} that nobody answered go to {one.after}"
    elif one.after is None:
        message = f"{what} that {one.before} answered are answered by nobody"
    else:
        message = f"{what} go to {one.after} in place of {one.before}"
    return Route(
        rule="moved" if one.after is not None else "unanswered",
        level="note" if _meant(one, after, changed) else "human",
        instance=instance,
        bot=one.after or one.before or "",
        message=message,
        example=one.message,
        before=one.before or "",
        after=one.after or "",
        at=_at(of, one.after if one.after in changed else one.before) or _at(of, one.after),
    )


def _meant(one: Moved, after: Fleet, changed: Collection[str]) -> bool:
    """Whether a new or changed trigger takes from nobody, or from who takes everything else and goes on doing so."""
    if one.after is None or one.after not in changed:
        return False
    rest = {after.fallback} | {name for name, spec in after.specs.items() if spec["triggerType"] == "all"}
    narrow = after.specs[one.after]["triggerType"] != "all"
    return one.before is None or (one.before in rest and one.before in after.specs and narrow)


def _at(of: dict[str, Object], name: str | None) -> Place | None:
    return of[name].at if name in of else None
