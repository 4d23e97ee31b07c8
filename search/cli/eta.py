"""Estimates the remaining time from the durations of trials. Pure arithmetic; called by ``ProgressState``.

Durations are wall-clock seconds of whole trials, pruned and failed ones included, with building and compiling, without
a worker's start. They fall during a search, since a pruner needs some trials before it prunes at all; so the mean is
over the later half. Before some trials have ended, it leans on the duration that the cost model expects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from search.execution.base import TrialKey
from search.trial import PROPOSED, EpochReport, Outcome, Phase, Trial

MIN_TRIALS = 5
"""The mean is over at least this many of the last trials; the expected duration stands for those that are missing."""


@dataclass(slots=True)
class _TrialTiming:
    """A running trial: its start, its predicted seconds, and the seconds of the epochs that it trained itself."""

    trial: Trial
    started_at: float
    is_exempt_from_pruning: bool
    predicted_seconds: float | None
    epoch_seconds: list[float] = field(default_factory=list)
    epoch: int = 0

    def remaining_seconds(self) -> float | None:
        """Returns the seconds to its last epoch at its own pace; None before its first epoch."""
        return fmean(self.epoch_seconds) * (self.trial.last_epoch - self.epoch) if self.epoch_seconds else None


class DurationEstimator:
    """Estimates the duration of the trials of a phase, and the time until they have ended.

    Trials of another phase that run beside them take up workers, and tell nothing about the duration of the others.

    Args:
        workers: Number of concurrent trials.
        phase: The phase.
        recorded_outcomes: Outcomes of trials in earlier sessions.
        expected_trial_seconds: Expected duration of a trial that is not known yet; None if unknown. May be assigned.
    """

    def __init__(
        self,
        workers: int,
        *,
        phase: Phase = Phase.SEARCH,
        recorded_outcomes: Iterable[Outcome] = (),
        expected_trial_seconds: float | None = None,
    ) -> None:
        self._workers, self._phase, self.expected_trial_seconds = workers, phase, expected_trial_seconds
        self._ended = [
            (seconds, outcome.epochs_trained)
            for outcome in recorded_outcomes
            if (seconds := _seconds_without_queue(outcome))
        ]
        self._timings: dict[TrialKey, _TrialTiming] = {}

    def record_start(
        self, trial: Trial, now: float, *, is_exempt_from_pruning: bool, predicted_seconds: float | None = None
    ) -> None:
        """Records the start of a trial at a second of the study's clock, and how long it should take."""
        self._timings[trial.key] = _TrialTiming(trial, now, is_exempt_from_pruning, predicted_seconds)

    def record_epoch(self, trial: Trial, report: EpochReport) -> None:
        """Records an epoch; a restored epoch took no time."""
        timing = self._timings[trial.key]
        timing.epoch = report.epoch
        if not report.restored:
            timing.epoch_seconds.append(report.seconds)

    def record_end(self, trial: Trial, outcome: Outcome, now: float) -> None:
        """Records a trial's duration, without the wait for its worker's start; a trial that never trained has none.

        The baseline and the recipes of a search tell nothing about the trials that a sampler proposes.
        """
        timing = self._timings.pop(trial.key)
        is_typical = trial.phase is not Phase.SEARCH or trial.origin == PROPOSED or self.expected_trial_seconds is None
        is_typical = is_typical and trial.phase is self._phase
        elapsed = now - timing.started_at
        if is_typical and (seconds := min(elapsed, _seconds_without_queue(outcome) or elapsed)):
            self._ended.append((seconds, outcome.epochs_trained))

    def mean_trial_seconds(self) -> float | None:
        """Returns the mean duration of the later half of trials; None if none has ended and none is expected."""
        seconds = [duration for duration, _ in self._recent()]
        if self.expected_trial_seconds is not None:
            seconds += [self.expected_trial_seconds] * (MIN_TRIALS - len(seconds))
        return fmean(seconds) if seconds else None

    def mean_trial_epochs(self) -> float | None:
        """Returns the mean epochs of the same trials; None before the first has ended, or if none trained."""
        return (fmean(epochs for _, epochs in self._recent()) or None) if self._ended else None

    def _recent(self) -> list[tuple[float, int]]:
        return self._ended[-max(MIN_TRIALS, len(self._ended) // 2) :]

    def running_seconds(self, now: float) -> float:
        """Returns the seconds that the running trials will still take, over all workers, each trained to its end."""
        own = (
            (timing.remaining_seconds(), (timing.predicted_seconds or 0.0) - (now - timing.started_at))
            for timing in self._timings.values()
        )
        return sum(max(0.0, predicted) if measured is None else measured for measured, predicted in own)

    def remaining_seconds(
        self, pending_trials: float, now: float, *, predicted_seconds: Sequence[float] = ()
    ) -> float | None:
        """Returns the seconds until all running and pending trials have ended; None while unknown.

        Args:
            pending_trials: Number of trials that have not begun.
            now: Seconds on the study's clock.
            predicted_seconds: Durations of those of them that are known and come first.
        """
        mean_seconds = self.mean_trial_seconds()
        if mean_seconds is None:
            return None
        running_seconds = [
            self._remaining_trial_seconds(timing, mean_seconds, now) for timing in self._timings.values()
        ]
        # While the last trials run, some workers are idle: on average half a trial each.
        tail = mean_seconds / 2 * (self._workers - 1) / self._workers if pending_trials else 0.0
        longest = max([*running_seconds, mean_seconds if pending_trials else 0.0], default=0.0)
        known = predicted_seconds[: math.ceil(pending_trials)]
        pending_seconds = sum(known) + max(0.0, pending_trials - len(known)) * mean_seconds
        return max((pending_seconds + sum(running_seconds)) / self._workers + tail, longest)

    @staticmethod
    def _remaining_trial_seconds(timing: _TrialTiming, mean_seconds: float, now: float) -> float:
        """Returns the seconds left of a running trial: to the mean duration, and beyond that to its last epoch.

        The mean includes pruned trials; a trial that outlasts it is mostly trained to its end.
        """
        own_estimate, elapsed = timing.remaining_seconds(), now - timing.started_at
        if own_estimate is None:
            return max(0.0, (timing.predicted_seconds or mean_seconds) - elapsed)
        if timing.is_exempt_from_pruning or elapsed > mean_seconds:
            return own_estimate
        return min(own_estimate, mean_seconds - elapsed)


def _seconds_without_queue(outcome: Outcome) -> float:
    """Returns the seconds that a trial itself recorded, without the wait for its worker."""
    if any(report.restored for report in outcome.history):
        return outcome.seconds_trained
    return sum(outcome.seconds.values()) or outcome.seconds_trained
