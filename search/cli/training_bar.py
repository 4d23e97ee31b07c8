"""Progress of a few trainings, on standard error: bars on a terminal, a line for each that ends elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from search.leaderboard import words

if TYPE_CHECKING:
    from rich.progress import TaskID

    from search.execution.base import Key
    from search.reproduction.retraining import Hear
    from search.trial import EpochReport, Trial


@contextmanager
def training_bar(trials: int, *, quiet: bool) -> Iterator[Hear]:
    """Shows bars while trials are trained; gives what is to hear of their epochs.

    Args:
        trials: How many there are.
        quiet: Whether to show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    shown = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs")]
    bars = Progress(*shown, TimeRemainingColumn(), console=console, transient=True, disable=quiet)
    if not console.is_terminal:
        yield _lines(quiet=quiet)
        return
    with bars:
        waiting = bars.add_task(_waiting(trials), total=None)
        known: dict[Key, TaskID] = {}

        def hear(trial: Trial, report: EpochReport) -> None:
            if trial.key not in known:
                bars.update(waiting, visible=False)
                known[trial.key] = bars.add_task(f"seed {trial.seed}", total=trial.last_epoch)
            bars.update(known[trial.key], completed=report.epoch)

        yield hear


def _waiting(trials: int) -> str:
    return "Keras is being started" if trials == 1 else f"Keras is being started for {trials} trainings"


def _lines(*, quiet: bool) -> Hear:
    def hear(trial: Trial, report: EpochReport) -> None:
        if report.epoch == trial.last_epoch and not quiet:
            click.echo(f"seed {trial.seed}: {report.epoch} epochs trained{_error(report)}", err=True)

    return hear


def _error(report: EpochReport) -> str:
    return "" if report.error_percent is None else f", error {words.percent(report.error_percent)} %"


def announce(sentences: Sequence[str]) -> None:
    """Says on standard error what is about to be done, or was chosen; empty sentences are left out."""
    for sentence in filter(None, sentences):
        click.echo(sentence, err=True)
