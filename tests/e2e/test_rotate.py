"""`reconciler rotate`: keys are replaced while clients call, and nothing is lost wherever it is killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from reconciler.runtime.keys import COOKIE
from reconciler.settings import DataFolder
from reconciler.store.sqlite import Store, open_store
from tests.commands import command
from tests.conftest import Repo
from tests.e2e.conftest import KEY, Up, until
from tests.e2e.served import Serve

CREDENTIALS = {"name": "main", "apiKey": "sk-very-secret"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECONCILER_API_KEY", "RECONCILER_SECRET_KEY", "RECONCILER_URL", "RECONCILER_DATA"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_PREVIOUS", raising=False)


def kept(data: Path) -> str:
    return (data / "api-key").read_text().strip()


def uses(client: httpx.Client, key: str) -> int:
    text = client.get("/metrics").text
    (line,) = [
        line for line in text.splitlines() if line.startswith(f'reconciler_previous_key_uses_total{{key="{key}"}}')
    ]
    return int(float(line.split()[1]))


def test_the_api_key_of_the_data_folder_while_the_runtime_runs(tmp_path: Path) -> None:
    serve = Serve(tmp_path, RECONCILER_API_KEY="")
    browser = httpx.Client(base_url=serve.client.base_url)
    try:
        old = kept(tmp_path)
        assert browser.post("/console/login", json={"key": old}).status_code == 200

        def opens(key: str) -> bool:
            return serve.client.post("/verify-creds", headers={"apikey": key}).status_code == 200

        assert opens(old)
        assert uses(serve.client, "global") == 0
        done = command("rotate", "api-key", "--data", str(tmp_path))
        assert done.returncode == 0, done.stderr
        new = kept(tmp_path)
        assert new != old
        assert old not in done.stdout + done.stderr
        assert new not in done.stdout + done.stderr
        assert opens(new)
        assert uses(serve.client, "global") == 0
        assert opens(old)
        assert browser.get("/instance/fetchInstances").status_code == 200
        assert uses(serve.client, "global") == 2, "the header and the console"
        taken = serve.client.post("/instance/create", headers={"apikey": new}, json={"instanceName": "A", "token": old})
        assert taken.status_code == 409, "it would open everything"
        third = command("rotate", "api-key", "--data", str(tmp_path))
        assert (third.returncode, kept(tmp_path)) == (64, new)
        assert "--finish" in third.stderr
        assert command("rotate", "api-key", "--finish", "--data", str(tmp_path)).returncode == 0
        assert (opens(new), opens(old)) == (True, False)
        assert browser.get("/instance/fetchInstances").status_code == 401, "the console that the old key opened"
        again = command("rotate", "api-key", "--finish", "--data", str(tmp_path))
        assert (again.returncode, "no key is being replaced" in again.stdout) == (0, True)
    finally:
        browser.close()
        assert serve.stop() == 0


def test_the_api_key_of_the_environment(tmp_path: Path) -> None:
    refused = command("rotate", "api-key", "--data", str(tmp_path), RECONCILER_API_KEY="x")
    assert refused.returncode == 64
    assert "RECONCILER_API_KEY_PREVIOUS" in refused.stderr
    serve = Serve(tmp_path, RECONCILER_API_KEY="the-new-one", RECONCILER_API_KEY_PREVIOUS=KEY)
    try:
        url = str(serve.client.base_url)
        for key, status in (("the-new-one", 200), (KEY, 200), ("the-newer-one", 401), ("", 401)):
            assert httpx.post(f"{url}/verify-creds", headers={"apikey": key}).status_code == status, key
        for key in ("the-new-one", KEY):
            answer = httpx.post(f"{url}/console/login", json={"key": key})
            assert answer.status_code == 200
            cookie = {"cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
            assert httpx.get(f"{url}/fleet", headers=cookie).status_code == 200
        for number in range(300):  # more than a token may call at once
            assert serve.client.get("/fleet").status_code == 200, number
        cli = {"RECONCILER_URL": url, "RECONCILER_DATA": str(tmp_path)}
        assert command("sessions", "export", **cli, RECONCILER_API_KEY="the-new-one").returncode == 0
    finally:
        assert serve.stop() == 0
    wrong = command("serve", "--port", "0", "--data", str(tmp_path), RECONCILER_API_KEY_PREVIOUS="a b")
    assert (wrong.returncode, "RECONCILER_API_KEY_PREVIOUS" in wrong.stderr) == (64, True)


def test_the_loop_of_up_goes_on_with_the_new_key(fleet: Repo) -> None:
    up = Up(fleet, RECONCILER_API_KEY="")
    try:
        up.client.headers["apikey"] = kept(up.data)
        until(lambda: up.client.get("/readyz").status_code == 200)

        def applied() -> str:
            return up.client.get("/reconciler/status").json()[0]["applied"]

        before = until(applied)
        assert command("rotate", "api-key", folder=fleet.root).returncode == 0
        assert command("rotate", "api-key", "--finish", folder=fleet.root).returncode == 0
        up.client.headers["apikey"] = kept(up.data)
        fleet.git("commit", "--allow-empty", "-m", "after the key was replaced")
        until(lambda: applied() != before)
        assert up.client.get("/reconciler/status").json()[0]["outcome"] in ("applied", "unchanged")
        assert command("status", folder=fleet.root).returncode == 0
    finally:
        up.stop()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with two instances, credentials, a token that reads."""
    made = DataFolder(tmp_path / "data").make()
    serve = Serve(made.path, RECONCILER_API_KEY=KEY)
    try:
        for name in ("A", "B"):
            body = {"instanceName": name, "token": f"the-token-of-{name}"}
            assert serve.client.post("/instance/create", json=body).status_code == 201
            assert serve.client.post(f"/openai/creds/{name}", json=CREDENTIALS).status_code == 201
        read = serve.client.post("/tokens", json={"name": "ci", "access": "read"}).json()["token"]
        chat = serve.client.post("/chat/A/ana/token", json={}).json()["token"]
        (tmp_path / "read").write_text(read)
        (tmp_path / "chat").write_text(chat)
        (tmp_path / "fleet").write_text(serve.client.get("/fleet").text)
    finally:
        assert serve.stop() == 0
    return made


def rotate(folder: DataFolder, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return command("rotate", "secret-key", *more, "--data", str(folder.path), **variables)


def readable(store: Store) -> bool:
    """Whether every stored secret can be read."""
    held = [store.fleet.secrets_of(one)[0] for one in store.fleet.directory.all()]
    found = store.db.submit(lambda c: [row[0] for row in c.execute("SELECT api_key FROM credentials")]).result()
    keys = {store.vault.open(sealed) for sealed in found}
    return sorted(held) == ["the-token-of-A", "the-token-of-B"] and keys == {"sk-very-secret"}


def opened(folder: DataFolder, *keys: str) -> bool:
    store = open_store(folder.runtime_database, keys[0], keys[1:])
    try:
        return readable(store)
    finally:
        store.close()


def keys_of(folder: DataFolder) -> tuple[str, ...]:
    previous = folder.secret_key.previous()
    return (folder.make_secret_key(), *([previous] if previous else []))


def test_the_secret_key_changes_nothing_that_anybody_sees(folder: DataFolder, tmp_path: Path) -> None:
    old = folder.make_secret_key()
    done = rotate(folder)
    assert done.returncode == 0, done.stderr
    assert "8 secrets" in done.stdout
    new, was = keys_of(folder)
    assert was == old
    assert not {old, new} & {*done.stdout.split(), *done.stderr.split()}
    assert opened(folder, new), "all of it with the new key alone"
    again = rotate(folder)
    assert (again.returncode, "--finish" in again.stderr) == (64, True)
    assert keys_of(folder) == (new, old)

    serve = Serve(folder.path, RECONCILER_API_KEY=KEY)
    try:
        fleet = serve.client.get("/fleet").text
        assert fleet == (tmp_path / "fleet").read_text(), "fingerprints and ETags too: a plan has nothing to say"
        for key in ((tmp_path / "read").read_text(), "the-token-of-A"):
            assert serve.client.get("/openai/find/A", headers={"apikey": key}).status_code == 200
        refused = rotate(folder, "--finish")
        assert (refused.returncode, "already runs" in refused.stderr) == (64, True)
        assert uses(serve.client, "secret") == 0
        chat = {"apikey": (tmp_path / "chat").read_text()}
        assert serve.client.get("/chat/A/ana", headers=chat).status_code == 200
        assert uses(serve.client, "secret") > 0
    finally:
        assert serve.stop() == 0
    assert rotate(folder, "--finish").returncode == 0
    assert keys_of(folder) == (new,)
    serve = Serve(folder.path, RECONCILER_API_KEY=KEY)
    try:
        assert serve.client.get("/fleet").text == fleet
        assert serve.client.get("/chat/A/ana", headers=chat).status_code == 401, "what the key made ends with it"
        read = {"apikey": (tmp_path / "read").read_text()}
        assert serve.client.get("/openai/find/A", headers=read).status_code == 200
        made = serve.client.post("/chat/A/ana/token", json={}).json()["token"]
        assert serve.client.get("/chat/A/ana", headers={"apikey": made}).status_code == 200
    finally:
        assert serve.stop() == 0


def test_the_secret_key_of_the_environment(folder: DataFolder) -> None:
    old = folder.make_secret_key()
    alone = rotate(folder, RECONCILER_SECRET_KEY=old)
    assert (alone.returncode, "RECONCILER_SECRET_KEY_PREVIOUS" in alone.stderr) == (64, True)
    both = {"RECONCILER_SECRET_KEY": "another-secret", "RECONCILER_SECRET_KEY_PREVIOUS": old}
    serve = Serve(folder.path, **both)  # before anything is encrypted anew
    try:
        assert serve.client.get("/openai/find/A", headers={"apikey": "the-token-of-A"}).status_code == 200
    finally:
        assert serve.stop() == 0
    wrong = rotate(folder, RECONCILER_SECRET_KEY="another-secret", RECONCILER_SECRET_KEY_PREVIOUS="no-such")
    assert (wrong.returncode, "another secret key" in wrong.stderr) == (64, True)
    assert opened(folder, old), "what is refused changes nothing"
    assert rotate(folder, **both).returncode == 0
    assert opened(folder, "another-secret")
    assert rotate(folder, "--finish", **both).returncode == 0
    assert (folder.path / "secret.key").read_text().strip() == old, "the file is not the key here"


def test_a_backup_in_the_middle_can_be_restored(folder: DataFolder, tmp_path: Path) -> None:
    old = folder.make_secret_key()
    file = str(tmp_path / "middle.tar.gz")
    assert folder.secret_key.rotate(), "the keys are replaced, the database is not"
    assert command("backup", file, "--data", str(folder.path)).returncode == 0
    done = command("restore", file, "--data", str(tmp_path / "other"))
    assert done.returncode == 0, done.stderr
    other = DataFolder(tmp_path / "other")
    assert keys_of(other)[1] == old
    assert opened(other, *keys_of(other))
    assert rotate(other).returncode == 0
    assert rotate(other, "--finish").returncode == 0
    assert opened(other, *keys_of(other))


def test_a_restore_ends_what_was_being_replaced(folder: DataFolder, tmp_path: Path) -> None:
    folder.make_key()
    file = str(tmp_path / "before.tar.gz")
    assert command("backup", file, "--data", str(folder.path)).returncode == 0
    assert command("rotate", "api-key", "--data", str(folder.path)).returncode == 0
    assert rotate(folder).returncode == 0
    done = command("restore", file, "--data", str(folder.path), "--force")
    assert done.returncode == 0, done.stderr
    assert not list(folder.path.glob("*.previous")), "the key that it replaced would go on opening everything"
    assert opened(folder, *keys_of(folder))


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from reconciler.store.vault import Vault
from reconciler.cli import main

step, left = int(sys.argv[1]), itertools.count()

def dying(real):
    def call(*arguments, **options):
        if next(left) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call

Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
Vault.seal = dying(Vault.seal)
main.run(sys.argv[2:])
"""


def killed(step: int, *arguments: str) -> bool:
    """Runs a command that kills itself at its nth step; whether it came that far."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(step), *arguments], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def each_step(run: Callable[[int], bool]) -> int:
    for step in itertools.count():
        if not run(step):
            return step
    raise AssertionError


def test_killed_at_any_step_the_next_start_can_read_everything(folder: DataFolder) -> None:
    where = ("--data", str(folder.path))

    def once(step: int) -> bool:
        """A whole rotation whose first step is killed there, and one whose second is."""
        before = folder.make_secret_key()
        died = killed(step, "rotate", "secret-key", *where)
        assert opened(folder, *keys_of(folder)), step
        assert before in keys_of(folder)
        if died:
            finished = rotate(folder)
            assert finished.returncode == 0 or "--finish" in finished.stderr, finished.stderr
        now = folder.make_secret_key()
        assert now != before
        assert opened(folder, now), step
        again = killed(step, "rotate", "secret-key", "--finish", *where)
        assert opened(folder, *keys_of(folder)), step
        assert rotate(folder, "--finish").returncode == 0
        assert keys_of(folder) == (now,)
        assert opened(folder, now)
        return died or again

    assert each_step(once) > 10, "files and secrets, one by one"
