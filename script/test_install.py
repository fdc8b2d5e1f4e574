"""The test of the install itself, which pytest cannot make: locks that age.

An index is made in a folder: the wheels that requirements.lock names, and beside each of them a newer release that
depends on things nobody has. From it alone

- the oldest supported pip and the newest, and uv where there is one, must install both locks as script/install does it,
  and `pip check` must find nothing missing;
- script/install must make an environment in a fresh copy of the project in which `reconciler` starts.

As a control, the oldest pip must fail where it is not told `--no-deps`: else the index has no trap in it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import environment

ROOT = environment.ROOT
OLDEST = "23.0"  # no older one is supported
OLDEST_SHA256 = "b5f88adff801f5ef052bcdef3daa31b55eb67b0fccd6d0106c206fa248e0463c"
LOCKED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
NEWER = "99999"


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/test-install", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheels", type=Path, help="a folder to keep the downloaded wheels in, for the next run")
    wheels = parser.parse_args().wheels
    with tempfile.TemporaryDirectory(prefix="test-install-") as made, ThreadPoolExecutor() as pool:
        folder = Path(made)
        index = wheels.resolve() if wheels else folder / "index"
        fill(index, folder)
        for done in [pool.submit(prove, chain) for chain in proofs(index, folder)]:
            done.result()
    return 0


def prove(chain: Sequence[tuple[str, Callable[[], object]]]) -> None:
    for what, proof in chain:
        began = time.monotonic()
        proof()
        print(f"ok  {what}  ({time.monotonic() - began:.0f} s)", flush=True)


def fill(index: Path, folder: Path) -> None:
    """Downloads what the lock names, and puts a newer release of each beside it."""
    oldest = folder / "pip.txt"
    oldest.write_text(f"pip=={OLDEST} --hash=sha256:{OLDEST_SHA256}\n")
    own = [ROOT / name for name in environment.locks("dev")]
    for lock in (*own, oldest):
        ran(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary", ":all:", "--requirement", lock, "--dest", index)  # fmt: skip
    for name in sorted({name for lock in own for name, _ in LOCKED.findall(lock.read_text())}):
        release(index, name)


def release(index: Path, name: str) -> None:
    """A newer release of a package; what it depends on, and each extra of it, nobody has."""
    plain = re.sub(r"[-_.]+", "_", name).lower()
    info = f"{plain}-{NEWER}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {NEWER}\nRequires-Dist: nowhere\n"
    extras = "".join(
        f"Provides-Extra: {one}\nRequires-Dist: nowhere; extra == '{one}'\n" for one in ("toml", "standard")
    )
    with zipfile.ZipFile(index / f"{plain}-{NEWER}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", head + extras)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def proofs(index: Path, folder: Path) -> Iterator[list[tuple[str, Callable[[], object]]]]:
    """What has to hold, each with its name and the call that raises where it does not; two chains, side by side."""
    oldest = index / f"pip-{OLDEST}-py3-none-any.whl"
    newest = next(wheel for wheel in index.glob("pip-*.whl") if wheel != oldest and f"-{NEWER}-" not in wheel.name)
    yield [
        (f"pip {OLDEST} installs what the lock names, and nothing is missing", lambda: installs(folder, index, oldest)),
        (f"pip {OLDEST} fails without --no-deps: the index has the trap", lambda: trapped(folder, index, oldest)),
    ]
    yield [
        ("script/install makes an environment with what Python brings", lambda: scripted(folder, index)),
        *(
            [("uv installs the same, and nothing is missing", lambda: by_uv(folder, index))]
            if shutil.which("uv")
            else []
        ),
        (f"{newest.name.removesuffix('-py3-none-any.whl')} takes the locks", lambda: takes(folder, index, newest)),
    ]


def installs(folder: Path, index: Path, wheel: Path) -> None:
    ran(sys.executable, "-m", "venv", "--without-pip", folder / "old")
    for step in ("lock", "check"):
        ran(*by(folder / "old", wheel, step, "dev"), index=index)


def trapped(folder: Path, index: Path, wheel: Path) -> None:
    command = [part for part in by(folder / "old", wheel, "lock", "dev") if part != "--no-deps"]
    said = ran(*command, "--dry-run", "--ignore-installed", index=index, fails=True)
    assert "have their versions pinned" in " ".join(said.split()), said


def takes(folder: Path, index: Path, wheel: Path) -> None:
    for which in environment.LOCKS:
        ran(*by(folder / "project" / ".venv", wheel, "lock", which), "--dry-run", "--ignore-installed", index=index)


def by(venv: Path, wheel: Path, step: str, which: str) -> list[str]:
    """What script/install runs, in another environment and with the pip of a wheel."""
    command = environment.pip(step, {"which": which})
    return [str(venv / "bin" / "python"), f"{wheel}/pip", *command[command.index("pip") + 1 :]]


def by_uv(folder: Path, index: Path) -> None:
    ran("uv", "venv", "--quiet", "--python", sys.executable, folder / "new")
    for step, more in (("lock", ["--no-index", "--find-links", str(index)]), ("check", [])):
        command = environment.uv(step, {"which": "dev"})
        command[command.index(str(environment.PYTHON))] = str(folder / "new" / "bin" / "python")
        ran(*command, *more)


def scripted(folder: Path, index: Path) -> None:
    """script/install in a copy of the project, with no more on the PATH than it needs, then the program."""
    project, path = folder / "project", folder / "bin"
    for name in filter(None, ran("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")):
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    path.mkdir()
    (path / "python3").symlink_to(os.path.realpath(sys.executable))
    for name in ("bash", "dirname"):
        (path / name).symlink_to(shutil.which(name) or name)
    assert "Installing into .venv" in ran(project / "script" / "install", index=index, path=path)
    assert not ran(project / "script" / "install", index=index, path=path), "there was nothing to install"
    ran(project / ".venv" / "bin" / "reconciler", "--version")


def ran(*command: object, index: Path | None = None, path: Path | None = None, fails: bool = False) -> str:
    """What a command prints, with no packages but those of that folder. Raises where it fails, or where it should."""
    env = {name: value for name, value in os.environ.items() if index is None or not name.startswith("PIP_")}
    if index is not None:
        env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    if path is not None:
        env["PATH"] = str(path)
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=env, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if (done.returncode != 0) is not fails:
        wrong = "should have failed" if fails else f"failed with {done.returncode}"
        raise AssertionError(f"{' '.join(map(str, command))}\n{wrong}:\n{said}")
    return said


if __name__ == "__main__":
    sys.exit(main())
