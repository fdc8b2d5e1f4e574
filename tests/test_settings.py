"""The environment is read once, and the data folder keeps its keys to its owner."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from reconciler.errors import Misuse
from reconciler.settings import DataFolder, environment
from tests.conftest import Repo


def test_what_the_openai_sdk_would_pick_up_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-operator")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-yaml")
    found = environment()
    assert "OPENAI_ORG_ID" not in os.environ
    assert "OPENAI_BASE_URL" not in os.environ
    assert found.openai_base_url == "http://127.0.0.1:1/v1"
    assert found.variables["OPENAI_API_KEY"] == "sk-of-yaml"
    assert found.api_key is found.url is found.data is None


@pytest.mark.parametrize("key", ["two\nlines", "two words", "ключ", "\x01"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("RECONCILER_API_KEY", key)
    with pytest.raises(Misuse, match="RECONCILER_API_KEY holds more than a key") as raised:
        assert environment().api_key
    assert key not in str(raised.value)
    monkeypatch.setenv("RECONCILER_API_KEY", " a-key\n")
    assert environment().api_key == "a-key"


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "ftp://a",
        "http://[",
        "http://a:99999",
        "http://",
        "http://me:pa55@a",
        "http://a b",
        "http://a:b",
    ],
)
def test_an_address_that_cannot_be_called_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RECONCILER_URL", url)
    with pytest.raises(Misuse, match="RECONCILER_URL is not the address of a server") as raised:
        assert environment().url
    assert "pa55" not in str(raised.value)
    monkeypatch.setenv("RECONCILER_URL", "http://127.0.0.1:8080/")
    assert environment().url == "http://127.0.0.1:8080"


def test_the_data_folder_is_closed_to_others_and_to_git(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "deep" / "data").make()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert (folder.path / ".gitignore").read_text() == "*\n"
    assert folder.kept_key() is None
    key, made = folder.make_key()
    assert made
    assert folder.make_key() == (key, False)
    assert folder.kept_key() == key
    assert stat.S_IMODE((folder.path / "api-key").stat().st_mode) == 0o600
    secret = folder.make_secret_key()
    assert folder.make().make_secret_key() == secret
    Fernet(secret)
    assert folder.running_url() is None
    folder.address.write_text("http://127.0.0.1:1\n")
    assert folder.running_url() == "http://127.0.0.1:1"


def test_a_key_that_was_not_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key would open everything to whoever sends none, and seal what is stored with nothing."""
    folder = DataFolder(tmp_path)

    open_ = os.open

    def full(path: Path, *how: int) -> int:
        os.close(open_(path, *how))
        return open_("/dev/full", os.O_WRONLY)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(Misuse, match=r"secret\.key cannot be written: No space left"):
            folder.make_secret_key()
    assert not (tmp_path / "secret.key").exists()
    (tmp_path / "api-key").write_text("\n")
    with pytest.raises(Misuse, match=r"api-key is empty: restore it"):
        folder.make_key()


def test_the_top_of_a_repository_is_no_data_folder(repo: Repo) -> None:
    with pytest.raises(Misuse, match="name a folder that holds nothing else"):
        DataFolder(repo.root).make()
    assert not (repo.root / ".gitignore").exists()


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match="cannot be made"):
        DataFolder(tmp_path / "file" / "data").make()
