"""Git: which commit is meant, which files it holds, what is in them. Before it comes a ref; after it `files`.

The `git` program does the work, always with `--git-dir`, so that the `GIT_DIR` and `GIT_WORK_TREE` which git sets
for its hooks cannot lead a reading into another repository; nothing here looks at the index.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from reconciler.errors import Misuse, Unavailable

LINK: Final = "120000"  # modes of tree entries: a symbolic link,
SUBMODULE: Final = "160000"  # and another repository's commit
BLOB_LIMIT: Final = 8 << 20  # bytes; nothing that is read from git may be larger
TREE_LIMIT: Final = 128 << 20  # bytes of one commit's listing: about a million files
_TIMEOUT: Final = 120  # seconds for one git process
_HEX: Final = re.compile(r"[0-9a-f]{4,64}")


class Entry(NamedTuple):
    """One file of a commit: its mode in octal digits and the id of its blob."""

    mode: str
    blob: str


class Repository:
    """A git repository: an ordinary one, a linked worktree, a shallow clone, or a bare one.

    `root` is the top folder of the working tree (the repository itself where it is bare), `git_dir` where HEAD
    is, `common_dir` where branches and objects are (the same but for linked worktrees). `pinned`: its HEAD is the
    desired commit, whatever `source.ref` says: a clone that follows one ref of a remote repository.
    """

    def __init__(self, root: Path, git_dir: Path, *, bare: bool = False, pinned: bool = False) -> None:
        self.root = root
        self.git_dir = git_dir
        self.bare = bare
        self.pinned = pinned
        self._last_trees: dict[str, Mapping[str, Entry]] = {}  # of two commits, for who compares them
        self._last_trailers: tuple[tuple[str, str], list[str]] = (("", ""), [])

    @classmethod
    def discover(cls, start: Path) -> Repository:
        """The repository that holds the folder or file `start`. Raises Misuse where there is none."""
        here = start.resolve()
        for folder in (here, *here.parents):
            dot_git = folder / ".git"
            if dot_git.is_dir() and (dot_git / "HEAD").exists():
                return cls(folder, dot_git)
            if dot_git.is_file() and (git_dir := _linked(dot_git)) is not None:
                return cls(folder, git_dir)
            if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
                if folder.name == ".git" and (folder.parent / ".git").is_dir():
                    return cls(folder.parent, folder)
                return cls(folder, folder, bare=True)
        raise Misuse(f"{start} is not in a git repository: go to one, or make one with `git init`")

    @property
    def common_dir(self) -> Path:
        """Where branches and objects are: the main repository's git folder."""
        try:
            return (self.git_dir / (self.git_dir / "commondir").read_text().strip()).resolve()
        except OSError:
            return self.git_dir

    def resolve(self, ref: str) -> str:
        """The full hash of the commit that `ref` names.

        Raises Misuse where there is no such commit, saying whether there is any yet.
        """
        fetched = not self.pinned or (self.git_dir / "HEAD").exists()
        if fetched and (found := self._commit(ref)) is not None:
            return found
        if not fetched or (self.pinned and self._commit("HEAD") is None):
            raise Unavailable("nothing was fetched yet from the remote repository: see `reconciler status`")
        if self._commit("HEAD") is None and not self._git("rev-list", "--all", "--max-count=1"):
            raise Misuse(f"{self.root} has no commit yet: make one with `git add` and `git commit`")
        shallow = "; this clone is shallow, so `git fetch --unshallow` may bring it" if self.shallow else ""
        raise Misuse(
            f"'{_shown(ref)}' names no commit of {self._place} (see `git branch --all` and `git log`){shallow}"
        )

    def expand(self, short: str) -> str | None:
        """The full hash of a commit given by its first hex digits; None if it is not here or not the only one."""
        if not _HEX.fullmatch(short):
            return None
        found = self._commit(short)
        return found if found is not None and found.startswith(short) else None

    def newest(self, commits: Iterable[str]) -> str:
        """Of some commits (full hashes, one at least), the newest that is no ancestor of another."""
        return self._git("rev-list", "--date-order", "--max-count=1", *commits).decode().strip()

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that two commits (full hashes) share; None where this clone has none."""
        done = self._run("merge-base", one, other)
        return done.stdout.decode().strip() or None if done.returncode == 0 else None

    def count(self, since: str, until: str) -> int:
        """How many commits of `until` are not of `since`."""
        return int(self._git("rev-list", "--count", f"{since}..{until}"))

    def first_parents(self, since: str, until: str, limit: int) -> list[str]:
        """The commits of `until`'s own line (its first parents) that `since` does not have, newest first.

        Empty where one of them is not here, as in a shallow clone.
        """
        span = ("--first-parent", f"--max-count={limit}", f"{since}..{until}")
        if self._commit(since) is None or self._commit(until) is None:
            return []
        return self._git("rev-list", *span, "--").decode().split()

    def before_changes(self, path: str, since: str, until: str, limit: int) -> list[str]:
        """The states of a file before each of its changes after `since` up to `until`: commits, newest first."""
        span = ("--format=%P", f"--max-count={limit}", f"{since}..{until}")
        parents = self._git("log", *span, "--", f":(top,literal){path}").decode().split("\n")
        return [line.split()[0] for line in parents if line]

    def trailers(self, commit: str, key: str) -> list[str]:
        """The values of a commit message's trailers of this key (git-interpret-trailers(1)), in their order."""
        if self._last_trailers[0] != (commit, key):
            wanted = f"--format=%(trailers:key={key},valueonly,unfold)"
            found = self._git("show", "--no-patch", wanted, commit).decode("utf-8", "replace").split("\n")
            self._last_trailers = ((commit, key), found)
        return self._last_trailers[1]

    @property
    def _place(self) -> Path:
        return self.git_dir if self.pinned else self.root

    @property
    def shallow(self) -> bool:
        """Whether older commits were left out when this was cloned."""
        return (self.common_dir / "shallow").exists()

    def tree(self, commit: str) -> Mapping[str, Entry]:
        """Every file of a commit by its path; submodules are left out.

        A path that is not UTF-8 has its bytes as surrogates, as in `os.fsdecode`. Raises Misuse for a commit of more
        files than fit into memory well.
        """
        if (known := self._last_trees.get(commit)) is not None:
            return known
        entries: dict[str, Entry] = {}
        for line in self._listing(commit).split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                mode, _, blob = about.decode().split(" ")
                if mode != SUBMODULE:
                    entries[path.decode("utf-8", "surrogateescape")] = Entry(mode, blob)
        self._last_trees = dict([*self._last_trees.items()][-1:]) | {commit: entries}
        return entries

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """The contents of blobs by id, read by one git process; those larger than 8 MiB are left out.

        Raises Unavailable where the clone does not hold one of them.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        sizes = self._git("cat-file", "--batch-check", "--buffer", given="\n".join(wanted) + "\n").decode()
        fitting = []
        for blob, line in zip(wanted, sizes.splitlines(), strict=True):
            if line.endswith((" missing", " ambiguous")):
                raise Unavailable(f"the object {blob[:12]} is not in {self._place}: run `git fetch`, or `git fsck`")
            if int(line.rpartition(" ")[2]) <= BLOB_LIMIT:
                fitting.append(blob)
        answer = self._git("cat-file", "--batch", "--buffer", given="".join(f"{blob}\n" for blob in fitting))
        found: dict[str, bytes] = {}
        at = 0
        for blob in fitting:
            header = answer.index(b"\n", at)
            size = int(answer[at:header].rpartition(b" ")[2])
            found[blob] = answer[header + 1 : header + 1 + size]
            at = header + size + 2
        return found

    def uncommitted(self, paths: Iterable[str]) -> list[str]:
        """Files of the working tree below these paths that are not as HEAD has them, ignored ones left out."""
        # Nothing that a repository's settings name is run, and nothing is written.
        aside = ("-c", "core.fsmonitor=false", "--no-optional-locks", f"--work-tree={self.root}", "-C", str(self.root))
        said = self._git(*aside, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *paths)
        return [entry[3:].decode(errors="replace") for entry in said.split(b"\0") if entry]

    def _commit(self, ref: str) -> str | None:
        if not ref or "\0" in ref:
            return None
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        return done.stdout.decode().strip() or None if done.returncode == 0 else None

    def _git(self, *arguments: str, given: str = "") -> bytes:
        done = self._run(*arguments, given=given)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Unavailable(f"git {arguments[0]} failed in {self._place}: {said[-1] if said else done.returncode}")
        return done.stdout

    def _listing(self, commit: str) -> bytes:
        """What `git ls-tree` says of a whole commit, up to a bound."""
        command = ["git", f"--git-dir={self.git_dir}", "ls-tree", "-r", "-z", "--full-tree", commit]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=self.git_dir)
        except FileNotFoundError:
            return self._git(*command[2:])  # which says what is not there
        watch = threading.Timer(_TIMEOUT, process.kill)
        watch.start()
        with process:
            assert process.stdout is not None
            found = process.stdout.read(TREE_LIMIT + 1)
            if len(found) > TREE_LIMIT:
                process.kill()
        watch.cancel()
        if len(found) > TREE_LIMIT:
            raise Misuse(
                f"{commit[:8]} of {self._place} holds more files than are read from one commit "
                f"({TREE_LIMIT >> 20} MiB of names): keep the bots in a repository of their own"
            )
        return found if process.returncode == 0 else self._git(*command[2:])

    def _run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[bytes]:
        command = ["git", f"--git-dir={self.git_dir}", *arguments]
        try:
            return subprocess.run(
                command, input=given.encode(), capture_output=True, timeout=_TIMEOUT, cwd=self.git_dir, check=False
            )
        except FileNotFoundError as error:
            if not self.git_dir.is_dir():
                raise Misuse(f"the git folder {self.git_dir} is gone") from error
            raise Misuse("the program `git` is not on the PATH: install git") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git {arguments[0]} took longer than {_TIMEOUT} s in {self._place}") from error


def _linked(dot_git: Path) -> Path | None:
    """The git folder that a `.git` file (linked worktree, submodule) points to."""
    try:
        word, _, target = dot_git.read_text().partition(":")
    except (OSError, UnicodeDecodeError):
        return None
    folder = Path(os.path.normpath(dot_git.parent / target.strip()))
    return folder if word == "gitdir" and (folder / "HEAD").exists() else None


def _shown(ref: str) -> str:
    return ref.encode("utf-8", "backslashreplace").decode()[:200]
