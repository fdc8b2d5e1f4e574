"""YAML text as data: traps, bounds, places, and that what is written reads back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired import read as module
from reconciler.desired.read import read
from reconciler.desired.text import Flaw, decode, line_and_column
from reconciler.desired.write import dump


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("-1.5e3", -1500.0),
        ("1e2", 100.0),
        ("9223372036854775807", 2**63 - 1),
        ("'true'", "true"),
        ('"42"', "42"),
        ("!!str 42", "42"),
        ("! 42", "42"),
        ("!!int 42", 42),
        ("!!float 4", 4.0),
        ("!!bool true", True),
        ("!!null ~", None),
        ("|\n  a\n  b\n", "a\nb\n"),
        *[
            (text, text)
            for text in (
                *("yes", "no", "on", "off", "y", "True", "FALSE", "Null", "NULL", "0123", "1:30", "1_000", "0b1"),
                *("0x1F", "0o17", "2020-01-01", "2020-01-01T00:00:00Z", "=", ".inf", ".nan", "+1", ".5", "1.", "<<"),
                *("1e", "-", "१२", "١"),
            )
            if text != "-"
        ],
    ],
)
def test_scalars(written: str, meant: Any) -> None:
    reading = read(f"a: {written}")
    assert reading.flaws == []
    value = reading.documents[0].data["a"]
    assert (value, type(value)) == (meant, type(meant))


@pytest.mark.parametrize("key", ["on", "no", "1", "true", "null", "<<", "0x1"])
def test_keys_are_text_as_written(key: str) -> None:
    assert read(f"{key}: 1").documents[0].data == {key: 1}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", []),
        ("# nothing\n", []),
        ("---\n---\n", []),
        ("---\na: 1\n...\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: 1\r\nb: 2\r\n", [{"a": 1, "b": 2}]),
        ("a: &x [1, 2]\nb: *x\n", [{"a": [1, 2], "b": [1, 2]}]),
        ("&k a: 1\nb: *k\n", [{"a": 1, "b": "a"}]),
        ("a: &x 1\nb: [*x, {c: *x}]\n", [{"a": 1, "b": [1, {"c": 1}]}]),
        ("- - 1\n  - 2\n- {}\n- []\n", [[[1, 2], {}, []]]),
        ("a: {b: {c: 1}}\nd: [[1], 2]\n", [{"a": {"b": {"c": 1}}, "d": [[1], 2]}]),
        ('a: "tab\there"\nb: |\n  x\ty\n', [{"a": "tab\there", "b": "x\ty\n"}]),
    ],
)
def test_documents(text: str, data: list[Any]) -> None:
    for spots in (False, True):
        reading = read(text, spots=spots)
        assert (reading.flaws, [document.data for document in reading.documents]) == ([], data)


def test_places_of_keys_and_values() -> None:
    (document,) = read("a:\n  - b: 1\n    c: [x, yy]\nd: 2\n", spots=True).documents
    assert {path: tuple(spot) for path, spot in document.spots.items()} == {
        (): (1, 1, 1, 1),
        ("a",): (1, 1, 2, 3),
        ("a", 0): (2, 5, 2, 5),
        ("a", 0, "b"): (2, 5, 2, 8),
        ("a", 0, "c"): (3, 5, 3, 8),
        ("a", 0, "c", 0): (3, 9, 3, 9),
        ("a", 0, "c", 1): (3, 12, 3, 12),
        ("d",): (4, 1, 4, 4),
    }


def test_a_flaw_does_not_hide_the_next_nor_the_documents_before() -> None:
    reading = read("a: 1\na: 2\nb: !x 3\n---\nc: 1\n---\nd: [\n", spots=True)
    assert [(flaw.line, flaw.message.split()[0]) for flaw in reading.flaws] == [(2, "is"), (3, "the"), (7, "this")]
    assert [document.data for document in reading.documents] == [{"a": 2, "b": "3"}, {"c": 1}]


def test_bounds() -> None:
    assert read("[" * 100 + "]" * 100).flaws == []
    assert "100 levels" in read("[" * 101 + "]" * 101).flaws[0].message
    deep = "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60
    assert read(deep).flaws[0].message.startswith("the document has more than")
    many = "".join(f"- {number}\n" for number in range(9_999))
    assert read(many).flaws == []
    assert "10,000 values" in read(many + "- 1\n").flaws[0].message
    fits = f"a: {'x' * (module.DOCUMENT_LIMIT - 200)}\n"
    assert read(f"{fits}---\n{fits}---\n{fits}").flaws == []
    assert [flaw.line for flaw in read(f"b: 1\n---\n{fits}c: {'ä' * 200}\n").flaws] == [2]
    assert [flaw.message for flaw in read(f"a: {'ä' * module.DOCUMENT_LIMIT}\n").flaws] == [
        "the document is larger than 256 KiB"
    ]
    assert read(f"a: {'x' * module.DOCUMENT_LIMIT}\nb: {'x' * 10}\nc: 1\n").flaws[0].line == 1
    assert "1000 characters" in read(f"{'k' * 1001}: 1").flaws[0].message
    assert len(read("a: 1\n" * 300).flaws) == module.FLAW_LIMIT


@pytest.mark.parametrize("text", ["a: 99999999999999999999", "a: -1e400", "a: 9223372036854775808"])
def test_numbers_that_do_not_fit(text: str) -> None:
    assert [flaw.message for flaw in read(text).flaws] == ["is too large a number"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfa: 1", "a: 1"),
        (b"a: \xff", Flaw(1, 4, "the file has the byte 0xff, which is not UTF-8", "save it as UTF-8")),
        ("a".encode("utf-16"), Flaw(1, 1, "the file is UTF-16, which is not UTF-8", "save it as UTF-8")),
        (b"\xef\xbb\xbfa\n\xc3(", Flaw(2, 1, "the file has the byte 0xc3, which is not UTF-8", "save it as UTF-8")),
    ],
)
def test_decode(content: bytes, expected: str | Flaw) -> None:
    assert decode(content) == expected


def test_line_and_column_count_as_the_parser_does() -> None:
    assert line_and_column("a\r\nb\rc\nde", 8) == (4, 2)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(_DATA)
def test_what_pyyaml_writes_with_quotes_reads_back(data: Any) -> None:
    class Dumper(yaml.SafeDumper):
        def represent_float(self, value: float) -> yaml.Node:
            return self.represent_scalar("tag:yaml.org,2002:float", repr(value))

    Dumper.add_representer(
        str, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')
    )
    Dumper.add_representer(float, Dumper.represent_float)
    text = yaml.dump([data], Dumper=Dumper)
    for spots in (False, True):
        reading = read(text, spots=spots)
        assert reading.flaws == []
        assert reading.documents[0].data == [data]


@settings(deadline=None)
@given(_DATA)
def test_what_dump_writes_reads_back(data: Any) -> None:
    reading = read(dump([data]))
    assert reading.flaws == []
    assert reading.documents[0].data == [data]


@settings(deadline=None)
@given(st.dictionaries(_TEXT, st.text("ab: #-\n'\"{[&*!|>%@`,?\t", max_size=20), min_size=1, max_size=4))
def test_texts_full_of_signs_read_back(data: dict[str, str]) -> None:
    assert read(dump(data)).documents[0].data == data


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("a: [{}]-\n\t'\"&*!|>%?~#", max_size=40)
)
def test_any_text_gives_documents_or_flaws_with_places(text: str) -> None:
    quick, slow = read(text), read(text, spots=True)
    assert [document.data for document in quick.documents] == [document.data for document in slow.documents]
    assert len(quick.flaws) == len(slow.flaws)
    for flaw in slow.flaws:
        assert flaw.line >= 1
        assert flaw.column >= 1
        assert flaw.message


def test_dump_refuses_what_is_no_json_number() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump({"a": math.inf})


def test_a_complaint_without_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parser:
        def __init__(self, text: str) -> None:
            self.text = text

        def get_event(self) -> None:
            raise yaml.reader.ReaderError("x", 0, 0, "utf-8", "no such character")

        def dispose(self) -> None:
            pass

    monkeypatch.setattr(module, "CParser", Parser)
    (flaw,) = read("a: 1").flaws
    assert (flaw.line, "not YAML" in flaw.message) == (0, True)
