"""An instance's Settings: the defaults of its bots, the fallback bot, ignored chats. After it `store/fleet.py`."""

from __future__ import annotations

from reconciler.runtime.answers import Response, json
from reconciler.runtime.body import Fields, fitting, merged, read_body, valid_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.lists import answer_row, match, quoted, seen, unchanged
from reconciler.store.rows import settings_fields

_BODY = "http/settings"


async def change(call: Call) -> Response:
    """Set the Settings; a field left out keeps its value, null sets the built-in default."""
    patch = meant(await read_body(call.request, _BODY))

    def merge(before: Fields) -> Fields:
        return fitting(_BODY, merged(before, patch))

    return answer_row(call, await call.served.store.fleet.set_settings(call.instance.id, merge, match(call)))


def meant(patch: Fields) -> Fields:
    """What the empty references of some clients mean: no change of the credentials, no fallback bot."""
    kept = {name: value for name, value in patch.items() if (name, value) != ("openaiCredsId", "")}
    return {**kept, "fallbackId": None} if patch.get("fallbackId") == "" else kept


async def fetch(call: Call) -> Response:
    """The Settings with their fallback bot; the built-in defaults where none are set."""
    etag = quoted(call.served.store.fleet.version_of(call.instance.id))
    if seen(call, etag):
        return unchanged(etag)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    row, fallback = await call.served.store.fleet.settings(call.instance.id)
    if row is None:
        return json({**settings_fields({}), "Fallback": None, "fallbackId": "", "fallback": None}, headers=headers)
    id = row.pop("fallbackId")
    return json({**row, "Fallback": fallback, "fallbackId": id, "fallback": fallback}, headers=headers)


async def ignore(call: Call) -> Response:
    """Add a chat to the Settings' ignoreJids or take it out."""
    body = await valid_body(call.request, "http/ignore-jid")
    jid, add = body["remoteJid"], body["action"] == "add"
    now: list[str] = []

    def merge(before: Fields) -> Fields:
        others = [other for other in before.get("ignoreJids", []) if other != jid]
        now[:] = [*others, jid] if add else others
        return fitting(_BODY, {**before, "ignoreJids": list(now)})

    await call.served.store.fleet.set_settings(call.instance.id, merge)
    return json({"ignoreJids": now})


ENDPOINTS = (
    Endpoint("POST", "/openai/settings/{instance}", change, _BODY, says=(412, 422), answer="settings"),
    Endpoint("GET", "/openai/fetchSettings/{instance}", fetch, says=(304,), answer="settings-shown"),
    Endpoint("POST", "/openai/ignoreJid/{instance}", ignore, "http/ignore-jid", answer="ignored"),
)
