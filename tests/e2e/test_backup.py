"""`backup` while a runtime writes, `restore` into another folder; what is refused changes nothing."""

from __future__ import annotations

import io
import os
import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.cli.archive import pack, unpack
from reconciler.cli.restore import _move_in
from reconciler.errors import Misuse, Unavailable
from reconciler.reconcile.history import History
from reconciler.store.copy import check_database, copy_database, count_on
from tests.commands import command
from tests.e2e.served import Serve


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a running runtime with one instance, whose token is `the-token-of-a`."""
    root = tmp_path_factory.mktemp("kept")
    patch = pytest.MonkeyPatch()
    for name in ("RECONCILER_API_KEY", "RECONCILER_SECRET_KEY", "OPENAI_BASE_URL"):
        patch.delenv(name, raising=False)
    serve = Serve(root / "data")
    try:
        serve.client.post("/instance/create", json={"instanceName": "A", "token": "the-token-of-a"})
        serve.client.post("/openai/creds/A", json={"name": "main", "apiKey": "sk-very-secret"})
        History(root / "data" / "loop.db").close()
        (root / "data" / "api-key").write_text("kept\n")
        done = command("backup", str(root / "kept.tar.gz"), "--data", str(root / "data"))
        assert done.returncode == 0, done.stderr
        assert "runtime.db, loop.db, secret.key, api-key" in done.stdout
        assert "keys" in done.stderr
        again = command("backup", str(root / "kept.tar.gz"), "--data", str(root / "data"))
        assert again.returncode == 64
        bare = command("backup", str(root / "bare.tar.gz"), "--data", str(root / "data"), "--without-keys")
        assert bare.returncode == 0
        assert "keep that too" in bare.stderr
        held = command("restore", str(root / "kept.tar.gz"), "--data", str(root / "data"), "--force")
        assert held.returncode == 64
        assert "already runs" in held.stderr
        assert serve.client.get("/openai/creds/A").status_code == 200
    finally:
        assert serve.stop() == 0
        patch.undo()
    return root


def test_the_file(kept: Path) -> None:
    assert stat.S_IMODE((kept / "kept.tar.gz").stat().st_mode) == 0o600
    with tarfile.open(kept / "kept.tar.gz") as tar:
        assert tar.getnames() == ["manifest.json", "runtime.db", "loop.db", "secret.key", "api-key"]
    with tarfile.open(kept / "bare.tar.gz") as tar:
        assert tar.getnames() == ["manifest.json", "runtime.db", "loop.db"]
    assert not list((kept / "data").glob(".backup-*"))


def test_no_state_after_a_restore_is_taken_for_one_before_it(kept: Path, tmp_path: Path) -> None:
    tags = []
    for name in ("a", "b"):
        done = command("restore", str(kept / "kept.tar.gz"), "--data", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        with closing(sqlite3.connect(tmp_path / name / "runtime.db")) as restored:
            tags.append(restored.execute("SELECT version FROM fleet").fetchone()[0])
    with closing(sqlite3.connect(kept / "data" / "runtime.db")) as original:
        before = original.execute("SELECT version FROM fleet").fetchone()[0]
    assert len({before, *tags}) == 3
    assert min(tags) > before


def test_a_database_that_is_no_store_is_not_restored(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE a (b)")
    with pytest.raises(Misuse, match="no store of reconciler"):
        count_on(tmp_path / "other.db")


def test_a_restored_folder_runs(kept: Path, tmp_path: Path) -> None:
    data = tmp_path / "new"
    done = command("restore", os.path.relpath(kept / "kept.tar.gz"), "--data", os.path.relpath(data))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((data / "runtime.db").stat().st_mode) == 0o600
    assert not [path for path in data.iterdir() if path.name.startswith((".restore", "restoring", "before"))]
    serve = Serve(data)
    try:
        assert serve.client.get("/openai/creds/A", headers={"apikey": "the-token-of-a"}).json()[0]["name"] == "main"
    finally:
        assert serve.stop() == 0
    refused = command("restore", str(kept / "kept.tar.gz"), "--data", str(data))
    assert refused.returncode == 64
    assert "--force" in refused.stderr
    forced = command("restore", str(kept / "kept.tar.gz"), "--data", str(data), "--force")
    assert forced.returncode == 0, forced.stderr
    (aside,) = data.glob("before-restore-*")
    check_database(aside / "runtime.db")
    assert {path.name for path in aside.iterdir()} >= {"runtime.db", "loop.db", "secret.key"}


def test_a_history_that_is_not_in_the_backup_goes_with_its_runtime(tmp_path: Path) -> None:
    folder, staging = tmp_path / "data", tmp_path / "staging"
    for where, names in ((folder, ("runtime.db", "runtime.db-wal", "loop.db", "api-key")), (staging, ("runtime.db",))):
        where.mkdir()
        for name in names:
            (where / name).write_text(where.name)
    aside = _move_in(folder, staging, ["runtime.db"])
    assert aside is not None
    assert {path.name for path in aside.iterdir()} == {"runtime.db", "runtime.db-wal", "loop.db"}
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == {
        "runtime.db": "staging",
        "api-key": "data",
    }


def test_without_keys_the_key_must_be_there_and_right(kept: Path, tmp_path: Path) -> None:
    bare, key = str(kept / "bare.tar.gz"), (kept / "data" / "secret.key").read_text().strip()
    done = command("restore", bare, "--data", str(tmp_path / "a"))
    assert done.returncode == 0
    assert "set RECONCILER_SECRET_KEY" in done.stderr
    wrong = command("restore", bare, "--data", str(tmp_path / "b"), RECONCILER_SECRET_KEY="another")
    assert wrong.returncode == 64
    assert "another secret key" in wrong.stderr
    assert not (tmp_path / "b" / "runtime.db").exists()
    right = command("restore", bare, "--data", str(tmp_path / "b"), RECONCILER_SECRET_KEY=key)
    assert right.returncode == 0
    assert "RECONCILER_SECRET_KEY" not in right.stderr


def test_a_restore_that_was_killed_is_seen_and_repeated(kept: Path, tmp_path: Path) -> None:
    data = tmp_path / "new"
    data.mkdir()
    (data / "restoring").touch()
    refused = command("serve", "--port", "0", "--data", str(data))
    assert refused.returncode == 64
    assert "did not end" in refused.stderr
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(b"no archive")
    assert command("restore", str(bad), "--data", str(data)).returncode == 64
    assert (data / "restoring").exists()
    assert command("restore", str(kept / "kept.tar.gz"), "--data", str(data)).returncode == 0
    assert not (data / "restoring").exists()


def made(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


MANIFEST = b'{"format":1,"version":"1","created":1,"files":{"runtime.db":{"bytes":1,"sha256":"x"}}}'
BAD = [
    ("empty", [], "is no backup"),
    ("another first member", [("x", b"")], "is no backup"),
    ("no JSON", [("manifest.json", b"{")], "is no backup"),
    ("newer", [("manifest.json", MANIFEST.replace(b'"format":1', b'"format":2'))], "newer reconciler"),
    ("other files", [("manifest.json", MANIFEST.replace(b"runtime.db", b"../x"))], "it holds '../x'"),
    ("cut off", [("manifest.json", MANIFEST)], "is cut off"),
    ("a stranger", [("manifest.json", MANIFEST), ("../../x", b"1")], "of which its manifest says otherwise"),
    ("another size", [("manifest.json", MANIFEST), ("runtime.db", b"12")], "of which its manifest says otherwise"),
    ("damaged", [("manifest.json", MANIFEST), ("runtime.db", b"1")], "is damaged"),
]


@pytest.mark.parametrize(("case", "members", "said"), BAD, ids=[case[0] for case in BAD])
def test_archives_that_are_none(tmp_path: Path, case: str, members: list[tuple[str, bytes]], said: str) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    with pytest.raises(Misuse, match=said):
        unpack(made(tmp_path / "bad.tar.gz", members), staging)
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_written_or_read(tmp_path: Path) -> None:
    (tmp_path / "runtime.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(Misuse, match="no whole database"):
        check_database(tmp_path / "runtime.db")
    with pytest.raises(Unavailable, match="cannot be made"):
        copy_database(tmp_path / "runtime.db", tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))
    with pytest.raises(Misuse, match="cannot be written"):
        pack(tmp_path, tmp_path, ["runtime.db"])


def test_a_copy_is_one_commit(tmp_path: Path) -> None:
    one = sqlite3.connect(tmp_path / "one.db", isolation_level=None)
    one.execute("PRAGMA journal_mode=WAL")
    one.execute("CREATE TABLE t (n)")
    one.execute("BEGIN IMMEDIATE")
    one.execute("INSERT INTO t VALUES (1)")
    copy_database(tmp_path / "one.db", tmp_path / "two.db")
    one.execute("COMMIT")
    one.close()
    two = sqlite3.connect(tmp_path / "two.db")
    assert two.execute("SELECT count(*) FROM t").fetchone() == (0,)
    two.close()
    assert [path.name for path in tmp_path.glob("two.db*")] == ["two.db"]


def test_commands_that_cannot_be(kept: Path, tmp_path: Path) -> None:
    there = str(kept / "kept.tar.gz")
    data = str(kept / "data")
    made(
        tmp_path / "other.tar.gz", [("manifest.json", MANIFEST.replace(b'"runtime.db":{"bytes":1,"sha256":"x"}', b""))]
    )
    for arguments, said in (
        (("backup", str(tmp_path / "x.tar.gz"), "--data", str(tmp_path / "none")), "holds no runtime.db"),
        (("backup", str(tmp_path / "none" / "x.tar.gz"), "--data", data), "its folder is not there"),
        (("restore", str(tmp_path / "none.tar.gz"), "--data", str(tmp_path / "a")), "is not there"),
        (("restore", str(tmp_path), "--data", str(tmp_path / "a")), "is no file"),
        (("restore", str(tmp_path / "other.tar.gz"), "--data", str(tmp_path / "a")), "holds no runtime.db"),
    ):
        done = command(*arguments)
        assert done.returncode == 64
        assert said in done.stderr
    again = command("backup", there, "--data", data, "--force")
    assert again.returncode == 0


def test_a_loop_keeps_a_restore_away(kept: Path, tmp_path: Path) -> None:
    from reconciler.reconcile.locks import the_one_loop

    data = tmp_path / "data"
    data.mkdir()
    with the_one_loop(data):
        done = command("restore", str(kept / "kept.tar.gz"), "--data", str(data))
    assert done.returncode == 64
    assert "a reconcile loop runs" in done.stderr
    assert not (data / "runtime.db").exists()
