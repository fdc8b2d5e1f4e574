"""What redaction takes out, what stays for triggers to see, and that pseudonyms hold all through a file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.reconcile.redact import Redactor

KEY = b"k" * 32
FAKE = "sk-proj-9hTq4mZx7LwRb2Kv8NcYd3Fs"

CASES = [
    ("nothing", "Do you have parking?", (), "Do you have parking?"),
    ("a name of the channel", "Ana here, ANA SOUZA", ("Ana Souza",), "Name1 here, Name1 Name2"),
    ("with its accents or without", "José e Jose", ("José",), "Name1 e Name1"),
    ("a part of a word is none", "Anabela and banana", ("Ana",), "Anabela and banana"),
    ("a short name as it is written", "Al says hi al jefe", ("Al",), "Name1 says hi al jefe"),
    ("one letter is no name", "A table", ("A.",), "A table"),
    ("a name without blanks around it", "你好，我叫李明。", ("李明",), "你好，我叫Name1。"),
    ("in small letters", "hi, my name is maria and me llamo ana", (), "hi, my name is Name1 and me llamo Name2"),
    ("no name in small letters", "my name is not here, soy vegetariano", (), "my name is not here, soy vegetariano"),
    ("my name is", "Hello, my name is Maria Lopez and I am here", (), "Hello, my name is Name1 Name2 and I am here"),
    ("me llamo", "Me llamo Carlos.", (), "Me llamo Name1."),
    ("no name after it", "this is what I want", (), "this is what I want"),
    ("e-mail", "write to Ana.Souza+x@mail.example.com, or ana.souza+x@mail.example.com!", (),
     "write to mail1@example.com, or mail1@example.com!"),
    ("address", "see https://shop.example/order/ana?t=1 and www.shop.example", (),
     "see https://host1.example/ and https://host2.example/"),
    ("short numbers stay", "2 people at 8, table 1234", (), "2 people at 8, table 1234"),
    ("a key", f"it is {FAKE} ok", (), "it is key1 ok"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_what_is_taken_out(text: str, names: tuple[str, ...], expected: str) -> None:
    assert Redactor(KEY).text(text, names) == expected


NUMBERS = ["order 12345678", "+55 11 98888-7777", "(030) 123456", "4111 1111 1111 1111", "123.456.789-00"]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_keep_their_shape_and_not_their_digits(text: str) -> None:
    shown = Redactor(KEY).text(text)
    assert re.sub(r"\d", "9", shown) == re.sub(r"\d", "9", text)
    assert re.findall(r"\d", shown) != re.findall(r"\d", text)


def test_pseudonyms_hold_all_through_a_file_and_say_nothing_outside_of_it() -> None:
    one, other = Redactor(), Redactor()
    assert one.text("order 12345678") == one.text("order 12345678")
    assert one.text("order 12 345 678") == re.sub(r"(\d\d)(\d{3})(\d{3})", r"\1 \2 \3", one.text("order 12345678"))
    assert one.text("order 1234567890123456") != other.text("order 1234567890123456")
    assert [one.chat(jid) for jid in ("a", "b", "a")] == ["chat-1", "chat-2", "chat-1"]


@given(st.text(alphabet="0123456789", min_size=5, max_size=20), st.text(alphabet="abc ,.", max_size=10))
def test_no_long_number_is_left(number: str, around: str) -> None:
    redactor = Redactor(KEY)
    shown = redactor.text(f"{around} {number} {around}")
    assert re.sub(r"\d", "", shown) == re.sub(r"\d", "", f"{around} {number} {around}")
    assert number not in shown or len(set(number)) <= 3 or len(number) < 7
