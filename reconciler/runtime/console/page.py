"""The first chat page, at `/` for browsers: pick an instance, write as a customer, see the replies come.

The page itself holds no data: its script asks the HTTP API, with the cookie that `POST /console/login` sets.
"""

from __future__ import annotations

import secrets
from functools import cache

from jinja2 import Environment, PackageLoader, Template, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reconciler import __version__


@cache
def _template() -> Template:
    loader = PackageLoader("reconciler.runtime.console", "templates")
    return Environment(loader=loader, autoescape=select_autoescape()).get_template("chat.html")


async def chat_page(request: Request) -> Response:  # noqa: ARG001
    """The chat page; only its own script and style may run in it."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src 'self' data:; media-src 'self'; form-action 'self'; "
        f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(_template().render(nonce=nonce, version=__version__), headers=headers)
