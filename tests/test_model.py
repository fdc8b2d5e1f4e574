"""Secrets show nothing of themselves; marks come back as they were written."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import model
from reconciler.model import Mark, Secret

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(
    text=st.text(max_size=140).map(str.strip),
    source=st.one_of(st.just(""), st.from_regex(r"[a-z]{1,20}", fullmatch=True)),
    name=names,
    commit=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)
def test_a_mark_comes_back(text: str, source: str, name: str, commit: str) -> None:
    mark = Mark(source, name, commit)
    assert model.split_mark(model.join_mark(text or None, mark)) == (text or None, mark)


@pytest.mark.parametrize(
    "text", [None, "", "Answers guests", "[gitops]", "[gitops a@xyz]", "[gitops a@12345678] and more"]
)
def test_what_is_no_mark_stays_text(text: str | None) -> None:
    assert model.split_mark(text) == (text or None, None)


def test_the_longest_mark_and_description_fit_the_apis_bound() -> None:
    assert len(model.join_mark("x" * 140, Mark("s" * 20, "n" * 63, "0" * 8))) <= 255


@given(st.text(min_size=20, max_size=60, alphabet="abcdefghijklmnopqrstuvwxyz0123456789"))
def test_a_secret_is_nowhere_in_what_it_shows(value: str) -> None:
    secret = Secret("sk-" + value)
    for shown in (repr(secret), str(secret), f"{secret}", model.mask(secret.value)):
        assert value not in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_secrets_compare_and_fingerprints_tell_them_apart() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    shown = model.fingerprint("salt", "sk-1")
    assert model.same_secret(shown, "sk-1")
    assert not model.same_secret(shown, "sk-2")
    assert model.fingerprint("other", "sk-1") != shown


@pytest.mark.parametrize(
    ("secret", "shown"), [("sk-0123456789abcd", "sk-…abcd"), ("short", "…"), ("0123456789abcdef", "…cdef")]
)
def test_masks(secret: str, shown: str) -> None:
    assert model.mask(secret) == shown


def test_refs_and_places_read_well() -> None:
    assert str(model.Ref("Bot", "bistro", "restaurant")) == "Bot bistro/restaurant"
    assert str(model.Ref("Instance", "bistro", "bistro")) == "Instance bistro"
    assert str(model.Place("a.yaml", 3, 4)) == "a.yaml:3:4"
