"""What is open to everybody: who answers here, whether it lives, whether it is ready, what it counts.

And the two calls by which people come in: the check of a key, and the console's session.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from starlette.responses import Response

from reconciler import __version__
from reconciler.errors import Unavailable
from reconciler.runtime.answers import json, unauthorized
from reconciler.runtime.body import read_body
from reconciler.runtime.call import Call, Endpoint
from reconciler.runtime.keys import COOKIE, SESSION
from reconciler.runtime.metrics import CONTENT_TYPE
from reconciler.store.depths import depths

_PATIENCE: Final = 2.0  # seconds that the store has to show that it can write


async def root(call: Call) -> Response:
    """The console for browsers; for programs, who answers here."""
    page = call.served.page
    if page is not None and "text/html" in call.request.headers.get("accept", ""):
        return await page(call.request)
    address = str(call.request.base_url).rstrip("/")
    shown = {
        "status": 200,
        "message": "Welcome: this is the runtime of reconciler, and it is working",
        "version": __version__,
        "clientName": "reconciler",
        "manager": address,
        "documentation": f"{address}/docs",
    }
    return json(shown, headers={"Vary": "Accept"})


async def healthz(_: Call) -> Response:
    """The process answers."""
    return json({"status": "ok"})


async def readyz(call: Call) -> Response:
    """The store can be written, its tables are current, and whatever must come first has ended."""

    def touch(c: Any) -> None:
        c.execute("UPDATE fleet SET version=version")

    if call.served.kept is not None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await call.served.store.db.write(touch)
        except (TimeoutError, Unavailable) as error:
            raise Unavailable("not ready: the store cannot be written") from error
    if not call.served.ready():
        raise Unavailable("not ready: the first reconcile pass has not ended yet")
    return json({"status": "ready"})


async def metrics(call: Call) -> Response:
    """Counters for Prometheus."""
    kept = call.served.kept
    waiting = await kept.db.read(lambda c: depths(c, time.time())) if kept is not None else {}
    text = await asyncio.to_thread(call.served.metrics.text, waiting)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


async def verify(_: Call) -> Response:
    """Whether the key is the global key: what a login asks."""
    return json({"status": 200, "message": "Credentials are valid"})


async def login(call: Call) -> Response:
    """Opens a console session for whoever has the global key: an HttpOnly cookie for 12 hours."""
    key = (await read_body(call.request, "http/login")).get("key")
    session = call.served.keys.session(key) if isinstance(key, str) else None
    if session is None:
        return unauthorized()
    response = json({"status": "success"})
    response.set_cookie(
        COOKIE,
        session,
        max_age=SESSION,
        httponly=True,
        samesite="strict",
        secure=call.request.url.scheme == "https",
    )
    return response


async def logout(_: Call) -> Response:
    """Ends the console session of this browser."""
    response = json({"status": "success"})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


OPEN = (  # what a loop without a runtime answers too
    Endpoint("GET", "/", root, access="open", answer="welcome"),
    Endpoint("GET", "/healthz", healthz, access="open", answer="status"),
    Endpoint("GET", "/readyz", readyz, access="open", says=(503,), answer="status"),
    Endpoint("GET", "/metrics", metrics, access="open", answer="text/plain"),
    Endpoint("POST", "/verify-creds", verify, access="global", answer="verified"),
)
ENDPOINTS = (
    *OPEN,
    Endpoint("POST", "/console/login", login, "http/login", "open", guessed="body", answer="status"),
    Endpoint("POST", "/console/logout", logout, access="open", answer="status"),
)
