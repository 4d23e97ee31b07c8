"""Progress of a few trainings, on standard error: bars on a terminal, a line for each that ends elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from search.leaderboard import formatting

if TYPE_CHECKING:
    from rich.progress import TaskID

    from search.execution.base import TrialKey
    from search.reproduction.retrain import EpochCallback
    from search.trial import EpochReport, Trial


@contextmanager
def training_bar(trials: int, *, quiet: bool) -> Iterator[EpochCallback]:
    """Shows bars while trials are trained; gives what is to hear of their epochs.

    Args:
        trials: How many there are.
        quiet: Whether to show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs")]
    bars = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=quiet)
    if not console.is_terminal:
        yield _lines(quiet=quiet)
        return
    with bars:
        startup_task = bars.add_task(_waiting(trials), total=None)
        tasks: dict[TrialKey, TaskID] = {}

        def on_epoch(trial: Trial, report: EpochReport) -> None:
            if trial.key not in tasks:
                bars.update(startup_task, visible=False)
                tasks[trial.key] = bars.add_task(f"seed {trial.seed}", total=trial.last_epoch)
            bars.update(tasks[trial.key], completed=report.epoch)

        yield on_epoch


def _waiting(trials: int) -> str:
    return "Keras is being started" if trials == 1 else f"Keras is being started for {trials} trainings"


def _lines(*, quiet: bool) -> EpochCallback:
    def on_epoch(trial: Trial, report: EpochReport) -> None:
        if report.epoch == trial.last_epoch and not quiet:
            click.echo(f"seed {trial.seed}: {report.epoch} epochs trained{_error_suffix(report)}", err=True)

    return on_epoch


def _error_suffix(report: EpochReport) -> str:
    return "" if report.error_percent is None else f", error {formatting.percent(report.error_percent)} %"


def print_notes(sentences: Sequence[str]) -> None:
    """Says on standard error what is about to be done, or was chosen; empty sentences are left out."""
    for sentence in filter(None, sentences):
        click.echo(sentence, err=True)
