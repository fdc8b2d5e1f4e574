"""Makes and mends .venv, the environment that script/up and script/test run in. Needs the standard library alone.

`.venv/.installed` names what the environment was made of: the folder, the interpreter, and the digests of the lock and
of pyproject.toml. It is taken away before anything is changed and written when all is done, so that its absence is the
sign of an install that was cut off.

| what is found | what is done |
|---|---|
| no `.installed`, another folder, a python that does not start the project, another lock | .venv is made anew |
| runtime.lock is installed, script/test needs requirements.lock | the rest is added |
| another pyproject.toml | the project alone is installed again |
| all as it was | nothing |

A lock is complete, so it is installed with `--no-deps`: what a package's newer release would depend on is no matter of
it. `pip check` then says that nothing is missing. Where `uv` is on the PATH it installs, else pip; the lock, the hashes
and the result are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
GENERATOR = VENV / "generator"  # makes a client from /openapi.json; apart, for it wants another Typer than what runs
LOCKS = {"runtime": "runtime.lock", "dev": "requirements.lock", "generator": "generator.lock"}
# What a user's settings of pip may say of where to install; here it is .venv. `-I` keeps PYTHONPATH and the like away.
ASTRAY = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_PYTHON")
KEPT = 12  # lines of what an installer said that are shown


class Failed(Exception):
    """An install that did not work: what is wrong and what to do, then what the installer said."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="script/install", description="Makes .venv from the pinned locks, or mends it."
    )
    parser.add_argument("--dev", action="store_true", help="also what script/test needs")
    dev = parser.parse_args().dev
    try:
        with alone():
            bring(dev)
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: the next call makes .venv anew.", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Holds off a second install into the same folder, as where script/up and script/test are started together."""
    import fcntl

    with (ROOT / "pyproject.toml").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another install into .venv is under way; waiting for it …", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bring(dev: bool) -> None:
    """Has .venv hold the project with what runs it, and with what tests it where `dev` or where it had that before."""
    have = installed()
    which = "dev" if dev or have.get("which") == "dev" else "runtime"
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    want = {
        "root": str(ROOT),
        # Once made, .venv keeps its interpreter, whatever else is first on the PATH today.
        "python": python if os.environ.get("PYTHON") else have.get("python", python),
        "which": which,
        "lock": digest(*locks(which)),
        "project": digest("pyproject.toml"),
    }
    if want == have:
        return
    STAMP.unlink(missing_ok=True)
    if have == {**want, "project": have.get("project")}:
        steps = ["project"]
    elif have == {**want, "project": have.get("project"), "which": "runtime", "lock": digest(*locks("runtime"))}:
        steps = ["lock", "project"]
        print("Installing what the tests need into .venv …", file=sys.stderr)
    else:
        steps = ["venv", "lock", "project"]
        print(f"Installing into .venv (once, until {LOCKS[which]} changes) …", file=sys.stderr)
    try:
        install(uv if shutil.which("uv") else pip, steps, want)
    except Failed as failed:
        if not shutil.which("uv"):
            raise
        # A mirror may be named in pip's settings alone.
        print(f"{failed}\nuv did not manage it, so pip tries.", file=sys.stderr)
        install(pip, ["venv", "lock", "project"], want)
    STAMP.write_text(json.dumps(want))


def installed() -> dict[str, str]:
    """What `.installed` says of an environment that works; nothing of any other."""
    try:
        said = json.loads(STAMP.read_text())
        works = run([str(PYTHON), "-I", "-c", "import reconciler"]) is not None
    except (OSError, ValueError, Failed):
        return {}
    return said if works and isinstance(said, dict) and said.get("root") == str(ROOT) else {}


def locks(which: str) -> list[str]:
    """The locks that an environment is made from."""
    return [LOCKS[which], *([LOCKS["generator"]] if which == "dev" else [])]


def digest(*names: str) -> str:
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in names)).hexdigest()


Installer = Callable[[str, "dict[str, str]"], "list[str]"]


def uv(step: str, want: dict[str, str]) -> list[str]:
    """The command of a step for uv."""
    if step == "venv":
        return ["uv", "venv", "--quiet", "--python", want["python"], str(VENV)]
    if step == "check":
        return ["uv", "pip", "check", "--python", str(PYTHON)]
    return ["uv", "pip", "install", "--python", str(PYTHON), *arguments(step, want)]


def pip(step: str, want: dict[str, str]) -> list[str]:
    """The command of a step for pip. Modules are compiled when they are first imported, which most never are."""
    if step == "venv":
        return [want["python"], "-I", "-m", "venv", str(VENV)]
    quiet = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if step == "check":
        return [*quiet, "check"]
    options = ["--no-compile", "--no-warn-script-location", "--progress-bar", "off", "--retries", "2"]
    return [*quiet, "install", *options, *arguments(step, want)]


def arguments(step: str, want: dict[str, str]) -> list[str]:
    if step == "project":
        return ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    locked = ["--require-hashes", "--no-deps", "--requirement"]
    if step == "generator":
        return ["--target", str(GENERATOR), *locked, str(ROOT / LOCKS["generator"])]
    return [*locked, str(ROOT / LOCKS[want["which"]])]


def install(installer: Installer, steps: Sequence[str], want: dict[str, str]) -> None:
    if "venv" in steps and (VENV.exists() or VENV.is_symlink()):
        VENV.unlink() if VENV.is_symlink() else shutil.rmtree(VENV)
    for step in [*steps, "check"]:
        run(installer(step, want))
        if step == "lock" and want["which"] == "dev":
            run(installer("generator", want))


def run(command: Sequence[str]) -> str:
    """What a command says. Raises Failed with what to do where it fails."""
    env = {name: value for name, value in os.environ.items() if name not in ASTRAY}
    env |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise Failed(f"{command[0]} cannot be started: {error.strerror}.") from error
    if done.returncode:
        said = (done.stderr + done.stdout if "pip" in command else done.stdout + done.stderr).strip()
        raise Failed("\n".join([remedy(said), *(f"  {line}" for line in said.splitlines()[-KEPT:])]))
    return done.stdout


def remedy(said: str) -> str:
    """What to do about a failure, told from what the installer said."""
    text = said.lower()
    for signs, sentence in REMEDIES:
        if any(sign in text for sign in signs):
            return sentence
    return "The install did not work; the next call makes .venv anew. What was said last:"


REMEDIES = [
    (
        ("ensurepip", "no module named venv", "no module named 'venv'"),
        "Python's venv module is missing: install it (Debian, Ubuntu: apt install "
        f"python{sys.version_info.major}.{sys.version_info.minor}-venv), or install uv, and call again.",
    ),
    (
        ("do not match the hashes", "hash mismatch"),
        "A package is not the one that the lock names, so nothing of it was installed: use another mirror or proxy.",
    ),
    (("no space left", "disk quota"), "The disk is full: make room and call again."),
    (("permission denied", "read-only file system"), f"{VENV} cannot be written: put its owner or mode right."),
    (
        ("failed to build", "failed building", "metadata-generation-failed", "no usable wheels", "compiler"),
        "A package has no ready-made file for this system: use CPython 3.11 to 3.14 on Linux with glibc or on macOS.",
    ),
    (
        (
            "connection", "resol", "timed out", "timeout", "unreachable", "no matching distribution", "proxy",
            "certificate", "failed to fetch", "no versions of", "not found in the", "403", "404", "502", "503",
        ),
        "The package registry did not give what is needed: check the network, or name a mirror (PIP_INDEX_URL; "
        "UV_DEFAULT_INDEX for uv), and call again.",
    ),
]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
