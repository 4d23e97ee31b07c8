"""The command line: one file a command, imported when the command is called.

Turns errors into one message and an exit code.
"""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from search.errors import SearchError
from search.files import DISK_FULL_ERRORS
from search.preconditions import check_preconditions

COMMANDS = {
    "run": "search.cli.run",
    "baseline": "search.cli.baseline",
    "compare": "search.cli.compare",
    "leaderboard": "search.cli.leaderboard",
    "merge": "search.cli.merge",
    "dashboard": "search.cli.dashboard",
    "reproduce": "search.cli.reproduce",
    "export": "search.cli.export",
    "predict": "search.cli.predict",
    "status": "search.cli.status",
    "ls": "search.cli.ls",
    "spaces": "search.cli.spaces",
    "data": "search.cli.data",
    "doctor": "search.cli.doctor",
}
"""Commands by name, in the order of ``--help``; a new command is a module with ``command`` and an entry here."""
BROKEN_PIPE_EXIT_CODE = 128 + 13
"""Exit code when the reader of the output closed it, as of a process ended by SIGPIPE."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the command names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command's name, the command and its arguments; an unknown name is answered with a similar one."""
        if args[0] not in COMMANDS and (nearest := difflib.get_close_matches(args[0], COMMANDS, n=1)):
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {nearest[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; exits with ``BROKEN_PIPE_EXIT_CODE`` when the output pipe is closed (``| head -1``)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            pass  # Click and Rich would exit with 1
        except SystemExit as leaving:
            if not isinstance(leaving.__context__, BrokenPipeError):
                raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would report the error again when it flushes at exit
        raise SystemExit(BROKEN_PIPE_EXIT_CODE)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="keras-image-search")
def group() -> None:
    """Search hyperparameters of Keras image classifiers, starting from the tutorial's baselines."""


SCRIPT = "keras-image-search"
"""The installed command; the same as ``python -m search``, and the one that a shell can complete."""
COMPLETION_VARIABLE = "_KERAS_IMAGE_SEARCH_COMPLETE"
"""The environment variable by which a shell requests completions."""


def main() -> NoReturn:
    """Runs the command line and exits with its exit code."""
    if COMPLETION_VARIABLE in os.environ:
        importlib.import_module("search.cli.completion")
    _open_streams()
    _restore_interrupts()
    name = SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m search"
    try:
        check_preconditions()
        group.main(prog_name=name, standalone_mode=False, complete_var=COMPLETION_VARIABLE)
    except SearchError as error:
        raise SystemExit(_print_error(error.message, error.hint, error.exit_code)) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(_print_error("Stopped; what was recorded is kept.", "", 130)) from None
    except OSError as error:
        full = error.errno in DISK_FULL_ERRORS
        what = "The disk is full" if full else "A file cannot be read or written"
        hint = f"{'Free some space' if full else 'Fix this'} and run the same command again; the record is kept."
        where = f" ({error.filename})" if error.filename else ""
        raise SystemExit(_print_error(f"{what}: {error.strerror or error}{where}.", hint, 1)) from None
    raise SystemExit(0)


def _open_streams() -> None:
    """Opens standard streams that the caller closed (``>&-``); else a ledger's file could get their number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _restore_interrupts() -> None:
    """Makes SIGINT stop the command if the caller ignored it, as a script does for commands started with ``&``."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _print_error(message: str, hint: str, exit_code: int) -> int:
    click.secho(f"Error: {message}", err=True, fg="red")
    if hint:
        click.echo(hint, err=True)
    return exit_code
