"""Which addresses stored URLs may name: `functionUrl`, `webhook`, `baseUrl`.

Before it come valid bodies, after it the store. Looks only at what is written, asks no name server: where a name
leads can change, and is a matter of the connection. What is refused here are literal private, loopback, link-local
and metadata addresses, in any notation that connects to one (RFC 6890; inet_aton(3)).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from reconciler.egress import Address, named, public
from reconciler.errors import Rejected
from reconciler.model import DEMO


def check_urls(allowed: Sequence[str], **urls: str | None) -> None:
    """Raises Rejected 422 for each field whose URL names a private address that `allowed` does not name.

    `allowed` holds hosts (`10.0.0.7`, `models.internal`), hosts with a port (`127.0.0.1:9000`), networks
    (`10.0.0.0/8`), or `*` for all.
    """
    faults = []
    for field, url in urls.items():
        if url and url != DEMO and not may_call(url, allowed):
            faults.append(
                f"{field} names a private address, which this server does not call: "
                "start it with --allow-private-url and the host if that is meant"
            )
    if faults:
        raise Rejected(422, *faults)


def may_call(url: str, allowed: Sequence[str]) -> bool:
    """Whether the host that `url` names is public as far as it is written, or is allowed."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip(".").lower(), parts.port
    except ValueError:  # a port out of range, half an IPv6 address
        return False
    if not host:
        return False
    address = _address(host)
    if address is None:
        private = host == "localhost" or host.endswith((".localhost", ".internal", ".local"))
    else:
        private = not public(address)
    if not private:
        return True
    return named(host, port, address, allowed)


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001, 2130706433, 0177.0.0.1
    except (OSError, UnicodeError):
        return None
