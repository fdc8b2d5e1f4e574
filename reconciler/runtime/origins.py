"""Calls from web pages of other origins: allowed with a key in the header, never with the console's cookie.

Before it comes `runtime/observe.py`, which answers preflights with it and puts its headers on every answer; after it
the browser. Any origin may call, as no answer depends on where the page came from but on the key alone; credentials of
the browser (cookies) are never offered to other origins, and `runtime/keys.py` takes the cookie from the console's own
pages only. Source: the Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from starlette.responses import Response

HEADERS: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
)
_METHODS: Final = "GET,HEAD,PUT,PATCH,POST,DELETE"
_DAY: Final = "86400"  # seconds that a browser may remember a preflight (each has a bound of its own)


def preflight(headers: Iterable[tuple[bytes, bytes]]) -> Response:
    """The answer to OPTIONS on whatever path: 204, with the headers that the page asked for. It says nothing else."""
    asked = next((value.decode("latin-1") for name, value in headers if name == b"access-control-request-headers"), "*")
    allowed = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": asked,
        "Access-Control-Max-Age": _DAY,
        "Vary": "Access-Control-Request-Headers",
    }
    return Response(status_code=204, headers=allowed)


def from_here(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from this server's own pages (or from no page): only then its cookie counts.

    Browsers say it in `Sec-Fetch-Site` (over plain HTTP on loopback alone), else in `Origin`; other ports of one host
    are the same *site*, so a SameSite cookie alone would not keep their pages out.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    if (origin := headers.get("origin")) is None:
        return True
    return origin.partition("://")[2].lower() == headers.get("host", "").lower()
