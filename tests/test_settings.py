"""The environment is read once, and the data folder keeps its keys to its owner."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from reconciler.errors import Misuse
from reconciler.settings import DataFolder, environment


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


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match="cannot be made"):
        DataFolder(tmp_path / "file" / "data").make()
