"""The options of commands that train recorded configurations again: where the data are, and what to compute on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import Command, make_completer

if TYPE_CHECKING:
    from search.reproduction.restore import ReproductionOptions

_OPTIONS = (
    click.option(
        "--dataset",
        shell_complete=make_completer("dataset"),
        help="Where the data set is, if not where it was. Its hash must be the recorded one.",
    ),
    click.option(
        "--space", shell_complete=make_completer("space"), help="The file of your own space, if not where it was."
    ),
    click.option("--cache-dir", help="Folder of decompressed data; the platform's cache folder by default."),
    click.option("--backend", shell_complete=make_completer("backend"), help="Keras backend, if not the recorded one."),
    click.option(
        "--devices", shell_complete=make_completer("devices"), help="auto, cpu, gpu or gpu:0, if not as recorded."
    ),
    click.option("--precision", shell_complete=make_completer("precision"), help="Precision, if not the recorded one."),
    click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads, if not as many as recorded."),
)


def add_reproduction_options(command: Command) -> Command:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def split_reproduction_options(options: dict[str, Any]) -> tuple[ReproductionOptions, dict[str, Any]]:
    """Returns the means, and the other options that were given."""
    from search.reproduction.restore import ReproductionOptions

    names = ("dataset", "space", "cache_dir", "backend", "devices", "precision", "threads")
    return ReproductionOptions(**{name: options[name] for name in names}), {
        k: v for k, v in options.items() if k not in names
    }
