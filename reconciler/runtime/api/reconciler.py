"""The loop beside this runtime: how its targets stand, what its passes did; and to sync, hold and roll back.

After it `runtime/beside.py`. The global key opens all of it, and a token that reads all instances what is read here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from reconciler.errors import Rejected
from reconciler.runtime.answers import Response, json
from reconciler.runtime.api.hook import ENDPOINTS as HOOKS
from reconciler.runtime.beside import Back, Loop
from reconciler.runtime.body import valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import answer_aside, answer_rows, following, whole

_USUAL: Final = 20  # passes of a page
_MOST: Final = 1000
_LARGEST: Final = (1 << 63) - 1


async def status(call: Call) -> Response:
    """How each target of the loop stands, or the one in `?target=`."""
    loop = _loop(call)
    target = await _known(loop, call.query("target"))
    return await answer_aside(lambda: loop.status(target))


async def passes(call: Call) -> Response:
    """Passes, newest first, of all targets or the one in `?target=`; `?before=` a pass's number: those before it."""
    loop = _loop(call)
    target = await _known(loop, call.query("target"))
    limit = whole("limit", call.query("limit") or str(_USUAL), _MOST)
    before = call.query("before")
    past = whole("before", before, _LARGEST) if before is not None else None
    found = await asyncio.to_thread(loop.passes, limit, target, past)
    headers = following(call, before=found[-1].id, limit=limit) if len(found) == limit else {}
    return await answer_rows(found, headers)


async def one(call: Call) -> Response:
    """One pass with its steps: the fields each changed, who had moved them, and how it ended."""
    text = call.path("number")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
    if (found := await asyncio.to_thread(_loop(call).one, number)) is None:
        raise Rejected(404, f"There is no pass {text[:40]}")
    return await answer_aside(lambda: found)


async def sync(call: Call) -> Response:
    """Ask for a pass now, whatever holds the loop back; `request` is what to look for the outcome by."""
    loop, body = _loop(call), await valid_body(call.request, "http/reconciler-sync")
    return json(await asyncio.to_thread(loop.ask, await _target(loop, body), None), 202)


async def rollback(call: Call) -> Response:
    """Ask for a rollback: the loop quarantines the desired commit and applies an earlier one, if the gates let it."""
    loop, body = _loop(call), await valid_body(call.request, "http/reconciler-rollback")
    back = Back(body.get("to"), tuple(body.get("allow", ())))
    return json(await asyncio.to_thread(loop.ask, await _target(loop, body), back), 202)


async def requested(call: Call) -> Response:
    """How far a request is: `pass` is the pass that answered it, null until it has ended."""
    text = call.path("number")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
    if (found := await asyncio.to_thread(_loop(call).requested, number)) is None:
        raise Rejected(404, f"There is no request {text[:40]}")
    return json(found)


async def suspend(call: Call) -> Response:
    """Stop the loop from applying to a target, with a reason; it goes on looking. Waits for a running pass to end."""
    loop, body = _loop(call), await valid_body(call.request, "http/reconciler-suspend")
    target = await _target(loop, body)
    return json({"target": target, "suspended": await loop.suspend(target, body["reason"].strip())})


async def resume(call: Call) -> Response:
    """End a suspension, beginning with a pass now."""
    loop, body = _loop(call), await valid_body(call.request, "http/reconciler-resume")
    target = await _target(loop, body)
    if not await asyncio.to_thread(loop.resume, target):
        raise Rejected(409, f"{target} is not suspended")
    return json({"target": target, "suspended": None})


def _loop(call: Call) -> Loop:
    if (loop := call.served.loop) is None:
        raise Rejected(404, "No reconcile loop runs beside this runtime: `reconciler up` starts both")
    return loop


async def _target(loop: Loop, body: dict[str, Any]) -> str:
    return await _known(loop, body.get("target")) or (await asyncio.to_thread(loop.targets))[0]


async def _known(loop: Loop, target: str | None) -> str | None:
    if target is not None and target not in (names := await asyncio.to_thread(loop.targets)):
        raise Rejected(404, f"There is no target '{target[:63]}': there are {', '.join(names)}")
    return target


_REQUEST: Final = "http/reconciler-request"
_HELD: Final = "http/reconciler-held"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/reconciler/status",
        status,
        access="loop",
        says=(404,),
        query=("target",),
        answer="http/reconciler-status",
    ),
    Endpoint(
        "GET",
        "/reconciler/passes",
        passes,
        access="loop",
        says=(400, 404),
        query=("target", "limit", "before"),
        answer="http/reconciler-passes",
    ),
    Endpoint("GET", "/reconciler/passes/{number}", one, access="loop", says=(404,), answer="http/reconciler-pass"),
    Endpoint("GET", "/reconciler/requests/{number}", requested, access="loop", says=(404,), answer=_REQUEST),
    Endpoint("POST", "/reconciler/sync", sync, "http/reconciler-sync", "loop", ok=202, says=(404,), answer=_REQUEST),
    Endpoint("POST", "/reconciler/suspend", suspend, "http/reconciler-suspend", "loop", says=(404,), answer=_HELD),
    Endpoint("POST", "/reconciler/resume", resume, "http/reconciler-resume", "loop", says=(404, 409), answer=_HELD),
    Endpoint(
        "POST",
        "/reconciler/rollback",
        rollback,
        "http/reconciler-rollback",
        "loop",
        ok=202,
        says=(404,),
        answer=_REQUEST,
    ),
    *HOOKS,
)
