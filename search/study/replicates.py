"""Where the trials of verification and of the baseline's repeats come from: a fixed list of replicates.

It answers to ``search.study.loop.Source``, as ``search.study.sources`` does for a search.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from search.records import predictions
from search.records.record import TrialRecord
from search.study.retries import Retries, is_given_again
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
        self._retries, self._folder = Retries(recorded), folder
        self._wanted = {_repeat(trial): trial for trial in trials}
        done = {_repeat(known.trial) for known in recorded if known.outcome is None or known.is_settled}
        self._trials = deque(trial for trial in trials if _repeat(trial) not in done)
        self._number = max([len(recorded), *(trial.number for trial in trials[:1])])
        self._elsewhere = {known.trial.number for known in recorded if known.outcome is None}

    @property
    def elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._elsewhere)

    def next(self) -> Trial | None:
        """Returns the next trial of the list."""
        if not self._trials:
            return None
        trial = dataclasses.replace(self._trials.popleft(), number=self._number)
        self._number += 1
        kept = predictions.path(self._folder, trial.phase, trial.number)
        return dataclasses.replace(trial, predictions_to=str(kept))

    def withdraw(self, trial: Trial) -> None:
        """Takes the next trial back."""
        self._number -= 1
        self._trials.appendleft(trial)

    def hear(self, known: TrialRecord) -> bool:
        """Notes which trials of the list others run: only those that are interrupted are run here as well."""
        trial, is_new = known.trial, known.trial.number >= self._number
        if not is_new and trial.number not in self._elsewhere:
            return False
        if is_new:
            self._elsewhere.add(trial.number)
            self._number = trial.number + 1
            self._trials = deque(one for one in self._trials if _repeat(one) != _repeat(trial))
        if known.outcome is not None:
            self._elsewhere.remove(trial.number)
            self._retries.hear(trial, known.outcome)
            if not known.is_settled and _repeat(trial) in self._wanted:
                self._trials.append(self._wanted[_repeat(trial)])
        return is_new or known.outcome is not None

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Never prunes."""
        return False

    def settle(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts; see ``search.study.retries``."""
        return self._retries.settle(trial, outcome)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Puts a trial that is to be tried again at the end of the list.

        Raises:
            FatalError: The study cannot go on; see ``search.study.retries``.
        """
        if is_given_again(outcome):
            self._trials.append(trial)
        self._retries.check(trial, outcome)


def _repeat(trial: Trial) -> tuple[int | None, int | None]:
    """Returns which repeat of which search trial a trial is."""
    return (trial.of, trial.replicate)
