"""What ``export`` and ``reproduce`` share: options of a retraining, progress bars, and what they count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import Command, FilePath, make_completer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from search.execution.base import TrialKey
    from search.records.storage.locations import StudyLocation
    from search.reproduction.restore import ReproductionOptions
    from search.reproduction.retrain import EpochCallback
    from search.trial import EpochReport, Trial

_OPTIONS = (
    click.option(
        "--dataset",
        shell_complete=make_completer("dataset"),
        help="Path of the data set, if it has moved. Its hash must be the recorded one.",
    ),
    click.option(
        "--space",
        type=FilePath(path_type=str),
        shell_complete=make_completer("space"),
        help="Path of the space file, if it has moved.",
    ),
    click.option(
        "--cache-dir",
        type=FilePath(path_type=str),
        help="Folder of decompressed data.  [default: the platform's cache folder]",
    ),
    click.option("--backend", shell_complete=make_completer("backend"), help="Keras backend.  [default: as recorded]"),
    click.option(
        "--devices", shell_complete=make_completer("devices"), help="auto, cpu, gpu or gpu:0.  [default: as recorded]"
    ),
    click.option("--precision", shell_complete=make_completer("precision"), help="Precision.  [default: as recorded]"),
    click.option(
        "--kernels",
        type=click.Choice(["onednn", "eigen"]),
        help="TensorFlow's kernels on a CPU.  [default: as recorded]",
    ),
    click.option(
        "--layers",
        type=click.Choice(["compiled", "fast", "keras"]),
        help="Implementation of layers on a CPU.  [default: as recorded]",
    ),
    click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: as recorded]"),
)


def add_reproduction_options(command: Command) -> Command:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def pop_reproduction_options(options: dict[str, Any]) -> ReproductionOptions:
    """Removes the options above from a command's options and returns them."""
    from search.reproduction.restore import ReproductionOptions

    names = ("dataset", "space", "cache_dir", "backend", "devices", "precision", "kernels", "layers", "threads")
    return ReproductionOptions(**{name: options.pop(name) for name in names})


def record_test_openings(study: str, location: StudyLocation, *, by: str, count: int) -> None:
    """Counts how often a command has opened the test images, in the study's folder; a published study has none.

    Args:
        study: The STUDY argument.
        location: Where studies are kept.
        by: The command.
        count: Evaluations on the test images.
    """
    from search.errors import UserError
    from search.records.lookup import locate_ledger
    from search.records.openings import record_openings

    with contextlib.suppress(UserError):
        found, name = locate_ledger(study, location)
        record_openings(found.folder(name), by=by, count=count)


@contextmanager
def training_bar(trials: int, *, quiet: bool) -> Iterator[EpochCallback]:
    """Shows the progress of a retraining on standard error: bars on a terminal, else a line for each trial.

    Args:
        trials: Number of trials that are trained at once.
        quiet: Whether to show nothing.

    Yields:
        The callback that updates it after each epoch.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield (lambda trial, report: None) if quiet else _print_last_epoch
        return
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs")]
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=quiet) as bars:
        startup_task = bars.add_task(f"Starting Keras{'' if trials == 1 else f' for {trials} trainings'}", total=None)
        tasks: dict[TrialKey, TaskID] = {}

        def on_epoch(trial: Trial, report: EpochReport) -> None:
            if trial.key not in tasks:
                bars.update(startup_task, visible=False)
                tasks[trial.key] = bars.add_task(f"seed {trial.seed}", total=trial.last_epoch)
            bars.update(tasks[trial.key], completed=report.epoch)

        yield on_epoch


def _print_last_epoch(trial: Trial, report: EpochReport) -> None:
    from search.leaderboard import formatting

    if report.epoch == trial.last_epoch:
        error = "" if report.error_percent is None else f", error {formatting.percent(report.error_percent)} %"
        click.echo(f"seed {trial.seed}: {formatting.epochs(report.epoch)} trained{error}", err=True)
