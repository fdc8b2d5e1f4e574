"""`init`: a first fleet of one's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from reconciler.cli.output import put, say
from reconciler.cli.starters import CI, GITLAB_FILE, agents, ci_files, example_files
from reconciler.errors import Misuse

_CONFIG: Final = "reconciler.yaml"
_AGENTS: Final = "AGENTS.md"
_FILES: Final = {
    _CONFIG: """\
# yaml-language-server: $schema=.schemas/config.schema.json
apiVersion: reconciler/v1
kind: Config
source: {path: bots}
sync: {interval: 60s}
""",
    "bots/hello/line.yaml": """\
# yaml-language-server: $schema=../../.schemas/document.schema.json
# The line with its chats, the account that pays for the answers, and the defaults of the line's bots.
apiVersion: reconciler/v1
kind: Instance
metadata: {name: hello}
spec:
  channel: web
---
kind: Credentials
metadata: {name: openai-main}
spec:
  apiKey: {env: OPENAI_API_KEY}
  # While the variable was never set, the built-in demo model answers, and says so in each reply. Take the line out
  # before customers write: then nothing of this line of chats is applied until its key is there.
  whenMissing: builtin:demo
---
kind: Settings
metadata: {name: default}
spec:
  credentials: openai-main
  expire: 1h
  keywordFinish: stop
  stopBotFromMe: true           # when a person answers from the phone, the bot stays silent in that chat
  delayMessage: 300ms
  debounceTime: 500ms
  unknownMessage: Sorry, I did not understand. Could you say it in other words?
""",
    "bots/hello/assistant.yaml": """\
# yaml-language-server: $schema=../../.schemas/bot.schema.json
apiVersion: reconciler/v1
kind: Bot
metadata:
  name: assistant
spec:
  description: Answers every message
  botType: chatCompletion
  model: gpt-6-luna
  reasoningEffort: none         # it answers at once; low, medium and high think first, and cost more
  maxTokens: 500
  triggerType: all
  systemMessages:
    - file: prompts/assistant.md
""",
    "bots/hello/prompts/assistant.md": """\
You are the assistant of a small shop. You are friendly and brief.

We are open from Monday to Saturday, 9 am to 6 pm.
Delivery takes two working days and costs 5 dollars; it is free from 50 dollars on.
Goods can be returned within 30 days.
If you do not know the answer, say so and offer that a colleague calls back.
""",
    "bots/hello/greets.yaml": """\
# yaml-language-server: $schema=../../.schemas/conversation.schema.json
apiVersion: reconciler/v1
kind: Conversation
metadata: {name: greets}
spec:
  turns:
    - user: When are you open?
      expect: {bot: assistant, status: opened}
    - user: stop
      expect: {silent: true, status: ended}
""",
}


def init(
    directory: Annotated[Path, typer.Argument(help="Where to put it; made if it is not there.")] = Path("."),
    ci: Annotated[
        CI | None, typer.Option("--ci", help="Also the jobs that review pull requests; alone where a fleet is.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="The README's fleet, a restaurant and a dental clinic, as the first one.")
    ] = False,
) -> None:
    """A first fleet of one's own: one bot, its line and account, reconciler.yaml, editor settings, AGENTS.md.

    Files that are already there are never overwritten: if one is, nothing is written; only an AGENTS.md of one's own
    stays as it is. A fleet is a git repository of its own: one is made, unless the folder is the top of one.

    Examples:

        reconciler init my-bots
        cd my-bots && git add --all && git commit -m "First bot" && reconciler up
        reconciler init --ci github
    """
    there = next((name for name in (_CONFIG, "bots") if (directory / name).exists()), None)
    if ci is not None and there:
        if example:
            raise Misuse(f"{directory / there} is already there: nothing was written; leave --example out")
        jobs = _jobs(directory, ci)
        _untaken(directory, jobs, "move it away first")
        _write(directory, jobs)
        say("Next: commit that to the default branch; the next pull request has a review")
        return
    from reconciler.cli.schema import install

    files = {_CONFIG: _FILES[_CONFIG], **example_files()} if example else dict(_FILES)
    if ci is not None:
        files |= _jobs(directory, ci)
    if (directory / _AGENTS).exists():
        say(f"{directory / _AGENTS} is already there and stays as it is")
    else:
        files[_AGENTS] = agents()
    _untaken(directory, files, "choose another folder")
    own = _needs_repository(directory)
    _write(directory, files)
    for file in install(directory):
        put(str(file))
    if own:
        try:
            subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(directory)], check=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise Misuse(
                f"the files are there, but no git repository: install git, then `git init {directory}`"
            ) from error
        say(f"made a git repository in {directory}")
    where = "" if directory == Path(".") else f"cd {directory} && "
    say(f"Next: {where}git add --all && git commit -m 'First bot' && reconciler up")


def _jobs(directory: Path, ci: CI) -> dict[str, str]:
    """A forge's files; GitLab's one for all jobs stays as it is where there is one, and its owner is told the line."""
    files = ci_files(ci)
    if GITLAB_FILE in files and (directory / GITLAB_FILE).exists():
        line = files.pop(GITLAB_FILE).strip()
        say(f"{directory / GITLAB_FILE} is already there and stays as it is; it needs: {line}")
    return files


def _untaken(directory: Path, files: Iterable[str], remedy: str) -> None:
    """Raises Misuse where one of the files is there."""
    if taken := [name for name in files if (directory / name).exists()]:
        raise Misuse(f"{directory / taken[0]} is already there: nothing was written; {remedy}")


def _write(directory: Path, files: Mapping[str, str]) -> None:
    try:
        for name, text in files.items():
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            put(str(file))
    except OSError as error:
        raise Misuse(f"{error.filename} cannot be written: {error.strerror}") from error


def _needs_repository(directory: Path) -> bool:
    """Whether a git repository must be made in a folder: a fleet's reconciler.yaml lies at the top of its own.

    Raises Misuse for a folder with files in the middle of another repository, whose they are.
    """
    from reconciler.desired.git import Repository

    try:
        around = Repository.discover(directory)
    except Misuse:
        return True
    if around.root == directory.resolve() and not around.bare:
        return False
    if around.bare or (directory.is_dir() and any(directory.iterdir())):
        message = f"{directory} belongs to the git repository {around.root}, and a fleet is the top of one"
        raise Misuse(f"{message}: choose a new folder, or that one")
    return True
