"""A review for programs, as JSON (`schemas/output/review.schema.json`). Before it a `Review`; after it printing."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from reconciler.errors import Problem
from reconciler.model import Place
from reconciler.plan.render import document as plan_document
from reconciler.plan.review.addresses import masked
from reconciler.plan.review.cost import total
from reconciler.plan.review.digest import digest
from reconciler.plan.review.findings import Cost, Divergence, Part, Replay, Review, Risk, Route, Side, Talk
from reconciler.plan.review.verdict import verdict

FORMAT_VERSION: Final = "1.0"


def document(review: Review) -> dict[str, Any]:
    """The review as data. Keys never, and of texts what the plan shows."""
    decided, reasons = verdict(review)
    return {
        "format_version": FORMAT_VERSION,
        "verdict": decided,
        "reasons": [{"level": one.level, "text": one.text} for one in reasons],
        "base": review.base,
        "head": review.head,
        "behind": review.behind,
        "problems": [_problem(one) for one in review.problems],
        "base_problems": [_problem(one) for one in review.base_problems],
        "warnings": [_problem(one) for one in review.warnings],
        "parts": [_part(one) for one in review.parts],
        "replay": _replay(review.replay) if review.replay is not None else None,
        "currency": review.currency or None,
        "notes": list(review.notes),
    }


def _part(part: Part) -> dict[str, Any]:
    money = total(part.costs)
    return {
        "targets": list(part.targets),
        "bots": {"before": part.bots[0], "after": part.bots[1]},
        "digest": digest(part.plan),
        "plan": plan_document(masked(part.plan), [str(one) for one in part.refused if one not in part.plan.faults]),
        "refused": [str(one) for one in part.refused],
        "risks": [_risk(one) for one in part.risks],
        "routes": [_route(one) for one in part.routes],
        "routed": part.routed or None,
        "conversations": [_talk(one) for one in part.talks],
        "costs": [_cost(one) for one in part.costs],
        "money": {"before": money[0], "after": money[1]} if money is not None else None,
        "live": part.live or None,
    }


def _problem(one: Problem) -> dict[str, Any]:
    return {
        "at": _at(Place(one.path, one.line, one.column)),
        "pointer": one.pointer,
        "message": one.message,
        "hint": one.hint,
    }


def _risk(one: Risk) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "level": one.level,
        "kind": one.ref.kind,
        "instance": one.ref.instance,
        "name": one.ref.name,
        "field": one.field or None,
        "message": one.message,
        "at": _at(one.at),
    }


def _route(one: Route) -> dict[str, Any]:
    return {**msgspec.structs.asdict(one), "at": _at(one.at)}


def _talk(one: Talk) -> dict[str, Any]:
    sides = {
        name: {
            "result": ran.result,
            "passes": ran.passes,
            "runs": ran.runs,
            "why": list(ran.why),
            "at": [_at(place) for place in ran.places],
        }
        for name, ran in (("before", one.before), ("after", one.after))
    }
    return {
        "instance": one.ref.instance,
        "name": one.ref.name,
        "at": _at(one.at),
        "change": one.change,
        "outcome": one.outcome,
        "level": one.level,
        "model": one.model,
        **sides,
    }


def _cost(one: Cost) -> dict[str, Any]:
    def side(model: str | None, sent: int | None, longest: int | None, money: tuple[float, float] | None) -> Any:
        if sent is None:
            return None
        span = {"least": money[0], "most": money[1]} if money is not None else None
        return {"model": model, "input": sent, "longest": longest, "money": span}

    return {
        "instance": one.ref.instance,
        "bot": one.ref.name,
        "before": side(one.model_before, one.input_before, one.output_before, one.money_before),
        "after": side(one.model_after, one.input_after, one.output_after, one.money_after),
    }


def _replay(found: Replay) -> dict[str, Any]:
    return {
        "file": found.file,
        "chats": found.chats,
        "turns": found.turns,
        "moved": len(found.moved),
        "divergences": [_divergence(one) for one in found.divergences],
        "skipped": list(found.skipped),
    }


def _divergence(one: Divergence) -> dict[str, Any]:
    return {
        "instance": one.instance,
        "chat": one.chat,
        "turn": one.turn,
        "said": one.said,
        "what": list(one.what),
        "before": _side(one.before),
        "after": _side(one.after),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "bots": list(side.bots),
        "status": side.status,
        "replies": list(side.replies),
        "calls": list(side.calls),
        "asked": side.asked,
        "unknown": side.unknown,
    }


def _at(place: Place | None) -> dict[str, Any] | None:
    return None if place is None else {"path": place.path, "line": place.line, "column": place.column}
