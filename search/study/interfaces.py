"""What the loop works with: a source of trials, and a callback.

``search.study.search_source`` and ``search.study.verification`` implement the source; ``search.session.callbacks``
extends the callback. Called by ``search.study.loop`` and ``search.study.peers``.
"""

from __future__ import annotations

from typing import Protocol

from search.records.record import TrialRecord
from search.study.checkpoint_store import CheckpointStore
from search.trial import Cause, EpochReport, Outcome, Phase, Trial


class LoopCallback:
    """Receives the events of a loop; ignores those whose methods are not overridden."""

    def on_trial_start(self, trial: Trial) -> None:
        """A trial was submitted to the executor."""

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """A trial ended."""

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """A trial of another coordinator ended."""

    def on_waiting_for_peers(self, count: int) -> None:
        """No trial is left to start; the loop waits for this many trials of other coordinators."""

    def on_tick(self) -> None:
        """Some time passed."""


class TrialSource(Protocol):
    """Chooses trials, and learns from their results."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of its trials."""

    @property
    def checkpoints(self) -> CheckpointStore | None:
        """Where its trials keep checkpoints; None if they keep none."""

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run, as far as observed."""

    def next(self) -> Trial | None:
        """Returns the next trial; None if there is none before another report, outcome or record."""

    def undo_next(self, trial: Trial) -> None:
        """Takes back the trial that ``next`` returned last, because it could not be recorded."""

    def observe(self, record: TrialRecord) -> bool:
        """Updates the source with another coordinator's record of a trial; returns whether it began or ended."""

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Updates the source with an epoch; returns whether to prune the trial."""

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Updates the source with the recorded outcome of a trial."""

    def cancel_cause(self, trial: Trial) -> Cause | None:
        """Returns why a running trial must be cancelled, or None."""
