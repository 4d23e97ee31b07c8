"""How long it will still take, from what trials have cost so far: pure arithmetic on what a display hears.

Prices are wall-clock seconds of whole trials, pruned and failed ones included, building and compiling included, a
worker's warming up not. They fall as a search goes on, since a pruner needs some trials before it prunes at all, so
that the later half of them says more about those to come than all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

from search.trial import EpochReport, Outcome, Trial

MIN_TRIALS = 5
"""So many of the last trials count at least, as far as there are so many."""


@dataclass(slots=True)
class _TrialTiming:
    """A running trial: when it began, and the epochs that it trained itself."""

    trial: Trial
    started_at: float
    is_exempt_from_pruning: bool
    epoch_seconds: list[float] = field(default_factory=list)
    epoch: int = 0

    def remaining_seconds(self) -> float | None:
        """Returns the seconds that it takes if nothing stops it, at its own pace; None before its first epoch."""
        return fmean(self.epoch_seconds) * (self.trial.last_epoch - self.epoch) if self.epoch_seconds else None

    def total_seconds(self) -> float | None:
        """Returns the seconds that all its epochs take at its own pace; None before its first."""
        return fmean(self.epoch_seconds) * self.trial.last_epoch if self.epoch_seconds else None


class DurationEstimator:
    """What the trials of a stage cost, and what is left of it.

    Args:
        workers: Trials at a time.
        recorded_outcomes: What trials of earlier sessions came to.
        prior_trial_seconds: What a trial is thought to cost before the first has ended, in seconds; None where nobody
            knows.
    """

    def __init__(
        self, workers: int, *, recorded_outcomes: Iterable[Outcome] = (), prior_trial_seconds: float | None = None
    ) -> None:
        self._workers, self._prior_trial_seconds = workers, prior_trial_seconds
        self._ended = [
            (seconds, outcome.epochs_trained)
            for outcome in recorded_outcomes
            if (seconds := _seconds_without_queue(outcome))
        ]
        self._timings: dict[int, _TrialTiming] = {}

    def began(self, trial: Trial, now: float, *, is_exempt_from_pruning: bool) -> None:
        """Notes that a trial was handed over at a second of the study's clock."""
        self._timings[trial.number] = _TrialTiming(trial, now, is_exempt_from_pruning)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Notes an epoch; one that was restored took no time."""
        timing = self._timings[trial.number]
        timing.epoch = report.epoch
        if not report.restored:
            timing.epoch_seconds.append(report.seconds)

    def finished(self, trial: Trial, outcome: Outcome, now: float) -> None:
        """Notes what it cost; the first trials waited for their workers, whose warming up their own seconds leave out.

        One that never began to train leaves no price.
        """
        timing = self._timings.pop(trial.number)
        if cost := min(now - timing.started_at, _seconds_without_queue(outcome) or now - timing.started_at):
            self._ended.append((cost, outcome.epochs_trained))

    def mean_trial_seconds(self) -> float | None:
        """Returns the mean price of the later half of trials; before the first has ended, as running ones promise."""
        if self._ended:
            return fmean(seconds for seconds, _ in self._recent())
        if self._prior_trial_seconds is not None:
            return self._prior_trial_seconds
        extrapolated = [total for timing in self._timings.values() if (total := timing.total_seconds()) is not None]
        return fmean(extrapolated) if extrapolated else None

    def mean_trial_epochs(self) -> float | None:
        """Returns the mean epochs of the same trials; None before the first has ended, or where none trained any."""
        return (fmean(epochs for _, epochs in self._recent()) or None) if self._ended else None

    def _recent(self) -> list[tuple[float, int]]:
        return self._ended[-max(MIN_TRIALS, len(self._ended) // 2) :]

    def remaining_seconds(self, pending_trials: float, now: float) -> float | None:
        """Returns the seconds until the running trials and so many more have ended; None while nobody can know.

        Args:
            pending_trials: Trials that have not begun.
            now: The study's clock.
        """
        mean_seconds = self.mean_trial_seconds()
        if mean_seconds is None:
            return None
        running_seconds = [
            self._remaining_trial_seconds(timing, mean_seconds, now) for timing in self._timings.values()
        ]
        # While the last trials run some workers have none: on average half a trial each.
        tail = mean_seconds / 2 * (self._workers - 1) / self._workers if pending_trials else 0.0
        longest = max([*running_seconds, mean_seconds if pending_trials else 0.0], default=0.0)
        return max((pending_trials * mean_seconds + sum(running_seconds)) / self._workers + tail, longest)

    @staticmethod
    def _remaining_trial_seconds(timing: _TrialTiming, mean_seconds: float, now: float) -> float:
        """Returns what a running trial still takes: the rest of a mean one, and once it is longer, the way to its end.

        A mean price knows how many trials are pruned; a trial that outlasts it will most often be trained to its end.
        """
        own_estimate, elapsed = timing.remaining_seconds(), now - timing.started_at
        if own_estimate is None:
            return max(0.0, mean_seconds - elapsed)
        if timing.is_exempt_from_pruning or elapsed > mean_seconds:
            return own_estimate
        return min(own_estimate, mean_seconds - elapsed)


def _seconds_without_queue(outcome: Outcome) -> float:
    """Returns what a trial took by its own account, without the wait for its worker."""
    if any(report.restored for report in outcome.history):
        return outcome.seconds_trained
    return sum(outcome.seconds.values()) or outcome.seconds_trained
