"""`restore`: puts what `backup` wrote into a data folder that nobody uses.

Everything is checked before anything is moved. The files then go in by renames, under a marker without which no runtime
starts again: a restore that was killed is seen, and repeated. What was there before is kept beside it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, say
from reconciler.cli.progress import Progress
from reconciler.cli.serve import Data, only_one
from reconciler.errors import Misuse
from reconciler.settings import DataFolder


def restore(
    file: Annotated[Path, typer.Argument(help="The file that `backup` wrote.")],
    data: Data = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where the data folder holds data; that is moved aside.")
    ] = False,
) -> None:
    """Puts a backup into the data folder, while nothing runs on it.

    The file is checked as a whole first; what was in the folder is moved aside, never deleted.

    Examples:

        reconciler restore backup.tar.gz
        reconciler restore backup.tar.gz --data /var/lib/reconciler --force
    """
    from reconciler.cli.archive import BEFORE, DATABASES, KEYS, unpack
    from reconciler.reconcile.locks import loop_runs
    from reconciler.store.copy import check_database, count_on

    if not file.is_file():
        raise Misuse(f"{file} is no file" if file.exists() else f"{file} is not there")
    folder = (DataFolder(data) if data else context.data).make()
    unfinished = folder.restoring.exists()
    there = [name for name in DATABASES if (folder.path / name).exists()]
    if there and not force and not unfinished:
        raise Misuse(f"{folder.path} holds {' and '.join(there)}: choose another --data, or replace them with --force")
    folder.restoring.unlink(missing_ok=True)
    try:
        with (
            Progress("checking and moving in"),
            only_one(folder),
            tempfile.TemporaryDirectory(dir=folder.path, prefix=".restore-") as name,
        ):
            if loop_runs(folder.path):
                raise Misuse(f"a reconcile loop runs on {folder.path}: stop it first")
            staging = Path(name)
            manifest = unpack(file, staging)
            if "runtime.db" not in manifest.files:
                raise Misuse(f"{file} holds no runtime.db")
            for each in manifest.files:
                if each in DATABASES:
                    check_database(staging / each)
            opened = _opens(folder, staging)
            count_on(staging / "runtime.db")
            unfinished = True
            folder.restoring.touch()
            aside = _move_in(
                folder.path, staging, [name for name in (*BEFORE, *KEYS, *DATABASES) if name in manifest.files]
            )
            folder.restoring.unlink()
            unfinished = False
    finally:
        if unfinished:
            folder.restoring.touch()
    put(f"{folder.path}: {', '.join(manifest.files)} of {_moment(manifest.created)}")
    if aside is not None:
        say(f"what was there before is in {aside}")
    if not opened:
        say("the backup holds no secret.key: set RECONCILER_SECRET_KEY to the one it was made with")


def _opens(folder: DataFolder, staging: Path) -> bool:
    """Whether the secret key that a runtime would use opens the database; False where there is none. Raises Misuse
    where it is another one."""
    import sqlite3
    from contextlib import closing

    from reconciler.store.vault import Vault

    environment = context.environment
    kept = DataFolder(staging if (staging / "secret.key").exists() else folder.path).secret_key
    key = environment.secret_key or (kept.path.read_text().strip() if kept.path.exists() else None)
    if key is None:
        return False
    before = (environment.previous_secret_key, None if environment.secret_key else kept.previous())
    with closing(sqlite3.connect(f"{(staging / 'runtime.db').absolute().as_uri()}?mode=ro", uri=True)) as opened:
        try:
            found = opened.execute("SELECT sealed FROM fleet").fetchone()
        except sqlite3.Error as error:
            raise Misuse(f"runtime.db is no store of reconciler: {error}") from error
    if found and found[0]:
        Vault(key, [one for one in before if one]).open(found[0])
    return True


def _move_in(folder: Path, staging: Path, names: Collection[str]) -> Path | None:
    """Moves the files in, and aside what they replace: every database, also one that the backup does not hold, as it
    belongs to those that go. The folder where that is, None where nothing was there."""
    from reconciler.cli.archive import DATABASES

    # What a key replaced is of no use beside another one, and an API key would go on opening everything.
    stale = [f"{name}.previous" for name in ("secret.key", "api-key") if name in names]
    aside = folder / f"before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    moved = False
    for name in dict.fromkeys((*names, *stale, *DATABASES)):
        # The logs of a database belong to it: left behind, they would be played into the new one.
        for each in (name, f"{name}-wal", f"{name}-shm") if name in DATABASES else (name,):
            if (folder / each).exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                os.replace(folder / each, aside / each)
                moved = True
        if name in names:
            os.replace(staging / name, folder / name)
    shutil.rmtree(folder / "documents.cache", ignore_errors=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return aside if moved else None


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
