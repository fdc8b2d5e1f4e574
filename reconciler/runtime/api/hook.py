"""`POST /reconciler/hook/{forge}`: a forge says that somebody pushed. All it does is make the loop look again.

The signature is checked over the body's bytes before anything in it is read: GitHub's `X-Hub-Signature-256`
(docs.github.com, "Validating webhook deliveries"), Gitea's and Forgejo's `X-Gitea-Signature`, both HMAC-SHA256 of the
body, and GitLab's `X-Gitlab-Token`, the secret itself. Of what the body says only the branch is looked at, and only to
leave pushes to others alone; so a delivery that comes twice, late or from elsewhere costs one look at git.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from reconciler.errors import Rejected
from reconciler.runtime.answers import Response, json, unauthorized
from reconciler.runtime.body import LIMIT, parse_json, read_bytes
from reconciler.runtime.call import Call, Endpoint, too_many

_SIGNED: Final[dict[str, tuple[tuple[str, ...], str]]] = {  # the headers a signature may be in, and what is before it
    "github": (("x-hub-signature-256",), "sha256="),
    "gitea": (("x-gitea-signature",), ""),
    "forgejo": (("x-forgejo-signature", "x-gitea-signature"), ""),
}
_EVENTS: Final = {
    "github": ("x-github-event",),
    "gitea": ("x-gitea-event",),
    "forgejo": ("x-forgejo-event", "x-gitea-event"),
    "gitlab": ("x-gitlab-event",),
}
_PUSHES: Final = frozenset({"push", "Push Hook", "Tag Push Hook", "System Hook"})


async def hook(call: Call) -> Response:
    """A push webhook of `github`, `gitlab`, `gitea` or `forgejo`, signed with RECONCILER_HOOK_SECRET."""
    forge, headers = call.path("forge"), call.request.headers
    if forge not in _EVENTS:
        raise Rejected(404, f"There is no forge '{forge[:40]}': there are {', '.join(sorted(_EVENTS))}")
    content = await read_bytes(call.request, LIMIT)
    if not _signed(forge, headers, content, call.served.hook_secret):
        return unauthorized()
    event = next((headers[name] for name in _EVENTS[forge] if name in headers), "")
    if event == "ping":
        return json({"looks": False, "message": "pong"})
    if event not in _PUSHES:
        return json({"looks": False, "message": "this event says nothing of commits"})
    if (loop := call.served.loop) is None:
        raise Rejected(404, "No reconcile loop runs beside this runtime: `reconciler up` starts both")
    if not concerns(_payload(headers, content), await asyncio.to_thread(loop.ref)):
        return json({"looks": False, "message": "another branch was pushed than the one that is followed"})
    if wait := call.served.hooks.wait(forge):
        return too_many(math.ceil(wait))
    call.served.hooks.take(forge)
    await asyncio.to_thread(loop.knock)
    return json({"looks": True, "message": "the loop looks at the repository"})


def _signed(forge: str, headers: Mapping[str, str], content: bytes, secret: str | None) -> bool:
    """Whether whoever knows the secret sent this; without a secret nobody does."""
    if not secret:
        return False
    if forge == "gitlab":
        return hmac.compare_digest(headers.get("x-gitlab-token", "").encode(), secret.encode())
    names, lead = _SIGNED[forge]
    given = next((headers[name] for name in names if name in headers), "")
    wanted = lead + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given.encode(), wanted.encode())


def _payload(headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
    """What the body says; nothing where it cannot be read, which is no reason not to look."""
    try:
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            content = parse_qs(content.decode(), max_num_fields=10).get("payload", [""])[0].encode()
        data = parse_json(content)
    except (Rejected, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def concerns(payload: Mapping[str, Any], wanted: str | None) -> bool:
    """Whether a push may have moved the ref that is followed; where that cannot be told, it may."""
    pushed = payload.get("ref")
    if not isinstance(pushed, str) or wanted is None:
        return True
    if wanted == "HEAD":
        about = payload.get("repository")
        main = about.get("default_branch") if isinstance(about, dict) else None
        about = payload.get("project")  # GitLab
        main = main or (about.get("default_branch") if isinstance(about, dict) else None)
        return not isinstance(main, str) or pushed == f"refs/heads/{main}"
    return pushed in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}")


ENDPOINTS = (
    Endpoint(
        "POST",
        "/reconciler/hook/{forge}",
        hook,
        access="open",
        says=(401, 404, 413, 429, 503),
        answer="http/reconciler-hook",
    ),
)
