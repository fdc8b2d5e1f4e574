"""`GET /fleet`: everything a reconciler compares, in one answer with one ETag; without a change, one 304.

`?since=` takes the ETag of an earlier answer: only the instances that have changed since are sent, and of the others
their ETags, so that one bot's change costs one instance. After it `store/fleet.py`.
"""

from __future__ import annotations

import msgspec

from reconciler.errors import Rejected
from reconciler.runtime.answers import Response, unauthorized
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import Rows


async def read(call: Call) -> Response:
    """All instances (or the one in `?instance=`) with credentials, settings, assistants and bots.

    `?since=` an earlier answer's ETag: only what has changed since, with the others' ETags in `unchanged`.
    """
    assert call.caller is not None
    fleet = call.served.store.fleet
    name, scope = call.query("instance"), call.caller.instance_id
    if name is not None:
        instance = fleet.instance(name)
        if not call.caller.opens(instance.id if instance else None):
            return unauthorized()
        if instance is None:
            raise Rejected(404, f'The "{name}" instance does not exist')
        scope = instance.id
    # The version is read first: an answer newer than its ETag only makes the next reading a full one.
    etag = f'"{fleet.version_of(scope) if scope else fleet.version}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if _same(call.request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    ids = [held.instance.id for held in fleet.directory.all() if scope in (None, held.instance.id)]
    changed = fleet.changed_since((call.query("since") or "").removeprefix("W/").strip('"')) if scope is None else None
    unchanged = [f'"{fleet.version_of(id)}"' for id in ids if id not in changed] if changed is not None else None
    parts = [part for id in ids if changed is None or id in changed if (part := await fleet.part(id))]
    rest = b"" if unchanged is None else b',"unchanged":' + msgspec.json.encode(unchanged)
    return Rows(parts, headers, around=(b'{"instances":[', b"]" + rest + b"}"))


def _same(header: str, etag: str) -> bool:
    """Whether If-None-Match (RFC 9110, 13.1.2: compared weakly) names the ETag."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in header.split(",") if tag.strip())


ENDPOINTS = (
    Endpoint("GET", "/fleet", read, access="any", says=(304, 404), query=("instance", "since"), answer="fleet"),
)
