"""Steps of one instance as one request of the runtime: `POST /fleet/{instance}`, all of them or none.

Before it `reconcile/apply.py` gathers steps, and `runtime` has the requests of single ones; after it `client`. That
call judges the result as a whole and takes each object once, so an object's steps become one change: a bot parked for a
swap goes straight to its new trigger, Settings name a fallback bot that the same request makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from reconciler.errors import Rejected, Unavailable
from reconciler.live.client import Answer, AnswerLost, Refused
from reconciler.model import Ref
from reconciler.plan.order import Step

Lower = Callable[[Step, Mapping[Ref, str]], dict[str, Any]]


class PartRefused(Rejected):
    """Some steps were refused, and nothing is applied; `faults` are their own status and reason by `Step.index`."""

    def __init__(self, faults: Mapping[int, tuple[int, str]]) -> None:
        super().__init__(next(iter(faults.values()))[0], *dict.fromkeys(reason for _, reason in faults.values()))
        self.faults = faults


class Stale(Rejected):
    """The instance is not what it was when it was read; nothing is applied."""


class Request(msgspec.Struct, frozen=True):
    """A body of `POST /fleet/{instance}`, and the steps that each of its changes stands for."""

    changes: tuple[dict[str, Any], ...]
    members: tuple[tuple[Step, ...], ...]


def request_of(steps: Sequence[Step], ids: Mapping[Ref, str], lower: Lower) -> Request:
    """The request for steps of one instance in their order. Raises PartRefused for what cannot be put into a body."""
    made = {step.ref: f"new:{step.ref.kind}/{step.ref.name}" for step in steps if step.action == "create"}
    known = {**ids, **made}
    objects: dict[Ref, list[Step]] = {}
    for step in steps:
        objects.setdefault(step.ref, []).append(step)
    faults: dict[int, tuple[int, str]] = {}
    changes = []
    for ref, members in objects.items():
        try:
            changes.append(_change(ref, members, known, made, lower))
        except Rejected as error:
            faults |= {step.index: (error.status, str(error)) for step in members}
    if faults:
        raise PartRefused(faults)
    return Request(tuple(changes), tuple(map(tuple, objects.values())))


def _change(
    ref: Ref, members: Sequence[Step], known: Mapping[Ref, str], made: Mapping[Ref, str], lower: Lower
) -> dict[str, Any]:
    first = members[0]
    if first.action == "delete":
        return {"action": "delete", "kind": ref.kind, "id": first.id}
    body: dict[str, Any] = {}
    for step in members:
        body |= lower(step, known)
    if ref.kind in ("Instance", "Settings"):  # there is one of each
        return {"action": "update", "kind": ref.kind, "body": body}
    if first.action == "create":
        return {"action": "create", "kind": ref.kind, "ref": made[ref], "body": body}
    return {"action": "update", "kind": ref.kind, "id": first.id, "body": body}


def outcome_of(request: Request, answer: Answer) -> tuple[dict[int, str], str]:
    """The target's ids by `Step.index`, and the instance's ETag after it. Raises AnswerLost for any other answer."""
    try:
        found = answer.json()
        rows, etag = found["changes"], found["etag"]
        pairs = zip(request.members, rows, strict=True)
        return {step.index: str(row["id"] or step.id or "") for steps, row in pairs for step in steps}, str(etag)
    except (KeyError, TypeError, ValueError, AttributeError, Unavailable) as error:
        raise AnswerLost(f"the target answered {answer.status} with something else than what became of it") from error


def refused(request: Request, error: Refused) -> Rejected:
    """What a refusal of the whole means for its steps: `response.changes` names those that were refused."""
    if error.status == 412:
        return Stale(412, *error.messages)
    try:
        named = msgspec.json.decode(error.answered.body)["response"]["changes"]
        faults = {
            step.index: (int(one["status"]), "; ".join(map(str, one["message"])))
            for one in named
            for step in request.members[one["index"]]
        }
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError):
        return error
    return PartRefused(faults) if faults else error
