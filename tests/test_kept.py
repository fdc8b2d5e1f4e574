"""A kept key: what there is after each step of a rotation, whole or cut off."""

from __future__ import annotations

import itertools
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.kept import Key, Watched


@pytest.fixture
def key(tmp_path: Path) -> Key:
    numbers = itertools.count(1)
    made = Key(tmp_path / "api-key", lambda: f"key-{next(numbers)}")
    assert made.kept_or_made() == ("key-1", True)
    return made


def test_two_are_valid_until_it_is_finished(key: Key) -> None:
    valid = Watched(key)
    assert valid() == ("key-1",)
    assert valid() is valid(), "nothing is read where nothing changed"
    assert key.rotate()
    assert valid() == ("key-2", "key-1")
    assert (key.kept_or_made(), key.previous()) == (("key-2", False), "key-1")
    assert not key.rotate(), "a third would make the second worthless"
    assert valid() == ("key-2", "key-1")
    assert key.finish()
    assert valid() == ("key-2",)
    assert not key.finish()
    assert key.rotate()
    assert valid() == ("key-3", "key-2")
    assert [path.name for path in sorted(key.path.parent.iterdir())] == ["api-key", "api-key.previous"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in key.path.parent.iterdir()} == {0o600}


def test_others_are_valid_too(key: Key) -> None:
    assert Watched(key, ("old", "key-1"))() == ("key-1", "old")


def test_a_file_that_is_gone_for_a_moment_changes_nothing(key: Key) -> None:
    valid = Watched(key)
    key.path.rename(key.path.with_name("aside"))
    assert valid() == ("key-1",)
    key.path.with_name("aside").write_text("key-9\n")
    key.path.with_name("aside").rename(key.path)
    assert valid() == ("key-9",)


def test_where_there_is_no_key_there_is_none_to_replace(tmp_path: Path) -> None:
    key = Key(tmp_path / "api-key", lambda: "new")
    with pytest.raises(Misuse, match="holds no key"):
        key.rotate()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Misuse, match="cannot be read"):
        Key(tmp_path / "nowhere" / "api-key", lambda: "new").rotate()


class Cut(BaseException):
    """Where the process is ended."""


@pytest.mark.parametrize("step", range(20))
def test_cut_off_at_any_step_both_sides_are_served_and_a_second_call_ends_it(
    key: Key, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    valid, left = Watched(key), itertools.count()

    def cutting(real):
        def call(*arguments, **options):
            if next(left) == step:
                raise Cut
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "fsync"):
            patch.setattr(f"reconciler.kept.os.{name}", cutting(getattr(os, name)))
        patch.setattr(Path, "replace", cutting(Path.replace))
        patch.setattr(Path, "unlink", cutting(Path.unlink))
        with suppress(Cut):
            key.rotate()
            assert next(left) <= step, "it was not cut off because it has no more steps than that"
    assert "key-1" in valid(), "whoever has the key so far goes on"
    assert valid()[0] == key.kept_or_made()[0], "clients and servers are told the same"
    key.rotate()
    now = key.kept_or_made()[0]
    assert now != "key-1"
    assert valid() == (now, "key-1")
    assert key.finish()
    assert valid() == (now,)
