"""Trains recorded trials again in worker processes, without a ledger.

Called by ``search.reproduction.reproduce`` and ``search.export``.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from search.execution.base import Finished, TrialKey
from search.execution.local import local_executor
from search.training.runtime import Device, memory_worker_limit, usable_cores
from search.training.task import Task
from search.trial import NO_FILES, EpochReport, Outcome, Trial, TrialFiles

EpochCallback = Callable[[Trial, EpochReport], None]
"""Called after each epoch of each trial."""


def retrain(
    task: Task,
    trials: Sequence[Trial],
    on_epoch: EpochCallback = lambda trial, report: None,
    *,
    files: TrialFiles = NO_FILES,
) -> list[Outcome]:
    """Runs trials from their first epoch, as many in parallel as there are cores for, and returns their outcomes.

    Args:
        task: The task that they share.
        trials: Trials with different keys.
        on_epoch: Called after each epoch.
        files: Files of the trial, if there is only one.

    Raises:
        FatalError: No worker can be started.
    """
    outcomes: dict[TrialKey, Outcome] = {}
    waiting = [from_scratch(trial) for trial in reversed(trials)]
    by_key = {trial.key: trial for trial in waiting}
    workers = _worker_count(task, len(trials))
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(local_executor(task, workers=workers, log_dir=Path(folder))) as executor,
    ):
        while waiting or executor.running:
            while waiting and len(executor.running) < executor.slots:
                executor.submit(waiting.pop(), files)
            for event in executor.collect(1.0):
                if isinstance(event, Finished):
                    outcomes[event.key] = event.outcome
                else:
                    on_epoch(by_key[event.key], event.report)
    return [outcomes[trial.key] for trial in trials]


def from_scratch(trial: Trial) -> Trial:
    """Returns the same training from its first epoch, which reads and writes no checkpoint.

    What a trial that went on from another restored, the same seed trains again.
    """
    return dataclasses.replace(trial, parent=None, rungs=())


def _worker_count(task: Task, trials: int) -> int:
    """Returns how many trials to run at a time; threads, on which the bits depend, are the task's."""
    if task.runtime.device is Device.GPU:
        return 1
    return max(1, min(trials, memory_worker_limit(), usable_cores() // task.runtime.threads))
