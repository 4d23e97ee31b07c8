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

LEAST_TRIALS = 5
"""So many of the last trials count at least, as far as there are so many."""


@dataclass(slots=True)
class _Run:
    """A running trial: when it began, and the epochs that it trained itself."""

    trial: Trial
    began: float
    is_pruned_never: bool
    seconds: list[float] = field(default_factory=list)
    epoch: int = 0

    def to_its_end(self) -> float | None:
        """Returns the seconds that it takes if nothing stops it, at its own pace; None before its first epoch."""
        return fmean(self.seconds) * (self.trial.last_epoch - self.epoch) if self.seconds else None

    def whole(self) -> float | None:
        """Returns the seconds that all its epochs take at its own pace; None before its first."""
        return fmean(self.seconds) * self.trial.last_epoch if self.seconds else None


class Pace:
    """What the trials of a stage cost, and what is left of it.

    Args:
        workers: Trials at a time.
        recorded: What trials of earlier sessions came to.
        price: What a trial is thought to cost before the first has ended, in seconds; None where nobody knows.
    """

    def __init__(self, workers: int, *, recorded: Iterable[Outcome] = (), price: float | None = None) -> None:
        self._workers, self._expected = workers, price
        self._ended = [(seconds, outcome.epochs_trained) for outcome in recorded if (seconds := _own_seconds(outcome))]
        self._running: dict[int, _Run] = {}

    def began(self, trial: Trial, now: float, *, is_pruned_never: bool) -> None:
        """Notes that a trial was handed over at a second of the study's clock."""
        self._running[trial.number] = _Run(trial, now, is_pruned_never)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Notes an epoch; one that was restored took no time."""
        run = self._running[trial.number]
        run.epoch = report.epoch
        if not report.restored:
            run.seconds.append(report.seconds)

    def finished(self, trial: Trial, outcome: Outcome, now: float) -> None:
        """Notes what it cost; the first trials waited for their workers, whose warming up their own seconds leave out.

        One that never began to train leaves no price.
        """
        run = self._running.pop(trial.number)
        if cost := min(now - run.began, _own_seconds(outcome) or now - run.began):
            self._ended.append((cost, outcome.epochs_trained))

    def price(self) -> float | None:
        """Returns the mean price of the later half of trials; before the first has ended, as running ones promise."""
        if self._ended:
            return fmean(seconds for seconds, _ in self._late())
        if self._expected is not None:
            return self._expected
        promised = [whole for run in self._running.values() if (whole := run.whole()) is not None]
        return fmean(promised) if promised else None

    def epochs(self) -> float | None:
        """Returns the mean epochs of the same trials; None before the first has ended, or where none trained any."""
        return (fmean(epochs for _, epochs in self._late()) or None) if self._ended else None

    def _late(self) -> list[tuple[float, int]]:
        return self._ended[-max(LEAST_TRIALS, len(self._ended) // 2) :]

    def left(self, waiting: float, now: float) -> float | None:
        """Returns the seconds until the running trials and so many more have ended; None while nobody can know.

        Args:
            waiting: Trials that have not begun.
            now: The study's clock.
        """
        price = self.price()
        if price is None:
            return None
        rests = [self._rest(run, price, now) for run in self._running.values()]
        # While the last trials run some workers have none: on average half a trial each.
        tail = price / 2 * (self._workers - 1) / self._workers if waiting else 0.0
        longest = max([*rests, price if waiting else 0.0], default=0.0)
        return max((waiting * price + sum(rests)) / self._workers + tail, longest)

    @staticmethod
    def _rest(run: _Run, price: float, now: float) -> float:
        """Returns what a running trial still takes: the rest of a mean one, and once it is longer, the way to its end.

        A mean price knows how many trials are pruned; a trial that outlasts it will most often be trained to its end.
        """
        to_its_end, elapsed = run.to_its_end(), now - run.began
        if to_its_end is None:
            return max(0.0, price - elapsed)
        if run.is_pruned_never or elapsed > price:
            return to_its_end
        return min(to_its_end, price - elapsed)


def _own_seconds(outcome: Outcome) -> float:
    """Returns what a trial took by its own account, without the wait for its worker."""
    if any(report.restored for report in outcome.history):
        return outcome.seconds_trained
    return sum(outcome.seconds.values()) or outcome.seconds_trained
