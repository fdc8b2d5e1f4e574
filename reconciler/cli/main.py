"""The command line: one module per command, gathered here; errors become exit codes here and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from reconciler import __version__
from reconciler.cli.apply import apply
from reconciler.cli.chat import chat
from reconciler.cli.context import context
from reconciler.cli.history import history, show
from reconciler.cli.init import init
from reconciler.cli.output import put, show_error
from reconciler.cli.plan import plan
from reconciler.cli.render import render
from reconciler.cli.run import run as run_loop
from reconciler.cli.schema import schema
from reconciler.cli.serve import serve
from reconciler.cli.status import status
from reconciler.cli.sync import sync
from reconciler.cli.up import up
from reconciler.cli.validate import validate
from reconciler.errors import EXIT_MISUSE, ReconcilerError

app = typer.Typer(
    name="reconciler",
    help="Declarative GitOps for AI chatbots: bots are YAML in git, what is in git is what runs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# Typer carries its own click and names only the subclasses.
_UsageError: Any = typer.BadParameter.__base__


def _version(wanted: bool) -> None:
    if wanted:
        put(f"reconciler {__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of unexpected errors.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Declarative GitOps for AI chatbots: bots are YAML in git, what is in git is what runs."""
    context.debug = debug


# In the order of a newcomer's day: start, look, change, ask what happened.
for _command in (
    up,
    init,
    validate,
    plan,
    apply,
    status,
    history,
    show,
    sync,
    chat,
    render,
    schema,
    run_loop,
    serve,
):
    app.command("run" if _command is run_loop else None)(_command)


def run(arguments: list[str] | None = None) -> None:
    """The console script: runs a command and exits with the code of docs/cli.md."""
    command = typer.main.get_command(app)
    try:
        status = command.main(args=arguments, prog_name="reconciler", standalone_mode=False)
    except _UsageError as error:
        error.show()
        sys.exit(EXIT_MISUSE)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
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
