"""`POST /fleet/{instance}`: many changes of one instance, all of them or none. After it `store/batch.py`.

A reconciler sends what it planned with the ETag of what it read, so that a stale plan is refused, and with a key by
which a request that is sent again, because its answer was lost, is answered again and not applied again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from reconciler.errors import Rejected
from reconciler.runtime.answers import Response, raw, refusal
from reconciler.runtime.api.bots import fit_to_run
from reconciler.runtime.api.instances import patched
from reconciler.runtime.api.settings import meant
from reconciler.runtime.body import Fields, fields_of, fitting, merged, misfits, read_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import match
from reconciler.runtime.urls import check_urls
from reconciler.store.batch import POSSIBLE, Batch, BatchRefused, Change
from reconciler.store.changes import Merge

LIMIT: Final = 16 << 20  # bytes of a body: an instance of a thousand bots fits
_MOST: Final = 1000  # faults said of a request before the rest of it is left alone
_BODY: Final = "http/changes"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SINGLE: Final = ("Instance", "Settings")
_SCHEMAS: Final = {
    "Instance": "http/instance",
    "Credentials": "http/credentials",
    "Assistant": "http/assistant",
    "Bot": "http/bot",
    "Settings": "http/settings",
}

Check = Callable[[Fields], Fields]


async def apply(call: Call) -> Response:
    """Change many objects of the instance in one transaction, or none.

    Headers: `If-Match` with the instance's ETag of `GET /fleet`; `Idempotency-Key`, kept for 24 hours.
    """
    headers = call.request.headers
    key = headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Rejected(400, "Idempotency-Key is not 1 to 255 printable characters without spaces")
    read = await read_body(call.request, _BODY, LIMIT)
    if isinstance(read.get("changes"), list):
        read["changes"] = [merged({}, one) if isinstance(one, dict) else one for one in read["changes"]]
    body = fitting(_BODY, merged({}, read))
    try:
        asked = Batch(
            changes=tuple(_changes(call, body["changes"])),
            match=match(call),
            key=key,
            digest=call.served.store.vault.digest(msgspec.json.encode(body, order="sorted").decode()) if key else "",
        )
        answer = await call.served.store.fleet.apply(call.instance.id, asked)
    except BatchRefused as error:
        return _refused(error)
    call.served.wake()
    return raw(answer, headers={"ETag": msgspec.json.decode(answer, type=_Answer).etag})


class _Answer(msgspec.Struct, frozen=True):
    etag: str


def _changes(call: Call, given: list[Fields]) -> Iterator[Change]:
    """The changes, each checked as far as it can be without the rows. Raises BatchRefused with all that is wrong."""
    faults: list[tuple[int, int, tuple[str, ...]]] = []
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for index, one in enumerate(given):
        try:
            if wrong := list(_impossible(index, one, seen)):
                raise Rejected(400, *wrong)
            merge = _merge(call, one)
            if one["action"] == "create":
                merge = _always(merge({}))
        except Rejected as error:
            faults.append((index, error.status, error.messages))
            if sum(len(messages) for _, _, messages in faults) >= _MOST:
                faults[-1] = index, error.status, (*error.messages, "the changes after this one were not looked at")
                break
            continue
        found.append(
            Change(action=one["action"], kind=one["kind"], merge=merge, id=one.get("id", ""), ref=one.get("ref"))
        )
    if faults:
        raise BatchRefused(faults)
    yield from found


def _impossible(index: int, one: Fields, seen: dict[tuple[str, str, str], int]) -> Iterator[str]:
    """What is wrong with a change as one of its request."""
    action, kind = one["action"], one["kind"]
    if (kind, action) not in POSSIBLE:
        yield f"action {action} is not possible for the kind {kind}: it can only be updated"
    elif action == "create" or kind in _SINGLE:
        if "id" in one:
            yield (
                "id is not possible here: it is made" if action == "create" else f"id is not possible: one {kind} only"
            )
    elif "id" not in one:
        yield "id is required"
    names = [("ref", one["ref"])] if "ref" in one else []
    if action != "create":
        names.append(("object", one.get("id", "")))
    for what, name in names:
        if (first := seen.setdefault((kind, what, name), index)) != index:
            yield f"the {what} is that of changes[{first}] too: give each its own"


def _merge(call: Call, one: Fields) -> Merge:
    kind, schema = one["kind"], _SCHEMAS[one["kind"]]
    given = one.get("body", {})
    patch: Fields = {name: given[name] for name in fields_of(schema) if name in given}
    checks: dict[str, Check] = {
        "Bot": lambda body: fit_to_run(call, body),
        "Credentials": lambda body: _reachable(call, body),
        "Settings": lambda body: body,
        "Assistant": lambda body: body,
    }
    if kind == "Instance":
        return lambda before: patched(call, call.instance.name, before, patch)
    if kind == "Settings":
        patch = meant(patch)

    def merge(before: Fields) -> Fields:
        body = merged(before, patch)
        if wrong := list(misfits(schema, body, "body.")):
            raise Rejected(400, *wrong)
        return checks[kind](body)

    return merge


def _reachable(call: Call, body: Fields) -> Fields:
    check_urls(call.served.allow_private_urls, baseUrl=body.get("baseUrl"))
    return body


def _always(body: Fields) -> Merge:
    return lambda _: body


def _refused(error: BatchRefused) -> Response:
    """An error's answer, with each change's own outcome under `response.changes`."""
    shown = msgspec.json.decode(refusal(error.status, *error.messages).body)
    shown["response"]["changes"] = [
        {"index": index, "status": status, "message": list(messages)} for index, status, messages in error.faults
    ]
    return raw(msgspec.json.encode(shown), error.status)


ENDPOINTS = (Endpoint("POST", "/fleet/{instance}", apply, _BODY, says=(409, 412, 422), answer="changes-made"),)
