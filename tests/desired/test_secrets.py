"""Keys: those in clear are found and blotted out, those that are named are read, those that are missing are told."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.keys import keys_in, redact
from reconciler.desired.secrets import missing_keys, with_keys
from reconciler.model import DEMO, Desired, Missing, Object, Place, Ref, Secret

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"


def drawn(length: int) -> str:
    draw = random.Random(length)
    return "Ab1" + "".join(draw.choice(LETTERS) for _ in range(length - 3))


KEYS = [
    *(f"sk-{infix}{drawn(40)}" for infix in ("", "proj-", "svcacct-", "admin-", "ant-api03-", "or-v1-", "lf-")),
    f"AIza{drawn(35)}",
    f"gsk_{drawn(52)}",
    f"xai-{drawn(80)}",
    f"csk-{drawn(48)}",
    f"fw_{drawn(22)}",
    f"nvapi-{drawn(64)}",
    f"tgp_v1_{drawn(43)}",
    f"ghp_{drawn(36)}",
    f"github_pat_{drawn(60)}",
    f"glpat-{drawn(20)}",
    "AKIA" + drawn(16).upper(),
    f"xoxb-{drawn(40)}",
    f"hf_{drawn(34)}",
    f"sk_live_{drawn(24)}",
    f"EAA{drawn(120)}",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_found_and_blotted_out(key: str) -> None:
    text = f"before {key} after"
    assert [text[start:end] for start, end in keys_in(text)] == [key]
    assert redact(text) == "before … after"


@pytest.mark.parametrize(
    "text",
    [
        "A key begins with sk- and is never shown.",
        "for example sk-proj-xxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-your-key-goes-here-please",
        "sk-learn-version-2-with-many-words",
        "the task-12345678901234567890abcd",
        "risk-a1b2c3d4e5f6g7h8i9j0",
        "AKIA is how they begin",
        "sk-1111111111111111111111",
        "gsk_ and hf_ are prefixes",
        "https://example.com/AIza",
        "",
    ],
)
def test_talk_about_keys_is_no_key(text: str) -> None:
    assert list(keys_in(text)) == []
    assert redact(text) == text


def test_a_password_in_an_address_is_blotted_out() -> None:
    assert redact("at 'https://user:pa55@example.com/v1'") == "at 'https://…@example.com/v1'"
    assert redact("https://example.com/a@b") == "https://example.com/a@b"


def account(spec: dict[str, Any]) -> Desired:
    whole = {"apiKey": {}, "baseUrl": None, "organization": "o", "project": None, "whenMissing": None, **spec}
    at = Place("bots/a/c.yaml", 7, 11)
    other = Object(ref=Ref("Instance", "a", "a"), spec={}, at=at)
    return Desired(
        commit=None,
        source="",
        objects=(other, Object(ref=Ref("Credentials", "a", "c"), spec=whole, at=at)),
        notes=("n",),
    )


def test_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("file-key\n")
    for wanted, expected in (({"env": "K"}, "env-key"), ({"file": "key"}, "file-key")):
        asked = account({"apiKey": wanted, "whenMissing": DEMO})
        done = with_keys(asked, {"K": " env-key "}, tmp_path)
        assert done.objects[1].spec == {**asked.objects[1].spec, "apiKey": Secret(expected), "whenMissing": None}
        assert done.notes == ("n",)
        assert expected not in repr(done)
        assert with_keys(done, {}, tmp_path) == done
    absolute = with_keys(account({"apiKey": {"file": str(tmp_path / "key")}}), {}, Path("/"))
    assert absolute.objects[1].spec["apiKey"] == Secret("file-key")


def test_what_is_missing_is_said_and_nothing_stands_in_for_it_yet(tmp_path: Path) -> None:
    asked = account({"apiKey": {"env": "K"}, "whenMissing": DEMO, "baseUrl": "https://x"})
    done = with_keys(asked, {}, tmp_path)
    assert done.objects[1].spec == {**asked.objects[1].spec, "apiKey": Missing("K is not set", {"env": "K"})}
    assert done.notes == ("n",)
    assert missing_keys(done) == ()


@pytest.mark.parametrize(
    ("wanted", "variables", "message"),
    [
        ({"env": "K"}, {}, "K is not set"),
        ({"env": "K"}, {"K": " "}, "K is not set"),
        ({"env": "K"}, {"K": "two words"}, "the environment variable K holds more than a key"),
        ({"env": "K"}, {"K": "ключ"}, "the environment variable K holds more than a key"),
        ({"file": "absent"}, {}, "the key file absent cannot be read: No such file"),
        ({"file": "empty"}, {}, "the key file empty is empty"),
        ({"file": "binary"}, {}, "the key file binary holds no text"),
    ],
)
def test_what_is_missing_is_named_at_the_line_that_asks(
    tmp_path: Path, wanted: dict[str, str], variables: dict[str, str], message: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    (said,) = map(str, missing_keys(with_keys(account({"apiKey": wanted}), variables, tmp_path)))
    assert said.startswith(f"bots/a/c.yaml:7:11: spec.apiKey: {message}")
    assert "two words" not in said
