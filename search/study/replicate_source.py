"""Where the trials of verification and of the baseline's repeats come from: a fixed list of replicates.

It answers to ``search.study.loop.Source``, as ``search.study.search_source`` does for a search.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from search.records.record import TrialRecord
from search.study.retries import RetryPolicy, should_requeue
from search.training import predictions
from search.trial import EpochReport, Outcome, Phase, Trial


class ReplicateSource:
    """A fixed list of trials, none of them ever pruned.

    Args:
        trials: In the order they are to be run, numbered one after the other.
        recorded: What earlier sessions recorded of the same phase.
        folder: The study's, where predictions are kept.
    """

    def __init__(self, trials: Sequence[Trial], recorded: Iterable[TrialRecord] = (), *, folder: Path) -> None:
        recorded = list(recorded)
        self.phase = trials[0].phase if trials else Phase.VERIFICATION
        self._retries, self._folder = RetryPolicy(recorded), folder
        self._by_replicate = {_replicate_key(trial): trial for trial in trials}
        done = {_replicate_key(known.trial) for known in recorded if known.outcome is None or known.is_finished}
        self._queue = deque(trial for trial in trials if _replicate_key(trial) not in done)
        self._next_number = max([len(recorded), *(trial.number for trial in trials[:1])])
        self._running_elsewhere = {known.trial.number for known in recorded if known.outcome is None}

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._running_elsewhere)

    def next(self) -> Trial | None:
        """Returns the next trial of the list."""
        if not self._queue:
            return None
        trial = dataclasses.replace(self._queue.popleft(), number=self._next_number)
        self._next_number += 1
        predictions_path = predictions.file_path(self._folder, trial.phase, trial.number)
        return dataclasses.replace(trial, predictions_to=str(predictions_path))

    def undo_next(self, trial: Trial) -> None:
        """Takes the next trial back."""
        self._next_number -= 1
        self._queue.appendleft(trial)

    def observe(self, record: TrialRecord) -> bool:
        """Notes which trials of the list others run: only those that are interrupted are run here as well."""
        trial, is_new = record.trial, record.trial.number >= self._next_number
        if not is_new and trial.number not in self._running_elsewhere:
            return False
        if is_new:
            self._running_elsewhere.add(trial.number)
            self._next_number = trial.number + 1
            self._queue = deque(one for one in self._queue if _replicate_key(one) != _replicate_key(trial))
        if record.outcome is not None:
            self._running_elsewhere.remove(trial.number)
            self._retries.observe(trial, record.outcome)
            if not record.is_finished and _replicate_key(trial) in self._by_replicate:
                self._queue.append(self._by_replicate[_replicate_key(trial)])
        return is_new or record.outcome is not None

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Never prunes."""
        return False

    def classify(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts; see ``search.study.retries``."""
        return self._retries.classify(trial, outcome)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Puts a trial that is to be tried again at the end of the list.

        Raises:
            FatalError: The study cannot go on; see ``search.study.retries``.
        """
        if should_requeue(outcome):
            self._queue.append(trial)
        self._retries.raise_if_fatal(trial, outcome)


def _replicate_key(trial: Trial) -> tuple[int | None, int | None]:
    """Returns which repeat of which search trial a trial is."""
    return (trial.source_trial, trial.replicate)
