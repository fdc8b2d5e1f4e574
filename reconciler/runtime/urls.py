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

from reconciler.errors import Rejected
from reconciler.model import DEMO

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
        private = not _public(address)
    if not private:
        return True
    shown = f"[{host}]" if ":" in host else host
    return any(
        name in ("*", host, shown) or (port is not None and name == f"{shown}:{port}") or _within(address, name)
        for name in allowed
    )


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001, 2130706433, 0177.0.0.1
    except (OSError, UnicodeError):
        return None


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return _public(inner)
        if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64
            return _public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _within(address: Address | None, name: str) -> bool:
    if address is None or "/" not in name:
        return False
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False
