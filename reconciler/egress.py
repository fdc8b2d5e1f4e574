"""Where this process may connect to on behalf of what is stored: `functionUrl`, `webhook`, a credentials' `baseUrl`.

Before it come `runtime/urls.py`, which looks at what is written when it is stored, and the HTTP clients of the channels
and models; after it the network. A name can lead elsewhere at each question, so the address is looked up here, checked,
and connected to itself: nothing asks a name server again between the check and the connection. Redirects are not
followed by the clients; TLS still checks the name. Special addresses: RFC 6890, and the forms of inet_aton(3).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import ModuleType
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # (host, port) -> addresses

_CONNECTIONS: Final = 2000  # of one client
REMEDY: Final = "start the runtime with --allow-private-url and the host if that is meant"


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all of version 6 that is given out
# Of the special-purpose registries what Python's own tables leave out, or did in some release.
_SPECIAL: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))


class Forbidden(Exception):
    """A name leads to private addresses only, which are not called."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system knows them. Raises OSError where it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Gate:
    """Which addresses may be connected to.

    `allowed` holds hosts (`10.0.0.7`, `models.internal`), hosts with a port (`127.0.0.1:9000`), networks
    (`10.0.0.0/8`), or `*` for all; `resolver` looks names up.
    """

    def __init__(self, allowed: Sequence[str] = (), resolver: Resolve = resolve) -> None:
        self._allowed, self._resolver = tuple(allowed), resolver

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of `host` that may be connected to, at least one. Raises Forbidden, OSError."""
        found = await self._resolver(host, port)
        open_ = [one for one in found if self._opens(host, port, one)]
        if found and not open_:
            raise Forbidden(f"it leads to a private address, which this server does not call: {REMEDY}")
        return open_

    def _opens(self, host: str, port: int, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        return public(address) or named(host.rstrip(".").lower(), port, address, self._allowed)


def public(address: Address) -> bool:
    """Whether an address is of the open Internet, also where it carries another one inside (RFC 6890)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return public(inner)
        if address in _NAT64:
            return public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _UNICAST:  # local NAT64, site-local, IPv4 translated or compatible, segment routing
            return False
    return address.is_global and not address.is_multicast and not any(address in one for one in _SPECIAL)


def named(host: str, port: int | None, address: Address | None, allowed: Sequence[str]) -> bool:
    """Whether `allowed` names a host (in lower case), its address, or a network that the address is in."""
    shown = {host, f"[{host}]" if ":" in host else host}
    if address is not None:
        shown |= {str(address), f"[{address}]" if address.version == 6 else str(address)}
    return any(
        name == "*"
        or name in shown
        or (port is not None and name in {f"{one}:{port}" for one in shown})
        or _within(address, name)
        for name in map(str.lower, allowed)
    )


def _within(address: Address | None, name: str) -> bool:
    if address is None or "/" not in name:
        return False
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def forbidden(error: BaseException) -> str | None:
    """Why a connection was not made, if an HTTP client's error began with Forbidden."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Forbidden):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def client(http: ModuleType, core: ModuleType, gate: Gate, most: int, seconds: float) -> Any:
    """An AsyncClient for addresses that are stored: through `transport`, without redirects, what the environment says
    of proxies, or waits of more than `seconds`."""
    through = transport(http, core, gate, most)
    return http.AsyncClient(timeout=seconds, follow_redirects=False, trust_env=False, transport=through)


def transport(http: ModuleType, core: ModuleType, gate: Gate, most: int, **options: Any) -> Any:
    """A transport for an AsyncClient that connects through `gate` and reads `most` bytes of an answer. Without `limits`
    among the options it opens 2,000 connections at most: of few, one address that hangs would take them all.

    `http` and `core` are httpx and httpcore, or httpx2 and httpcore2: two clients of one make. Answers are asked for
    and taken uncompressed, so that the bound holds for what is unpacked too. Raises the clients' own errors.
    """

    class Guarded(http.AsyncHTTPTransport):  # type: ignore[name-defined,misc]
        async def handle_async_request(self, request: Any) -> Any:
            request.headers["accept-encoding"] = "identity"
            response = await super().handle_async_request(request)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                await response.aclose()
                raise http.DecodingError("the answer is compressed, which was not asked for", request=request)
            response.stream = Bounded(response.stream, request)
            return response

    class Bounded(http.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, stream: Any, request: Any) -> None:
            self._stream, self._request = stream, request

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in self._stream:
                size += len(chunk)
                if size > most:
                    raise http.ReadError(f"the answer is larger than {most} bytes", request=self._request)
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    made = Guarded(trust_env=False, **{"limits": http.Limits(max_connections=_CONNECTIONS), **options})
    # The one place that both libraries leave for this; httpcore documents `network_backend`, httpx does not pass it on.
    made._pool._network_backend = _backend(core, gate, made._pool._network_backend)
    return made


def _backend(core: ModuleType, gate: Gate, inner: Any) -> Any:
    class Backend(core.AsyncNetworkBackend):  # type: ignore[name-defined,misc]
        async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> Any:
            try:
                async with asyncio.timeout(timeout):
                    addresses = await gate.addresses(host, port)
            except TimeoutError as error:
                raise core.ConnectTimeout("the name was not looked up in time") from error
            except (Forbidden, OSError, UnicodeError, ValueError) as error:
                raise core.ConnectError(str(error)) from error
            failed: Exception = core.ConnectError("the name has no address")
            for address in addresses:
                try:
                    return await inner.connect_tcp(address, port, timeout=timeout, **options)
                except (core.ConnectError, core.ConnectTimeout) as error:
                    failed = error
            raise failed

        async def connect_unix_socket(self, path: str, **_: Any) -> Any:
            raise core.ConnectError(f"{path} is a socket of the file system, which is not called")

        async def sleep(self, seconds: float) -> None:
            await inner.sleep(seconds)

    return Backend()
