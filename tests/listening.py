"""A socket that a server of a test listens on."""

from __future__ import annotations

import socket


def listen(port: int = 0) -> socket.socket:
    """Listens on loopback. The protocol is named, for only then does asyncio send small answers at once."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
    return listening
