"""Clients that never come to an end are let go, over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from reconciler.runtime import wire
from tests.runtime.conftest import KEY, Server

POST = f"POST /instance/create HTTP/1.1\r\nHost: x\r\napikey: {KEY}\r\nContent-Type: application/json\r\n".encode()


def opened(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(120)
    return connection


def read(connection: socket.socket) -> bytes:
    """All that the server sends until it closes the connection."""
    said = b""
    try:
        while part := connection.recv(65536):
            said += part
    except ConnectionError:  # it was closed while more was on its way
        pass
    return said


@pytest.mark.parametrize(
    "start",
    [b"GET /", b"GET / HTTP/1.1\r\nX-Long: ", b"GET /healthz HTTP/1.1\r\n\r\nGET /"],
    ids=["path", "header", "the second one's path"],
)
def test_a_head_that_never_ends(server: Server, start: bytes) -> None:
    with opened(server) as connection:
        try:
            connection.sendall(start)
            for _ in range(200):
                connection.sendall(b"a" * 10_000)
        except ConnectionError:
            return
        assert b"431 Request Header Fields Too Large" in read(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost:",
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
    ],
    ids=["nothing", "half a head", "half a body", "chunks", "half a second one", "a body nobody reads"],
)
def test_a_request_that_never_ends(server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.05)
    with opened(server) as connection:
        connection.sendall(sent)
        read(connection)  # comes to an end


@pytest.mark.parametrize(
    "sent",
    [b"no HTTP\r\n\r\n", b"FETCH / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n"],
    ids=["text", "method", "header"],
)
def test_what_is_no_request_is_refused_as_all_else(server: Server, sent: bytes) -> None:
    with opened(server) as connection:
        connection.sendall(sent)
        head, _, body = read(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(body)["response"]["message"] == ["Invalid HTTP request received."]


@pytest.mark.parametrize(
    "cut", [lambda whole: [whole], lambda whole: [whole[:9], whole[9:70], whole[70:]]], ids=["at once", "parts"]
)
def test_requests_in_pieces_on_one_connection(server: Server, cut: Callable[[bytes], list[bytes]]) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with opened(server) as connection:
        for part in cut(one * 3 + one.replace(b"Host: x", b"Host: x\r\nConnection: close")):
            connection.sendall(part)
        assert read(connection).count(b"HTTP/1.1 200 OK") == 4
