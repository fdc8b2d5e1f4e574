"""`backup`: the data folder in one file, while the runtime and the loop go on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, say
from reconciler.cli.progress import Progress
from reconciler.cli.serve import Data
from reconciler.errors import Misuse
from reconciler.settings import DataFolder


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, such as backup.tar.gz.")],
    data: Data = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave out secret.key and api-key: keep them elsewhere.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> None:
    """The data folder in one file: chats, bots, history, keys. What is running may go on running.

    It opens all stored API keys, unless `--without-keys` leaves out what decrypts them; only you can read it.

    Examples:

        reconciler backup backup.tar.gz
        reconciler backup nightly.tar.gz --without-keys --force
    """
    from reconciler.cli.archive import BEFORE, DATABASES, KEYS, pack
    from reconciler.store.copy import copy_database

    folder = DataFolder(data) if data else context.data
    if not folder.runtime_database.exists():
        raise Misuse(f"{folder.path} holds no runtime.db: name the data folder with --data")
    if file.exists() and not force:
        raise Misuse(f"{file} is there already: choose another name, or overwrite it with --force")
    if not file.absolute().parent.is_dir():
        raise Misuse(f"{file} cannot be written: its folder is not there")
    with Progress("copying"), tempfile.TemporaryDirectory(dir=folder.path, prefix=".backup-") as name:
        staging = Path(name)
        for each in DATABASES:
            if (folder.path / each).exists():
                copy_database(folder.path / each, staging / each)
        keys = () if without_keys else (*BEFORE, *KEYS)  # the key that is replaced first, or it might be gone
        for each in keys:
            if (folder.path / each).exists():
                shutil.copyfile(folder.path / each, staging / each)
        manifest = pack(file, staging, [each for each in (*DATABASES, *KEYS, *BEFORE) if (staging / each).exists()])
    put(f"{file}: {', '.join(manifest.files)}")
    if "secret.key" in manifest.files:
        say("It holds the keys that open all stored secrets: keep it as you keep those.")
    else:
        say("It does not hold the key that opens stored secrets (RECONCILER_SECRET_KEY or secret.key): keep that too.")
