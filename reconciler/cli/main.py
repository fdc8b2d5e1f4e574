"""The command line: one module per command, gathered here; errors become exit codes here and nowhere else."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from reconciler import __version__
from reconciler.cli.context import context
from reconciler.cli.output import outlasting_readers, put, show_error
from reconciler.cli.plain import take_plain_values
from reconciler.errors import EXIT_MISUSE, ReconcilerError

# Each command's module and function, in the order of a newcomer's day: start, look, change, ask what happened.
COMMANDS: Final = {
    "up": "up:up",
    "init": "init:init",
    "validate": "validate:validate",
    "test": "test:conversations",
    "plan": "plan:plan",
    "apply": "apply:apply",
    "status": "status:status",
    "drift": "drift:drift",
    "why": "why:why",
    "route": "route:route",
    "models": "models:models",
    "review": "review:review",
    "suspend": "suspend:suspend",
    "resume": "suspend:resume",
    "rollback": "rollback:rollback",
    "history": "history:history",
    "show": "history:show",
    "sync": "sync:sync",
    "sessions": "sessions:sessions",
    "chat": "chat:chat",
    "import": "import_:imports",
    "render": "render:render",
    "schema": "schema:schema",
    "run": "run:run",
    "serve": "serve:serve",
    "rotate": "rotate:rotate",
    "backup": "backup:backup",
    "restore": "restore:restore",
}

_STAYING: Final = frozenset({"up", "serve", "run", "chat"})  # processes that stay: their memory matters more

# Typer carries its own click and names only the subclasses.
_UsageError: Any = typer.BadParameter.__base__


def _version(wanted: bool) -> None:
    if wanted:
        put(f"reconciler {__version__}")
        raise typer.Exit


def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of unexpected errors.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Declarative GitOps for AI chatbots: bots are YAML in git, what is in git is what runs."""
    context.debug = debug


def build(only: str | None = None) -> typer.Typer:
    """The command line, with all commands or with the one that is asked for: importing all takes 70 ms longer."""
    app = typer.Typer(
        name="reconciler",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(main)
    for name in (only,) if only in COMMANDS else COMMANDS:
        module, _, function = COMMANDS[name].partition(":")
        found = getattr(import_module(f"reconciler.cli.{module}"), function)
        if isinstance(found, typer.Typer):  # a command with commands of its own
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _asked(arguments: list[str]) -> str | None:
    """The command that is asked for: the first word that is no option."""
    return next((word for word in arguments if not word.startswith("-")), None)


def _start_quickly(asked: str | None) -> None:
    """What makes a command of half a second a third shorter; what it prints stays the same."""
    # Where rich and click are installed httpx imports its own command line with them, 40 ms for nothing; told that it
    # is absent, it goes on as it does where they are not.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    take_plain_values()
    if asked not in _STAYING:
        gc.set_threshold(100_000, 20, 20)  # a fleet is many objects and few cycles


def run(arguments: list[str] | None = None) -> None:
    """The console script: runs a command and exits with the code of docs/cli.md."""
    with outlasting_readers():
        _run(arguments)


def _run(arguments: list[str] | None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    asked = _asked(given)
    _start_quickly(asked)
    try:
        command = typer.main.get_command(build(asked))
        status = command.main(args=given, prog_name="reconciler", standalone_mode=False)
    except _UsageError as error:
        error.show()
        sys.exit(EXIT_MISUSE)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ReconcilerError as error:
        sys.exit(show_error(error, debug=context.debug))
    except Exception as error:
        sys.exit(show_error(error, debug=context.debug, log=_log()))
    sys.exit(status if isinstance(status, int) else 0)


def _log() -> Path | None:
    """Where the traceback of an unexpected error is kept: the data folder, where there is one."""
    try:
        return context.data.log
    except ReconcilerError:
        return None
