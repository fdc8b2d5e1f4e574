"""The HTTP application: routes, errors, and what surrounds every request.

Before it comes the process that serves (`runtime/server.py`), after it the handlers of `runtime/api/`. Nothing here
knows what an endpoint does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from reconciler.model import Account
from reconciler.runtime.answers import refusal
from reconciler.runtime.api import (
    assistants,
    batch,
    bots,
    chat,
    credentials,
    describe,
    fleet,
    health,
    instances,
    messages,
    models,
    reconciler,
    sessions,
    settings,
    tokens,
    webhook,
)
from reconciler.runtime.beside import Loop
from reconciler.runtime.call import Endpoint, Page, Served, refused, routes
from reconciler.runtime.keys import GlobalKeys, Keys
from reconciler.runtime.limits import Limits
from reconciler.runtime.metrics import Metrics
from reconciler.runtime.notices import Notices
from reconciler.runtime.observe import Observe, make_log
from reconciler.runtime.streams import Streams
from reconciler.store.sqlite import Store

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *webhook.ENDPOINTS,  # called for each message: routes are looked at in their order
    *bots.ENDPOINTS,
    *credentials.ENDPOINTS,
    *assistants.ENDPOINTS,
    *settings.ENDPOINTS,
    *sessions.ENDPOINTS,
    *models.ENDPOINTS,
    *instances.ENDPOINTS,
    *messages.ENDPOINTS,
    *chat.ENDPOINTS,
    *tokens.ENDPOINTS,
    *fleet.ENDPOINTS,
    *batch.ENDPOINTS,
    *reconciler.ENDPOINTS,
    *health.ENDPOINTS,
)


def build_app(
    store: Store,
    *,
    api_key: str | GlobalKeys,
    notices: Notices,
    wake: Callable[[], None],
    list_models: Callable[[Account], Awaitable[list[dict[str, Any]]]],
    ready: Callable[[], bool] = lambda: True,
    page: Page | None = None,
    allow_private_urls: tuple[str, ...] = (),
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    loop: Loop | None = None,
    hook_secret: str | None = None,
    log_to: TextIO | None = None,
    access_log: bool = True,
) -> Starlette:
    """The application over an open store.

    `api_key` is the global key, or says which are valid; `wake` tells the turn engine that something is due;
    `list_models` asks an account's provider; `ready` says whether what must come first has ended; `page` answers
    `GET /` for browsers. `allow_private_urls`: hosts, hosts with port or networks that stored URLs may name though they
    are private. `limits`: how often a token may call, and a wrong key be tried; `metrics`: where other parts count too;
    `loop`: the reconcile loop beside the runtime, `hook_secret`: what forges sign their push webhooks by.
    The log goes to `log_to`, standard error by default; without `access_log` it has no line for each request.
    Call `app.state.stop()` when the server is told to stop, so that event streams end before it waits for them.
    """
    metrics = metrics or Metrics()
    store.vault.noticed = partial(metrics.replaced_key, "secret")
    served = Served(
        kept=store,
        keys=Keys(api_key, store, partial(metrics.replaced_key, "global")),
        notices=notices,
        streams=Streams(),
        metrics=metrics,
        wake=wake,
        list_models=list_models,
        ready=ready,
        page=page,
        allow_private_urls=allow_private_urls,
        limits=limits or Limits(),
        loop=loop,
        hook_secret=hook_secret,
    )
    return _app(served, ENDPOINTS, log_to, access_log)


def build_loop_app(
    api_key: str | GlobalKeys,
    loop: Loop,
    *,
    ready: Callable[[], bool],
    metrics: Metrics,
    hook_secret: str | None = None,
    log_to: TextIO | None = None,
    access_log: bool = False,
) -> Starlette:
    """The application of a loop without a runtime: its own endpoints, health and metrics; the global key opens them."""

    async def no_models(_: Account) -> list[dict[str, Any]]:
        return []

    served = Served(
        kept=None,
        keys=Keys(api_key, None, partial(metrics.replaced_key, "global")),
        notices=Notices(),
        streams=Streams(),
        metrics=metrics,
        wake=lambda: None,
        list_models=no_models,
        ready=ready,
        page=None,
        allow_private_urls=(),
        limits=Limits(),
        loop=loop,
        hook_secret=hook_secret,
    )
    return _app(served, (*reconciler.ENDPOINTS, *health.OPEN), log_to, access_log)


def _app(served: Served, endpoints: Sequence[Endpoint], log_to: TextIO | None, access_log: bool) -> Starlette:
    async def unrouted(request: Request, _: Exception) -> Response:
        """What no route is for. Without a key nobody learns which paths exist."""
        return refused(served, request) or refusal(404, f"Cannot {request.method} {request.url.path}")

    app = Starlette(
        routes=routes(served, (*endpoints, *describe.endpoints(endpoints))),
        middleware=[
            Middleware(Observe, metrics=served.metrics, log=make_log(log_to), access_log=access_log),
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=4, thread_minimum_size=16 << 10),
        ],
        exception_handlers={HTTPException: unrouted},
    )
    app.router.redirect_slashes = False
    app.state.served = served
    app.state.stop = served.streams.stop
    return app
