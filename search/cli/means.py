"""The options of commands that train recorded configurations again: where the data are, and what to compute on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import Command, completer

if TYPE_CHECKING:
    from search.reproduction.restoring import Means

_OPTIONS = (
    click.option(
        "--dataset",
        shell_complete=completer("dataset"),
        help="Where the data set is, if not where it was. Its hash must be the recorded one.",
    ),
    click.option("--space", shell_complete=completer("space"), help="The file of your own space, if not where it was."),
    click.option("--cache-dir", help="Folder of decompressed data; the platform's cache folder by default."),
    click.option("--backend", shell_complete=completer("backend"), help="Keras backend, if not the recorded one."),
    click.option("--devices", shell_complete=completer("devices"), help="auto, cpu, gpu or gpu:0, if not as recorded."),
    click.option("--precision", shell_complete=completer("precision"), help="Precision, if not the recorded one."),
    click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads, if not as many as recorded."),
)


def means_options(command: Command) -> Command:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def means_of(given: dict[str, Any]) -> tuple[Means, dict[str, Any]]:
    """Returns the means, and the other options that were given."""
    from search.reproduction.restoring import Means

    names = ("dataset", "space", "cache_dir", "backend", "devices", "precision", "threads")
    return Means(**{name: given[name] for name in names}), {k: v for k, v in given.items() if k not in names}
