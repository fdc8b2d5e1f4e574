"""Saved plans: a plan in a file, bound to the commit and to the live objects that it was made from.

Before it `plan --out` made the plan; after it `apply FILE` makes it anew and goes on only if it is the very same. So
what is applied is what was looked at, or nothing. No secret is in the file: changed keys read `(sensitive)`, and live
objects are there as keyed hashes. Keys are resolved when the plan is applied.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from reconciler.desired.text import text_of
from reconciler.errors import Misuse, PlanRefused, Refusal
from reconciler.model import Change, Plan
from reconciler.plan.order import order
from reconciler.plan.render import document

FORMAT: Final = "1.0"
_ANEW: Final = "look at a new one: reconciler plan --out FILE"


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A saved plan.

    `ref` is what named the commit (None: what reconciler.yaml names): where it names another one now, git has moved.
    `version` is the ETag of what was read, `live` an HMAC-SHA256 (128 bits in hex, keyed with `salt`) of each live
    object that the plan changes or deletes. `allow` is what was allowed when it was made.
    """

    format_version: str
    target: str
    commit: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40,64}\Z")]
    ref: str | None
    version: str
    salt: str
    live: dict[str, str]
    changes: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    allow: list[str]


class _Named(msgspec.Struct, frozen=True):
    """What each change and step of a file must have."""

    kind: str
    instance: str
    name: str


def save(plan: Plan, ref: str | None, allow: Collection[str], path: Path) -> None:
    """Writes a plan of a commit to a file that only its owner can read. Raises Misuse where that cannot be."""
    assert plan.commit is not None
    salt = secrets.token_hex(16)
    saved = Saved(
        format_version=FORMAT,
        target=plan.target,
        commit=plan.commit,
        ref=ref,
        version=plan.version,
        salt=salt,
        live=_hashes(plan, salt),
        changes=_changes(plan),
        steps=_steps(plan),
        allow=sorted(allow),
    )
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error


def load(path: Path) -> Saved:
    """A plan from a file. Raises Misuse where it is none, or of another version."""
    try:
        saved = msgspec.json.decode(text_of(path, path.read_bytes()), type=Saved)
        msgspec.convert([*saved.changes, *saved.steps], type=list[_Named])
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} is no saved plan: {error}") from error
    if saved.format_version != FORMAT:
        raise Misuse(f"{path} is of version {saved.format_version}, this reads {FORMAT}: {_ANEW}")
    return saved


def gone(saved: Saved, reason: str) -> PlanRefused:
    """The refusal for a plan whose commit is not to be had."""
    return _stale([f"its commit {saved.commit[:8]} is gone: {reason}"])


def moved(saved: Saved, now: str) -> PlanRefused:
    """The refusal for a plan of a commit that is not the desired one any more."""
    return _stale([f"git moved: it is of {saved.commit[:8]}, and {saved.ref or 'what is desired'} is {now[:8]} by now"])


def bound(saved: Saved, fresh: Plan) -> Plan:
    """The part of a plan made just now that is the saved one. Raises PlanRefused, with reasons, where it is not.

    What else differs on the target by now is left for another plan.
    """
    names = {_name(one) for one in saved.changes}
    plan = msgspec.structs.replace(fresh, changes=tuple(change for change in fresh.changes if _of(change) in names))
    now, live = {_name(one): one for one in _changes(plan)}, _hashes(plan, saved.salt)
    reasons = []
    for one in saved.changes:
        name = _name(one)
        if name not in now:
            reasons.append(f"{name} is as it should be by now, or gone")
        elif live.get(name) != saved.live.get(name):
            reasons.append(f"{name} was changed on the target")
        elif now[name] != one:
            reasons.append(f"{name} would be changed in another way by now")
    if reasons or _steps(plan) != saved.steps:
        raise _stale(reasons or ["its steps would be others by now"])
    return plan


def resolved(plan: Plan, keyed: Plan) -> Plan:
    """The plan with the values of one for the same reading that knows the keys. Raises PlanRefused where a key that is
    missing holds what the plan would change."""
    known = {change.ref: change for change in keyed.changes}
    specs = {change.ref: change.spec for change in keyed.changes if change.ref.kind == "Credentials"}
    missing = [
        Refusal(
            reason=f"{known[change.ref].held}, so {_of(change)} cannot be applied as the saved plan says",
            remedy="set it and apply the plan again",
        )
        for change in plan.changes
        if not change.held and change.ref in known and known[change.ref].held
    ]
    if missing:
        raise PlanRefused(tuple(missing))
    changes = tuple(
        msgspec.structs.replace(change, spec=specs.get(change.ref, change.spec)) if change.spec is not None else change
        for change in plan.changes
    )
    return msgspec.structs.replace(plan, changes=changes, absent=keyed.absent)


def _stale(reasons: list[str]) -> PlanRefused:
    return PlanRefused(tuple(Refusal(reason=f"the saved plan is stale: {reason}", remedy=_ANEW) for reason in reasons))


def _name(change: dict[str, Any]) -> str:
    return f"{change['kind']} {change['instance']}/{change['name']}"


def _of(change: Change) -> str:
    return f"{change.ref.kind} {change.ref.instance}/{change.ref.name}"


def _changes(plan: Plan) -> list[dict[str, Any]]:
    """The changes as JSON has them, so that those of a file compare."""
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(document(plan)["changes"]))
    return found


def _steps(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "index": step.index,
            "action": step.action,
            "kind": step.ref.kind,
            "instance": step.ref.instance,
            "name": step.ref.name,
            "id": step.id,
            "needs": list(step.needs),
            "note": step.note,
        }
        for step in order(plan)
    ]


def _hashes(plan: Plan, salt: str) -> dict[str, str]:
    """A hash of each live object; a key is in it as the target's own salted fingerprint."""
    return {
        _of(change): hmac.new(
            salt.encode(), msgspec.json.encode(change.live, order="sorted"), hashlib.sha256
        ).hexdigest()[:32]
        for change in plan.changes
        if change.live is not None
    }
