"""The guard that keeps tests on this machine does stop what leaves it."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import LeftLoopback


def test_connecting_elsewhere_fails() -> None:
    with socket.socket() as sock, pytest.raises(LeftLoopback):
        sock.connect(("192.0.2.1", 80))


def test_resolving_elsewhere_fails() -> None:
    with pytest.raises(LeftLoopback):
        socket.getaddrinfo("example.com", 80)


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()
