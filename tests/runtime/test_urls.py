"""Which addresses stored URLs may name."""

from __future__ import annotations

import pytest

from reconciler.errors import Rejected
from reconciler.runtime.urls import check_urls, may_call

PUBLIC = [
    "https://example.com/f",
    "http://93.184.216.34/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]:8443/x",
    "https://internal.example.com",
    "https://localhost.example.com",
]
PRIVATE = [
    "http://127.0.0.1/",
    "http://127.1:80/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://10.1.2.3",
    "http://172.16.0.1",
    "http://192.168.1.1",
    "http://100.64.0.1",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://224.0.0.1/",
    "http://localhost:3000",
    "http://LOCALHOST./",
    "http://app.localhost",
    "http://metadata.google.internal/",
    "http://printer.local",
    "http:///x",
    "http://[::1",
    "http://example.com:99999",
]


@pytest.mark.parametrize("url", PUBLIC)
def test_public(url: str) -> None:
    assert may_call(url, ())


@pytest.mark.parametrize("url", PRIVATE)
def test_private(url: str) -> None:
    assert not may_call(url, ())


@pytest.mark.parametrize(
    ("url", "allowed", "expected"),
    [
        ("http://127.0.0.1:9000/f", "127.0.0.1:9000", True),
        ("http://127.0.0.1:9001/f", "127.0.0.1:9000", False),
        ("http://127.0.0.1:9001/f", "127.0.0.1", True),
        ("http://10.2.3.4", "10.0.0.0/8", True),
        ("http://11.2.3.4:80", "10.0.0.0/8", True),
        ("http://192.168.0.1", "10.0.0.0/8", False),
        ("http://192.168.0.1", "nonsense/8", False),
        ("http://models.internal/v1", "models.internal", True),
        ("http://localhost", "10.0.0.0/8", False),
        ("http://[::1]:80/", "::1", True),
        ("http://[::1]:80/", "[::1]:80", True),
        ("http://localhost", "*", True),
    ],
)
def test_allowed(url: str, allowed: str, expected: bool) -> None:
    assert may_call(url, (allowed,)) is expected


def test_every_field_is_named() -> None:
    check_urls((), baseUrl="builtin:demo", webhook=None, functionUrl="https://example.com")
    with pytest.raises(Rejected) as caught:
        check_urls((), baseUrl="http://10.0.0.1", webhook="http://localhost")
    assert caught.value.status == 422
    assert [message.split()[0] for message in caught.value.messages] == ["baseUrl", "webhook"]
